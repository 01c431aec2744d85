/* SPDX-License-Identifier: Apache-2.0 */
/* attention_tiles.h: attention's register tiles over the vec_* primitives of one ISA. */

/*
 * Included once by each attention_<isa>.c after its vec_<isa>.h; the file also says how many
 * vectors of queries (SPAN_VECS) and of keys (TILE_KEYS) its registers hold. Primitives used:
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
 *   S^T = K Q^T     rows of TILE_KEYS keys by up to MAX_VECS vectors of queries, in registers
 *   m' = max(m, S^T), alpha = 2^(m - m'), P^T = 2^(S^T - m'), l = l alpha + sum P^T
 *   O^T = O^T alpha + V^T P^T
 * Online softmax: Milakov and Gimelshein 2018; blocks: Dao et al. 2022, algorithm 1.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#define TILE	 static inline __attribute__((always_inline))
#define MAX_VECS (ATTENTION_MAX_BLOCK_Q / VEC_LANES)
#define MAX_TILE 14

struct tiles {
	float *qt, *ot; /* [dim][bq] */
	float *st;	/* [block_k][bq] */
	float *max, *sum, *alpha;
	uint32_t bq, vecs; /* row length of the above in floats, and vectors in use */
	uint32_t dim;
	uint32_t limit[MAX_VECS]; /* keys of this block that vector v sees, not decreasing in v */
	uint32_t seen[MAX_VECS];  /* keys not past any lane's position: from here to limit is masked
				   */
	uint32_t faded[MAX_VECS]; /* keys before this one have left the window of some lane: masked
				   */
};

/* mr keys by nr vectors of queries: s[r][c] = sum over d of k[r][d] * qt[d][c] */
TILE void score_tile(const int mr, const int nr, const struct tiles *t, const float *qt,
		     const float *k, size_t k_row, float *s)
{
	vec acc[MAX_TILE][MAX_VECS];
	const size_t bq = t->bq;
	const uint32_t dim = t->dim;

#pragma GCC unroll 16
	for (int r = 0; r < mr; r++)
#pragma GCC unroll 16
		for (int c = 0; c < nr; c++)
			acc[r][c] = vec_zero();
	for (uint32_t d = 0; d < dim; d++, qt += bq) {
		vec q[MAX_VECS];

#pragma GCC unroll 16
		for (int c = 0; c < nr; c++)
			q[c] = vec_load(qt + c * VEC_LANES);
#pragma GCC unroll 16
		for (int r = 0; r < mr; r++) {
			vec b = vec_splat(k[(size_t)r * k_row + d]);

#pragma GCC unroll 16
			for (int c = 0; c < nr; c++)
				acc[r][c] = vec_fma(b, q[c], acc[r][c]);
		}
	}
#pragma GCC unroll 16
	for (int r = 0; r < mr; r++)
#pragma GCC unroll 16
		for (int c = 0; c < nr; c++)
			vec_store(s + (size_t)r * bq + c * VEC_LANES, acc[r][c]);
}

/* mr of the head's dimensions by nr vectors: o[r][c] = o[r][c] * alpha[c] + sum v[j][r] s[j][c] */
TILE void value_tile(const int mr, const int nr, const struct tiles *t, const float *s, uint32_t n,
		     const float *v, size_t v_row, const float *alpha, float *o)
{
	vec acc[MAX_TILE][MAX_VECS];
	const size_t bq = t->bq;

#pragma GCC unroll 16
	for (int r = 0; r < mr; r++)
#pragma GCC unroll 16
		for (int c = 0; c < nr; c++)
			acc[r][c] = vec_zero();
	for (uint32_t j = 0; j < n; j++, s += bq, v += v_row) {
		vec p[MAX_VECS];

#pragma GCC unroll 16
		for (int c = 0; c < nr; c++)
			p[c] = vec_load(s + c * VEC_LANES);
#pragma GCC unroll 16
		for (int r = 0; r < mr; r++) {
			vec b = vec_splat(v[r]);

#pragma GCC unroll 16
			for (int c = 0; c < nr; c++)
				acc[r][c] = vec_fma(b, p[c], acc[r][c]);
		}
	}
#pragma GCC unroll 16
	for (int c = 0; c < nr; c++) {
		vec f = vec_load(alpha + c * VEC_LANES);

#pragma GCC unroll 16
		for (int r = 0; r < mr; r++) {
			float *at = o + (size_t)r * bq + c * VEC_LANES;

			vec_store(at, vec_fma(vec_load(at), f, acc[r][c]));
		}
	}
}

