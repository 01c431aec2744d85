/* SPDX-License-Identifier: Apache-2.0 */
/* hnsw.c: an index's memory, and insertion. */
#include "kernels/patterns/hnsw.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/patterns/hnsw_state.h"

enum {
	HUGE_PAGE = 2 << 20,
	HUGE_FROM = 4 << 20, /* bytes in use from which the memory lost at the end is worth it */
	MAX_CAPACITY = 1 << 30,
	SLACK_BLOCKS = 64,
	SUMS = 8,
};

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static int region_init(struct hnsw_region *r, size_t bytes)
{
	void *map;

	r->map_bytes = round_up(bytes, HUGE_PAGE) + HUGE_PAGE;
	map = mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	r->map = map;
	r->mem = (char *)map + (HUGE_PAGE - (uintptr_t)map % HUGE_PAGE) % HUGE_PAGE;
	r->bytes = bytes;
	return 0;
}

/* A walk jumps about in more memory than the TLB has small pages for. */
static void region_use(struct hnsw_region *r, size_t bytes)
{
	if (r->huge || bytes < HUGE_FROM)
		return;
	madvise(r->mem, r->map_bytes - HUGE_PAGE, MADV_HUGEPAGE); /* small pages do as well */
	r->huge = true;
}

static void region_fini(struct hnsw_region *r)
{
	if (r->map)
		munmap(r->map, r->map_bytes);
}

static int check(const struct hnsw_options *o)
{
	if (!o->dim || o->dim > HNSW_MAX_DIM || !o->capacity || o->capacity > MAX_CAPACITY)
		return -EINVAL;
	if (o->links < 2 || o->links > HNSW_MAX_LINKS || o->build_ef > HNSW_MAX_EF)
		return -EINVAL;
	return o->storage == HNSW_F32 || o->storage == HNSW_I8 ? 0 : -EINVAL;
}

/* One node in links^level is on a level: all the blocks are capacity / (links - 1) on average. */
static int place(struct hnsw *h)
{
	const size_t n = h->o.capacity;
	size_t walked = h->o.storage == HNSW_I8 ? round_up(distance_code_bytes(h->o.dim), 4)
						: h->vector_bytes;
	int err;

	h->links_at = walked;
	h->row_bytes = round_up(walked + (1 + h->max_links0) * sizeof(uint32_t), HNSW_LINE);
	h->block_words = 1 + (size_t)h->o.links;
	h->max_blocks = h->o.capacity / (h->o.links - 1) * 2 + SLACK_BLOCKS;
	err = region_init(&h->rows, n * h->row_bytes);
	if (!err && h->o.storage == HNSW_I8)
		err = region_init(&h->vectors, n * h->vector_bytes);
	if (!err)
		err = region_init(&h->blocks, h->max_blocks * h->block_words * sizeof(uint32_t));
	if (!err)
		err = region_init(&h->meta, n * (2 * sizeof(uint32_t) + 2));
	if (err)
		return err;
	h->upper = (uint32_t *)(void *)h->meta.mem;
	h->free = h->upper + n;
	h->level = (uint8_t *)(h->free + n);
	h->state = h->level + n;
	return 0;
}

struct hnsw *hnsw_alloc(const struct hnsw_options *o, int *err)
{
	struct hnsw *h = calloc(1, sizeof(*h));
	int e = h ? 0 : -ENOMEM;

	if (!e) {
		h->o = *o;
		h->o.links = o->links ? o->links : 16;
		h->o.build_ef = o->build_ef ? o->build_ef : 200;
		e = check(&h->o);
	}
	if (!e) {
		h->max_links0 = 2 * h->o.links;
		h->vector_bytes = h->o.dim * sizeof(float);
		h->top = HNSW_NONE;
		h->random = o->seed ? o->seed : 0x9e3779b97f4a7c15ull;
		h->l2 = kernels_select("distance_l2", o->isa);
		h->walk =
			h->o.storage == HNSW_I8 ? kernels_select("distance_l2_i8", o->isa) : h->l2;
		h->quantize = kernels_select("quantize_i8", o->isa);
		/* of an insertion, or of a repair: links, and links of links */
		h->wish = malloc(((size_t)h->max_links0 * (h->max_links0 + 1) + 1) *
				 sizeof(*h->wish));
		e = !h->l2 || !h->walk || !h->quantize ? -EINVAL : h->wish ? place(h) : -ENOMEM;
	}
	if (!e) {
		h->own = hnsw_searcher_new(h, h->o.build_ef);
		e = h->own ? 0 : -ENOMEM;
	}
	if (err)
		*err = e;
	if (!e)
		return h;
	hnsw_free(h);
	return NULL;
}

struct hnsw *hnsw_new(const struct hnsw_options *o, int *err)
{
	if (o)
		return hnsw_alloc(o, err);
	if (err)
		*err = -EINVAL;
	return NULL;
}

void hnsw_free(struct hnsw *h)
{
	if (!h)
		return;
	hnsw_searcher_free(h->own);
	region_fini(&h->rows);
	region_fini(&h->vectors);
	region_fini(&h->blocks);
	region_fini(&h->meta);
	free(h->wish);
	free(h);
}

bool hnsw_finite(const float *vector, uint32_t dim)
{
	float sum[SUMS] = {0}, all = 0; /* one sum would wait for itself at each step */
	uint32_t i = 0;

	for (; i + SUMS <= dim; i += SUMS)
		for (uint32_t l = 0; l < SUMS; l++)
			sum[l] += vector[i + l] * vector[i + l];
	for (; i < dim; i++)
		all += vector[i] * vector[i];
	for (uint32_t l = 0; l < SUMS; l++)
		all += sum[l];
	return isfinite(all);
}

