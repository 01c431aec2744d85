/* SPDX-License-Identifier: Apache-2.0 */
/* attention_mend.h: outputs that a hidden key's value made NaN, once more; by attention_flash.h. */

/*
 * The tiles weigh a key that a mask hides by 0, which is nothing unless its value is infinite or
 * NaN. To keep such keys out costs every call; to see afterwards that an output is NaN costs next
 * to none. Its maximum and sum are right, since hidden scores are replaced before they are used:
 * what is left to do is one pass over the keys that it sees.
 */

/* Sum of a square: NaN when any of it is. */
TILE vec square_sum(const vec r[VEC_LANES])
{
	vec s[VEC_LANES];

	memcpy(s, r, sizeof(s));
#pragma GCC unroll 8
	for (int n = VEC_LANES / 2; n; n /= 2)
#pragma GCC unroll 8
		for (int l = 0; l < n; l++)
			s[l] = vec_add(s[l], s[l + n]);
	return s[0];
}

static float mend_dot(const float *x, const float *y, uint32_t n)
{
	vec s = vec_zero();

	for (uint32_t d = 0; d < n; d += VEC_LANES) {
		const uint32_t m = n - d < VEC_LANES ? n - d : VEC_LANES;

		s = vec_fma(vec_load_first(x + d, m), vec_load_first(y + d, m), s);
	}
	return vec_sum(s);
}

/* Row i of head h, whose scores in base 2 have that maximum, and their exponentials that sum. */
static void mend_row(const struct attention *a, uint32_t h, uint32_t i, float max, float sum)
{
	const uint32_t kv = h / (a->heads / a->kv_heads), dim = a->head_dim;
	const float *q = a->q + h * a->q_head + i * a->q_row;
	const float *k = a->k + kv * a->k_head, *v = a->v + kv * a->v_head;
	float *o = a->out + h * a->o_head + i * a->o_row;
	uint32_t first, end;

	memset(o, 0, dim * sizeof(*o));
	attention_visible(a, i, &first, &end);
	for (uint32_t j = first; j < end && sum != 0; j++) {
		const float s = (float)(a->scale * LOG2E) * mend_dot(q, k + j * a->k_row, dim);
		const vec p = vec_splat(exp2f(s - max) / sum);

		for (uint32_t d = 0; d < dim; d += VEC_LANES) {
			const uint32_t m = dim - d < VEC_LANES ? dim - d : VEC_LANES;
			const vec x = vec_load_first(v + j * a->v_row + d, m);

			vec_store_first(o + d, vec_fma(p, x, vec_load_first(o + d, m)), m);
		}
	}
}

/* The rows of a span from row i of head h on. One whose sum is NaN is so by what it sees. */
static void mend_rows(const struct attention *a, const struct span *t, uint32_t h, uint32_t i,
		      uint32_t rows)
{
	for (uint32_t l = 0; l < rows; l++) {
		const float *o = a->out + h * a->o_head + (i + l) * a->o_row;
		bool bad = false;

		for (uint32_t d = 0; d < a->head_dim; d++)
			bad |= o[d] != o[d];
		if (bad && t->sum[l] == t->sum[l])
			mend_row(a, h, i + l, t->max[l], t->sum[l]);
	}
}
