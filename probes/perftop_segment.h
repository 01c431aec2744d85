/* SPDX-License-Identifier: Apache-2.0 */
/* perftop_segment.h: layout of the shared segment that a program's counters live in. */
#ifndef PERFTOP_SEGMENT_H
#define PERFTOP_SEGMENT_H

#include "probes/perftop.h"

/*
 * One memfd named "perftop" a process, sealed against resizing, found through /proc/PID/fd:
 *
 *	header | gauges | metrics | shards, the last shared | shared bins | bins by order of use
 *
 * Offsets and sizes are fixed by the version and repeated in the header, so that a reader of
 * another build notices. The size may differ: it decides how many bins there are.
 *
 * Everything but the header's own fields only ever grows: a shard is handed from a thread that
 * ends to one that begins with its counts in it. So a reader that sums all shards at any moment
 * never sees a count fall or counted twice, and nothing has to be folded.
 */
#define PERFTOP_SEGMENT_NAME	"perftop"
#define PERFTOP_SEGMENT_MAGIC	0x31504f5446524550ull /* "PERFTOP1", little-endian; written last */
#define PERFTOP_SEGMENT_VERSION 1u

#define PERFTOP_ALIGN(n)	((((uint64_t)(n)) + 4095) & ~4095ull)
#define PERFTOP_SHARD_BYTES	PERFTOP_ALIGN(sizeof(struct perftop_shard))
#define PERFTOP_SHARDS		(PERFTOP_MAX_THREADS + 1) /* the last one has many writers */
#define PERFTOP_METRICS_OFFSET	(PERFTOP_GAUGES_OFFSET + PERFTOP_ALIGN(PERFTOP_SLOTS * 8))
#define PERFTOP_SHARDS_OFFSET     \
	(PERFTOP_METRICS_OFFSET + \
	 PERFTOP_ALIGN(PERFTOP_MAX_METRICS * sizeof(struct perftop_metric)))
#define PERFTOP_SHARED_OFFSET (PERFTOP_SHARDS_OFFSET + PERFTOP_SHARDS * PERFTOP_SHARD_BYTES)
#define PERFTOP_BINS_OFFSET \
	(PERFTOP_SHARED_OFFSET + PERFTOP_ALIGN(PERFTOP_SLOTS * sizeof(struct perftop_bins)))
#define PERFTOP_MAX_BINS(bytes) \
	((uint32_t)(((bytes)-PERFTOP_BINS_OFFSET) / sizeof(struct perftop_bins)))
#define PERFTOP_SEGMENT_BYTES	  (256ull << 20)
#define PERFTOP_SEGMENT_MIN_BYTES (32ull << 20)

enum perftop_kind { PERFTOP_COUNTER = 1, PERFTOP_GAUGE, PERFTOP_HIST };

struct perftop_metric {
	uint32_t kind;			    /* enum perftop_kind */
	uint32_t shared;		    /* 1: a histogram with something in its shared bins */
	char name[96], unit[16], help[136]; /* end in 0 */
};

struct perftop_segment {
	uint64_t magic;
	uint32_t version, header_bytes;
	uint64_t total_bytes;
	uint64_t gauges_offset, metrics_offset, shards_offset, shared_offset, bins_offset;
	uint32_t metric_bytes, shard_bytes, bins_bytes, bucket_count;
	uint32_t max_metrics, max_shards, max_bins, slots;
	uint32_t pid; /* as the process sees itself */
	uint32_t pad;
	uint64_t start_ns; /* CLOCK_MONOTONIC when made */
	uint64_t pad2[3];

	/* What changes, on lines of its own. metrics and bins are raised after what they count. */
	uint32_t metrics; /* registered: slots 1 .. metrics */
	uint32_t shards;  /* ever in use: 0 .. shards - 1 */
	uint32_t bins;	  /* handed out */
	uint32_t threads; /* with a shard now */
	uint32_t shared;  /* 1: the shared shard has something in it */
	uint32_t pad3;
	uint64_t refused_metrics, refused_threads;
	uint64_t lost; /* updates that found no memory to go to */
};

#endif
