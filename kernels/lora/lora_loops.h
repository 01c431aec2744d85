/* SPDX-License-Identifier: Apache-2.0 */
/* lora_loops.h: micro-LoRA over the vec_* primitives of one ISA; included by lora_<isa>.c. */
#include <errno.h>

#define LOOP  static inline __attribute__((always_inline))
#define LANES ((uint32_t)VEC_LANES)

/*
 * Two loops do all the work, both over tiles whose shape is a constant where they are inlined:
 * `dots` hides the latency of FMA behind 8 sums or so, `expand` has its loads before its stores in
 * groups of 4 vectors or so, since the compiler must take them to overlap. A tile of FEW vectors x
 * reads the weights once for all of them. With 32 registers updates take MANY instead, and one
 * alone keeps KEPT vectors of x between its two uses.
 */
#ifdef LORA_WIDE
enum { FEW = 4, MANY = 8, KEPT = 16 };
#else
enum { FEW = 4, MANY = 4, KEPT = 0 };
LOOP void lora_sums(const int n, const vec *s, float *h)
{
#pragma GCC unroll 8
	for (int j = 0; j < n; j++)
		h[j] = vec_sum(s[j]);
}
#endif

/* h[x][m] = m . x, for `ms` rows of m and `xs` of x, rows m_row and x_row floats apart. */
LOOP void dots(const int ms, const int xs, const float *m, size_t m_row, const float *x,
	       size_t x_row, uint32_t n, float *h)
{
	const int unroll = ms * xs >= 8 ? 1 : ms * xs >= 4 ? 2 : 4;
	vec s[LORA_MAX_RANK * MANY][4], sum[LORA_MAX_RANK * MANY];
	size_t i = 0;

#pragma GCC unroll 16
	for (int j = 0; j < ms * xs; j++)
#pragma GCC unroll 8
		for (int u = 0; u < unroll; u++)
			s[j][u] = vec_zero();
	for (; i + (size_t)unroll * LANES <= n; i += (size_t)unroll * LANES) {
#pragma GCC unroll 8
		for (int u = 0; u < unroll; u++) {
#pragma GCC unroll 8
			for (int j = 0; j < xs; j++) {
				vec v = vec_loadu(x + (size_t)j * x_row + i + (size_t)u * LANES);

#pragma GCC unroll 2
				for (int r = 0; r < ms; r++)
					s[j * ms + r][u] = vec_fma(vec_loadu(m + (size_t)r * m_row +
									     i + (size_t)u * LANES),
								   v, s[j * ms + r][u]);
			}
		}
	}
	for (; i < n; i += LANES) {
		const uint32_t k = n - i < LANES ? (uint32_t)(n - i) : LANES;

#pragma GCC unroll 8
		for (int j = 0; j < xs; j++) {
			vec v = vec_load_first(x + (size_t)j * x_row + i, k);

#pragma GCC unroll 2
			for (int r = 0; r < ms; r++)
				s[j * ms + r][0] =
					vec_fma(vec_load_first(m + (size_t)r * m_row + i, k), v,
						s[j * ms + r][0]);
		}
	}
#pragma GCC unroll 16
	for (int j = 0; j < ms * xs; j++) {
#pragma GCC unroll 4
		for (int u = 2; u < unroll; u++)
			s[j][u - 2] = vec_add(s[j][u - 2], s[j][u]);
		sum[j] = unroll > 1 ? vec_add(s[j][0], s[j][1]) : s[j][0];
	}
	lora_sums(ms * xs, sum, h);
}

/* `blocks` vectors at i of each of `ys` rows of y; the last of them has k floats. */
LOOP void expand_block(const int ms, const int ys, const int blocks, const vec *f, const float *m,
		       size_t m_row, float *y, size_t y_row, size_t i, uint32_t k)
{
	vec v[MANY][4];

#pragma GCC unroll 4
	for (int u = 0; u < blocks; u++) {
		const size_t at = i + (size_t)u * LANES;
		const uint32_t n = u == blocks - 1 ? k : LANES;

#pragma GCC unroll 8
		for (int j = 0; j < ys; j++)
			v[j][u] = vec_load_first(y + (size_t)j * y_row + at, n);
#pragma GCC unroll 8
		for (int r = 0; r < ms; r++) {
			vec w = vec_load_first(m + (size_t)r * m_row + at, n);

#pragma GCC unroll 8
			for (int j = 0; j < ys; j++)
				v[j][u] = vec_fma(f[j * ms + r], w, v[j][u]);
		}
	}
#pragma GCC unroll 4
	for (int u = 0; u < blocks; u++)
#pragma GCC unroll 8
		for (int j = 0; j < ys; j++)
			vec_store_first(y + (size_t)j * y_row + i + (size_t)u * LANES, v[j][u],
					u == blocks - 1 ? k : LANES);
}

