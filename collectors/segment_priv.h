/* SPDX-License-Identifier: Apache-2.0 */
/* segment_priv.h: what the files that read a segment share. */
#ifndef PERFTOP_SEGMENT_PRIV_H
#define PERFTOP_SEGMENT_PRIV_H

#include "collectors/segment.h"
#include "collectors/segment_find.h"

enum { SEGMENT_GROUPS = BUCKET_COUNT / 32, SEGMENT_NO_BINS = -1 };

_Static_assert(BUCKET_COUNT % 32 == 0 && SEGMENT_GROUPS < 64, "one bit of `touched` per 32 bins");

struct segment_entry {
	struct segment_metric m;
	char name[96], unit[16], help[136];
	uint64_t *bins;
	uint64_t touched;     /* groups of bins that are not all 0 */
	uint64_t shared_seen; /* count in the shared bins when they were last added */
	int32_t first;	      /* chain of its bins through struct segment_chain */
	int dirty;	      /* something was recorded since the last refresh */
};

/* What is known about one perftop_bins of the segment. */
struct segment_chain {
	uint64_t seen; /* its count when it was last added */
	uint32_t slot; /* 0: not handed out yet */
	int32_t next;
};

struct segment {
	int pid, pidfd;
	struct segment_place place;
	char *base;   /* of the mapping, or of our copy */
	int in_place; /* base is the target's own memory */
	uint64_t bytes, start_ns, resident_bytes;
	struct perftop_segment head; /* as last read */
	uint32_t nmetrics, nbins, max_bins;
	struct segment_entry *entries; /* PERFTOP_MAX_METRICS */
	struct segment_chain *chains;  /* max_bins */
	uint64_t sums[PERFTOP_SLOTS];
	char why[192];
};

/* Note why the segment is not to be believed. Returns -EBADMSG. */
int segment_corrupt(struct segment *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Make size bytes at offset readable at s->base + offset. The caller keeps within s->bytes. */
int segment_fetch(struct segment *s, uint64_t offset, size_t size);

/* Read what a checked header says there is. */
int segment_read_values(struct segment *s, const struct perftop_segment *head);
int segment_read_hists(struct segment *s);

static inline uint64_t segment_load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

#endif
