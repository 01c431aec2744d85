/* SPDX-License-Identifier: Apache-2.0 */
/* hnsw_search.c: the walk over an index's graph. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/patterns/hnsw_state.h"

/*
 * What is asked of memory while links are looked through: some bytes of the rows that are measured
 * first. The kernel asks for more of them, and for the others on its way, and the CPU for the rest
 * of a row once it is read in order: with all asked for at once, the requests wait for one another.
 */
enum {
	AHEAD_BYTES = 4 * HNSW_LINE,
	AHEAD_ROWS = 8,
	REFINE_MIN = 24,
	SLIDE_MAX = 64, /* entries */
};

struct hnsw_searcher *hnsw_searcher_new(const struct hnsw *h, uint32_t max_ef)
{
	struct hnsw_searcher *s;

	if (!h || !max_ef || max_ef > HNSW_MAX_EF)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->max_ef = max_ef;
	s->capacity = h->o.capacity;
	s->fanout = h->max_links0;
	s->visited = calloc(h->o.capacity, sizeof(*s->visited));
	s->live.at = malloc((2 * max_ef + 1) * sizeof(*s->live.at));
	s->dead.at = malloc((max_ef + 1) * sizeof(*s->dead.at));
	s->query = malloc(h->vector_bytes + sizeof(struct distance_code));
	s->distance = malloc((2 * max_ef + s->fanout) * sizeof(*s->distance));
	s->ids = malloc((2 * max_ef + s->fanout) * sizeof(*s->ids));
	if (s->visited && s->live.at && s->dead.at && s->query && s->distance && s->ids)
		return s;
	hnsw_searcher_free(s);
	return NULL;
}

void hnsw_searcher_free(struct hnsw_searcher *s)
{
	if (!s)
		return;
	free(s->visited);
	free(s->live.at);
	free(s->dead.at);
	free(s->query);
	free(s->distance);
	free(s->ids);
	free(s);
}

uint64_t hnsw_searcher_distances(const struct hnsw_searcher *s)
{
	return s->distances;
}

static void measure(const struct hnsw *h, struct hnsw_searcher *s, const void *query, uint32_t n)
{
	hnsw_measure(h, query, s->ids, n, s->distance);
	s->distances += n;
}

uint32_t hnsw_descend(const struct hnsw *h, struct hnsw_searcher *s, const void *query, int level,
		      float *distance)
{
	uint32_t at = h->entry;

	s->ids[0] = at;
	measure(h, s, query, 1);
	*distance = s->distance[0] <= INFINITY ? s->distance[0] : INFINITY;
	for (int l = h->top; l > level; l--) {
		for (bool moved = true; moved;) {
			const struct hnsw_links *links = hnsw_links(h, at, l);
			uint32_t n = links->count;

			memcpy(s->ids, links->id, n * sizeof(*s->ids));
			measure(h, s, query, n);
			moved = false;
			for (uint32_t i = 0; i < n; i++) {
				if (s->distance[i] < *distance) {
					*distance = s->distance[i];
					at = s->ids[i];
					moved = true;
				}
			}
		}
	}
	return at;
}

