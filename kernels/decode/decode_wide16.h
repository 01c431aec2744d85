/* SPDX-License-Identifier: Apache-2.0 */
/* decode_wide16.h: decode of eight rows that share a KV head, with vectors of sixteen lanes. */

/*
 * Included by a decode_<isa>.c of sixteen lanes after decode_tiles.h, with these of its own:
 *   vec_splat_few(p)		four floats, one after the other in all lanes
 *   vec_sum_quads(a, b, c, d)	lane i sums a quad: 0..3 those of a, 4..7 of b, then of c and d
 *   vec_load_twice(p)		eight floats in both halves
 *   vec_swap_halves(v)
 *
 * As decode_wide.h, which see, but for what a lane is in scores: one of four rows and one of four
 * dimensions. A key is read once, by broadcasts of four dimensions that serve 32 products each, and
 * nine operations across lanes make sixteen logits of two keys, where decode_tiles.h takes 30. Sums
 * are 16 of 32 registers in both tiles, for 10 or 8 loads.
 *
 * Logits are kept [key][row], two keys a vector.
 */
#include "kernels/decode/decode_wide_rows.h"

enum { WIDE_KEYS = 8 };

/* Where number e of a group's row l is in its queries. */
static inline size_t wide_place(uint32_t e, uint32_t l)
{
	return e / 4 * 4 * WIDE + l * 4 + e % 4;
}

/*
 * s[u][r] = key u . row r, n numbers each, of mk keys; of as many values, `ahead` and beyond, the
 * lines are fetched.
 */
TILE void wide_score_tile(const int mk, const float *q, uint32_t n, const char *k, size_t k_row,
			  const char *ahead, float *s)
{
	vec acc[WIDE_KEYS][2];
	uint32_t e = 0;

#pragma GCC unroll 8
	for (int u = 0; u < mk; u++)
		acc[u][0] = acc[u][1] = vec_zero();
	for (; e + 4 <= n; e += 4, q += 4 * WIDE, k += 4 * sizeof(float), ahead += 16 * mk) {
		__builtin_prefetch(ahead);
		if (mk > 4)
			__builtin_prefetch(ahead + 64);
		wide_step(mk, q, k, k_row, acc);
	}
	if (e < n) {
		float last[WIDE_KEYS][4] = {{0}};

		for (int u = 0; u < mk; u++)
			memcpy(last[u], k + u * k_row, (n - e) * sizeof(float));
		wide_step(mk, q, (const char *)last, sizeof(last[0]), acc);
	}
#pragma GCC unroll 8
	for (int u = 0; u < mk; u += 2)
		vec_storeu(s + u * WIDE,
			   vec_sum_quads(acc[u][0], acc[u][1], acc[u + 1][0], acc[u + 1][1]));
}

/* While keys are multiplied their values are fetched: those come next. A last odd key goes twice.
 */
static void wide_scores(const struct decode_state *t, const struct decode *d, uint32_t row,
			const struct decode_span *x, uint32_t at)
{
	const size_t k_row = d->kv.row_bytes;
	const float *q = t->q + (size_t)row * t->dim;
	float *s = t->s + (size_t)row * t->stride + (size_t)at * WIDE;
	uint32_t j = 0;

#define WIDE_SCORES(mk)                                                                \
	for (; j + (mk) <= x->n; j += (mk))                                            \
	wide_score_tile(mk, q, d->head_dim, x->k + j * k_row, k_row, x->v + j * k_row, \
			s + (size_t)j * WIDE)
	WIDE_SCORES(WIDE_KEYS);
	WIDE_SCORES(4);
	WIDE_SCORES(2);
#undef WIDE_SCORES
	if (j < x->n)
		wide_score_tile(2, q, d->head_dim, x->k + j * k_row, 0, x->v + j * k_row,
				s + (size_t)j * WIDE);
}

/* Keys jb .. jb + n - 1 that a row does not see weigh nothing for it. */
static void wide_mask(const struct decode_state *t, const struct decode *d, uint32_t row,
		      uint32_t jb, uint32_t n)
{
	float *s = t->s + (size_t)row * t->stride;

	for (uint32_t l = 0; l < WIDE; l++) {
		uint32_t first = 0, last = d->kv_len;

		if (row + l < t->rows)
			decode_visible(d, row + l, &first, &last);
		for (uint32_t j = 0; j < within(first, jb, n); j++)
			s[(size_t)j * WIDE + l] = -INFINITY;
		for (uint32_t j = within(last, jb, n); j < n; j++)
			s[(size_t)j * WIDE + l] = -INFINITY;
		if (n % 2)
			s[(size_t)n * WIDE + l] = -INFINITY;
	}
}

/* As softmax_row, of eight rows at once and two keys. */
static void wide_softmax(const struct decode_state *t, const struct decode *d, uint32_t row,
			 uint32_t jb, uint32_t n)
{
	float *s = t->s + (size_t)row * t->stride;
	const vec old = vec_load_twice(t->max + row);
	vec top = old, total = vec_zero(), max, factor;

	wide_mask(t, d, row, jb, n);
	for (uint32_t j = 0; j < n; j += 2)
		top = vec_max(top, vec_load(s + (size_t)j * WIDE));
	top = vec_max(vec_swap_halves(top), top);
	max = vec_fix_max(top);
	factor = vec_exp2(vec_sub(old, max));
	for (uint32_t j = 0; j < n; j += 2) {
		vec p = vec_exp2(vec_sub(vec_load(s + (size_t)j * WIDE), max));

		total = vec_add(total, p);
		vec_store(s + (size_t)j * WIDE, p);
	}
	total = vec_add(total, vec_swap_halves(total));
	total = vec_fma(vec_load_twice(t->sum + row), factor, total);
	vec_store_first(t->max + row, top, WIDE);
	vec_store_first(t->factor + row, factor, WIDE);
	vec_store_first(t->sum + row, total, WIDE);
}

/* Vectors in fours for four rows, twos and single ones for eight. */
static void wide_add_values(const struct wide_values *g, uint32_t n)
{
	const uint32_t whole = n / VEC_LANES * VEC_LANES;
	uint32_t c = 0;

	for (; c + 4 * VEC_LANES <= whole; c += 4 * VEC_LANES) {
		wide_value_tile(4, 4, g, 0, c, VEC_LANES);
		wide_value_tile(4, 4, g, 4, c, VEC_LANES);
	}
	for (; c + 2 * VEC_LANES <= whole; c += 2 * VEC_LANES)
		wide_value_tile(WIDE, 2, g, 0, c, VEC_LANES);
	for (; c < n; c += VEC_LANES)
		wide_value_tile(WIDE, 1, g, 0, c, c < whole ? VEC_LANES : n - c);
}
