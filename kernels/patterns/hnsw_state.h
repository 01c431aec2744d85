/* SPDX-License-Identifier: Apache-2.0 */
/* hnsw_state.h: how an index lies in memory; private to hnsw*.c. */
#ifndef KERNELS_HNSW_STATE_H
#define KERNELS_HNSW_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/patterns/hnsw.h"

#define HNSW_SEEN 0x80000000u /* bit of an id in a beam: its links were followed */

enum {
	HNSW_MAX_LEVEL = 15,
	HNSW_NONE = -1, /* as a level: no node yet */
	HNSW_LINE = 64, /* bytes that memory moves at once */
};

/* FREE slots were used before, and keep their level and the room for its links. */
enum hnsw_node_state { HNSW_FREE, HNSW_LIVE, HNSW_DEAD };

struct hnsw_links {
	uint32_t count;
	uint32_t id[];
};

/* Address space for `capacity` of something; pages come when they are written. */
struct hnsw_region {
	char *mem;
	void *map;
	size_t bytes, map_bytes;
	bool huge;
};

/*
 * A node is one row: first what a walk measures (float[dim], or a distance_code), then its links on
 * level 0, the whole in lines of its own. Links of levels 1, 2 ... of a node are consecutive blocks
 * from upper[id] on. Slots 0..used-1 were handed out; upper[] is the running sum of level[].
 */
struct hnsw {
	struct hnsw_options o;
	uint32_t max_links0;
	size_t row_bytes, links_at, vector_bytes, block_words;
	struct hnsw_region rows, vectors, blocks, meta;
	uint32_t *upper, *free; /* in meta, as the next two */
	uint8_t *level, *state;
	uint32_t used, live, dead, nfree, nblocks, max_blocks;
	uint32_t entry;
	int top; /* level of entry, the highest; HNSW_NONE: no nodes */
	uint64_t random;
	const struct kernel *l2, *walk, *quantize;
	struct hnsw_searcher *own; /* for insertions */
	struct neighbour *wish;	   /* candidates for links */
};

/* Candidates in order of distance; next: the first whose links were not followed. */
struct hnsw_beam {
	struct neighbour *at;
	uint32_t n, next, limit;
	uint32_t room; /* what limit may become by twins */
};

struct hnsw_searcher {
	uint32_t max_ef;
	uint16_t epoch;
	uint16_t *visited; /* [capacity]: the epoch that last saw the node */
	struct hnsw_beam live, dead;
	void *query; /* as the walk measures it */
	float *distance;
	uint32_t *ids; /* [links of a node] */
	uint64_t distances;
	uint32_t capacity;
	uint32_t fanout;
};

static inline char *hnsw_row(const struct hnsw *h, uint32_t id)
{
	return h->rows.mem + id * h->row_bytes;
}

/* Of a row, what a walk measures. */
static inline size_t hnsw_walked_bytes(const struct hnsw *h)
{
	return h->o.storage == HNSW_I8 ? distance_code_bytes(h->o.dim) : h->vector_bytes;
}

static inline struct hnsw_links *hnsw_links(const struct hnsw *h, uint32_t id, int level)
{
	uint32_t *blocks = (uint32_t *)(void *)h->blocks.mem;

	if (!level)
		return (struct hnsw_links *)(void *)(hnsw_row(h, id) + h->links_at);
	return (struct hnsw_links *)(blocks +
				     (h->upper[id] + (uint32_t)level - 1) * h->block_words);
}

static inline uint32_t hnsw_max_links(const struct hnsw *h, int level)
{
	return level ? h->o.links : h->max_links0;
}

/* Two nodes that a walk cannot tell apart. */
static inline bool hnsw_is_twin(const struct hnsw *h, uint32_t a, uint32_t b)
{
	return !memcmp(hnsw_row(h, a), hnsw_row(h, b), hnsw_walked_bytes(h));
}

/* Distances from something as the walk measures it to nodes. */
static inline void hnsw_measure(const struct hnsw *h, const void *query, const uint32_t *ids,
				uint32_t n, float *out)
{
	struct distance_rows r = {h->rows.mem, h->row_bytes, ids, n, h->o.dim};

	h->walk->run.distance(query, &r, out);
}

/* An index without nodes; whatever else o asks for is checked. */
struct hnsw *hnsw_alloc(const struct hnsw_options *o, int *err);
/* Room for one more node with that level, in the next slot. The level may come out lower. */
uint32_t hnsw_slot_new(struct hnsw *h, uint32_t level);
/* Puts the vector, and its code, into the node's row. */
void hnsw_slot_fill(struct hnsw *h, uint32_t id, const float *vector);
/* The query as the walk measures it: itself, or its code in `code`. */
const void *hnsw_encode(const struct hnsw *h, const float *vector, void *code);
bool hnsw_finite(const float *vector, uint32_t dim);

/* hnsw_search.c: the nearest node on each level from the top down to, and not with, `level`. */
uint32_t hnsw_descend(const struct hnsw *h, struct hnsw_searcher *s, const void *query, int level,
		      float *distance);
/* s->live becomes the ef nearest live nodes found on a level, from one node on. */
void hnsw_walk(const struct hnsw *h, struct hnsw_searcher *s, const void *query, int level,
	       uint32_t ef, uint32_t from, float distance);

/* hnsw_links.c: links of a node to candidates, which it reorders, and theirs to it. */
void hnsw_connect(struct hnsw *h, uint32_t id, int level, struct neighbour *near, uint32_t n);
/* Before a node gets links elsewhere: those that it led to find one another without it. */
void hnsw_leave(struct hnsw *h, uint32_t id);

#endif
