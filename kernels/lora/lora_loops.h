/* SPDX-License-Identifier: Apache-2.0 */
/* lora_loops.h: micro-LoRA over the vec_* primitives of one ISA; included by lora_<isa>.c. */
#include <errno.h>

#define LOOP  static inline __attribute__((always_inline))
#define LANES ((uint32_t)VEC_LANES)

/* h[r] = m[r] . x for `rank` rows at once, x read once; 4 sums a row hide the latency of FMA. */
LOOP void dots(const int rank, const float *m, const float *x, uint32_t n, float *h)
{
	vec s[LORA_MAX_RANK][4];
	uint32_t i = 0;

#pragma GCC unroll 2
	for (int r = 0; r < rank; r++)
#pragma GCC unroll 4
		for (int u = 0; u < 4; u++)
			s[r][u] = vec_zero();
	for (; i + 4 * LANES <= n; i += 4 * LANES) {
#pragma GCC unroll 4
		for (int u = 0; u < 4; u++) {
			vec v = vec_loadu(x + i + u * LANES);

#pragma GCC unroll 2
			for (int r = 0; r < rank; r++)
				s[r][u] = vec_fma(vec_loadu(m + (size_t)r * n + i + u * LANES), v,
						  s[r][u]);
		}
	}
	for (; i < n; i += LANES) {
		uint32_t k = n - i < LANES ? n - i : LANES;
		vec v = vec_load_first(x + i, k);

#pragma GCC unroll 2
		for (int r = 0; r < rank; r++)
			s[r][0] = vec_fma(vec_load_first(m + (size_t)r * n + i, k), v, s[r][0]);
	}
#pragma GCC unroll 2
	for (int r = 0; r < rank; r++)
		h[r] = vec_sum(vec_add(vec_add(s[r][0], s[r][1]), vec_add(s[r][2], s[r][3])));
}

/* y[n] += sum over r of h[r] * m[r], rows of m m_row floats apart. */
LOOP void axpys(const int rank, const float *h, const float *m, uint32_t m_row, float *y,
		uint32_t n)
{
	vec f[LORA_MAX_RANK];
	uint32_t i = 0;

#pragma GCC unroll 2
	for (int r = 0; r < rank; r++)
		f[r] = vec_splat(h[r]);
	for (; i + LANES <= n; i += LANES) {
		vec v = vec_loadu(y + i);

#pragma GCC unroll 2
		for (int r = 0; r < rank; r++)
			v = vec_fma(f[r], vec_loadu(m + (size_t)r * m_row + i), v);
		vec_storeu(y + i, v);
	}
	if (i < n) {
		vec v = vec_load_first(y + i, n - i);

#pragma GCC unroll 2
		for (int r = 0; r < rank; r++)
			v = vec_fma(f[r], vec_load_first(m + (size_t)r * m_row + i, n - i), v);
		vec_store_first(y + i, v, n - i);
	}
}

LOOP void forward_rank(const int rank, const struct lora *l, const float *x, float *y)
{
	float h[LORA_MAX_RANK];

	dots(rank, l->a, x, l->dim_in, h);
	for (int r = 0; r < rank; r++)
		h[r] *= l->scale;
	axpys(rank, h, l->b, l->dim_out, y, l->dim_out);
}

LOOP void update_rank(const int rank, const struct lora *l, const float *x, const float *grad_y,
		      float weight, struct lora_gradient *g)
{
	float h[LORA_MAX_RANK], e[LORA_MAX_RANK];
	const float w = weight * l->scale;

	dots(rank, l->a, x, l->dim_in, h);
	dots(rank, l->b, grad_y, l->dim_out, e);
	for (int r = 0; r < rank; r++) {
		h[r] *= w;
		e[r] *= w;
		axpys(1, h + r, grad_y, 0, g->b + (size_t)r * l->dim_out, l->dim_out);
		axpys(1, e + r, x, 0, g->a + (size_t)r * l->dim_in, l->dim_in);
	}
	g->count++;
}

LOOP int lora_forward(const struct lora *l, const float *x, float *y)
{
	if (lora_check(l) || !x || !y)
		return -EINVAL;
	if (l->rank == 1)
		forward_rank(1, l, x, y);
	else
		forward_rank(2, l, x, y);
	return 0;
}

LOOP int lora_update(const struct lora *l, const float *x, const float *grad_y, float weight,
		     struct lora_gradient *g)
{
	if (lora_check(l) || !x || !grad_y || !g || !g->a || !g->b)
		return -EINVAL;
	if (l->rank == 1)
		update_rank(1, l, x, grad_y, weight, g);
	else
		update_rank(2, l, x, grad_y, weight, g);
	return 0;
}
