/* SPDX-License-Identifier: Apache-2.0 */
/* decode_wide.h: decode of eight rows that share a KV head, with vectors of eight lanes. */

/*
 * Included by a decode_<isa>.c of eight lanes after decode_tiles.h, with these of its own:
 *   vec_splat_few(p)		two floats, one after the other in all lanes
 *   vec_sum_pairs(a, b)	sums of neighbours, those of a and of b in turn in each 128 bits
 *
 * In scores a lane is one of four rows and one of two dimensions, so that two vectors hold a pair
 * of dimensions of all eight: a key is read once, by broadcasts of a pair that serve 16 products
 * each, and one addition across lanes makes eight logits where decode_tiles.h takes seven. Logits
 * are kept [key][row]: the softmax is vertical, and the weights of a key lie side by side for the
 * values, in which a lane is a dimension again.
 *
 * Both tiles hold 12 sums in 16 registers and load 7 or 8 vectors for 12 products; those of four
 * rows and 8 sums wait for their own results.
 *
 * Of f32 alone: unpacking bf16 and int8 for the broadcasts takes what the tiles gain.
 */
#include "kernels/decode/decode_wide_rows.h"

enum { WIDE_KEYS = 6 };

/* Where number e of a group's row l is in its queries: vec_sum_pairs leaves the rows in order. */
static inline size_t wide_place(uint32_t e, uint32_t l)
{
	return e / 2 * 2 * WIDE + l / 2 % 2 * WIDE + l / 4 * 4 + l % 2 * 2 + e % 2;
}

/* s[u][r] = key u . row r, n numbers each; a line at `ahead` and beyond is fetched for each pair.
 */
TILE void wide_score_tile(const int mk, const float *q, uint32_t n, const char *k, size_t k_row,
			  const char *ahead, float *s)
{
	vec acc[WIDE_KEYS][2];
	uint32_t e = 0;

#pragma GCC unroll 8
	for (int u = 0; u < mk; u++)
		acc[u][0] = acc[u][1] = vec_zero();
	for (; e + 2 <= n; e += 2, q += 2 * WIDE, k += 2 * sizeof(float), ahead += 64) {
		__builtin_prefetch(ahead);
		wide_step(mk, q, k, k_row, acc);
	}
	if (e < n) {
		float last[WIDE_KEYS][2] = {{0}};

		for (int u = 0; u < mk; u++)
			memcpy(last[u], k + u * k_row, sizeof(float));
		wide_step(mk, q, (const char *)last, sizeof(last[0]), acc);
	}
#pragma GCC unroll 8
	for (int u = 0; u < mk; u++)
		vec_store(s + u * WIDE, vec_sum_pairs(acc[u][0], acc[u][1]));
}

/* While keys are multiplied their values are fetched: those come next. */
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
	WIDE_SCORES(1);
#undef WIDE_SCORES
}

/* Keys jb .. jb + n - 1 that a row does not see weigh nothing for it. */
static void wide_mask(const struct decode_state *t, const struct decode *d, uint32_t row,
		      uint32_t jb, uint32_t n)
{
	float *s = t->s + (size_t)row * t->stride;
	_Alignas(64) float from[WIDE], end[WIDE];
	bool all = true;

	for (uint32_t l = 0; l < WIDE; l++) {
		uint32_t first = 0, last = d->kv_len;

		if (row + l < t->rows)
			decode_visible(d, row + l, &first, &last);
		from[l] = (float)within(first, jb, n);
		end[l] = (float)within(last, jb, n);
		all &= from[l] == 0 && end[l] == (float)n;
	}
	for (uint32_t j = 0; j < n && !all; j++) {
		const vec at = vec_splat((float)j), hidden = vec_splat(-INFINITY);
		vec x = vec_load(s + (size_t)j * WIDE);

		x = vec_select_less(at, vec_load(from), hidden, x);
		x = vec_select_less(at, vec_load(end), x, hidden);
		vec_store(s + (size_t)j * WIDE, x);
	}
}

/* As softmax_row, of eight rows at once. */
static void wide_softmax(const struct decode_state *t, const struct decode *d, uint32_t row,
			 uint32_t jb, uint32_t n)
{
	float *s = t->s + (size_t)row * t->stride;
	const vec old = vec_load(t->max + row);
	vec top = old, total = vec_zero(), max, factor;

	wide_mask(t, d, row, jb, n);
	for (uint32_t j = 0; j < n; j++)
		top = vec_max(top, vec_load(s + (size_t)j * WIDE));
	max = vec_fix_max(top);
	factor = vec_exp2(vec_sub(old, max));
	for (uint32_t j = 0; j < n; j++) {
		vec p = vec_exp2(vec_sub(vec_load(s + (size_t)j * WIDE), max));

		total = vec_add(total, p);
		vec_store(s + (size_t)j * WIDE, p);
	}
	vec_store(t->max + row, top);
	vec_store(t->factor + row, factor);
	vec_store(t->sum + row, vec_fma(vec_load(t->sum + row), factor, total));
}

/* Vectors in threes for four rows, in twos where ones would be left, a single one for eight. */
static void wide_add_values(const struct wide_values *g, uint32_t n)
{
	const uint32_t whole = n / VEC_LANES * VEC_LANES;
	uint32_t c = 0;

	while (c < n) {
		const uint32_t left = (whole - c) / VEC_LANES;

		if (left < 2) {
			wide_value_tile(WIDE, 1, g, 0, c, left ? VEC_LANES : n - c);
			c += VEC_LANES;
		} else if (left == 2 || left == 4) {
			wide_value_tile(4, 2, g, 0, c, VEC_LANES);
			wide_value_tile(4, 2, g, 4, c, VEC_LANES);
			c += 2 * VEC_LANES;
		} else {
			wide_value_tile(4, 3, g, 0, c, VEC_LANES);
			wide_value_tile(4, 3, g, 4, c, VEC_LANES);
			c += 3 * VEC_LANES;
		}
	}
}
