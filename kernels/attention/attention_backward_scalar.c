/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward_scalar.c: attention's gradients with no vector instruction, a pair at a time.
 */
#include "kernels/attention/attention_backward.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Scalar on purpose: it is the baseline, and the only variant on an unknown machine. */
#if !defined(__clang__)
#pragma GCC optimize("no-tree-vectorize")
#endif

static float dot(const float *x, const float *y, uint32_t n)
{
	float s = 0;

	for (uint32_t d = 0; d < n; d++)
		s += x[d] * y[d];
	return s;
}

static void row_backward(const struct attention_backward *b, uint32_t g, uint32_t h, uint32_t i)
{
	const struct attention *a = b->forward;
	const uint32_t dim = a->head_dim;
	const float *q = a->q + h * a->q_head + i * a->q_row;
	const float *dout = b->dout + h * a->o_head + i * a->o_row;
	const float mean = dot(dout, a->out + h * a->o_head + i * a->o_row, dim);
	const float lse = a->lse[(size_t)h * a->q_len + i];
	float *dq = b->dq + h * a->q_head + i * a->q_row;
	uint32_t first, end;

	memset(dq, 0, dim * sizeof(*dq));
	attention_visible(a, i, &first, &end);
	for (uint32_t j = first; j < end && lse != -INFINITY; j++) {
		const float *k = a->k + g * a->k_head + j * a->k_row;
		float *dk = b->dk + g * a->k_head + j * a->k_row;
		float *dv = b->dv + g * a->v_head + j * a->v_row;
		float p = expf(a->scale * dot(q, k, dim) - lse);
		float dp = dot(dout, a->v + g * a->v_head + j * a->v_row, dim);
		float ds = a->scale * p * (dp - mean);

		for (uint32_t d = 0; d < dim; d++) {
			dv[d] += p * dout[d];
			dq[d] += ds * k[d];
			dk[d] += ds * q[d];
		}
	}
}

int attention_backward_scalar(const struct attention_backward *b, void *scratch,
			      size_t scratch_bytes)
{
	int err = attention_backward_check(b);
	const struct attention *a;
	uint32_t shared;

	if (err)
		return err;
	if (!scratch || (uintptr_t)scratch % ATTENTION_ALIGN ||
	    scratch_bytes < attention_backward_scratch(b))
		return -EINVAL;
	a = b->forward;
	shared = a->heads / a->kv_heads;
	for (uint32_t g = 0; g < a->kv_heads; g++) {
		for (uint32_t j = 0; j < a->kv_len; j++) {
			size_t bytes = a->head_dim * sizeof(float);

			memset(b->dk + g * a->k_head + j * a->k_row, 0, bytes);
			memset(b->dv + g * a->v_head + j * a->v_row, 0, bytes);
		}
	}
	for (uint32_t h = 0; h < a->heads; h++)
		for (uint32_t i = 0; i < a->q_len; i++)
			row_backward(b, h / shared, h, i);
	return 0;
}