const void *hnsw_encode(const struct hnsw *h, const float *vector, void *code)
{
	struct distance_code *c = code;

	if (h->o.storage != HNSW_I8)
		return vector;
	c->scale = h->quantize->run.quantize(vector, c->codes, h->o.dim);
	c->norm2 = distance_code_norm2(c, h->o.dim);
	return c;
}

uint32_t hnsw_slot_new(struct hnsw *h, uint32_t level)
{
	uint32_t id = h->used++;

	/* Levels beyond what was reserved do not come up; one more low node does no harm. */
	if (level > h->max_blocks - h->nblocks)
		level = 0;
	region_use(&h->rows, h->used * h->row_bytes);
	region_use(&h->vectors, h->used * h->vector_bytes);
	h->level[id] = (uint8_t)level;
	h->upper[id] = h->nblocks;
	h->nblocks += level;
	return id;
}

void hnsw_slot_fill(struct hnsw *h, uint32_t id, const float *vector)
{
	if (h->o.storage == HNSW_I8) {
		memcpy(h->vectors.mem + id * h->vector_bytes, vector, h->vector_bytes);
		hnsw_encode(h, vector, hnsw_row(h, id));
	} else {
		memcpy(hnsw_row(h, id), vector, h->vector_bytes);
	}
}

/* floor(-ln(u) / ln(links)): one node in `links` of each level is on the next. */
static uint32_t random_level(struct hnsw *h)
{
	double u;
	uint32_t level;

	h->random ^= h->random >> 12;
	h->random ^= h->random << 25;
	h->random ^= h->random >> 27;
	u = (double)((h->random * 0x2545f4914f6cdd1dull >> 11) + 1) / (double)(1ull << 53);
	level = (uint32_t)(-log(u) / log(h->o.links));
	return level < HNSW_MAX_LEVEL ? level : HNSW_MAX_LEVEL;
}

/* A freed slot keeps its level, which was as random as a new one. */
static int take_slot(struct hnsw *h, uint32_t *id)
{
	if (!h->nfree && h->used == h->o.capacity && h->dead)
		hnsw_repair(h);
	if (h->nfree)
		*id = h->free[--h->nfree];
	else if (h->used < h->o.capacity)
		*id = hnsw_slot_new(h, random_level(h));
	else
		return -ENOSPC;
	for (int l = 0; l <= h->level[*id]; l++)
		hnsw_links(h, *id, l)->count = 0;
	return 0;
}

/* On each level of the node: candidates by a walk, links of them, and links back. */
static void link_node(struct hnsw *h, uint32_t id)
{
	const void *query = hnsw_row(h, id);
	int level = h->level[id];
	float distance;
	uint32_t from;

	if (h->top == HNSW_NONE)
		return;
	from = hnsw_descend(h, h->own, query, level, &distance);
	for (int l = level < h->top ? level : h->top; l >= 0; l--) {
		hnsw_walk(h, h->own, query, l, h->o.build_ef, from, distance);
		if (!h->own->live.n)
			continue;
		from = h->own->live.at[0].id;
		distance = h->own->live.at[0].distance;
		hnsw_connect(h, id, l, h->own->live.at, h->own->live.n);
	}
}

int hnsw_insert(struct hnsw *h, const float *vector, uint32_t *id)
{
	int err;

	if (!h || !vector || !id || !hnsw_finite(vector, h->o.dim))
		return -EINVAL;
	err = take_slot(h, id);
	if (err)
		return err;
	hnsw_slot_fill(h, *id, vector);
	link_node(h, *id);
	h->state[*id] = HNSW_LIVE;
	h->live++;
	if (h->level[*id] > h->top) {
		h->top = h->level[*id];
		h->entry = *id;
	}
	return 0;
}

int hnsw_update(struct hnsw *h, uint32_t id, const float *vector)
{
	if (!h || !vector || !hnsw_finite(vector, h->o.dim))
		return -EINVAL;
	if (id >= h->used || h->state[id] != HNSW_LIVE)
		return -ENOENT;
	hnsw_leave(h, id);
	hnsw_slot_fill(h, id, vector);
	link_node(h, id);
	return 0;
}

void hnsw_stats(const struct hnsw *h, struct hnsw_stats *s)
{
	*s = (struct hnsw_stats){
		.count = h->live,
		.deleted = h->dead,
		.slots = h->used,
		.levels = (uint32_t)(h->top + 1),
		.memory_bytes = h->used * (h->row_bytes + 2 * sizeof(uint32_t) + 2 +
					   (h->o.storage == HNSW_I8 ? h->vector_bytes : 0)) +
				h->nblocks * h->block_words * sizeof(uint32_t) + sizeof(*h),
		.reserved_bytes = h->rows.map_bytes + h->vectors.map_bytes + h->blocks.map_bytes +
				  h->meta.map_bytes,
	};
}

uint32_t hnsw_dim(const struct hnsw *h)
{
	return h->o.dim;
}

const float *hnsw_vector(const struct hnsw *h, uint32_t id)
{
	if (id >= h->used || h->state[id] != HNSW_LIVE)
		return NULL;
	if (h->o.storage == HNSW_I8)
		return (const float *)(const void *)(h->vectors.mem + id * h->vector_bytes);
	return (const float *)(const void *)hnsw_row(h, id);
}
