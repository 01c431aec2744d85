/* SPDX-License-Identifier: Apache-2.0 */
/* attention_tiles.h: flash and standard attention over the vec_* primitives of one ISA. */

/*
 * Included once by each attention_<isa>.c after its vec_<isa>.h; the file also says how many
 * vectors of queries (SPAN_VECS) and of keys (TILE_KEYS) its registers hold. Primitives used:
 *   vec, vec_zero, vec_splat(float), vec_load, vec_store (aligned), vec_load_first(p, n) and
 *   vec_store_first(p, v, n) (unaligned, first n lanes), vec_fma(a, b, c) = a * b + c, vec_add,
 *   vec_sub, vec_mul, vec_div, vec_max(a, b) (b when either is NaN), vec_exp2 (x <= 0),
 *   vec_keep_from(v, first): -inf in lanes below `first`, vec_fix_max(m): 0 where m is -inf,
 *   vec_nonzero(l): 1 where l is 0, vec_transpose(vec r[VEC_LANES]).
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

#define TILE		static inline __attribute__((always_inline))
#define MAX_VECS	(ATTENTION_MAX_BLOCK_Q / VEC_LANES)
#define MAX_TILE	14
#define LOG2E		1.44269504088896340736
#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))

struct tiles {
	float *qt, *ot; /* [dim][bq] */
	float *st;	/* [block_k][bq] */
	float *max, *sum, *alpha;
	uint32_t bq, vecs; /* row length of the above in floats, and vectors in use */
	uint32_t dim;
	uint32_t limit[MAX_VECS]; /* keys of this block that vector v sees, not decreasing in v */
	uint32_t seen[MAX_VECS];  /* keys that all its lanes see: from here to limit is masked */
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

/* Vectors of dim x rows floats, to and from the transposed block; absent rows are zeros. */
static void load_queries(struct tiles *t, const float *q, size_t q_row, uint32_t rows, float scale)
{
	vec r[VEC_LANES];

	for (uint32_t c = 0; c < t->vecs; c++) {
		for (uint32_t d = 0; d < t->dim; d += VEC_LANES) {
			uint32_t n = t->dim - d < VEC_LANES ? t->dim - d : VEC_LANES;

			for (uint32_t l = 0; l < VEC_LANES; l++) {
				uint32_t row = c * VEC_LANES + l;

				r[l] = row < rows ? vec_mul(vec_load_first(q + row * q_row + d, n),
							    vec_splat(scale))
						  : vec_zero();
			}
			vec_transpose(r);
			for (uint32_t l = 0; l < n; l++)
				vec_store(t->qt + (size_t)(d + l) * t->bq + c * VEC_LANES, r[l]);
		}
	}
}

static void store_output(const struct tiles *t, float *o, size_t o_row, uint32_t rows)
{
	vec r[VEC_LANES];

	for (uint32_t c = 0; c < t->vecs; c++) {
		vec l = vec_load(t->sum + c * VEC_LANES);
		vec inv = vec_div(vec_splat(1), vec_nonzero(l));

		for (uint32_t d = 0; d < t->dim; d += VEC_LANES) {
			uint32_t n = t->dim - d < VEC_LANES ? t->dim - d : VEC_LANES;

			for (uint32_t i = 0; i < VEC_LANES; i++)
				r[i] = i < n ? vec_mul(inv,
						       vec_load(t->ot + (size_t)(d + i) * t->bq +
								c * VEC_LANES))
					     : vec_zero();
			vec_transpose(r);
			for (uint32_t i = 0; i < VEC_LANES && c * VEC_LANES + i < rows; i++)
				vec_store_first(o + (c * VEC_LANES + i) * o_row + d, r[i], n);
		}
	}
}

/* How many of n keys from jb each vector of queries from i0 sees; offset = kv_len - q_len. */
static void set_limits(struct tiles *t, bool causal, int64_t i0, int64_t offset, int64_t jb,
		       uint32_t n)
{
	for (uint32_t c = 0; c < t->vecs; c++) {
		int64_t first = i0 + c * VEC_LANES + offset + 1 - jb;
		int64_t last = first + VEC_LANES - 1;

		t->seen[c] = !causal || first > n ? n : first < 0 ? 0 : (uint32_t)first;
		t->limit[c] = !causal || last > n ? n : last < 0 ? 0 : (uint32_t)last;
	}
}

