/* SPDX-License-Identifier: Apache-2.0 */
/* attention_tiles.h: attention's register tiles over the vec_* primitives of one ISA. */

/*
 * Included once by each attention_<isa>.c after its vec_<isa>.h; the file also says how many
 * vectors of queries (SPAN_VECS) and of keys (TILE_KEYS) its registers hold; it may have a row of
 * its own (TILE_ROW, true where it did it) and take several steps at once (TILE_STEPS).
 * Primitives used:
 *   vec, vec_zero, vec_splat(float), vec_load, vec_store (aligned), vec_load_first(p, n) and
 *   vec_store_first(p, v, n) (unaligned, first n lanes), vec_fma(a, b, c) = a * b + c, vec_add,
 *   vec_sub, vec_mul, vec_div, vec_max(a, b) (b when either is NaN), vec_exp2 (x <= 0),
 *   vec_keep_from(v, first): -inf in lanes below `first`, vec_keep_first(v, n): -inf in the others,
 *   vec_fix_max(m): 0 where m is -inf, vec_nonzero(l): 1 where l is 0,
 *   vec_transpose(vec r[VEC_LANES]).
 *
 * Scores are kept transposed: a lane is a query, a row is a key. So K and V are read in place, one
 * broadcast a float and no packing; the softmax is vertical, with no reduction across lanes; any
 * head dimension works without a remainder loop. Q is transposed on the way in with
 * scale * log2(e) folded in, so the softmax is in base 2; O is transposed on the way out.
 *
 *   S^T = K Q^T     rows of TILE_KEYS keys by up to SPAN_VECS vectors of queries, in registers
 *   m' = max(m, S^T), alpha = 2^(m - m'), P^T = 2^(S^T - m'), l = l alpha + sum P^T
 *   O^T = O^T alpha + V^T P^T
 * Online softmax: Milakov and Gimelshein 2018; blocks: Dao et al. 2022, algorithm 1.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#define TILE	 static inline __attribute__((always_inline))
#define MAX_TILE 14
#define LINE	 16 /* floats of a line of the cache */
#ifndef TILE_STEPS
#define TILE_STEPS 1
#endif

/*
 * A block of queries is cut into spans of up to SPAN_VECS vectors, each with its own contiguous
 * memory: a span's queries, scores and outputs are read as streams, and share no cache set by way
 * of a stride.
 */
struct span {
	float *qt, *ot; /* [dim][vecs * VEC_LANES] */
	float *st;	/* [keys][vecs * VEC_LANES] */
	float *max, *sum, *alpha, *top;
	uint32_t vecs, dim;
	bool fresh;    /* ot holds nothing yet */
	uint32_t open; /* keys of this block before any that a mask hides, in whole tiles */
	uint32_t limit[SPAN_VECS]; /* keys of this block that vector v sees, not decreasing in v */
	uint32_t seen[SPAN_VECS]; /* keys not past any lane's position: from here to limit is masked
				   */
	uint32_t faded[SPAN_VECS]; /* keys before this one have left the window of some lane: masked
				    */
};

TILE void tile_zero(const int mr, const int nr, vec acc[MAX_TILE][SPAN_VECS])
{
#pragma GCC unroll 16
	for (int r = 0; r < mr; r++)
#pragma GCC unroll 16
		for (int c = 0; c < nr; c++)
			acc[r][c] = vec_zero();
}

/* Row r of b, from 8 on by way of a pointer of its own: more distances do not fit the registers. */
#define TILE_AT(b, high, r, row) \
	((r) < 8 ? (b) + (size_t)(r) * (row) : (high) + (size_t)((r)-8) * (row))

/* acc[r][c] += b[r * b_row] * x[c] for vectors c0 .. nr - 1, one step of an outer product */
TILE void tile_step(const int mr, const int c0, const int nr, const float *x, const float *b,
		    size_t b_row, vec acc[MAX_TILE][SPAN_VECS])
{
	const float *high = b + 8 * b_row;
	vec v[SPAN_VECS];

	if (mr > 8)
		__asm__("" : "+r"(high));
#pragma GCC unroll 16
	for (int c = c0; c < nr; c++) {
		v[c] = vec_load(x + c * VEC_LANES);
#ifdef TILE_ROW
		VEC_KEEP(v[c]);
#endif
	}
#pragma GCC unroll 16
	for (int r = 0; r < mr; r++) {
		const float *at = TILE_AT(b, high, r, b_row);
#ifdef TILE_ROW
		if (TILE_ROW(nr - c0, at, v + c0, acc[r] + c0))
			continue;
#endif
		vec f = vec_splat(*at);

#pragma GCC unroll 16
		for (int c = c0; c < nr; c++)
			acc[r][c] = vec_fma(f, v[c], acc[r][c]);
	}
}

