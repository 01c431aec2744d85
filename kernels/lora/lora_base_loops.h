/* SPDX-License-Identifier: Apache-2.0 */
/* lora_base_loops.h: base LoRA over the vec_* primitives; included by lora_base_<isa>.c. */
#include <errno.h>
#include <string.h>

#define LOOP  static inline __attribute__((always_inline))
#define LANES ((uint32_t)VEC_LANES)
#define PARTS (LORA_BASE_BLOCK / VEC_LANES) /* vectors of a block */

/*
 * One row passes 8 ranks at a time: what bounds it is the reading of the weights from L2. Several
 * rows pass three at a time against 4 ranks, 12 sums (or factors) in registers for 7 loads, or four
 * where there are 32 registers: what bounds them is FMA. For that, so many columns that their
 * weights (or gradients) are CHUNK floats stay in half of the L1 cache while MOST rows pass.
 */
#ifndef LORA_BASE_TILE
#define LORA_BASE_TILE 3
#endif
enum { TILE = LORA_BASE_TILE, CHUNK = 4096, MOST = 16 * TILE };

/* h[j] = sum of s[j]'s lanes. */
#ifndef LORA_BASE_SUMS
#define LORA_BASE_SUMS each_sum
LOOP void each_sum(const int n, const vec *s, float *h)
{
#pragma GCC unroll 16
	for (int j = 0; j < n; j++)
		h[j] = vec_sum(s[j]);
}
#endif

/* Floats of x from i on that belong to part v of a block; 0 when it is beyond the end. */
LOOP uint32_t part_floats(uint32_t n, uint32_t i, uint32_t v)
{
	const uint32_t at = i + v * LANES;

	return at >= n ? 0 : n - at < LANES ? n - at : LANES;
}

LOOP vec load_part(const float *x, uint32_t k)
{
	return k ? vec_load_first(x, k) : vec_zero();
}

/*
 * Sums of one block: s[t][r] += m[r] . x[t], of `xs` rows and `ranks` of m that lie in order;
 * `whole` is false for a last block, whose columns beyond n are not read.
 */
LOOP void project_block(const int ranks, const int xs, const int whole, const float *m,
			const float *x, size_t x_row, uint32_t n, uint32_t i, vec *s)
{
#pragma GCC unroll 4
	for (uint32_t v = 0; v < PARTS; v++) {
		vec in[TILE];

#pragma GCC unroll 4
		for (int t = 0; t < xs; t++) {
			const float *p = x + (size_t)t * x_row + i + v * LANES;

			in[t] = whole ? vec_loadu(p) : load_part(p, part_floats(n, i, v));
		}
#pragma GCC unroll 8
		for (int r = 0; r < ranks; r++) {
			vec w = vec_loadu(m + r * LORA_BASE_BLOCK + v * LANES);

#pragma GCC unroll 4
			for (int t = 0; t < xs; t++)
				s[t * ranks + r] = vec_fma(w, in[t], s[t * ranks + r]);
		}
	}
}

/* h[t][r] += m[r] . x[t], t < xs, r < ranks; blocks of m are `stride` floats apart. */
LOOP void project(const int ranks, const int xs, const float *m, size_t stride, const float *x,
		  size_t x_row, uint32_t n, float *h)
{
	vec s[LORA_BASE_GROUP < 4 * TILE ? 4 * TILE : LORA_BASE_GROUP];
	float sum[4 * TILE < LORA_BASE_GROUP ? LORA_BASE_GROUP : 4 * TILE];
	uint32_t i = 0;

#pragma GCC unroll 16
	for (int j = 0; j < ranks * xs; j++)
		s[j] = vec_zero();
	for (; i + LORA_BASE_BLOCK <= n; i += LORA_BASE_BLOCK, m += stride)
		project_block(ranks, xs, 1, m, x, x_row, n, i, s);
	if (i < n)
		project_block(ranks, xs, 0, m, x, x_row, n, i, s);
	LORA_BASE_SUMS(ranks * xs, s, sum);
#pragma GCC unroll 4
	for (int t = 0; t < xs; t++)
#pragma GCC unroll 8
		for (int r = 0; r < ranks; r++)
			h[t * LORA_BASE_MAX_RANK + r] += sum[t * ranks + r];
}

