/* SPDX-License-Identifier: Apache-2.0 */
/* pattern_store_state.h: how the store lies in memory; private to pattern_store*.c. */
#ifndef KERNELS_PATTERN_STORE_STATE_H
#define KERNELS_PATTERN_STORE_STATE_H

#include "kernels/patterns/hnsw.h"
#include "kernels/patterns/pattern_store.h"

/*
 * Embeddings lie in the index alone. A pattern's id is its slot there (plus one) and, above, a
 * number that counts patterns: so it is found at once, and no id comes twice.
 */
struct pattern_store {
	struct pattern_store_options o;
	uint32_t count, slots; /* patterns; numbers that the index has */
	uint32_t born;	       /* patterns ever */
	struct hnsw *index;
	struct pattern *pattern; /* [slots]; id 0: none */
	uint32_t *slot_at;	 /* [count], by position */
	uint32_t *position;	 /* [slots] */
	float *unit;		 /* [dim]: an embedding at length 1 */
	struct pattern_searcher *own;
};

struct pattern_searcher {
	struct hnsw_searcher *walk;
	float *unit;
	struct neighbour *found; /* [PATTERN_MAX_K + 1] */
	struct pattern_work work;
};

enum { PATTERN_EF = 64, PATTERN_BUILD_EF = 100 };

/*
 * Slots beyond the capacity: the index repairs itself when one node in eight is deleted, and until
 * then those take room.
 */
static inline uint32_t pattern_slots_for(uint32_t capacity)
{
	return capacity + capacity / 6 + 32;
}

/* A store around an index, or around an empty one of its own when that is NULL. Takes it over. */
struct pattern_store *pattern_store_alloc(const struct pattern_store_options *o, struct hnsw *index,
					  int *err);
/* The pattern in a slot of the index becomes one of the store's. */
void pattern_store_adopt(struct pattern_store *s, uint32_t slot, const struct pattern *p);
/* Both are there. The second is part of the first then. */
int pattern_store_merge(struct pattern_store *s, uint64_t into, uint64_t from, uint64_t now_ns);
double pattern_worth(const struct pattern *p, uint64_t half_life_ns, uint64_t now_ns);

static inline uint32_t pattern_slot(uint64_t id)
{
	return (uint32_t)id - 1;
}

#endif
