/* SPDX-License-Identifier: Apache-2.0 */
/* attention_weights.h: one query's row of attention weights over the vec_* primitives. */
#include <errno.h>
#include <math.h>
#include <string.h>

/*
 * As many keys at once as there are lanes: their sums are turned round together, so that one comes
 * out in each lane, which costs a third of summing across lanes one by one.
 */
static void weights_dots(const struct attention *a, const float *q, const float *k, uint32_t n,
			 float scale, float *out)
{
	const uint32_t dim = a->head_dim, whole = dim / VEC_LANES * VEC_LANES;

	for (uint32_t j = 0; j < n; j += VEC_LANES) {
		const uint32_t rows = n - j < VEC_LANES ? n - j : VEC_LANES;
		const float *row[VEC_LANES];
		vec s[VEC_LANES];

#pragma GCC unroll 16
		for (uint32_t u = 0; u < VEC_LANES; u++) {
			row[u] = k + (j + (u < rows ? u : 0)) * a->k_row;
			s[u] = vec_zero();
		}
		for (uint32_t d = 0; d < whole; d += VEC_LANES) {
			const vec x = vec_loadu(q + d);

#pragma GCC unroll 16
			for (uint32_t u = 0; u < VEC_LANES; u++)
				s[u] = vec_fma(x, vec_loadu(row[u] + d), s[u]);
		}
		if (whole < dim) {
			const vec x = vec_load_first(q + whole, dim - whole);

			for (uint32_t u = 0; u < VEC_LANES; u++)
				s[u] = vec_fma(x, vec_load_first(row[u] + whole, dim - whole),
					       s[u]);
		}
		vec_transpose(s);
#pragma GCC unroll 16
		for (uint32_t u = 1; u < VEC_LANES; u++)
			s[0] = vec_add(s[0], s[u]);
		vec_store_first(out + j, vec_mul(s[0], vec_splat(scale)), rows);
	}
}

static void weights_softmax(float *w, uint32_t n)
{
	vec total = vec_zero(), inv;
	float max = -INFINITY;

	for (uint32_t j = 0; j < n; j++)
		max = w[j] > max ? w[j] : max;
	for (uint32_t j = 0; j < n; j += VEC_LANES) {
		uint32_t m = n - j < VEC_LANES ? n - j : VEC_LANES;
		vec p = vec_sub(vec_load_first(w + j, m), vec_splat(max == -INFINITY ? 0 : max));

		vec_store_first(w + j, vec_exp2(p), m);
		total = vec_add(total, vec_load_first(w + j, m));
	}
	inv = vec_div(vec_splat(1), vec_nonzero(vec_splat(vec_sum(total))));
	for (uint32_t j = 0; j < n; j += VEC_LANES) {
		uint32_t m = n - j < VEC_LANES ? n - j : VEC_LANES;

		vec_store_first(w + j, vec_mul(vec_load_first(w + j, m), inv), m);
	}
}

static inline int row_weights(const struct attention *a, uint32_t h, uint32_t i, float *w)
{
	uint32_t first, n;
	const float *k;

	if (attention_check(a) || h >= a->heads || i >= a->q_len || !w)
		return -EINVAL;
	attention_visible(a, i, &first, &n);
	k = a->k + h / (a->heads / a->kv_heads) * a->k_head + first * a->k_row;
	memset(w, 0, first * sizeof(*w));
	weights_dots(a, a->q + h * a->q_head + i * a->q_row, k, n - first,
		     (float)(a->scale * 1.44269504088896340736), w + first);
	weights_softmax(w + first, n - first);
	memset(w + n, 0, (size_t)(a->kv_len - n) * sizeof(*w));
	return 0;
}
