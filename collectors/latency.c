/* SPDX-License-Identifier: Apache-2.0 */
/* latency.c: cumulative histograms of one source turned into snapshot rows. */
#include "collectors/latency.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/contract.h"

void latency_track_fini(struct latency_track *t)
{
	free(t->base);
	free(t->prev);
	memset(t, 0, sizeof(*t));
}

int latency_track_reset(struct latency_track *t)
{
	if (!t->prev) {
		t->base_count = t->prev_count;
		return 0;
	}
	if (!t->base) {
		t->base = malloc(BUCKET_COUNT * sizeof(*t->base));
		if (!t->base)
			return -ENOMEM;
	}
	memcpy(t->base, t->prev, BUCKET_COUNT * sizeof(*t->base));
	t->base_count = t->prev_count;
	t->base_sum = t->prev_sum;
	t->seen_max = t->source_max;
	t->max = 0;
	return 0;
}

/* Highest value that bucket i stands for, or the source's exact maximum when that is there. */
static uint64_t bucket_top(uint32_t i, uint64_t max)
{
	uint64_t top = bucket_low(i) + bucket_width(i) - 1;

	return max && max <= top && max >= bucket_low(i) ? max : top;
}

/* Sparse bins of now - from, appended to s->bins; total gets their sum, top the highest bucket. */
static uint32_t append_bins(struct snapshot *s, const uint64_t *now, const uint64_t *from,
			    uint64_t *total, uint32_t *top)
{
	uint32_t first = s->nbins;

	*total = 0;
	*top = 0;
	for (uint32_t i = 0; i < BUCKET_COUNT; i++) {
		uint64_t n = now[i] - (from ? from[i] : 0);

		if (!n)
			continue;
		*total += n;
		*top = i;
		if (s->nbins == SNAP_BINS) {
			s->truncated++;
			continue;
		}
		s->bins[s->nbins].bucket = i;
		s->bins[s->nbins].count = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
		s->nbins++;
	}
	return s->nbins - first;
}

static uint64_t at_most(uint64_t v, uint64_t max)
{
	return v < max ? v : max;
}

static void fill_recent(struct latency_track *t, const struct latency_source_now *now,
			struct snapshot *s, struct snap_latency *row)
{
	uint32_t first = s->nbins, n, top;
	uint64_t total;

	/* The interval's bins are only needed here: built at the end of the pool, then given back.
	 */
	n = append_bins(s, now->bins, t->prev, &total, &top);
	if (total) {
		row->recent_p50 = snapshot_quantile(s->bins + first, n, total, 0.50);
		row->recent_p99 = snapshot_quantile(s->bins + first, n, total, 0.99);
		row->recent_max = bucket_top(top, now->max);
		row->recent_p50 = at_most(row->recent_p50, row->recent_max);
		row->recent_p99 = at_most(row->recent_p99, row->recent_max);
	}
	memset(s->bins + first, 0, n * sizeof(s->bins[0]));
	s->nbins = first;
}

static void fill_since_reset(struct latency_track *t, const struct latency_source_now *now,
			     struct snapshot *s, struct snap_latency *row)
{
	const struct snap_bin *bins = s->bins + s->nbins;
	uint64_t total;
	uint32_t top;

	row->bin_first = s->nbins;
	row->bin_count = append_bins(s, now->bins, t->base, &total, &top);
	row->sampled = total;
	row->p50 = snapshot_quantile(bins, row->bin_count, total, 0.50);
	row->p90 = snapshot_quantile(bins, row->bin_count, total, 0.90);
	row->p99 = snapshot_quantile(bins, row->bin_count, total, 0.99);
	row->p999 = snapshot_quantile(bins, row->bin_count, total, 0.999);
	row->sum = now->sum - t->base_sum;
	row->mean = total ? row->sum / total : 0;
	/* The source's maximum is exact, but it may be older than the reset. */
	row->max = total ? bucket_top(top, now->max) : 0;
	if (now->max > t->seen_max)
		row->max = now->max;
	t->max = row->max;
	/* A bucket's midpoint can lie above the largest value in it. */
	row->p50 = at_most(row->p50, row->max);
	row->p90 = at_most(row->p90, row->max);
	row->p99 = at_most(row->p99, row->max);
	row->p999 = at_most(row->p999, row->max);
}

int latency_track_update(struct latency_track *t, const struct latency_source_now *now,
			 uint64_t interval_ns, struct snapshot *s, struct snap_latency *row)
{
	uint64_t fresh = now->count - t->prev_count;

	row->count = now->count - t->base_count;
	row->rate = interval_ns ? (double)fresh * 1e9 / (double)interval_ns : 0;
	t->prev_count = now->count;
	if (!now->bins)
		return 0;
	if (!t->prev) {
		t->prev = calloc(BUCKET_COUNT, sizeof(*t->prev));
		if (!t->prev)
			return -ENOMEM;
	}
	fill_recent(t, now, s, row);
	fill_since_reset(t, now, s, row);
	memcpy(t->prev, now->bins, BUCKET_COUNT * sizeof(*t->prev));
	t->prev_sum = now->sum;
	t->source_max = now->max;
	return 0;
}

void latency_sum_cpus(struct latency_sum *sum, const struct contract_hist *h, uint32_t ncpu,
		      size_t stride_bytes)
{
	memset(sum, 0, sizeof(*sum));
	for (uint32_t cpu = 0; cpu < ncpu; cpu++) {
		/* Acquire: what was counted before this is in the bins. */
		uint64_t count = __atomic_load_n(&h->count, __ATOMIC_ACQUIRE);

		sum->calls += __atomic_load_n(&h->calls, __ATOMIC_RELAXED);
		for (uint32_t i = 0; count && i < BUCKET_COUNT; i++) {
			uint64_t n = __atomic_load_n(&h->bins[i], __ATOMIC_RELAXED);

			sum->bins[i] += n;
			sum->count += n;
		}
		sum->sum += __atomic_load_n(&h->sum, __ATOMIC_RELAXED);
		if (__atomic_load_n(&h->max, __ATOMIC_RELAXED) > sum->max)
			sum->max = __atomic_load_n(&h->max, __ATOMIC_RELAXED);
		h = (const struct contract_hist *)((const char *)h + stride_bytes);
	}
}