/* Key `seen + x` is hidden from the lanes below it. */
static void mask_scores(const struct tiles *t, int64_t i0, int64_t offset, int64_t jb)
{
	for (uint32_t c = 0; c < t->vecs; c++) {
		for (uint32_t j = t->seen[c]; j < t->limit[c]; j++) {
			float *s = t->st + (size_t)j * t->bq + c * VEC_LANES;
			int64_t first = jb + j - (i0 + c * VEC_LANES + offset);

			vec_store(s, vec_keep_from(vec_load(s), (uint32_t)first));
		}
	}
}

static void softmax_block(struct tiles *t)
{
	for (uint32_t c = 0; c < t->vecs; c++) {
		float *s = t->st + c * VEC_LANES;
		const uint32_t n = t->limit[c];
		const size_t bq = t->bq;
		vec old = vec_load(t->max + c * VEC_LANES), m = old, m1 = old;
		vec l0 = vec_zero(), l1 = vec_zero(), alpha;
		uint32_t j;

		for (j = 0; j + 2 <= n; j += 2) {
			m = vec_max(m, vec_load(s + j * bq));
			m1 = vec_max(m1, vec_load(s + (j + 1) * bq));
		}
		if (j < n)
			m = vec_max(m, vec_load(s + j * bq));
		m = vec_max(m, m1);
		vec_store(t->max + c * VEC_LANES, m);
		m = vec_fix_max(m);
		alpha = vec_exp2(vec_sub(old, m));
		for (j = 0; j + 2 <= n; j += 2) {
			vec p0 = vec_exp2(vec_sub(vec_load(s + j * bq), m));
			vec p1 = vec_exp2(vec_sub(vec_load(s + (j + 1) * bq), m));

			vec_store(s + j * bq, p0);
			vec_store(s + (j + 1) * bq, p1);
			l0 = vec_add(l0, p0);
			l1 = vec_add(l1, p1);
		}
		if (j < n) {
			vec p0 = vec_exp2(vec_sub(vec_load(s + j * bq), m));

			vec_store(s + j * bq, p0);
			l0 = vec_add(l0, p0);
		}
		vec_store(t->alpha + c * VEC_LANES, alpha);
		l0 = vec_add(l0, l1);
		vec_store(t->sum + c * VEC_LANES,
			  vec_fma(vec_load(t->sum + c * VEC_LANES), alpha, l0));
	}
}

/*
 * Keys in segments: on the diagonal the vectors of earlier queries drop out one by one, so work is
 * skipped a vector (not a block) at a time. The first segment holds every vector still in play, so
 * it alone rescales O.
 */
static void scores_block(const struct tiles *t, const float *k, size_t k_row)
{
	for (uint32_t c = 0, j = 0; c < t->vecs; j = t->limit[c++])
		if (t->limit[c] > j)
			scores(t, c, t->vecs, k, k_row, j, t->limit[c] - j);
}

static void values_block(const struct tiles *t, const float *v, size_t v_row, const float *ones)
{
	const float *alpha = t->alpha;

	for (uint32_t c = 0, j = 0; c < t->vecs; j = t->limit[c++]) {
		if (t->limit[c] <= j)
			continue;
		values(t, c, t->vecs, v, v_row, j, t->limit[c] - j, alpha);
		alpha = ones;
	}
}

static void tiles_init(struct tiles *t, const struct attention *a, float *mem, uint32_t bq)
{
	size_t dim = ROUND_UP(a->head_dim, 16);

	t->bq = bq;
	t->dim = a->head_dim;
	t->qt = mem;
	t->ot = t->qt + dim * bq;
	t->max = t->ot + dim * bq;
	t->sum = t->max + bq;
	t->alpha = t->sum + bq;
	t->st = t->alpha + 2 * bq; /* a vector of ones follows alpha */
	for (uint32_t i = 0; i < bq; i++)
		t->alpha[bq + i] = 1;
}

static void tiles_start(struct tiles *t, const struct attention *a, uint32_t h, uint32_t i0,
			uint32_t rows)
{
	t->vecs = (rows + VEC_LANES - 1) / VEC_LANES;
	load_queries(t, a->q + h * a->q_head + i0 * a->q_row, a->q_row, rows,
		     (float)(a->scale * LOG2E));
	memset(t->ot, 0, (size_t)t->dim * t->bq * sizeof(float));
	memset(t->sum, 0, t->bq * sizeof(float));
	for (uint32_t i = 0; i < t->bq; i++)
		t->max[i] = -INFINITY;
}

