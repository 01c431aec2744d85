/* SPDX-License-Identifier: Apache-2.0 */
/* hnsw_links.c: which links nodes keep; deletion and repair. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels/patterns/hnsw_state.h"

enum {
	AT_ONCE = 4,
	REPAIR_FROM = 16,
	FEW = 4, /* one link in so many that there may be, there is */
};

/* Is a candidate nearer to one of those kept than to the base? */
static bool is_covered(const struct hnsw *h, const struct neighbour *c, const uint32_t *kept,
		       uint32_t n)
{
	float d[AT_ONCE];

	for (uint32_t i = 0; i < n; i += AT_ONCE) {
		uint32_t m = n - i < AT_ONCE ? n - i : AT_ONCE;

		hnsw_measure(h, hnsw_row(h, c->id), kept + i, m, d);
		for (uint32_t j = 0; j < m; j++)
			if (d[j] < c->distance)
				return true;
	}
	return false;
}

static bool is_among(const uint32_t *kept, uint32_t n, uint32_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if (kept[i] == id)
			return true;
	return false;
}

/*
 * Algorithm 4 of the paper, candidates in order of distance: one is kept when it is nearer to the
 * base than to all kept so far, so that links go into all directions. A node in the middle of all
 * others is nearer to each than they are to one another: it alone would be kept, and has no room
 * to lead to them all. So there are at least a few, the nearest.
 */
static uint32_t choose(const struct hnsw *h, const struct neighbour *near, uint32_t n,
		       uint32_t most, uint32_t *kept)
{
	const uint32_t least = most / FEW;
	uint32_t count = 0;

	for (uint32_t i = 0; i < n && count < most; i++)
		if (!is_covered(h, &near[i], kept, count))
			kept[count++] = near[i].id;
	for (uint32_t i = 0; i < n && count < least; i++)
		if (!is_among(kept, count, near[i].id) &&
		    !(i && near[i].distance == near[i - 1].distance &&
		      hnsw_is_twin(h, near[i].id, near[i - 1].id)))
			kept[count++] = near[i].id;
	return count;
}

/* Insertion sort: a few dozen, most of them in order already. */
static void sort(struct neighbour *w, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		struct neighbour x = w[i];
		uint32_t at = i;

		for (; at && w[at - 1].distance > x.distance; at--)
			w[at] = w[at - 1];
		w[at] = x;
	}
}

/* Candidates of h->wish, by id, get their distances to a node, and its links are chosen of them. */
static void choose_links(struct hnsw *h, uint32_t id, int level, uint32_t n)
{
	struct hnsw_links *links = hnsw_links(h, id, level);

	for (uint32_t from = 0; from < n; from += AT_ONCE) {
		uint32_t ids[AT_ONCE], m = n - from < AT_ONCE ? n - from : AT_ONCE;
		float d[AT_ONCE];

		for (uint32_t i = 0; i < m; i++)
			ids[i] = h->wish[from + i].id;
		hnsw_measure(h, hnsw_row(h, id), ids, m, d);
		for (uint32_t i = 0; i < m; i++)
			h->wish[from + i].distance = d[i] <= INFINITY ? d[i] : INFINITY;
	}
	sort(h->wish, n);
	links->count = choose(h, h->wish, n, hnsw_max_links(h, level), links->id);
}

