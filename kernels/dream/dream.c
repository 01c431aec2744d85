/* SPDX-License-Identifier: Apache-2.0 */
/* dream.c: walks over memories, and what becomes of the good ones. */
#include "kernels/dream/dream.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Steele, Lea and Flood 2014. Draws do not wait for one another: the state is a counter. */
static inline uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* The lower half of a draw, to [0, n). */
static inline uint32_t draw_below(uint64_t r, uint32_t n)
{
	return (uint32_t)((r & 0xffffffff) * n >> 32);
}

/*
 * Which memories a walk may have been to: a bit for each, by a hash, so that the path is looked
 * through once in a hundred steps. It is written in words, which vectors would wait for.
 */
struct visits {
	uint64_t bits[16];
};

static inline bool visited(struct visits *v, const struct dream *d, uint32_t id)
{
	const uint32_t hash = id * 0x9e3779b1u >> 22;
	uint64_t *word = &v->bits[hash / 64], bit = 1ull << hash % 64;

	if (__builtin_expect(!(*word & bit), 1)) {
		*word |= bit;
		return false;
	}
	for (uint32_t i = 0; i < d->length; i++)
		if (d->path[i] == id)
			return true;
	return false;
}

/* Without a branch: all four are fetched at once. */
static uint32_t first_of(const struct dream_graph *g, uint64_t *seed)
{
	uint32_t best = draw_below(draw(seed), g->count);

	for (int i = 1; i < 4; i++) {
		uint32_t other = draw_below(draw(seed), g->count);
		uint32_t better = g->node[other].importance > g->node[best].importance;

		best ^= (best ^ other) & -better;
	}
	return best;
}

/* The lower half of a draw tells which link: 16 bits a slot, 16 bits it or its alias. */
static inline uint32_t follow(const struct dream_node *n, uint64_t r)
{
	uint32_t slot = (uint32_t)((r & 0xffff) * n->degree >> 16);

	return n->link[(r >> 16 & 0xffff) < n->own[slot] ? slot : n->alias[slot]];
}

static int options_check(const struct dream_options *o)
{
	if (!o || o->length < 2 || o->length > DREAM_MAX_PATH)
		return -EINVAL;
	return o->jump >= 0 && o->jump <= 1 && o->rate >= 0 && o->rate <= 1 ? 0 : -EINVAL;
}

/* A step that would come back leads anywhere instead; false when that fails too. */
static bool elsewhere(const struct dream_graph *g, uint64_t *seed, struct visits *v,
		      const struct dream *d, uint32_t *at)
{
	for (int again = 0; again < 4; again++) {
		*at = draw_below(draw(seed), g->count);
		if (!visited(v, d, *at))
			return true;
	}
	return false;
}

int dream_walk(const struct dream_graph *g, const struct dream_options *o, uint64_t *seed,
	       struct dream *d)
{
	struct visits v = {{0}};
	uint64_t r[DREAM_MAX_PATH], limit;
	uint32_t at;

	if (!g || options_check(o) || !seed || !d)
		return -EINVAL;
	if (g->count < 2)
		return -ENOENT;
	limit = (uint64_t)((double)o->jump * 0x1p32);
	/* All draws first: where jumps lead is known long before the walk is there. */
	for (uint32_t i = 1; i < o->length; i++) {
		r[i] = draw(seed);
		if (r[i] >> 32 < limit)
			__builtin_prefetch(&g->node[draw_below(r[i], g->count)]);
	}
	at = first_of(g, seed);
	d->length = 1;
	d->jumps = d->jumped = 0;
	memset(d->path, 0xff, sizeof(d->path)); /* no memory's number */
	d->path[0] = at;
	visited(&v, d, at);
	for (uint32_t i = 1; i < o->length; i++) {
		const struct dream_node *n = &g->node[at];
		bool far = r[i] >> 32 < limit || !n->degree;

		at = far ? draw_below(r[i], g->count) : follow(n, r[i]);
		if (__builtin_expect(visited(&v, d, at), 0)) {
			far = true;
			if (!elsewhere(g, seed, &v, d, &at))
				break;
		}
		d->jumps += far;
		d->jumped |= (uint32_t)far << i;
		d->path[d->length++] = at;
	}
	return 0;
}

static float heaviest(const struct dream_graph *g, uint32_t id)
{
	float w = 0;

	for (uint32_t i = 0; i < g->node[id].degree; i++)
		w = fmaxf(w, g->weight[id][i]);
	return w > 0 ? w : 1;
}

/* How many of the two links are new. */
static int associate(struct dream_graph *g, uint32_t a, uint32_t b, float rate)
{
	int there = dream_graph_link(g, a, b, rate * heaviest(g, a));
	int back = dream_graph_link(g, b, a, rate * heaviest(g, b));

	return (there > 0) + (back > 0);
}

int dream_integrate(struct dream_graph *g, const struct dream_options *o, const struct dream *d,
		    const struct dream_value *v)
{
	int fresh = 0;

	if (!g || options_check(o) || !d || !v || d->length > DREAM_MAX_PATH)
		return -EINVAL;
	for (uint32_t i = 0; i < d->length; i++)
		if (d->path[i] >= g->count)
			return -EINVAL;
	for (uint32_t i = 0; i < d->length; i++) {
		float *importance = &g->node[d->path[i]].importance;

		*importance += o->rate * fminf(v->phi, 1) * (1 - *importance);
		if (!i)
			continue;
		if (d->jumped >> i & 1)
			fresh += associate(g, d->path[i - 1], d->path[i], o->rate);
		else
			dream_graph_strengthen(g, d->path[i - 1], d->path[i],
					       1 + o->rate * fminf(v->phi, 1));
	}
	return fresh;
}
