/* SPDX-License-Identifier: Apache-2.0 */
/* dream_graph.c: memories and their associations. */
#include "kernels/dream/dream_graph.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

/* A link lasts while its weight is above this; a cosine of less is no association. */
#define MIN_WEIGHT 1e-3f

static size_t code_step(uint32_t dim)
{
	return (distance_code_bytes(dim) + 7) / 8 * 8;
}

static size_t lines(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

size_t dream_graph_bytes(uint32_t dim, uint32_t capacity)
{
	if (!dim || dim > DREAM_MAX_DIM || capacity < 2 || capacity > 1u << 24)
		return 0;
	return capacity * sizeof(struct dream_node) + lines(capacity * sizeof(float[DREAM_LINKS])) +
	       lines(capacity * code_step(dim));
}

int dream_graph_init(struct dream_graph *g, uint32_t dim, uint32_t capacity, enum isa isa,
		     void *storage, size_t bytes)
{
	size_t need = dream_graph_bytes(dim, capacity);
	char *at = storage;

	if (!g || !need || !storage || (uintptr_t)storage % 64 || bytes < need)
		return -EINVAL;
	*g = (struct dream_graph){.dim = dim, .capacity = capacity, .code_bytes = code_step(dim)};
	g->node = (void *)at;
	at += capacity * sizeof(*g->node);
	g->weight = (void *)at;
	g->codes = at + lines(capacity * sizeof(*g->weight));
	g->distance = kernels_select("distance_l2_i8", isa);
	g->quantize = kernels_select("quantize_i8", isa)->run.quantize;
	return 0;
}

const struct distance_code *dream_graph_code(const struct dream_graph *g, uint32_t id)
{
	return (const void *)(g->codes + id * g->code_bytes);
}

void dream_graph_read(const struct dream_graph *g, uint32_t id, float *embedding)
{
	const struct distance_code *c = dream_graph_code(g, id);

	for (uint32_t d = 0; d < g->dim; d++)
		embedding[d] = (float)c->codes[d] * c->scale;
}

static float cosine(const struct distance_code *a, const struct distance_code *b, float distance)
{
	float c = (a->norm2 + b->norm2 - distance) / (2 * sqrtf(a->norm2 * b->norm2));

	return fmaxf(-1, fminf(1, c));
}

float dream_graph_similarity(const struct dream_graph *g, uint32_t a, uint32_t b)
{
	const struct distance_rows rows = {dream_graph_code(g, b), g->code_bytes, NULL, 1, g->dim};
	float d = 2;

	if (g->distance->run.distance(dream_graph_code(g, a), &rows, &d))
		return 0;
	return cosine(dream_graph_code(g, a), dream_graph_code(g, b), d);
}

/* Vose's alias tables: slots below the mean are filled up from those above. */
static void draw_by_weight(struct dream_node *n, const float *weight)
{
	const uint32_t k = n->degree;
	float share[DREAM_LINKS], sum = 0;
	uint8_t small[DREAM_LINKS] = {0}, large[DREAM_LINKS] = {0};
	uint32_t nsmall = 0, nlarge = 0;

	for (uint32_t i = 0; i < k; i++)
		sum += weight[i];
	for (uint32_t i = 0; i < k; i++) {
		share[i] = weight[i] * (float)k / sum;
		n->own[i] = UINT16_MAX;
		n->alias[i] = (uint8_t)i;
		if (share[i] < 1)
			small[nsmall++] = (uint8_t)i;
		else
			large[nlarge++] = (uint8_t)i;
	}
	while (nsmall && nlarge) {
		const uint8_t s = small[--nsmall], l = large[nlarge - 1];

		n->own[s] = (uint16_t)fminf(share[s] * 65536, 65535);
		n->alias[s] = l;
		share[l] -= 1 - share[s];
		if (share[l] < 1) {
			nlarge--;
			small[nsmall++] = l;
		}
	}
}

static uint32_t slot_of(const struct dream_node *n, uint32_t to)
{
	uint32_t i = 0;

	while (i < n->degree && n->link[i] != to)
		i++;
	return i;
}

/* The slot for a new link: a free one, or that of the lightest; DREAM_LINKS when it is not worth
 * it. */
static uint32_t slot_for(struct dream_node *n, const float *weight, float new_weight)
{
	uint32_t lightest = 0;

	if (n->degree < DREAM_LINKS)
		return n->degree++;
	for (uint32_t i = 1; i < DREAM_LINKS; i++)
		if (weight[i] < weight[lightest])
			lightest = i;
	return weight[lightest] < new_weight ? lightest : DREAM_LINKS;
}

int dream_graph_link(struct dream_graph *g, uint32_t from, uint32_t to, float weight)
{
	struct dream_node *n = &g->node[from];
	uint32_t slot;
	int fresh;

	if (from >= g->count || to >= g->count || from == to || !(weight < INFINITY))
		return -EINVAL;
	if (!(weight > MIN_WEIGHT))
		return 0;
	slot = slot_of(n, to);
	fresh = slot == n->degree;
	if (fresh)
		slot = slot_for(n, g->weight[from], weight);
	if (slot == DREAM_LINKS)
		return 0;
	n->link[slot] = to;
	g->weight[from][slot] = fresh ? weight : fmaxf(weight, g->weight[from][slot]);
	draw_by_weight(n, g->weight[from]);
	return fresh;
}

int dream_graph_strengthen(struct dream_graph *g, uint32_t from, uint32_t to, float factor)
{
	struct dream_node *n;
	uint32_t slot;
	float *w;

	if (from >= g->count || !(factor > 0 && factor < INFINITY))
		return -EINVAL;
	n = &g->node[from];
	slot = slot_of(n, to);
	if (slot == n->degree)
		return -ENOENT;
	w = &g->weight[from][slot];
	/* Bounded, so that no link ever silences the others. */
	*w = fmaxf(MIN_WEIGHT, fminf(*w * factor, 16));
	draw_by_weight(n, g->weight[from]);
	return 0;
}

void dream_graph_fade(struct dream_graph *g, float factor)
{
	for (uint32_t i = 0; i < g->count; i++)
		g->node[i].importance *= factor;
}

static int write_code(struct dream_graph *g, uint32_t id, const float *x)
{
	struct distance_code *c = (void *)(g->codes + id * g->code_bytes);
	int64_t sum = 0;
	double norm2 = 0;
	float scale;

	for (uint32_t d = 0; d < g->dim; d++)
		norm2 += (double)x[d] * x[d];
	if (!(norm2 > 1e-60 && norm2 < INFINITY))
		return -EINVAL;
	scale = g->quantize(x, c->codes, g->dim);
	for (uint32_t d = 0; d < g->dim; d++)
		sum += c->codes[d] * c->codes[d];
	c->scale = (float)(scale / sqrt(norm2));
	c->norm2 = (float)((double)c->scale * c->scale * (double)sum);
	return 0;
}

/* Whoever remembers the memory that gives way forgets it. */
static void forget(struct dream_graph *g, uint32_t id)
{
	for (uint32_t i = 0; i < g->count; i++) {
		struct dream_node *n = &g->node[i];
		uint32_t slot = slot_of(n, id);

		if (slot == n->degree)
			continue;
		n->degree--;
		n->link[slot] = n->link[n->degree];
		g->weight[i][slot] = g->weight[i][n->degree];
		draw_by_weight(n, g->weight[i]);
	}
}

static uint32_t least_important(const struct dream_graph *g)
{
	uint32_t least = 0;

	for (uint32_t i = 1; i < g->count; i++)
		if (g->node[i].importance < g->node[least].importance)
			least = i;
	return least;
}

static void link_both(struct dream_graph *g, uint32_t a, uint32_t b)
{
	float c = dream_graph_similarity(g, a, b);

	dream_graph_link(g, a, b, c);
	dream_graph_link(g, b, a, c);
}

static int add_check(const struct dream_graph *g, const float *embedding, float importance)
{
	return g && embedding && importance >= 0 && importance <= 1 ? 0 : -EINVAL;
}

int dream_graph_add(struct dream_graph *g, const float *embedding, float importance, uint32_t *id)
{
	struct distance_rows rows;
	struct neighbour near[DREAM_LINKS + 1];
	uint32_t at;
	int n;

	if (add_check(g, embedding, importance))
		return -EINVAL;
	at = g->count < g->capacity ? g->count : least_important(g);
	if (write_code(g, at, embedding))
		return -EINVAL;
	if (at < g->count)
		forget(g, at);
	else
		g->count++;
	memset(&g->node[at], 0, sizeof(g->node[at]));
	g->node[at].importance = importance;
	rows = (struct distance_rows){g->codes, g->code_bytes, NULL, g->count, g->dim};
	n = scan_nearest(g->distance, dream_graph_code(g, at), &rows, DREAM_LINKS + 1, near);
	for (int i = 0; i < n; i++)
		if (near[i].id != at)
			link_both(g, at, near[i].id);
	if (id)
		*id = at;
	return n < 0 ? n : 0;
}

int dream_graph_put(struct dream_graph *g, const float *embedding, float importance,
		    const uint32_t *ids, uint32_t n, uint32_t *id)
{
	if (add_check(g, embedding, importance) || (n && !ids))
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] >= g->count)
			return -EINVAL;
	if (g->count == g->capacity)
		return -ENOSPC;
	if (write_code(g, g->count, embedding))
		return -EINVAL;
	memset(&g->node[g->count], 0, sizeof(g->node[0]));
	g->node[g->count++].importance = importance;
	for (uint32_t i = 0; i < n; i++)
		link_both(g, g->count - 1, ids[i]);
	if (id)
		*id = g->count - 1;
	return 0;
}

static int node_is_whole(const struct dream_graph *g, uint32_t id)
{
	const struct dream_node *n = &g->node[id];
	const struct distance_code *c = dream_graph_code(g, id);

	if (n->degree > DREAM_LINKS || !(n->importance >= 0 && n->importance <= 1))
		return 0;
	for (uint32_t i = 0; i < n->degree; i++)
		if (n->link[i] >= g->count || n->link[i] == id || n->alias[i] >= n->degree ||
		    !(g->weight[id][i] > 0 && g->weight[id][i] < INFINITY))
			return 0;
	return c->scale > 0 && c->scale < INFINITY && c->norm2 > 0 && c->norm2 < INFINITY;
}

int dream_graph_check(const struct dream_graph *g)
{
	if (g->count > g->capacity)
		return -EBADMSG;
	for (uint32_t i = 0; i < g->count; i++)
		if (!node_is_whole(g, i))
			return -EBADMSG;
	return 0;
}