/* A line of each of mr rows of x and of y: from row to row, so that no distance wants a register.
 */
TILE void tile_ask(const int mr, const float *x, size_t x_row, const float *y, size_t y_row)
{
#pragma GCC unroll 16
	for (int r = 0; r < mr; r++, x += x_row, y += y_row) {
		__asm__("" : "+r"(x), "+r"(y));
		__builtin_prefetch(x, 0, 2);
		__builtin_prefetch(y, 0, 2);
	}
}

/*
 * mr keys by nr vectors: s[r][c] = sum over d of k[r][d] * qt[d][c]; top[c] = max over r of it.
 * With TILE_STEPS the next tile's keys are asked for on the way, and mr rows of `ahead`, which is
 * what comes after the scores; with ahead_row 0 neither.
 */
TILE void score_tile(const int mr, const int nr, size_t width, const float *qt, uint32_t dim,
		     const float *k, size_t k_row, const float *ahead, size_t ahead_row, float *s,
		     float *top)
{
	vec acc[MAX_TILE][SPAN_VECS];
	uint32_t d = 0;

	tile_zero(mr, nr, acc);
	for (; TILE_STEPS > 1 && d + LINE <= dim; d += LINE) {
		if (ahead_row)
			tile_ask(mr, k + (size_t)mr * k_row, k_row, ahead + d, ahead_row);
		for (int i = 0; i < LINE; i += TILE_STEPS)
#pragma GCC unroll 16
			for (int u = 0; u < TILE_STEPS; u++, qt += width, k++)
				tile_step(mr, 0, nr, qt, k, k_row, acc);
	}
	for (; d < dim; d++, qt += width, k++)
		tile_step(mr, 0, nr, qt, k, k_row, acc);
#pragma GCC unroll 16
	for (int c = 0; c < nr; c++) {
		vec m = vec_load(top + c * VEC_LANES);

#pragma GCC unroll 16
		for (int r = 0; r < mr; r++) {
			m = vec_max(m, acc[r][c]);
			vec_store(s + r * width + c * VEC_LANES, acc[r][c]);
		}
		vec_store(top + c * VEC_LANES, m);
	}
}

/*
 * mr of the head's dimensions by nr vectors: o[r][c] = o[r][c] * alpha[c] + sum v[j][r] s[j][c],
 * over the limit[c] keys that vector c sees: on the diagonal the vectors of earlier queries drop
 * out one by one. A fresh o holds nothing to add to.
 */
TILE void value_tile(const int mr, const int nr, const float *s, const uint32_t *limit,
		     const float *v, size_t v_row, const float *alpha, bool fresh, float *o)
{
	const size_t width = (size_t)nr * VEC_LANES;
	vec acc[MAX_TILE][SPAN_VECS];
	uint32_t j = 0;

	tile_zero(mr, nr, acc);
	for (; TILE_STEPS > 1 && j + TILE_STEPS <= limit[0]; j += TILE_STEPS)
#pragma GCC unroll 16
		for (int i = 0; i < TILE_STEPS; i++, s += width, v += v_row)
			tile_step(mr, 0, nr, s, v, 1, acc);
#pragma GCC unroll 16
	for (int c = 0; c < nr; c++)
		for (; j < limit[c]; j++, s += width, v += v_row)
			tile_step(mr, c, nr, s, v, 1, acc);
#pragma GCC unroll 16
	for (int c = 0; c < nr; c++) {
		vec f = vec_load(alpha + c * VEC_LANES);

#pragma GCC unroll 16
		for (int r = 0; r < mr; r++) {
			float *at = o + r * width + c * VEC_LANES;

			vec_store(at, fresh ? acc[r][c] : vec_fma(vec_load(at), f, acc[r][c]));
		}
	}
}

/*
 * Two tiles of 4 take less time than one of 6 and one of 2, which waits for its own results; so do
 * two of 8, of the 16 keys by which a diagonal narrows, than one of 12 and one of 4.
 */