LOOP void expand_block(const int ranks, const int ys, const int whole, const vec *f, const float *m,
		       float *y, size_t y_row, uint32_t n, uint32_t i)
{
	vec out[TILE][PARTS];

#pragma GCC unroll 4
	for (uint32_t v = 0; v < PARTS; v++) {
#pragma GCC unroll 4
		for (int t = 0; t < ys; t++) {
			const float *p = y + (size_t)t * y_row + i + v * LANES;

			out[t][v] = whole ? vec_loadu(p) : load_part(p, part_floats(n, i, v));
		}
#pragma GCC unroll 8
		for (int r = 0; r < ranks; r++) {
			vec w = vec_loadu(m + r * LORA_BASE_BLOCK + v * LANES);

#pragma GCC unroll 4
			for (int t = 0; t < ys; t++)
				out[t][v] = vec_fma(f[t * ranks + r], w, out[t][v]);
		}
	}
#pragma GCC unroll 4
	for (uint32_t v = 0; v < PARTS; v++) {
		const uint32_t k = whole ? LANES : part_floats(n, i, v);

#pragma GCC unroll 4
		for (int t = 0; t < ys; t++)
			if (k)
				vec_store_first(y + (size_t)t * y_row + i + v * LANES, out[t][v],
						k);
	}
}

/* y[t] += sum over r of h[t][r] m[r]. */
LOOP void expand(const int ranks, const int ys, const float *m, size_t stride, const float *h,
		 float *y, size_t y_row, uint32_t n)
{
	vec f[LORA_BASE_GROUP < 4 * TILE ? 4 * TILE : LORA_BASE_GROUP];
	uint32_t i = 0;

#pragma GCC unroll 4
	for (int t = 0; t < ys; t++)
#pragma GCC unroll 8
		for (int r = 0; r < ranks; r++)
			f[t * ranks + r] = vec_splat(h[t * LORA_BASE_MAX_RANK + r]);
	for (; i + LORA_BASE_BLOCK <= n; i += LORA_BASE_BLOCK, m += stride)
		expand_block(ranks, ys, 1, f, m, y, y_row, n, i);
	if (i < n)
		expand_block(ranks, ys, 0, f, m, y, y_row, n, i);
}

LOOP void outer_block(const int xs, const int whole, const vec *f, const float *x, size_t x_row,
		      float *g, uint32_t n, uint32_t i)
{
#pragma GCC unroll 4
	for (uint32_t v = 0; v < PARTS; v++) {
		vec in[TILE], to[4];

#pragma GCC unroll 4
		for (int t = 0; t < xs; t++) {
			const float *p = x + (size_t)t * x_row + i + v * LANES;

			in[t] = whole ? vec_loadu(p) : load_part(p, part_floats(n, i, v));
		}
#pragma GCC unroll 4
		for (int r = 0; r < 4; r++) {
			to[r] = vec_loadu(g + r * LORA_BASE_BLOCK + v * LANES);
#pragma GCC unroll 4
			for (int t = 0; t < xs; t++)
				to[r] = vec_fma(f[t * 4 + r], in[t], to[r]);
		}
#pragma GCC unroll 4
		for (int r = 0; r < 4; r++)
			vec_storeu(g + r * LORA_BASE_BLOCK + v * LANES, to[r]);
	}
}

/* g[r] += sum over t of h[t][r] x[t], for 4 ranks; columns beyond n get 0. */
LOOP void outer(const int xs, float *g, size_t stride, const float *h, const float *x, size_t x_row,
		uint32_t n)
{
	vec f[4 * TILE];
	uint32_t i = 0;

#pragma GCC unroll 4
	for (int t = 0; t < xs; t++)
#pragma GCC unroll 4
		for (int r = 0; r < 4; r++)
			f[t * 4 + r] = vec_splat(h[t * LORA_BASE_MAX_RANK + r]);
	for (; i + LORA_BASE_BLOCK <= n; i += LORA_BASE_BLOCK, g += stride)
		outer_block(xs, 1, f, x, x_row, g, n, i);
	if (i < n)
		outer_block(xs, 0, f, x, x_row, g, n, i);
}

LOOP uint32_t group_width(uint32_t rank, uint32_t r)
{
	return rank - r > 4 ? LORA_BASE_GROUP : 4;
}

LOOP size_t group_floats(uint32_t width, uint32_t n)
{
	return (size_t)width * ((n + LORA_BASE_BLOCK - 1) / LORA_BASE_BLOCK) * LORA_BASE_BLOCK;
}

/* All ranks of one matrix, n columns wide, by the columns of `part` of it. */
struct columns {
	uint32_t from, count;
};

LOOP void project_all(const int xs, const float *m, uint32_t rank, const float *x, size_t x_row,
		      uint32_t n, struct columns part, float *h)
{
	for (uint32_t r = 0; r < rank; r += LORA_BASE_GROUP) {
		const uint32_t width = group_width(rank, r);
		const size_t stride = (size_t)width * LORA_BASE_BLOCK;
		const float *at = m + (size_t)part.from * width, *in = x + part.from;

		if (xs == 1 && width == LORA_BASE_GROUP) {
			project(LORA_BASE_GROUP, 1, at, stride, in, x_row, part.count, h + r);
		} else {
			project(4, xs, at, stride, in, x_row, part.count, h + r);
			if (width > 4)
				project(4, xs, at + 4ul * LORA_BASE_BLOCK, stride, in, x_row,
					part.count, h + r + 4);
		}
		m += group_floats(width, n);
	}
}