/* y[j][n] += sum over r of h[j][r] * m[r][n], for `ys` rows of y and `ms` of m. */
LOOP void expand(const int ms, const int ys, const float *h, const float *m, size_t m_row, float *y,
		 size_t y_row, uint32_t n)
{
	const int unroll = ys >= 4 ? 1 : ys >= 2 ? 2 : 4;
	vec f[MANY * LORA_MAX_RANK];
	size_t i = 0;

#pragma GCC unroll 16
	for (int j = 0; j < ms * ys; j++)
		f[j] = vec_splat(h[j]);
	for (; i + (size_t)unroll * LANES <= n; i += (size_t)unroll * LANES)
		expand_block(ms, ys, unroll, f, m, m_row, y, y_row, i, LANES);
	for (; i < n; i += LANES)
		expand_block(ms, ys, 1, f, m, m_row, y, y_row, i,
			     n - i < LANES ? (uint32_t)(n - i) : LANES);
}

LOOP void forward_tile(const int rank, const int rows, const struct lora *l, const float *x,
		       size_t x_row, float *y, size_t y_row)
{
	float h[MANY * LORA_MAX_RANK];

	dots(rank, rows, l->a, l->dim_in, x, x_row, l->dim_in, h);
#pragma GCC unroll 16
	for (int j = 0; j < rank * rows; j++)
		h[j] *= l->scale;
	expand(rank, rows, h, l->b, l->dim_out, y, y_row, l->dim_out);
}

LOOP void update_tile(const int rank, const int rows, const struct lora *l, const float *x,
		      size_t x_row, const float *grad_y, size_t grad_row, const float *weight,
		      struct lora_gradient *g)
{
	float h[MANY * LORA_MAX_RANK], e[MANY * LORA_MAX_RANK];
	float gb[MANY * LORA_MAX_RANK], ga[MANY * LORA_MAX_RANK];

	dots(rank, rows, l->a, l->dim_in, x, x_row, l->dim_in, h);
	dots(rank, rows, l->b, l->dim_out, grad_y, grad_row, l->dim_out, e);
#pragma GCC unroll 8
	for (int j = 0; j < rows; j++) {
#pragma GCC unroll 2
		for (int r = 0; r < rank; r++) {
			const float w = weight[j] * l->scale;

			gb[r * rows + j] = w * h[j * rank + r];
			ga[r * rows + j] = w * e[j * rank + r];
		}
	}
	expand(rows, rank, gb, grad_y, grad_row, g->b, l->dim_out, l->dim_out);
	expand(rows, rank, ga, x, x_row, g->a, l->dim_in, l->dim_in);
}

/* One signal of rank 1 and KEPT vectors of x, which are read once for both that they are for. */
LOOP void update_kept(const struct lora *l, const float *x, const float *grad_y, float weight,
		      struct lora_gradient *g)
{
	/* Vectors may alias all: what is stored would have these read again each time. */
	const float *a = l->a, w = weight * l->scale;
	float *ga = g->a, *gb = g->b;
	vec kept[KEPT + 1], s[4], f;
	float e, h;

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		s[i] = vec_zero();
	dots(1, 1, l->b, 0, grad_y, 0, l->dim_out, &e);
#pragma GCC unroll 16
	for (int i = 0; i < KEPT; i++) {
		kept[i] = vec_loadu(x + (size_t)i * LANES);
		VEC_KEEP(kept[i]); /* or it is loaded again */
		s[i % 4] = vec_fma(vec_loadu(a + (size_t)i * LANES), kept[i], s[i % 4]);
	}
	h = w * vec_sum(vec_add(vec_add(s[0], s[1]), vec_add(s[2], s[3])));
	f = vec_splat(w * e);
#pragma GCC unroll 4
	for (int i = 0; i < KEPT; i += 4) {
#pragma GCC unroll 4
		for (int u = i; u < i + 4; u++)
			kept[u] = vec_fma(f, kept[u], vec_loadu(ga + (size_t)u * LANES));
#pragma GCC unroll 4
		for (int u = i; u < i + 4; u++)
			vec_storeu(ga + (size_t)u * LANES, kept[u]);
	}
	expand(1, 1, &h, grad_y, 0, gb, 0, l->dim_out);
}

