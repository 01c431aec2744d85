/* SPDX-License-Identifier: Apache-2.0 */
/* perftop_inner.h: what the files of libperftop share. */
#ifndef PERFTOP_INNER_H
#define PERFTOP_INNER_H

#include <pthread.h>

#include "probes/perftop_segment.h"

#define PERFTOP_LOCAL __attribute__((visibility("hidden")))

/*
 * All process-wide state, in memory that the kernel zeroes in a forked child (MADV_WIPEONFORK):
 * there, every cell is empty, the lock is free whoever held it, and the segment is yet to be made.
 */
struct inner {
	struct perftop_shard
		*cell[PERFTOP_MAX_THREADS];	 /* what a thread's perftop_cell points to */
	uint64_t used[PERFTOP_MAX_THREADS / 64]; /* shards with an owner */
	struct perftop_segment *segment;
	uint64_t epoch; /* of this segment; no other in this process or its parents had it */
	uint64_t lost;
	uint32_t failed;      /* no memory to be had: count nothing */
	pthread_mutex_t lock; /* for making the segment and registering; zero is unlocked */
};

/* The state, made at the first call; NULL without memory. Safe in signal handlers. */
PERFTOP_LOCAL struct inner *inner_get(void);

/* The segment, made at the first call; NULL without memory. May block on the lock. */
PERFTOP_LOCAL struct perftop_segment *inner_segment(struct inner *in);

/* Make the segment; called with the lock held. */
PERFTOP_LOCAL struct perftop_segment *inner_make_segment(struct inner *in);

/* Find out whether scopes may use the time-stamp counter, and its rate. Once. */
PERFTOP_LOCAL void inner_calibrate(void);

static inline struct perftop_shard *inner_shard(struct perftop_segment *seg, uint32_t i)
{
	return (void *)((char *)seg + PERFTOP_SHARDS_OFFSET + (uint64_t)i * PERFTOP_SHARD_BYTES);
}

static inline struct perftop_metric *inner_metric(struct perftop_segment *seg, uint32_t i)
{
	return (struct perftop_metric *)((char *)seg + PERFTOP_METRICS_OFFSET) + i;
}

/* Bins of a slot that many threads write, with atomics. Those of slot 0 are the sink. */
static inline struct perftop_bins *inner_shared_bins(struct perftop_segment *seg, uint32_t slot)
{
	return (struct perftop_bins *)((char *)seg + PERFTOP_SHARED_OFFSET) + slot;
}

#endif