LOOP void expand_all(const int ys, const float *m, uint32_t rank, const float *h, float *y,
		     size_t y_row, uint32_t n, struct columns part)
{
	for (uint32_t r = 0; r < rank; r += LORA_BASE_GROUP) {
		const uint32_t width = group_width(rank, r);
		const size_t stride = (size_t)width * LORA_BASE_BLOCK;
		const float *at = m + (size_t)part.from * width;
		float *out = y + part.from;

		if (ys == 1 && width == LORA_BASE_GROUP) {
			expand(LORA_BASE_GROUP, 1, at, stride, h + r, out, y_row, part.count);
		} else {
			expand(4, ys, at, stride, h + r, out, y_row, part.count);
			if (width > 4)
				expand(4, ys, at + 4ul * LORA_BASE_BLOCK, stride, h + r + 4, out,
				       y_row, part.count);
		}
		m += group_floats(width, n);
	}
}

LOOP void outer_all(const int xs, float *g, uint32_t rank, const float *h, const float *x,
		    size_t x_row, uint32_t n, struct columns part)
{
	for (uint32_t r = 0; r < rank; r += LORA_BASE_GROUP) {
		const uint32_t width = group_width(rank, r);
		const size_t stride = (size_t)width * LORA_BASE_BLOCK;
		float *at = g + (size_t)part.from * width;
		const float *in = x + part.from;

		outer(xs, at, stride, h + r, in, x_row, part.count);
		if (width > 4)
			outer(xs, at + 4ul * LORA_BASE_BLOCK, stride, h + r + 4, in, x_row,
			      part.count);
		g += group_floats(width, n);
	}
}

/* The next columns for so many rows; false past the last of n. */
LOOP bool next_columns(struct columns *part, uint32_t n, uint32_t rank, uint32_t rows)
{
	const uint32_t left = n - part->from - part->count, most = CHUNK / ((rank + 3) / 4 * 4);

	part->from += part->count;
	part->count = rows > TILE && left > most ? most / LORA_BASE_BLOCK * LORA_BASE_BLOCK : left;
	return left;
}

/*
 * The three by rows: h[i] of up to MOST. What padding ranks give is 0 times x: made 0 also for an
 * infinite x.
 */
LOOP void project_rows(const float *m, uint32_t rank, const float *x, size_t x_row, uint32_t n,
		       uint32_t rows, float *h)
{
	struct columns part = {0, 0};

	memset(h, 0, rows * LORA_BASE_MAX_RANK * sizeof(*h));
	while (next_columns(&part, n, rank, rows)) {
		uint32_t i = 0;

		for (; i + TILE <= rows; i += TILE)
			project_all(TILE, m, rank, x + i * x_row, x_row, n, part,
				    h + i * LORA_BASE_MAX_RANK);
		for (; i < rows; i++)
			project_all(1, m, rank, x + i * x_row, x_row, n, part,
				    h + i * LORA_BASE_MAX_RANK);
	}
	for (uint32_t i = 0; i < rows; i++)
		for (uint32_t r = rank; r < LORA_BASE_MAX_RANK; r++)
			h[i * LORA_BASE_MAX_RANK + r] = 0;
}

LOOP void expand_rows(const float *m, uint32_t rank, const float *h, float *y, size_t y_row,
		      uint32_t n, uint32_t rows)
{
	struct columns part = {0, 0};

	while (next_columns(&part, n, rank, rows)) {
		uint32_t i = 0;

		for (; i + TILE <= rows; i += TILE)
			expand_all(TILE, m, rank, h + i * LORA_BASE_MAX_RANK, y + i * y_row, y_row,
				   n, part);
		for (; i < rows; i++)
			expand_all(1, m, rank, h + i * LORA_BASE_MAX_RANK, y + i * y_row, y_row, n,
				   part);
	}
}

LOOP void outer_rows(float *g, uint32_t rank, const float *h, const float *x, size_t x_row,
		     uint32_t n, uint32_t rows)
{
	struct columns part = {0, 0};

	while (next_columns(&part, n, rank, rows)) {
		uint32_t i = 0;

		for (; i + TILE <= rows; i += TILE)
			outer_all(TILE, g, rank, h + i * LORA_BASE_MAX_RANK, x + i * x_row, x_row,
				  n, part);
		for (; i < rows; i++)
			outer_all(1, g, rank, h + i * LORA_BASE_MAX_RANK, x + i * x_row, x_row, n,
				  part);
	}
}

