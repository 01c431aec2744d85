/* SPDX-License-Identifier: Apache-2.0 */
/* attention_ref.c: the double-precision reference that every variant is compared with. */
#include "kernels/attention/attention.h"

#include <errno.h>
#include <math.h>

static void ref_row(const struct attention *a, uint32_t h, uint32_t i, double *p)
{
	uint32_t kv = h / (a->heads / a->kv_heads), first, n;
	const float *q = a->q + h * a->q_head + i * a->q_row;
	float *out = a->out + h * a->o_head + i * a->o_row;
	double max = -INFINITY, sum = 0;

	attention_visible(a, i, &first, &n);
	for (uint32_t j = first; j < n; j++) {
		const float *k = a->k + kv * a->k_head + j * a->k_row;

		p[j] = 0;
		for (uint32_t d = 0; d < a->head_dim; d++)
			p[j] += (double)q[d] * k[d];
		p[j] *= a->scale;
		max = p[j] > max ? p[j] : max;
	}
	if (max == -INFINITY)
		max = 0; /* no key, or all masked by -inf: every weight becomes 0 (NaN stays NaN) */
	for (uint32_t j = first; j < n; j++) {
		p[j] = exp(p[j] - max);
		sum += p[j];
	}
	for (uint32_t d = 0; d < a->head_dim; d++) {
		double o = 0;

		for (uint32_t j = first; j < n; j++)
			o += p[j] * a->v[kv * a->v_head + j * a->v_row + d];
		out[d] = sum == 0 ? 0 : (float)(o / sum);
	}
	if (a->lse)
		a->lse[(size_t)h * a->q_len + i] = (float)(max + log(sum));
	for (uint32_t j = 0; a->weights && i + 1 == a->q_len && j < a->kv_len; j++)
		a->weights[(size_t)h * a->kv_len + j] =
			j < first || j >= n || sum == 0 ? 0 : (float)(p[j] / sum);
}

int attention_ref(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	int err = attention_check(a);

	if (err)
		return err;
	if (!scratch || scratch_bytes < a->kv_len * sizeof(double))
		return -EINVAL;
	for (uint32_t h = 0; h < a->heads; h++)
		for (uint32_t i = 0; i < a->q_len; i++)
			ref_row(a, h, i, scratch);
	return 0;
}
