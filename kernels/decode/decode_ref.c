/* SPDX-License-Identifier: Apache-2.0 */
/* decode_ref.c: the double-precision reference that every variant is compared with. */
#include "kernels/decode/decode_state.h"

#include <math.h>

static double logit(const struct decode *d, const float *q, uint32_t g, uint32_t j)
{
	float row[DECODE_MAX_DIM], scale;
	const void *k = kv_key(&d->kv, g, j, &scale);
	double s = 0;

	/* Codes and their scale apart: their product would be rounded to f32. */
	kv_load_row(d->kv.type, k, 1, d->head_dim, row);
	for (uint32_t c = 0; c < d->head_dim; c++)
		s += (double)q[c] * row[c];
	return s * scale * d->scale;
}

static void ref_row(const struct decode *d, uint32_t g, uint32_t r)
{
	const uint32_t shared = d->heads / d->kv_heads, h = g * shared + r % shared;
	const float *q = d->q + h * d->q_head + r / shared * d->q_row;
	uint32_t first, n;
	float *out = d->out + h * d->o_head + r / shared * d->o_row, v[DECODE_MAX_DIM];
	double o[DECODE_MAX_DIM] = {0}, max = -INFINITY, sum = 0;

	decode_visible(d, r, &first, &n);
	for (uint32_t j = first; j < n; j++) {
		double s = logit(d, q, g, j);

		max = s > max ? s : max;
	}
	if (max == -INFINITY)
		max = 0;
	for (uint32_t j = first; j < n; j++) {
		double p = exp(logit(d, q, g, j) - max);
		float scale;
		const void *row = kv_value(&d->kv, g, j, &scale);

		kv_load_row(d->kv.type, row, 1, d->head_dim, v);
		sum += p;
		for (uint32_t c = 0; c < d->head_dim; c++)
			o[c] += p * scale * v[c];
	}
	for (uint32_t c = 0; c < d->head_dim; c++)
		out[c] = sum == 0 ? 0 : (float)(o[c] / sum);
}

int decode_ref(const struct decode *d, void *scratch, size_t scratch_bytes)
{
	int err = decode_check(d);

	if (err)
		return err;
	for (uint32_t g = 0; g < d->kv_heads; g++)
		for (uint32_t r = 0; r < d->heads / d->kv_heads * d->q_len; r++)
			ref_row(d, g, r);
	return 0;
}