/* Where an entry goes. */
static inline uint32_t beam_place(const struct hnsw_beam *b, float distance)
{
	uint32_t low = 0, high = b->n;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (b->at[mid].distance <= distance)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Halving goes wrong at half of its branches: in a short beam, look at all that move. */
static inline uint32_t beam_slide(struct hnsw_beam *b, float distance)
{
	struct neighbour *at = b->at;
	uint32_t i = b->n;

	for (; i && at[i - 1].distance > distance; i--)
		at[i] = at[i - 1];
	return i;
}

/* Puts an entry in its place; the farthest goes when there are too many. */
static inline uint32_t beam_insert(struct hnsw_beam *b, float distance, uint32_t id)
{
	uint32_t i;

	if (b->limit <= SLIDE_MAX) {
		i = beam_slide(b, distance);
	} else {
		i = beam_place(b, distance);
		memmove(b->at + i + 1, b->at + i, (b->n - i) * sizeof(*b->at));
	}
	b->n += b->n < b->limit;
	b->at[i] = (struct neighbour){distance, id};
	if (i < b->next)
		b->next = i;
	return i;
}

/*
 * Nodes with the same vector take no place of others: else a walk that comes to many of them ends
 * there, and nodes that are inserted near them find nothing else to link to. So the beam grows by
 * one, up to twice as long, and the entry that was pushed out stays; what is more is left out.
 */
static void beam_add_twin(struct hnsw_beam *b, uint32_t i, bool was_full)
{
	if (b->limit < b->room) {
		b->limit++;
		b->n += was_full;
		return;
	}
	b->n -= !was_full;
	memmove(b->at + i, b->at + i + 1, (b->n - i) * sizeof(*b->at));
}

/* NaN is never nearer. */
static inline bool beam_wants(const struct hnsw_beam *b, float distance)
{
	return distance < (b->n < b->limit ? INFINITY : b->at[b->limit - 1].distance);
}

/*
 * The node to go on from: the nearest whose links were not followed. Deleted nodes lead on as live
 * ones do, but take no place of them: they wait in a list of their own, and leave it.
 */
static bool next_node(struct hnsw_searcher *s, uint32_t *id)
{
	struct hnsw_beam *l = &s->live, *d = &s->dead;

	while (l->next < l->n && l->at[l->next].id & HNSW_SEEN)
		l->next++;
	if (d->n && (l->next == l->n || d->at[0].distance < l->at[l->next].distance)) {
		if (l->n == l->limit && d->at[0].distance > l->at[l->n - 1].distance)
			d->n = 0;
		else {
			*id = d->at[0].id;
			memmove(d->at, d->at + 1, --d->n * sizeof(*d->at));
			return true;
		}
	}
	if (l->next == l->n)
		return false;
	*id = l->at[l->next].id;
	l->at[l->next++].id |= HNSW_SEEN;
	return true;
}

static void visits_begin(struct hnsw_searcher *s)
{
	if (!++s->epoch) {
		memset(s->visited, 0, s->capacity * sizeof(*s->visited));
		s->epoch = 1;
	}
}

static inline void ask_for(const struct hnsw *h, uint32_t id)
{
	const char *p = hnsw_row(h, id);

	for (size_t b = 0; b < AHEAD_BYTES; b += HNSW_LINE)
		__builtin_prefetch(p + b);
}

/* The links of a node that were not seen yet. Which these are no branch can guess. */
static uint32_t gather(const struct hnsw *h, struct hnsw_searcher *s, uint32_t id, int level)
{
	const struct hnsw_links *links = hnsw_links(h, id, level);
	const uint32_t count = links->count;
	const uint16_t epoch = s->epoch;
	uint16_t *visited = s->visited;
	uint32_t *ids = s->ids, n = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t to = links->id[i];

		ids[n] = to;
		n += visited[to] != epoch;
		visited[to] = epoch;
	}
	for (uint32_t i = 0; i < n && i < AHEAD_ROWS; i++)
		ask_for(h, ids[i]);
	return n;
}

static void offer(const struct hnsw *h, struct hnsw_searcher *s, float distance, uint32_t id)
{
	struct hnsw_beam *l = &s->live;
	const bool was_full = l->n == l->limit;
	uint32_t i;

	if (!beam_wants(l, distance))
		return;
	if (h->state[id] != HNSW_LIVE) {
		beam_insert(&s->dead, distance, id);
		return;
	}
	i = beam_insert(l, distance, id);
	if (i && l->at[i - 1].distance == distance &&
	    hnsw_is_twin(h, l->at[i - 1].id & ~HNSW_SEEN, id))
		beam_add_twin(l, i, was_full);
}