static void flash_rows(struct tiles *t, const struct attention *a, uint32_t h, uint32_t i0,
		       uint32_t rows, uint32_t block_k)
{
	const uint32_t kv = h / (a->heads / a->kv_heads);
	const int64_t offset = (int64_t)a->kv_len - a->q_len;
	int64_t end = a->causal ? (int64_t)i0 + rows + offset : a->kv_len;

	tiles_start(t, a, h, i0, rows);
	for (int64_t jb = 0; jb < end; jb += block_k) {
		uint32_t n = end - jb < block_k ? (uint32_t)(end - jb) : block_k;

		set_limits(t, a->causal, i0, offset, jb, n);
		scores_block(t, a->k + kv * a->k_head + jb * a->k_row, a->k_row);
		mask_scores(t, i0, offset, jb);
		softmax_block(t);
		values_block(t, a->v + kv * a->v_head + jb * a->v_row, a->v_row, t->alpha + t->bq);
	}
	store_output(t, a->out + h * a->o_head + i0 * a->o_row, a->o_row, rows);
}

TILE int flash(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	uint32_t block_q, block_k;
	struct tiles t;
	int err = attention_check(a);

	if (err)
		return err;
	if (!scratch || (uintptr_t)scratch % ATTENTION_ALIGN ||
	    scratch_bytes < attention_flash_scratch(a))
		return -EINVAL;
	attention_blocks(a, &block_q, &block_k);
	tiles_init(&t, a, scratch, block_q);
	for (uint32_t h = 0; h < a->heads; h++)
		for (uint32_t i = 0; i < a->q_len; i += block_q)
			flash_rows(&t, a, h, i, a->q_len - i < block_q ? a->q_len - i : block_q,
				   block_k);
	return 0;
}

/*
 * The standard kernel: the same tiles, but the whole S x S of a head is written, then softmaxed,
 * then multiplied: three passes over memory. It is what flash is compared with, fairly.
 */
static void standard_head(struct tiles *t, const struct attention *a, uint32_t h, float *sums)
{
	const uint32_t kv = h / (a->heads / a->kv_heads), bq = t->bq;
	const int64_t offset = (int64_t)a->kv_len - a->q_len;
	struct tiles b = *t;

	for (int pass = 0; pass < 3; pass++) {
		for (uint32_t i = 0; i < a->q_len; i += bq) {
			uint32_t rows = a->q_len - i < bq ? a->q_len - i : bq;
			int64_t end = a->causal ? (int64_t)i + rows + offset : a->kv_len;

			b.st = t->st + (size_t)i * a->kv_len;
			b.sum = sums + i;
			b.vecs = (rows + VEC_LANES - 1) / VEC_LANES;
			set_limits(&b, a->causal, i, offset, 0, end < 0 ? 0 : (uint32_t)end);
			if (pass == 0) {
				tiles_start(&b, a, h, i, rows);
				scores_block(&b, a->k + kv * a->k_head, a->k_row);
				mask_scores(&b, i, offset, 0);
			} else if (pass == 1) {
				for (uint32_t l = 0; l < bq; l++)
					b.max[l] = -INFINITY;
				softmax_block(&b);
			} else {
				memset(b.ot, 0, (size_t)b.dim * bq * sizeof(float));
				values_block(&b, a->v + kv * a->v_head, a->v_row, b.alpha + bq);
				store_output(&b, a->out + h * a->o_head + i * a->o_row, a->o_row,
					     rows);
			}
		}
	}
}

TILE int standard(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	struct tiles t;
	float *sums;
	int err = attention_check(a);

	if (err)
		return err;
	if (!scratch || (uintptr_t)scratch % ATTENTION_ALIGN ||
	    scratch_bytes < attention_standard_scratch(a))
		return -EINVAL;
	tiles_init(&t, a, scratch, ATTENTION_MAX_BLOCK_Q);
	sums = t.st + ROUND_UP(a->q_len, ATTENTION_MAX_BLOCK_Q) * (size_t)a->kv_len;
	for (uint32_t h = 0; h < a->heads; h++)
		standard_head(&t, a, h, sums);
	return 0;
}
