/* SPDX-License-Identifier: Apache-2.0 */
/* pattern_store.c: patterns over an index: adding, merging, finding. */
#include "kernels/patterns/pattern_store.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/patterns/pattern_store_state.h"

enum { EVICT_SHARE = 64, SUMS = 8 };

static struct hnsw *index_new(const struct pattern_store_options *o, int *err)
{
	struct hnsw_options h = {.dim = o->dim,
				 .capacity = pattern_slots_for(o->capacity),
				 .storage = HNSW_I8,
				 .build_ef = PATTERN_BUILD_EF,
				 .isa = o->isa};

	return hnsw_new(&h, err);
}

static int store_init(struct pattern_store *s, struct hnsw *index)
{
	int err = 0;

	s->index = index;
	if (!s->o.capacity || s->o.capacity > 1u << 28 || !s->o.dim || isnan(s->o.merge_similarity))
		err = -EINVAL;
	if (!err && !index)
		s->index = index_new(&s->o, &err);
	if (err)
		return err;
	s->slots = pattern_slots_for(s->o.capacity);
	s->pattern = calloc(s->slots, sizeof(*s->pattern));
	s->slot_at = calloc(s->slots, sizeof(*s->slot_at));
	s->position = calloc(s->slots, sizeof(*s->position));
	s->unit = calloc(s->o.dim, sizeof(*s->unit));
	s->own = pattern_searcher_new(s);
	return s->pattern && s->slot_at && s->position && s->unit && s->own ? 0 : -ENOMEM;
}

struct pattern_store *pattern_store_alloc(const struct pattern_store_options *o, struct hnsw *index,
					  int *err)
{
	struct pattern_store *s = calloc(1, sizeof(*s));
	int e = -ENOMEM;

	if (s) {
		s->o = *o;
		e = store_init(s, index);
	} else {
		hnsw_free(index);
	}
	if (err)
		*err = e;
	if (!e)
		return s;
	pattern_store_free(s);
	return NULL;
}

struct pattern_store *pattern_store_new(const struct pattern_store_options *o, int *err)
{
	if (o)
		return pattern_store_alloc(o, NULL, err);
	if (err)
		*err = -EINVAL;
	return NULL;
}

void pattern_store_free(struct pattern_store *s)
{
	if (!s)
		return;
	pattern_searcher_free(s->own);
	hnsw_free(s->index);
	free(s->pattern);
	free(s->slot_at);
	free(s->position);
	free(s->unit);
	free(s);
}

struct pattern_searcher *pattern_searcher_new(const struct pattern_store *s)
{
	struct pattern_searcher *p = s ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return NULL;
	p->walk = hnsw_searcher_new(s->index, 2 * PATTERN_MAX_K);
	p->unit = malloc(s->o.dim * sizeof(*p->unit));
	p->found = malloc((PATTERN_MAX_K + 1) * sizeof(*p->found));
	if (p->walk && p->unit && p->found)
		return p;
	pattern_searcher_free(p);
	return NULL;
}

void pattern_searcher_free(struct pattern_searcher *p)
{
	if (!p)
		return;
	hnsw_searcher_free(p->walk);
	free(p->unit);
	free(p->found);
	free(p);
}

/* To length 1. False without length, or where it is not finite. */
static bool to_unit(const float *x, uint32_t dim, float *unit)
{
	double part[SUMS] = {0}, sum = 0; /* one sum would wait for itself at each step */
	float share;
	uint32_t at = 0;

	for (; at + SUMS <= dim; at += SUMS)
		for (uint32_t l = 0; l < SUMS; l++)
			part[l] += (double)x[at + l] * x[at + l];
	for (; at < dim; at++)
		sum += (double)x[at] * x[at];
	for (uint32_t l = 0; l < SUMS; l++)
		sum += part[l];
	share = (float)(1 / sqrt(sum));
	if (!(sum > 0) || !isfinite(sum) || !isfinite(share))
		return false;
	for (uint32_t i = 0; i < dim; i++)
		unit[i] = x[i] * share;
	return true;
}

static int find(const struct pattern_store *s, struct pattern_searcher *p, const float *unit,
		uint32_t k)
{
	const uint64_t before = hnsw_searcher_distances(p->walk);
	uint64_t numbers = (uint64_t)s->count * s->o.dim;
	int n;

	if (s->count <= PATTERN_EXACT_MAX) {
		p->work.bytes += numbers * sizeof(float);
		n = hnsw_search_exact(s->index, unit, k, p->found);
	} else {
		n = hnsw_search(s->index, p->walk, unit, k, 2 * k > PATTERN_EF ? 2 * k : PATTERN_EF,
				p->found);
		numbers = (hnsw_searcher_distances(p->walk) - before) * s->o.dim;
		p->work.bytes += numbers; /* by codes of a byte */
	}
	p->work.flops += 3 * numbers;
	return n;
}

struct pattern_work pattern_searcher_work(const struct pattern_searcher *p)
{
	return p->work;
}

/* |a - b|^2 = 2 - 2 cos for lengths of 1. */
static float similarity(float distance)
{
	float c = 1 - distance / 2;

	return c < -1 ? -1 : c;
}

int pattern_store_find(const struct pattern_store *s, struct pattern_searcher *p,
		       const float *query, uint32_t k, struct pattern_found *out)
{
	int n;

	if (!s || !p || !query || !out || !k || k > PATTERN_MAX_K ||
	    !to_unit(query, s->o.dim, p->unit))
		return -EINVAL;
	n = find(s, p, p->unit, k);
	for (int i = 0; i < n; i++)
		out[i] = (struct pattern_found){s->pattern[p->found[i].id],
						similarity(p->found[i].distance)};
	return n;
}