void hnsw_walk(const struct hnsw *h, struct hnsw_searcher *s, const void *query, int level,
	       uint32_t ef, uint32_t from, float distance)
{
	uint32_t id;

	visits_begin(s);
	s->live.n = s->live.next = s->dead.n = s->dead.next = 0;
	s->live.limit = s->dead.limit = ef;
	s->live.room = 2 * ef;
	s->visited[from] = s->epoch;
	beam_insert(h->state[from] == HNSW_LIVE ? &s->live : &s->dead, distance, from);
	while (next_node(s, &id)) {
		uint32_t n = gather(h, s, id, level);

		measure(h, s, query, n);
		for (uint32_t i = 0; i < n; i++)
			offer(h, s, s->distance[i], s->ids[i]);
		if (s->live.next < s->live.n) /* where it goes on, most likely */
			__builtin_prefetch(
				hnsw_links(h, s->live.at[s->live.next].id & ~HNSW_SEEN, level));
	}
	for (uint32_t i = 0; i < s->live.n; i++)
		s->live.at[i].id &= ~HNSW_SEEN;
}

/* What codes ranked is ranked again by the vectors. */
static uint32_t refine(const struct hnsw *h, struct hnsw_searcher *s, const float *query,
		       uint32_t k, struct neighbour *out)
{
	uint32_t want = 2 * k > REFINE_MIN ? 2 * k : REFINE_MIN, n = 0, m = s->live.n;
	struct distance_rows r = {h->vectors.mem, h->vector_bytes, s->ids, 0, h->o.dim};

	r.n = m < want ? m : want;
	for (uint32_t i = 0; i < r.n; i++)
		s->ids[i] = s->live.at[i].id;
	h->l2->run.distance(query, &r, s->distance);
	s->distances += r.n;
	for (uint32_t i = 0; i < r.n; i++)
		scan_offer(out, &n, k, s->distance[i], s->ids[i]);
	return n;
}

int hnsw_search(const struct hnsw *h, struct hnsw_searcher *s, const float *query, uint32_t k,
		uint32_t ef, struct neighbour *out)
{
	const void *walked;
	float distance;
	uint32_t from, n;

	if (!h || !s || !query || !out || !k || ef > s->max_ef || k > s->max_ef)
		return -EINVAL;
	if (s->capacity < h->o.capacity || s->fanout < h->max_links0 ||
	    !hnsw_finite(query, h->o.dim))
		return -EINVAL;
	if (h->top == HNSW_NONE)
		return 0;
	walked = hnsw_encode(h, query, s->query);
	from = hnsw_descend(h, s, walked, 0, &distance);
	hnsw_walk(h, s, walked, 0, ef > k ? ef : k, from, distance);
	if (h->o.storage == HNSW_I8)
		return (int)refine(h, s, query, k, out);
	n = s->live.n < k ? s->live.n : k;
	memcpy(out, s->live.at, n * sizeof(*out));
	return (int)n;
}

int hnsw_search_exact(const struct hnsw *h, const float *query, uint32_t k, struct neighbour *out)
{
	const bool coded = h && h->o.storage == HNSW_I8;
	uint32_t n = 0;

	if (!h || !query || !out || !k || !hnsw_finite(query, h->o.dim))
		return -EINVAL;
	for (uint32_t from = 0; from < h->used;) {
		float d[256];
		struct distance_rows r = {(coded ? h->vectors.mem : h->rows.mem) +
						  from * (coded ? h->vector_bytes : h->row_bytes),
					  coded ? h->vector_bytes : h->row_bytes, NULL,
					  h->used - from < 256 ? h->used - from : 256, h->o.dim};

		h->l2->run.distance(query, &r, d);
		for (uint32_t i = 0; i < r.n; i++)
			if (h->state[from + i] == HNSW_LIVE &&
			    (n < k || d[i] < out[k - 1].distance))
				scan_offer(out, &n, k, d[i], from + i);
		from += r.n;
	}
	return (int)n;
}