/* KEPT vectors and rank 1 with no loop whose end is to be guessed: there is no work to hide it. */
LOOP void forward_kept(const struct lora *l, const float *x, float *y)
{
	const float *a = l->a, *b = l->b;
	vec s[8], v[8], f;

#pragma GCC unroll 16
	for (int i = 0; i < KEPT; i++) {
		vec w = vec_loadu(a + (size_t)i * LANES), u = vec_loadu(x + (size_t)i * LANES);

		s[i % 8] = i < 8 ? vec_mul(w, u) : vec_fma(w, u, s[i % 8]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		s[i] = vec_add(s[i], s[i + 4]);
	s[0] = vec_add(vec_add(s[0], s[1]), vec_add(s[2], s[3]));
	f = vec_splat(l->scale * vec_sum(s[0]));
#pragma GCC unroll 2
	for (int i = 0; i < KEPT; i += 8) {
#pragma GCC unroll 8
		for (int u = 0; u < 8; u++)
			v[u] = vec_fma(f, vec_loadu(b + (size_t)(i + u) * LANES),
				       vec_loadu(y + (size_t)(i + u) * LANES));
#pragma GCC unroll 8
		for (int u = 0; u < 8; u++)
			vec_storeu(y + (size_t)(i + u) * LANES, v[u]);
	}
}

static __attribute__((noinline)) void forward_any(const struct lora *l, const float *x, float *y)
{
	if (l->rank == 1)
		forward_tile(1, 1, l, x, 0, y, 0);
	else
		forward_tile(2, 1, l, x, 0, y, 0);
}

/* Loops apart, for the sake of the registers that they would have a short call save. */
LOOP int lora_forward(const struct lora *l, const float *x, float *y)
{
	if (lora_check(l) || !x || !y)
		return -EINVAL;
	if (KEPT && l->rank == 1 && l->dim_in == KEPT * LANES && l->dim_out == KEPT * LANES)
		forward_kept(l, x, y);
	else
		forward_any(l, x, y);
	return 0;
}

LOOP int lora_update(const struct lora *l, const float *x, const float *grad_y, float weight,
		     struct lora_gradient *g)
{
	if (lora_check(l) || !x || !grad_y || !g || !g->a || !g->b)
		return -EINVAL;
	if (l->rank == 1 && KEPT && l->dim_in == KEPT * LANES)
		update_kept(l, x, grad_y, weight, g);
	else if (l->rank == 1)
		update_tile(1, 1, l, x, 0, grad_y, 0, &weight, g);
	else
		update_tile(2, 1, l, x, 0, grad_y, 0, &weight, g);
	g->count++;
	return 0;
}

LOOP void forward_rows(const int rank, const struct lora *l, const float *x, size_t x_row, float *y,
		       size_t y_row, uint32_t rows)
{
	size_t i = 0;

	for (; i + FEW <= rows; i += FEW)
		forward_tile(rank, FEW, l, x + i * x_row, x_row, y + i * y_row, y_row);
	for (; i < rows; i++)
		forward_tile(rank, 1, l, x + i * x_row, x_row, y + i * y_row, y_row);
}

LOOP int lora_forward_batch(const struct lora *l, const float *x, size_t x_row, float *y,
			    size_t y_row, uint32_t rows)
{
	if (lora_check(l) || !x || !y)
		return -EINVAL;
	if (rows > 1 && (x_row < l->dim_in || y_row < l->dim_out))
		return -EINVAL;
	if (l->rank == 1)
		forward_rows(1, l, x, x_row, y, y_row, rows);
	else
		forward_rows(2, l, x, x_row, y, y_row, rows);
	return 0;
}

LOOP void update_rows(const int rank, const struct lora *l, const float *x, size_t x_row,
		      const float *grad_y, size_t grad_row, const float *weight, uint32_t rows,
		      struct lora_gradient *g)
{
	size_t i = 0;

	for (; i + MANY <= rows; i += MANY)
		update_tile(rank, MANY, l, x + i * x_row, x_row, grad_y + i * grad_row, grad_row,
			    weight + i, g);
	for (; i < rows; i++)
		update_tile(rank, 1, l, x + i * x_row, x_row, grad_y + i * grad_row, grad_row,
			    weight + i, g);
}

LOOP int lora_update_batch(const struct lora *l, const float *x, size_t x_row, const float *grad_y,
			   size_t grad_row, const float *weight, uint32_t rows,
			   struct lora_gradient *g)
{
	if (lora_check(l) || !x || !grad_y || !weight || !g || !g->a || !g->b)
		return -EINVAL;
	if (rows > 1 && (x_row < l->dim_in || grad_row < l->dim_out))
		return -EINVAL;
	if (l->rank == 1)
		update_rows(1, l, x, x_row, grad_y, grad_row, weight, rows, g);
	else
		update_rows(2, l, x, x_row, grad_y, grad_row, weight, rows, g);
	g->count += rows;
	return 0;
}