static void link_back(struct hnsw *h, uint32_t id, int level, uint32_t to)
{
	struct hnsw_links *links = hnsw_links(h, id, level);
	uint32_t n = links->count;

	for (uint32_t i = 0; i < n; i++)
		if (links->id[i] == to)
			return;
	if (n < hnsw_max_links(h, level)) {
		links->id[n] = to;
		links->count++;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		h->wish[i].id = links->id[i];
	h->wish[n].id = to;
	choose_links(h, id, level, n + 1);
}

/*
 * Of nodes with the same vector each is as good as the other, and a full list keeps one of them
 * or, at no distance, nothing else: without more ado most would have no link to them, or none that
 * leads away. So they are a chain: a node takes the links of its twin, and its place between the
 * twin and the one after it. What leads to the twin then leads to it, and it is as near to
 * everything else.
 */
static void link_twin(struct hnsw *h, uint32_t id, int level, uint32_t twin)
{
	struct hnsw_links *links = hnsw_links(h, id, level), *its = hnsw_links(h, twin, level);
	const uint32_t most = hnsw_max_links(h, level);
	uint32_t at = 0, after;

	while (at < its->count && its->id[at] != id && !hnsw_is_twin(h, its->id[at], twin))
		at++;
	if (at == its->count && at < most)
		its->id[its->count++] = id; /* the first of its twins */
	else if (at == its->count)
		at--; /* one of the others makes room, and is led to by way of this one */
	after = its->id[at];
	its->id[at] = id;
	links->id[0] = twin;
	links->count = 1;
	if (after != id)
		links->id[links->count++] = after;
	for (uint32_t i = 0; i < its->count && links->count < most; i++)
		if (its->id[i] != id)
			links->id[links->count++] = its->id[i];
}

void hnsw_connect(struct hnsw *h, uint32_t id, int level, struct neighbour *near, uint32_t n)
{
	struct hnsw_links *links = hnsw_links(h, id, level);
	uint32_t others = 0;

	for (uint32_t i = 0; i < n; i++) /* an updated node finds itself */
		if (near[i].id != id)
			near[others++] = near[i];
	if (!others)
		return;
	for (uint32_t i = 0; i < others && i < AT_ONCE; i++) /* by rounding not always the first */
		if (hnsw_is_twin(h, near[i].id, id)) {
			link_twin(h, id, level, near[i].id);
			return;
		}
	links->count = choose(h, near, others, h->o.links, links->id);
	for (uint32_t i = 0; i < links->count; i++)
		link_back(h, links->id[i], level, id);
}

int hnsw_delete(struct hnsw *h, uint32_t id)
{
	if (!h)
		return -EINVAL;
	if (id >= h->used || h->state[id] != HNSW_LIVE)
		return -ENOENT;
	h->state[id] = HNSW_DEAD;
	h->live--;
	h->dead++;
	if (!h->live || (h->dead >= REPAIR_FROM && h->dead >= (h->live + h->dead) / 8))
		return hnsw_repair(h);
	return 0;
}

/* Adds the live nodes of a list that were not added yet, and are not the node itself. */
static uint32_t wish_for(struct hnsw *h, uint32_t id, const struct hnsw_links *links, uint32_t n)
{
	uint16_t *visited = h->own->visited;

	for (uint32_t i = 0; i < links->count; i++) {
		uint32_t to = links->id[i];

		if (to == id || h->state[to] != HNSW_LIVE || visited[to] == h->own->epoch)
			continue;
		visited[to] = h->own->epoch;
		h->wish[n++].id = to;
	}
	return n;
}

/* True when there were deleted ones among them. */
static bool repair_links(struct hnsw *h, uint32_t id, int level)
{
	const struct hnsw_links *links = hnsw_links(h, id, level);
	bool broken = false;
	uint32_t n;

	for (uint32_t i = 0; i < links->count; i++)
		broken |= h->state[links->id[i]] != HNSW_LIVE;
	if (!broken)
		return false;
	if (!++h->own->epoch) {
		memset(h->own->visited, 0, h->o.capacity * sizeof(*h->own->visited));
		h->own->epoch = 1;
	}
	n = wish_for(h, id, links, 0);
	for (uint32_t i = 0; i < links->count; i++)
		if (h->state[links->id[i]] != HNSW_LIVE)
			n = wish_for(h, id, hnsw_links(h, links->id[i], level), n);
	choose_links(h, id, level, n);
	return true;
}

/* Who is led to by deleted ones alone is led to by its neighbours again. */
static void lead_to(struct hnsw *h, uint32_t id, int level)
{
	const struct hnsw_links *links = hnsw_links(h, id, level);

	for (uint32_t i = 0; i < links->count; i++)
		link_back(h, links->id[i], level, id);
}

void hnsw_leave(struct hnsw *h, uint32_t id)
{
	h->state[id] = HNSW_DEAD;
	for (int l = 0; l <= h->level[id]; l++) {
		const struct hnsw_links *links = hnsw_links(h, id, l);

		for (uint32_t i = 0; i < links->count; i++)
			if (h->state[links->id[i]] == HNSW_LIVE) {
				repair_links(h, links->id[i], l);
				lead_to(h, links->id[i], l);
			}
	}
	h->state[id] = HNSW_LIVE;
}

/* Lowest numbers last in the list, so that they are taken first. */
static void free_dead(struct hnsw *h)
{
	h->nfree = 0;
	h->top = HNSW_NONE;
	for (uint32_t id = h->used; id-- > 0;) {
		if (h->state[id] != HNSW_LIVE) {
			h->state[id] = HNSW_FREE;
			h->free[h->nfree++] = id;
		} else if (h->level[id] >= h->top) {
			h->top = h->level[id];
			h->entry = id;
		}
	}
	h->dead = 0;
}

int hnsw_repair(struct hnsw *h)
{
	if (!h)
		return -EINVAL;
	if (!h->dead)
		return 0;
	for (uint32_t id = 0; id < h->used; id++)
		for (int l = 0; h->state[id] == HNSW_LIVE && l <= h->level[id]; l++)
			if (repair_links(h, id, l))
				lead_to(h, id, l);
	free_dead(h);
	return 0;
}