/* n keys, or dimensions, in tiles as tall as the registers hold, then in falling powers of two. */
#define FOR_TILES(FULL, n, TILE_CALL)                    \
	do {                                             \
		uint32_t at = 0;                         \
		for (; at + (FULL) <= (n); at += (FULL)) \
			TILE_CALL(FULL);                 \
		if ((FULL) > 8 && at + 8 <= (n)) {       \
			TILE_CALL(8);                    \
			at += 8;                         \
		}                                        \
		if ((FULL) > 4 && at + 4 <= (n)) {       \
			TILE_CALL(4);                    \
			at += 4;                         \
		}                                        \
		if (at + 2 <= (n)) {                     \
			TILE_CALL(2);                    \
			at += 2;                         \
		}                                        \
		if (at < (n))                            \
			TILE_CALL(1);                    \
	} while (0)

#define DEFINE_SPANS(NR)                                                                        \
	static void score_span_##NR(const struct tiles *t, const float *qt, const float *k,     \
				    size_t k_row, uint32_t n, float *s)                         \
	{                                                                                       \
		FOR_TILES(TILE_KEYS(NR), n, SCORE_##NR);                                        \
	}                                                                                       \
	static void value_span_##NR(const struct tiles *t, const float *s, uint32_t n,          \
				    const float *v, size_t v_row, const float *alpha, float *o) \
	{                                                                                       \
		FOR_TILES(TILE_KEYS(NR), t->dim, VALUE_##NR);                                   \
	}
#define SCORE_CALL(MR, NR) score_tile(MR, NR, t, qt, k + at * k_row, k_row, s + (size_t)at * t->bq)
#define VALUE_CALL(MR, NR) value_tile(MR, NR, t, s, n, v + at, v_row, alpha, o + (size_t)at * t->bq)
#define SCORE_1(MR)	   SCORE_CALL(MR, 1)
#define SCORE_2(MR)	   SCORE_CALL(MR, 2)
#define SCORE_3(MR)	   SCORE_CALL(MR, 3)
#define SCORE_4(MR)	   SCORE_CALL(MR, 4)
#define VALUE_1(MR)	   VALUE_CALL(MR, 1)
#define VALUE_2(MR)	   VALUE_CALL(MR, 2)
#define VALUE_3(MR)	   VALUE_CALL(MR, 3)
#define VALUE_4(MR)	   VALUE_CALL(MR, 4)
DEFINE_SPANS(1)
DEFINE_SPANS(2)
DEFINE_SPANS(3)
DEFINE_SPANS(4)

/* Vectors c0..c1-1 of the block against n keys from j, at most SPAN_VECS at a time. */
static void scores(const struct tiles *t, uint32_t c0, uint32_t c1, const float *k, size_t k_row,
		   uint32_t j, uint32_t n)
{
	for (uint32_t c = c0, nr; c < c1; c += nr) {
		const float *qt = t->qt + c * VEC_LANES;
		float *s = t->st + (size_t)j * t->bq + c * VEC_LANES;

		nr = c1 - c < SPAN_VECS ? c1 - c : SPAN_VECS;
		if (nr == 4)
			score_span_4(t, qt, k + j * k_row, k_row, n, s);
		else if (nr == 3)
			score_span_3(t, qt, k + j * k_row, k_row, n, s);
		else if (nr == 2)
			score_span_2(t, qt, k + j * k_row, k_row, n, s);
		else
			score_span_1(t, qt, k + j * k_row, k_row, n, s);
	}
}

static void values(const struct tiles *t, uint32_t c0, uint32_t c1, const float *v, size_t v_row,
		   uint32_t j, uint32_t n, const float *alpha)
{
	for (uint32_t c = c0, nr; c < c1; c += nr) {
		const float *s = t->st + (size_t)j * t->bq + c * VEC_LANES;
		const float *f = alpha + c * VEC_LANES;
		float *o = t->ot + c * VEC_LANES;

		nr = c1 - c < SPAN_VECS ? c1 - c : SPAN_VECS;
		if (nr == 4)
			value_span_4(t, s, n, v + j * v_row, v_row, f, o);
		else if (nr == 3)
			value_span_3(t, s, n, v + j * v_row, v_row, f, o);
		else if (nr == 2)
			value_span_2(t, s, n, v + j * v_row, v_row, f, o);
		else
			value_span_1(t, s, n, v + j * v_row, v_row, f, o);
	}
}