void pattern_store_adopt(struct pattern_store *s, uint32_t slot, const struct pattern *p)
{
	s->pattern[slot] = *p;
	s->position[slot] = s->count;
	s->slot_at[s->count++] = slot;
}

static void merge_into(struct pattern *p, float quality, uint32_t count, uint64_t now_ns)
{
	uint64_t sum = (uint64_t)p->count + count;

	p->quality += (quality - p->quality) * (float)count / (float)sum;
	p->count = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
	p->updated_ns = now_ns;
}

/* The embedding moves to the mean of both, by their counts. */
static int merge(struct pattern_store *s, uint32_t slot, const float *unit, float quality,
		 uint32_t count, uint64_t now_ns)
{
	struct pattern *p = &s->pattern[slot];
	const float *old = hnsw_vector(s->index, slot);
	float share = (float)count / ((float)p->count + (float)count);
	float *mean = s->own->unit;
	int err = 0;

	for (uint32_t i = 0; i < s->o.dim; i++)
		mean[i] = old[i] + (unit[i] - old[i]) * share;
	if (to_unit(mean, s->o.dim, mean)) /* opposites have no mean: it stays where it is */
		err = hnsw_update(s->index, slot, mean);
	if (!err)
		merge_into(p, quality, count, now_ns);
	return err;
}

int pattern_store_add(struct pattern_store *s, const float *embedding, float quality,
		      uint32_t count, uint32_t kind, uint64_t now_ns, uint64_t *id)
{
	struct pattern p = {.quality = quality,
			    .count = count,
			    .kind = kind,
			    .created_ns = now_ns,
			    .updated_ns = now_ns};
	uint32_t slot;
	int err;

	if (!s || !embedding || !count || !isfinite(quality) ||
	    !to_unit(embedding, s->o.dim, s->unit))
		return -EINVAL;
	if (s->o.merge_similarity <= 1 && find(s, s->own, s->unit, 1) == 1 &&
	    similarity(s->own->found[0].distance) >= s->o.merge_similarity) {
		slot = s->own->found[0].id;
		err = merge(s, slot, s->unit, quality, count, now_ns);
		if (!err && id)
			*id = s->pattern[slot].id;
		return err ? err : 1;
	}
	if (s->count == s->o.capacity)
		pattern_store_prune(s, s->count - 1 - s->count / EVICT_SHARE, -INFINITY, 0, now_ns);
	err = hnsw_insert(s->index, s->unit, &slot);
	if (err)
		return err;
	p.id = (uint64_t)++s->born << 32 | (slot + 1);
	pattern_store_adopt(s, slot, &p);
	if (id)
		*id = p.id;
	return 0;
}

static bool is_there(const struct pattern_store *s, uint64_t id)
{
	return s && id && pattern_slot(id) < s->slots && s->pattern[pattern_slot(id)].id == id;
}

int pattern_store_use(struct pattern_store *s, uint64_t id, float quality, uint64_t now_ns)
{
	struct pattern *p;

	if (!is_there(s, id))
		return -ENOENT;
	if (!isfinite(quality))
		return -EINVAL;
	p = &s->pattern[pattern_slot(id)];
	p->quality += (quality - p->quality) / ((float)p->count + (float)p->uses + 1);
	p->uses += p->uses < UINT32_MAX;
	p->updated_ns = now_ns;
	return 0;
}

int pattern_store_remove(struct pattern_store *s, uint64_t id)
{
	uint32_t slot, at;
	int err;

	if (!is_there(s, id))
		return -ENOENT;
	slot = pattern_slot(id);
	err = hnsw_delete(s->index, slot);
	if (err)
		return err;
	/* The last one takes its position. */
	at = s->position[slot];
	s->slot_at[at] = s->slot_at[--s->count];
	s->position[s->slot_at[at]] = at;
	s->pattern[slot].id = 0;
	return 0;
}

int pattern_store_merge(struct pattern_store *s, uint64_t into, uint64_t from, uint64_t now_ns)
{
	const struct pattern *p = &s->pattern[pattern_slot(from)];
	uint32_t slot = pattern_slot(into);
	int err = merge(s, slot, hnsw_vector(s->index, pattern_slot(from)), p->quality, p->count,
			now_ns);

	if (err)
		return err;
	s->pattern[slot].uses += p->uses;
	if (p->created_ns < s->pattern[slot].created_ns)
		s->pattern[slot].created_ns = p->created_ns;
	return pattern_store_remove(s, from);
}

uint32_t pattern_store_count(const struct pattern_store *s)
{
	return s->count;
}

const struct pattern *pattern_store_at(const struct pattern_store *s, uint32_t i)
{
	return i < s->count ? &s->pattern[s->slot_at[i]] : NULL;
}

const float *pattern_store_embedding(const struct pattern_store *s, uint32_t i)
{
	return i < s->count ? hnsw_vector(s->index, s->slot_at[i]) : NULL;
}

int pattern_store_position(const struct pattern_store *s, uint64_t id)
{
	return is_there(s, id) ? (int)s->position[pattern_slot(id)] : -ENOENT;
}

uint64_t pattern_store_bytes(const struct pattern_store *s)
{
	struct hnsw_stats stats;

	hnsw_stats(s->index, &stats);
	return sizeof(*s) + stats.memory_bytes +
	       stats.slots * (sizeof(*s->pattern) + 2 * sizeof(uint32_t)) +
	       s->o.dim * sizeof(float);
}
