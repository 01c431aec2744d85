/* SPDX-License-Identifier: Apache-2.0 */
/* decode_scalar.c: decode with no vector instruction: one query after the other, online softmax. */
#include "kernels/decode/decode_state.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Scalar on purpose: it is the baseline, and the only variant on an unknown machine. */
#if !defined(__clang__)
#pragma GCC optimize("no-tree-vectorize")
#endif

struct running {
	float max, sum, o[DECODE_MAX_DIM];
};

/* Milakov and Gimelshein 2018, a key at a time: what was summed is scaled when the maximum grows.
 */
static void add_key(const struct decode *d, struct running *t, const float *q, uint32_t g,
		    uint32_t j)
{
	float row[DECODE_MAX_DIM], scale, s = 0, p;
	const void *at = kv_key(&d->kv, g, j, &scale);

	kv_load_row(d->kv.type, at, 1, d->head_dim, row);
	for (uint32_t c = 0; c < d->head_dim; c++)
		s += q[c] * row[c];
	s *= d->scale * scale;
	if (s == -INFINITY)
		return;
	if (s > t->max) {
		float factor = expf(t->max - s);

		t->sum *= factor;
		for (uint32_t c = 0; c < d->head_dim; c++)
			t->o[c] *= factor;
		t->max = s;
	}
	p = expf(s - t->max);
	t->sum += p;
	at = kv_value(&d->kv, g, j, &scale);
	kv_load_row(d->kv.type, at, p * scale, d->head_dim, row);
	for (uint32_t c = 0; c < d->head_dim; c++)
		t->o[c] += d->kv.type == KV_I8 ? row[c] : p * row[c];
}

void decode_row(const struct decode *d, uint32_t g, uint32_t r)
{
	const uint32_t shared = d->heads / d->kv_heads, h = g * shared + r % shared;
	uint32_t first, n;
	float *out = d->out + h * d->o_head + r / shared * d->o_row;
	struct running t = {.max = -INFINITY};

	decode_visible(d, r, &first, &n);
	for (uint32_t j = first; j < n; j++)
		add_key(d, &t, d->q + h * d->q_head + r / shared * d->q_row, g, j);
	for (uint32_t c = 0; c < d->head_dim; c++)
		out[c] = t.sum == 0 ? 0 : t.o[c] / t.sum;
}

int decode_scalar(const struct decode *d, void *scratch, size_t scratch_bytes)
{
	int err = decode_check(d);

	if (err)
		return err;
	if (!scratch || (uintptr_t)scratch % DECODE_ALIGN || scratch_bytes < decode_scratch(d))
		return -EINVAL;
	for (uint32_t g = 0; g < d->kv_heads; g++)
		for (uint32_t r = 0; r < d->heads / d->kv_heads * d->q_len; r++)
			decode_row(d, g, r);
	return 0;
}
