/* SPDX-License-Identifier: Apache-2.0 */
/* attention_weights.h: one query's row of attention weights over the vec_* primitives. */
#include <errno.h>
#include <math.h>
#include <string.h>

/* Four keys at once, so that their sums across lanes overlap. */
static void weights_dots(const struct attention *a, const float *q, const float *k, uint32_t n,
			 float scale, float *out)
{
	const uint32_t dim = a->head_dim;
	uint32_t j = 0;

	for (; j < n; j += 4) {
		uint32_t rows = n - j < 4 ? n - j : 4;
		vec s[4];

		for (int u = 0; u < 4; u++)
			s[u] = vec_zero();
		for (uint32_t d = 0; d < dim; d += VEC_LANES) {
			uint32_t m = dim - d < VEC_LANES ? dim - d : VEC_LANES;
			vec x = vec_load_first(q + d, m);

			for (uint32_t u = 0; u < 4; u++) {
				const float *row = k + (j + (u < rows ? u : 0)) * a->k_row;

				s[u] = vec_fma(x, vec_load_first(row + d, m), s[u]);
			}
		}
		for (uint32_t u = 0; u < rows; u++)
			out[j + u] = vec_sum(s[u]) * scale;
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
