/* SPDX-License-Identifier: Apache-2.0 */
/* lora_base_loops.h: base LoRA over the vec_* primitives; included by lora_base_<isa>.c. */
#include <errno.h>

#define LOOP  static inline __attribute__((always_inline))
#define LANES ((uint32_t)VEC_LANES)
#define PARTS (LORA_BASE_BLOCK / VEC_LANES) /* vectors of a block */

/*
 * One row passes 8 ranks at a time: what bounds it is the reading of the weights from L2. Several
 * rows pass three at a time against 4 ranks, 12 sums (or factors) in registers for 7 loads: what
 * bounds them is FMA.
 */
enum { TILE = 3 };

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

/* h[t][r] = m[r] . x[t], t < xs, r < ranks; blocks of m are `stride` floats apart. */
LOOP void project(const int ranks, const int xs, const float *m, size_t stride, const float *x,
		  size_t x_row, uint32_t n, float *h)
{
	vec s[LORA_BASE_GROUP < 4 * TILE ? 4 * TILE : LORA_BASE_GROUP];
	uint32_t i = 0;

#pragma GCC unroll 12
	for (int j = 0; j < ranks * xs; j++)
		s[j] = vec_zero();
	for (; i + LORA_BASE_BLOCK <= n; i += LORA_BASE_BLOCK, m += stride)
		project_block(ranks, xs, 1, m, x, x_row, n, i, s);
	if (i < n)
		project_block(ranks, xs, 0, m, x, x_row, n, i, s);
#pragma GCC unroll 4
	for (int t = 0; t < xs; t++)
#pragma GCC unroll 8
		for (int r = 0; r < ranks; r++)
			h[t * LORA_BASE_MAX_RANK + r] = vec_sum(s[t * ranks + r]);
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

/* All ranks of one matrix. What padding ranks give is 0 times x: made 0 also for an infinite x. */
LOOP void project_all(const int xs, const float *m, uint32_t rank, const float *x, size_t x_row,
		      uint32_t n, float *h)
{
	for (uint32_t r = 0; r < rank; r += LORA_BASE_GROUP) {
		const uint32_t width = group_width(rank, r);
		const size_t stride = (size_t)width * LORA_BASE_BLOCK;

		if (xs == 1 && width == LORA_BASE_GROUP) {
			project(LORA_BASE_GROUP, 1, m, stride, x, x_row, n, h + r);
		} else {
			project(4, xs, m, stride, x, x_row, n, h + r);
			if (width > 4)
				project(4, xs, m + 4ul * LORA_BASE_BLOCK, stride, x, x_row, n,
					h + r + 4);
		}
		m += group_floats(width, n);
	}
	for (int t = 0; t < xs; t++)
		for (uint32_t r = rank; r < LORA_BASE_MAX_RANK; r++)
			h[t * LORA_BASE_MAX_RANK + r] = 0;
}

LOOP void expand_all(const int ys, const float *m, uint32_t rank, const float *h, float *y,
		     size_t y_row, uint32_t n)
{
	for (uint32_t r = 0; r < rank; r += LORA_BASE_GROUP) {
		const uint32_t width = group_width(rank, r);
		const size_t stride = (size_t)width * LORA_BASE_BLOCK;

		if (ys == 1 && width == LORA_BASE_GROUP) {
			expand(LORA_BASE_GROUP, 1, m, stride, h + r, y, y_row, n);
		} else {
			expand(4, ys, m, stride, h + r, y, y_row, n);
			if (width > 4)
				expand(4, ys, m + 4ul * LORA_BASE_BLOCK, stride, h + r + 4, y,
				       y_row, n);
		}
		m += group_floats(width, n);
	}
}

LOOP void outer_all(const int xs, float *g, uint32_t rank, const float *h, const float *x,
		    size_t x_row, uint32_t n)
{
	for (uint32_t r = 0; r < rank; r += LORA_BASE_GROUP) {
		const uint32_t width = group_width(rank, r);
		const size_t stride = (size_t)width * LORA_BASE_BLOCK;

		outer(xs, g, stride, h + r, x, x_row, n);
		if (width > 4)
			outer(xs, g + 4ul * LORA_BASE_BLOCK, stride, h + r + 4, x, x_row, n);
		g += group_floats(width, n);
	}
}

LOOP void scale_all(const int xs, float *h, float by)
{
	for (int j = 0; j < xs * LORA_BASE_MAX_RANK; j++)
		h[j] *= by;
}

LOOP void forward_tile(const int rows, const struct lora_base *l, uint32_t layer, const float *x,
		       size_t x_row, float *y, size_t y_row)
{
	float h[TILE * LORA_BASE_MAX_RANK];

	project_all(rows, l->weights + lora_base_offset(l, layer, false), l->rank, x, x_row,
		    l->dim_in, h);
	scale_all(rows, h, l->scale);
	expand_all(rows, l->weights + lora_base_offset(l, layer, true), l->rank, h, y, y_row,
		   l->dim_out);
}

LOOP int base_forward(const struct lora_base *l, uint32_t layer, const float *x, size_t x_row,
		      float *y, size_t y_row, uint32_t rows)
{
	uint32_t i = 0;

	if (lora_base_check_forward(l, layer, x, x_row, y, y_row, rows))
		return -EINVAL;
	for (; i + TILE <= rows; i += TILE)
		forward_tile(TILE, l, layer, x + i * x_row, x_row, y + i * y_row, y_row);
	for (; i < rows; i++)
		forward_tile(1, l, layer, x + i * x_row, x_row, y + i * y_row, y_row);
	return 0;
}

LOOP void gradient_tile(const int rows, const struct lora_base *l, uint32_t layer,
			const struct lora_base_signal *s, uint32_t i, struct lora_base_gradient *g)
{
	const size_t at_a = lora_base_offset(l, layer, false);
	const size_t at_b = lora_base_offset(l, layer, true);
	const float *x = s->x + i * s->x_row, *grad = s->grad_y + i * s->y_row;
	float h[TILE * LORA_BASE_MAX_RANK], e[TILE * LORA_BASE_MAX_RANK];

	project_all(rows, l->weights + at_a, l->rank, x, s->x_row, l->dim_in, h);
	project_all(rows, l->weights + at_b, l->rank, grad, s->y_row, l->dim_out, e);
	scale_all(rows, h, s->weight * l->scale);
	scale_all(rows, e, l->scale);
	if (s->grad_x)
		expand_all(rows, l->weights + at_a, l->rank, e, s->grad_x + i * s->x_row, s->x_row,
			   l->dim_in);
	scale_all(rows, e, s->weight);
	outer_all(rows, g->weights + at_b, l->rank, h, grad, s->y_row, l->dim_out);
	outer_all(rows, g->weights + at_a, l->rank, e, x, s->x_row, l->dim_in);
}

LOOP int base_gradient(const struct lora_base *l, uint32_t layer, const struct lora_base_signal *s,
		       struct lora_base_gradient *g)
{
	uint32_t i = 0;

	if (lora_base_check_gradient(l, layer, s, g))
		return -EINVAL;
	for (; i + TILE <= s->rows; i += TILE)
		gradient_tile(TILE, l, layer, s, i, g);
	for (; i < s->rows; i++)
		gradient_tile(1, l, layer, s, i, g);
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
	const float *a;
	uint32_t o = 0;

	if (lora_base_check(l) || layer >= l->layers || !w || w_row < l->dim_in)
		return -EINVAL;
	a = l->weights + lora_base_offset(l, layer, false);
	for (; o + TILE <= l->dim_out; o += TILE) {
		for (uint32_t t = 0; t < TILE; t++)
			merge_factors(l, layer, times, o + t, h + t * LORA_BASE_MAX_RANK);
		expand_all(TILE, a, l->rank, h, w + o * w_row, w_row, l->dim_in);
	}
	for (; o < l->dim_out; o++) {
		merge_factors(l, layer, times, o, h);
		expand_all(1, a, l->rank, h, w + o * w_row, w_row, l->dim_in);
	}
	return 0;
}
