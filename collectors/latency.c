/* SPDX-License-Identifier: Apache-2.0 */
/* latency.c: cumulative histograms of one source turned into snapshot rows. */
#include "collectors/latency.h"

#include <errno.h>
#include <math.h>
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
	t->base_timed = t->prev_timed;
	t->seen_max = t->source_max;
	t->untimed = 0;
	t->guess_ns = 0;
	return 0;
}

/* Highest value that bucket i stands for, or the source's exact maximum when that is there. */
static uint64_t bucket_top(uint32_t i, uint64_t max)
{
	uint64_t top = bucket_low(i) + bucket_width(i) - 1;

	return max && max <= top && max >= bucket_low(i) ? max : top;
}

/* now - from, without its empty buckets: whole counts, which the snapshot has no room for. */
struct sparse {
	uint32_t n;
	uint32_t bucket[BUCKET_COUNT];
	uint64_t count[BUCKET_COUNT];
	uint64_t total;
};

/* A source of the target's own may lie, or be read while it is cleared: what fell counts as 0. */
static uint64_t risen(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static void subtract(struct sparse *d, const struct latency_source_now *now, const uint64_t *from)
{
	uint32_t nbins = now->nbins ? now->nbins : BUCKET_COUNT;

	d->n = 0;
	d->total = 0;
	for (uint32_t i = 0; i < nbins; i++) {
		uint64_t n = risen(now->bins[i], from ? from[i] : 0);

		if (!n)
			continue;
		d->bucket[d->n] = i;
		d->count[d->n++] = n;
		d->total += n;
	}
}

static uint64_t at_most(uint64_t v, uint64_t max)
{
	return v < max ? v : max;
}

/* The value that at least q of all do not exceed. A bucket's midpoint can lie above the maximum. */
static uint64_t quantile(const struct sparse *d, double q, uint64_t max)
{
	uint64_t rank = (uint64_t)(q * (double)d->total), seen = 0;

	if (!d->n)
		return 0;
	if ((double)rank < q * (double)d->total || !rank)
		rank++;
	for (uint32_t i = 0; i < d->n; i++) {
		seen += d->count[i];
		if (seen >= rank)
			return at_most(bucket_mid(d->bucket[i]), max);
	}
	return max;
}

static uint64_t highest(const struct sparse *d, uint64_t max)
{
	return d->n ? bucket_top(d->bucket[d->n - 1], max) : 0;
}

/* Into s->bins. Where a count does not fit all are halved alike: the shape stays. */
static void append_bins(struct snapshot *s, const struct sparse *d, struct snap_latency *row)
{
	uint32_t shift = 0;

	for (uint32_t i = 0; i < d->n; i++)
		while (d->count[i] >> shift > UINT32_MAX)
			shift++;
	row->bin_first = s->nbins;
	for (uint32_t i = 0; i < d->n; i++) {
		if (s->nbins == SNAP_BINS) {
			s->truncated += d->n - i;
			break;
		}
		s->bins[s->nbins].bucket = d->bucket[i];
		s->bins[s->nbins].count = (uint32_t)(d->count[i] >> shift);
		/* What was seen is not made unseen. */
		if (!s->bins[s->nbins].count)
			s->bins[s->nbins].count = 1;
		s->nbins++;
	}
	row->bin_count = s->nbins - row->bin_first;
}

/*
 * Calls that were not timed took what those of their own tick did, or of the next that has some;
 * until that comes, of the last.
 */
static void guess_untimed(struct latency_track *t, const struct latency_source_now *now,
			  uint64_t fresh, uint64_t timed)
{
	t->untimed += (int64_t)(fresh - timed);
	if (!timed)
		return;
	t->mean_ns = (double)risen(now->sum, t->prev_sum) / (double)timed;
	t->guess_ns += (double)t->untimed * t->mean_ns;
	t->untimed = 0;
}

static void fill_recent(struct latency_track *t, const struct latency_source_now *now,
			uint64_t fresh, struct snap_latency *row)
{
	struct sparse d;

	subtract(&d, now, t->prev);
	guess_untimed(t, now, fresh, d.total);
	if (!d.total)
		return;
	row->recent_max = highest(&d, now->max);
	row->recent_p50 = quantile(&d, 0.50, row->recent_max);
	row->recent_p99 = quantile(&d, 0.99, row->recent_max);
}

static void fill_since_reset(struct latency_track *t, const struct latency_source_now *now,
			     struct snapshot *s, struct snap_latency *row)
{
	uint64_t timed_ns = risen(now->sum, t->base_sum);
	struct sparse d;

	subtract(&d, now, t->base);
	append_bins(s, &d, row);
	row->sampled = now->timed ? at_most(risen(now->timed, t->base_timed), d.total) : d.total;
	if (d.total && !row->sampled) /* the one whose value they have was before the reset */
		row->sampled = 1;
	row->mean = d.total ? timed_ns / d.total : 0;
	row->sum =
		(uint64_t)fmax((double)timed_ns + t->guess_ns + (double)t->untimed * t->mean_ns, 0);
	/* The source's maximum is exact, but it may be older than the reset. */
	row->max = highest(&d, now->max);
	if (now->max > t->seen_max)
		row->max = now->max;
	row->p50 = quantile(&d, 0.50, row->max);
	row->p90 = quantile(&d, 0.90, row->max);
	row->p99 = quantile(&d, 0.99, row->max);
	row->p999 = quantile(&d, 0.999, row->max);
}

void latency_track_begin(struct latency_track *t, const struct latency_source_now *now)
{
	t->prev_count = now->count;
	t->prev_sum = now->sum;
	t->prev_timed = now->timed;
	t->source_max = now->max;
	if (now->bins && !t->prev)
		t->prev = malloc(BUCKET_COUNT * sizeof(*t->prev));
	if (now->bins && t->prev)
		memcpy(t->prev, now->bins, BUCKET_COUNT * sizeof(*t->prev));
}

int latency_track_update(struct latency_track *t, const struct latency_source_now *now,
			 uint64_t interval_ns, struct snapshot *s, struct snap_latency *row)
{
	uint64_t fresh = risen(now->count, t->prev_count);

	row->count = risen(now->count, t->base_count);
	row->rate = interval_ns ? (double)fresh * 1e9 / (double)interval_ns : 0;
	t->prev_count = now->count;
	if (!now->bins)
		return 0;
	if (!t->prev) {
		t->prev = calloc(BUCKET_COUNT, sizeof(*t->prev));
		if (!t->prev)
			return -ENOMEM;
	}
	fill_recent(t, now, fresh, row);
	fill_since_reset(t, now, s, row);
	memcpy(t->prev, now->bins, BUCKET_COUNT * sizeof(*t->prev));
	t->prev_sum = now->sum;
	t->prev_timed = now->timed;
	t->source_max = now->max;
	return 0;
}

void latency_sum_add(struct latency_sum *sum, const struct contract_hist *h)
{
	/* Acquire: what was counted before this is in the bins. */
	uint64_t count = __atomic_load_n(&h->count, __ATOMIC_ACQUIRE);
	uint64_t max = __atomic_load_n(&h->max, __ATOMIC_RELAXED);
	uint32_t nbins = count ? bucket_index(max) + 1 : 0;

	if (nbins > BUCKET_COUNT)
		nbins = BUCKET_COUNT;
	if (nbins > sum->nbins)
		sum->nbins = nbins;
	sum->calls += __atomic_load_n(&h->calls, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < nbins; i++) {
		uint64_t n = __atomic_load_n(&h->bins[i], __ATOMIC_RELAXED);

		sum->bins[i] += n;
		sum->count += n;
	}
	sum->sum += __atomic_load_n(&h->sum, __ATOMIC_RELAXED);
	if (max > sum->max)
		sum->max = max;
}

void latency_sum_cpus(struct latency_sum *sum, const struct contract_hist *h, uint32_t ncpu,
		      size_t stride_bytes)
{
	memset(sum, 0, sizeof(*sum));
	for (uint32_t cpu = 0; cpu < ncpu; cpu++) {
		latency_sum_add(sum, h);
		h = (const struct contract_hist *)((const char *)h + stride_bytes);
	}
}
