/* SPDX-License-Identifier: Apache-2.0 */
/* segment_read.c: sums the shards of a segment into metrics. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/segment_priv.h"
#include "collectors/snapshot.h"

static int terminated(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static int add_entry(struct segment *s, uint32_t i)
{
	uint64_t offset = PERFTOP_METRICS_OFFSET + i * sizeof(struct perftop_metric);
	struct segment_entry *e = &s->entries[i];
	struct perftop_metric m;
	int err = segment_fetch(s, offset, sizeof(m));

	if (err)
		return err;
	memcpy(&m, s->base + offset, sizeof(m));
	if (m.kind < PERFTOP_COUNTER || m.kind > PERFTOP_HIST)
		return segment_corrupt(s, "metric %u is of kind %u, which there is not", i, m.kind);
	if (!terminated(m.name, sizeof(m.name)) || !terminated(m.unit, sizeof(m.unit)) ||
	    !terminated(m.help, sizeof(m.help)))
		return segment_corrupt(s, "a text of metric %u has no end", i);
	if (!m.name[0])
		return segment_corrupt(s, "metric %u has no name", i);
	snapshot_string(e->name, sizeof(e->name), m.name);
	snapshot_string(e->unit, sizeof(e->unit), m.unit);
	snapshot_string(e->help, sizeof(e->help), m.help);
	if (m.kind == PERFTOP_HIST) {
		e->bins = calloc(BUCKET_COUNT, sizeof(*e->bins));
		if (!e->bins)
			return -ENOMEM;
	}
	e->first = SEGMENT_NO_BINS;
	e->m = (struct segment_metric){
		.name = e->name, .unit = e->unit, .help = e->help, .kind = m.kind, .bins = e->bins};
	s->nmetrics = i + 1;
	return 0;
}

static int add_shard(struct segment *s, uint32_t i)
{
	uint64_t offset = PERFTOP_SHARDS_OFFSET + i * PERFTOP_SHARD_BYTES;
	const struct perftop_shard *shard = (const struct perftop_shard *)(s->base + offset);
	int err = segment_fetch(s, offset, offsetof(struct perftop_shard, value[s->nmetrics + 1]));

	if (err)
		return err;
	for (uint32_t slot = 1; slot <= s->nmetrics; slot++)
		s->sums[slot] += segment_load(&shard->value[slot]);
	return 0;
}

int segment_read_values(struct segment *s, const struct perftop_segment *head)
{
	const int64_t *gauges = (const int64_t *)(s->base + PERFTOP_GAUGES_OFFSET);
	int err = segment_fetch(s, PERFTOP_GAUGES_OFFSET, PERFTOP_SLOTS * sizeof(*gauges));

	for (uint32_t i = s->nmetrics; !err && i < head->metrics; i++)
		err = add_entry(s, i);
	memset(s->sums, 0, sizeof(s->sums));
	for (uint32_t i = 0; !err && i < head->shards; i++)
		err = add_shard(s, i);
	if (!err && head->shared)
		err = add_shard(s, PERFTOP_MAX_THREADS);
	if (err)
		return err;
	for (uint32_t i = 0; i < s->nmetrics; i++) {
		struct segment_metric *m = &s->entries[i].m;

		if (m->kind == PERFTOP_COUNTER)
			m->value = (int64_t)s->sums[i + 1];
		else if (m->kind == PERFTOP_GAUGE)
			m->value = __atomic_load_n(&gauges[i + 1], __ATOMIC_RELAXED);
	}
	return 0;
}

/* ---- histograms --------------------------------------------------------------------------- */

/* Link bins i to their histogram once their owner has said which it is. */
static int link_bins(struct segment *s, uint32_t i, const struct perftop_bins *b)
{
	uint32_t slot = __atomic_load_n(&b->slot, __ATOMIC_ACQUIRE);
	struct segment_entry *e;

	if (slot > PERFTOP_MAX_METRICS)
		return segment_corrupt(s, "bins %u belong to slot %u of %u", i, slot,
				       PERFTOP_MAX_METRICS);
	if (!slot || slot > s->nmetrics) /* in the making */
		return 0;
	e = &s->entries[slot - 1];
	if (e->m.kind != PERFTOP_HIST)
		return segment_corrupt(s, "bins %u belong to metric %u, which is no histogram", i,
				       slot - 1);
	s->chains[i].slot = slot;
	s->chains[i].next = e->first;
	e->first = (int32_t)i;
	return 0;
}

static const struct perftop_bins *bins_at(const struct segment *s, uint64_t offset)
{
	return (const struct perftop_bins *)(s->base + offset);
}