#define FULL_FITS(FULL, left) (((FULL) != 6 || (left) != 8) && ((FULL) != 12 || (left) != 16))

/* n keys, or dimensions, in tiles as tall as the registers hold, then in falling powers of two. */
#define FOR_TILES(FULL, n, TILE_CALL)                                               \
	do {                                                                        \
		uint32_t at = 0;                                                    \
		for (; at + (FULL) <= (n) && FULL_FITS(FULL, (n)-at); at += (FULL)) \
			TILE_CALL(FULL);                                            \
		for (; (FULL) > 8 && at + 8 <= (n); at += 8)                        \
			TILE_CALL(8);                                               \
		for (; (FULL) > 4 && at + 4 <= (n); at += 4)                        \
			TILE_CALL(4);                                               \
		if (at + 2 <= (n)) {                                                \
			TILE_CALL(2);                                               \
			at += 2;                                                    \
		}                                                                   \
		if (at < (n))                                                       \
			TILE_CALL(1);                                               \
	} while (0)

#define DEFINE_SPANS(NR)                                                                    \
	static __attribute__((noinline)) void score_span_##NR(                              \
		const struct span *t, uint32_t c, const float *k, size_t k_row,             \
		const float *ahead, size_t ahead_row, uint32_t j, uint32_t n)               \
	{                                                                                   \
		const size_t width = t->vecs * VEC_LANES;                                   \
		float *s = t->st + j * width + c * VEC_LANES;                               \
                                                                                            \
		FOR_TILES(TILE_KEYS(NR), n, SCORE_##NR);                                    \
	}                                                                                   \
	static __attribute__((noinline)) void value_span_##NR(const struct span *t,         \
							      const float *v, size_t v_row) \
	{                                                                                   \
		FOR_TILES(TILE_KEYS(NR), t->dim, VALUE_##NR);                               \
	}
#define SCORE_CALL(MR, NR)                                                              \
	score_tile(MR, NR, width, t->qt + c * VEC_LANES, t->dim, k + at * k_row, k_row, \
		   ahead + at * ahead_row, ahead_row, s + at * width, t->top + c * VEC_LANES)
#define VALUE_CALL(MR, NR)                                                     \
	value_tile(MR, NR, t->st, t->limit, v + at, v_row, t->alpha, t->fresh, \
		   t->ot + at * (size_t)(NR)*VEC_LANES)
#define SCORE_1(MR) SCORE_CALL(MR, 1)
#define SCORE_2(MR) SCORE_CALL(MR, 2)
#define SCORE_3(MR) SCORE_CALL(MR, 3)
#define VALUE_1(MR) VALUE_CALL(MR, 1)
#define VALUE_2(MR) VALUE_CALL(MR, 2)
#define VALUE_3(MR) VALUE_CALL(MR, 3)
DEFINE_SPANS(1)
DEFINE_SPANS(2)
DEFINE_SPANS(3)
#if SPAN_VECS > 3
#define SCORE_4(MR) SCORE_CALL(MR, 4)
#define VALUE_4(MR) VALUE_CALL(MR, 4)
DEFINE_SPANS(4)
#endif

/* Vectors c and on of a span against n keys from j of its block; k is that of key j. */
static void scores(const struct span *t, uint32_t c, const float *k, size_t k_row,
		   const float *ahead, size_t ahead_row, uint32_t j, uint32_t n)
{
	switch (t->vecs - c) {
#if SPAN_VECS > 3
	case 4:
		score_span_4(t, c, k, k_row, ahead, ahead_row, j, n);
		break;
#endif
	case 3:
		score_span_3(t, c, k, k_row, ahead, ahead_row, j, n);
		break;
	case 2:
		score_span_2(t, c, k, k_row, ahead, ahead_row, j, n);
		break;
	default:
		score_span_1(t, c, k, k_row, ahead, ahead_row, j, n);
	}
}

static void values_span(const struct span *t, const float *v, size_t v_row)
{
	switch (t->vecs) {
#if SPAN_VECS > 3
	case 4:
		value_span_4(t, v, v_row);
		break;
#endif
	case 3:
		value_span_3(t, v, v_row);
		break;
	case 2:
		value_span_2(t, v, v_row);
		break;
	default:
		value_span_1(t, v, v_row);
	}
}
