/* SPDX-License-Identifier: Apache-2.0 */
/* latency.h: cumulative histograms of one source turned into snapshot rows. */
#ifndef PERFTOP_LATENCY_H
#define PERFTOP_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#include "collectors/snapshot.h"
#include "probes/bucket.h"

/*
 * Sources count up for ever. A latency_track remembers what a source held at the last reset and
 * at the last tick, so that rows cover "since reset" and "last interval". About 18 KB each,
 * allocated when the source is first seen.
 */
struct latency_track {
	uint64_t base_count, base_sum, base_timed; /* at the last reset */
	uint64_t prev_count, prev_sum, prev_timed; /* at the last tick */
	uint64_t source_max;			   /* the source's own maximum at the last tick */
	uint64_t seen_max;			   /* and at the last reset */
	int64_t untimed; /* since calls were last timed, if that is not every tick */
	double mean_ns;	 /* of those of the last tick that had some */
	double guess_ns; /* what those that were not timed took, by those that were meanwhile */
	uint64_t *base;	 /* BUCKET_COUNT, NULL until a reset */
	uint64_t *prev;	 /* BUCKET_COUNT at the last tick */
};

/* The source's totals now. bins is BUCKET_COUNT long, or NULL when only counts are known. */
struct latency_source_now {
	uint64_t count, sum, max;
	const uint64_t *bins;
	uint32_t nbins; /* none from here on has a count; 0 = not known */
	uint64_t timed; /* of the bins; the others have the value of one that was. 0 = all */
};

void latency_track_fini(struct latency_track *t);
/* Counts begin anew at what the source held at the last tick. */
int latency_track_reset(struct latency_track *t);

/*
 * The source held this much when it was first looked at: the totals cover it, rates and recent
 * quantiles do not. Without this call the source is taken to begin empty.
 */
void latency_track_begin(struct latency_track *t, const struct latency_source_now *now);

/*
 * Fill row's numbers (count, rate, quantiles, recent quantiles, bins) from what the source holds
 * now. `row` must lie in s->latency or s->syscalls; its texts are the caller's. 0 or -ENOMEM.
 */
int latency_track_update(struct latency_track *t, const struct latency_source_now *now,
			 uint64_t interval_ns, struct snapshot *s, struct snap_latency *row);

/*
 * Sum of one histogram over CPUs. The count is that of the bins, so that quantiles and count
 * agree even while the writers go on.
 */
struct contract_hist;
struct latency_sum {
	uint64_t count, sum, max, calls;
	uint32_t nbins; /* the rest are 0 */
	uint64_t bins[BUCKET_COUNT];
};

/* sum = the ncpu histograms at h. */
void latency_sum_cpus(struct latency_sum *sum, const struct contract_hist *h, uint32_t ncpu,
		      size_t stride_bytes);
/* sum += one of them. */
void latency_sum_add(struct latency_sum *sum, const struct contract_hist *h);

#endif