LOOP void scale_rows(uint32_t rows, float *h, float by)
{
	for (uint32_t j = 0; j < rows * LORA_BASE_MAX_RANK; j++)
		h[j] *= by;
}

LOOP void forward_rows(const struct lora_base *l, uint32_t layer, const float *x, size_t x_row,
		       float *y, size_t y_row, const uint32_t rows)
{
	float h[MOST * LORA_BASE_MAX_RANK];

	project_rows(l->weights + lora_base_offset(l, layer, false), l->rank, x, x_row, l->dim_in,
		     rows, h);
	scale_rows(rows, h, l->scale);
	expand_rows(l->weights + lora_base_offset(l, layer, true), l->rank, h, y, y_row, l->dim_out,
		    rows);
}

LOOP int base_forward(const struct lora_base *l, uint32_t layer, const float *x, size_t x_row,
		      float *y, size_t y_row, uint32_t rows)
{
	if (lora_base_check_forward(l, layer, x, x_row, y, y_row, rows))
		return -EINVAL;
	if (rows == 1) /* what a request asks for: the loops over rows are not there */
		forward_rows(l, layer, x, x_row, y, y_row, 1);
	else
		for (uint32_t i = 0; i < rows; i += MOST)
			forward_rows(l, layer, x + i * x_row, x_row, y + i * y_row, y_row,
				     rows - i < MOST ? rows - i : MOST);
	return 0;
}

/* Rows i..i+n-1 of the signal, n <= MOST. */
LOOP void gradient_rows(const struct lora_base *l, uint32_t layer, const struct lora_base_signal *s,
			uint32_t i, const uint32_t n, struct lora_base_gradient *g)
{
	const size_t at_a = lora_base_offset(l, layer, false);
	const size_t at_b = lora_base_offset(l, layer, true);
	const float *x = s->x + i * s->x_row, *grad = s->grad_y + i * s->y_row;
	float h[MOST * LORA_BASE_MAX_RANK], e[MOST * LORA_BASE_MAX_RANK];

	project_rows(l->weights + at_a, l->rank, x, s->x_row, l->dim_in, n, h);
	project_rows(l->weights + at_b, l->rank, grad, s->y_row, l->dim_out, n, e);
	scale_rows(n, h, s->weight * l->scale);
	scale_rows(n, e, l->scale);
	if (s->grad_x)
		expand_rows(l->weights + at_a, l->rank, e, s->grad_x + i * s->x_row, s->x_row,
			    l->dim_in, n);
	scale_rows(n, e, s->weight);
	outer_rows(g->weights + at_b, l->rank, h, grad, s->y_row, l->dim_out, n);
	outer_rows(g->weights + at_a, l->rank, e, x, s->x_row, l->dim_in, n);
}

LOOP int base_gradient(const struct lora_base *l, uint32_t layer, const struct lora_base_signal *s,
		       struct lora_base_gradient *g)
{
	if (lora_base_check_gradient(l, layer, s, g))
		return -EINVAL;
	if (s->rows == 1)
		gradient_rows(l, layer, s, 0, 1, g);
	else
		for (uint32_t i = 0; i < s->rows; i += MOST)
			gradient_rows(l, layer, s, i, s->rows - i < MOST ? s->rows - i : MOST, g);
	g->count[layer] += s->rows;
	return 0;
}

/* Column o of B, as the factors of A's rows in row o of the product. */
LOOP void merge_factors(const struct lora_base *l, uint32_t layer, float times, uint32_t o,
			float *h)
{
	for (uint32_t r = 0; r < LORA_BASE_MAX_RANK; r++)
		h[r] = r < l->rank ? times * l->scale *
					     l->weights[lora_base_index(l, layer, true, r, o)]
				   : 0;
}

LOOP int base_merge(const struct lora_base *l, uint32_t layer, float times, float *w, size_t w_row)
{
	float h[TILE * LORA_BASE_MAX_RANK];
	struct columns all = {0, 0};
	const float *a;
	uint32_t o = 0;

	if (lora_base_check(l) || layer >= l->layers || !w || w_row < l->dim_in)
		return -EINVAL;
	all.count = l->dim_in;
	a = l->weights + lora_base_offset(l, layer, false);
	for (; o + TILE <= l->dim_out; o += TILE) {
		for (uint32_t t = 0; t < TILE; t++)
			merge_factors(l, layer, times, o + t, h + t * LORA_BASE_MAX_RANK);
		expand_all(TILE, a, l->rank, h, w + o * w_row, w_row, l->dim_in, all);
	}
	for (; o < l->dim_out; o++) {
		merge_factors(l, layer, times, o, h);
		expand_all(1, a, l->rank, h, w + o * w_row, w_row, l->dim_in, all);
	}
	return 0;
}