static uint64_t bins_offset(uint32_t i)
{
	return PERFTOP_BINS_OFFSET + (uint64_t)i * sizeof(struct perftop_bins);
}

/* Note which histograms have bins whose count changed. */
static int find_dirty(struct segment *s)
{
	for (uint32_t i = 0; i < s->nbins; i++) {
		const struct perftop_bins *b = bins_at(s, bins_offset(i));
		struct segment_chain *c = &s->chains[i];
		uint64_t count;
		int err = segment_fetch(s, bins_offset(i), offsetof(struct perftop_bins, bins));

		if (!err && !c->slot)
			err = link_bins(s, i, b);
		if (err)
			return err;
		/* Pairs with the writer's release: what it counts is in the bins. */
		count = __atomic_load_n(&b->count, __ATOMIC_ACQUIRE);
		if (c->slot && count != c->seen) {
			c->seen = count;
			s->entries[c->slot - 1].dirty = 1;
		}
	}
	return 0;
}

static int add_bins(struct segment *s, struct segment_entry *e, uint64_t offset)
{
	const struct perftop_bins *b = bins_at(s, offset);
	int err = segment_fetch(s, offset, sizeof(*b));
	uint64_t max;

	if (err)
		return err;
	for (uint64_t left = segment_load(&b->touched) & ((1ull << SEGMENT_GROUPS) - 1); left;
	     left &= left - 1) {
		unsigned int group = (unsigned int)__builtin_ctzll(left);

		e->touched |= 1ull << group;
		for (unsigned int i = group * 32; i < group * 32 + 32; i++)
			e->bins[i] += segment_load(&b->bins[i]);
	}
	e->m.sum += segment_load(&b->sum);
	e->m.timed += segment_load(&b->timed);
	max = segment_load(&b->max);
	if (max > e->m.max)
		e->m.max = max;
	return 0;
}

/* Count what was added up, so that count, bins and quantiles agree. */
static void finish_bins(struct segment_entry *e)
{
	unsigned int top = 0;

	e->m.count = 0;
	for (uint64_t left = e->touched; left; left &= left - 1) {
		unsigned int first = (unsigned int)__builtin_ctzll(left) * 32;

		for (unsigned int i = first; i < first + 32; i++) {
			e->m.count += e->bins[i];
			top = e->bins[i] ? i : top;
		}
	}
	if (!e->m.timed || e->m.timed > e->m.count)
		e->m.timed = e->m.count;
	if (e->m.max < bucket_low(top)) /* a value came in after the maximum was read */
		e->m.max = bucket_low(top);
}

static int sum_hist(struct segment *s, struct segment_entry *e, uint32_t slot)
{
	int err = 0;

	for (uint64_t left = e->touched; left; left &= left - 1)
		memset(e->bins + (unsigned int)__builtin_ctzll(left) * 32, 0,
		       32 * sizeof(*e->bins));
	e->touched = 0;
	e->m.sum = 0;
	e->m.max = 0;
	e->m.timed = 0;
	for (int32_t i = e->first; !err && i != SEGMENT_NO_BINS; i = s->chains[i].next)
		err = add_bins(s, e, bins_offset((uint32_t)i));
	if (!err && e->shared_seen)
		err = add_bins(s, e, PERFTOP_SHARED_OFFSET + slot * sizeof(struct perftop_bins));
	finish_bins(e);
	e->dirty = 0;
	return err;
}

static int read_shared(struct segment *s, struct segment_entry *e, uint32_t slot)
{
	uint64_t offset = PERFTOP_METRICS_OFFSET + (slot - 1) * sizeof(struct perftop_metric);
	const struct perftop_metric *m = (const struct perftop_metric *)(s->base + offset);
	uint64_t bins = PERFTOP_SHARED_OFFSET + slot * sizeof(struct perftop_bins), count;
	int err = segment_fetch(s, offset, sizeof(*m));

	if (err || !__atomic_load_n(&m->shared, __ATOMIC_ACQUIRE))
		return err;
	err = segment_fetch(s, bins, offsetof(struct perftop_bins, bins));
	if (err)
		return err;
	count = __atomic_load_n(&bins_at(s, bins)->count, __ATOMIC_ACQUIRE);
	if (count != e->shared_seen)
		e->dirty = 1;
	e->shared_seen = count;
	return 0;
}

int segment_read_hists(struct segment *s)
{
	int err = find_dirty(s);

	for (uint32_t i = 0; !err && i < s->nmetrics; i++) {
		struct segment_entry *e = &s->entries[i];

		if (e->m.kind != PERFTOP_HIST)
			continue;
		err = read_shared(s, e, i + 1);
		if (!err && e->dirty)
			err = sum_hist(s, e, i + 1);
	}
	return err;
}
