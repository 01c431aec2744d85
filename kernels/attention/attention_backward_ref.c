/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward_ref.c: the double-precision reference of attention's gradients. */
#include "kernels/attention/attention_backward.h"

#include <errno.h>
#include <math.h>

static double dot(const float *x, const float *y, uint32_t n)
{
	double s = 0;

	for (uint32_t d = 0; d < n; d++)
		s += (double)x[d] * y[d];
	return s;
}

/* Weights of query i and its products of dout and v into p and dp; returns sum p dp. */
static double ref_row(const struct attention_backward *b, uint32_t h, uint32_t i, uint32_t first,
		      uint32_t end, double *p, double *dp)
{
	const struct attention *a = b->forward;
	const uint32_t g = h / (a->heads / a->kv_heads);
	const float *q = a->q + h * a->q_head + i * a->q_row;
	const float *dout = b->dout + h * a->o_head + i * a->o_row;
	double max = -INFINITY, sum = 0, mean = 0;

	for (uint32_t j = first; j < end; j++) {
		p[j] = a->scale * dot(q, a->k + g * a->k_head + j * a->k_row, a->head_dim);
		dp[j] = dot(dout, a->v + g * a->v_head + j * a->v_row, a->head_dim);
		max = p[j] > max ? p[j] : max;
	}
	for (uint32_t j = first; j < end; j++) {
		p[j] = exp(p[j] - (max == -INFINITY ? 0 : max));
		sum += p[j];
	}
	for (uint32_t j = first; j < end; j++) {
		p[j] = sum == 0 ? 0 : p[j] / sum;
		mean += p[j] * dp[j];
	}
	return mean;
}

/* Sums for one KV head in double: dk and dv in acc, [2][kv_len][dim]. */
static void ref_head(const struct attention_backward *b, uint32_t h, double *acc, double *p,
		     double *dp)
{
	const struct attention *a = b->forward;
	const uint32_t g = h / (a->heads / a->kv_heads), dim = a->head_dim;
	double *dv = acc + (size_t)a->kv_len * dim, dq[ATTENTION_MAX_DIM];

	for (uint32_t i = 0; i < a->q_len; i++) {
		const float *q = a->q + h * a->q_head + i * a->q_row;
		const float *dout = b->dout + h * a->o_head + i * a->o_row;
		uint32_t first, end;
		double mean;

		attention_visible(a, i, &first, &end);
		mean = ref_row(b, h, i, first, end, p, dp);
		for (uint32_t d = 0; d < dim; d++)
			dq[d] = 0;
		for (uint32_t j = first; j < end; j++) {
			const float *k = a->k + g * a->k_head + j * a->k_row;
			double ds = a->scale * p[j] * (dp[j] - mean);

			for (uint32_t d = 0; d < dim; d++) {
				dq[d] += ds * k[d];
				acc[(size_t)j * dim + d] += ds * q[d];
				dv[(size_t)j * dim + d] += p[j] * dout[d];
			}
		}
		for (uint32_t d = 0; d < dim; d++)
			b->dq[h * a->q_head + i * a->q_row + d] = (float)dq[d];
	}
}

/* Scratch: (2 * kv_len * head_dim + 2 * kv_len) doubles. */
int attention_backward_ref(const struct attention_backward *b, void *scratch, size_t scratch_bytes)
{
	int err = attention_backward_check(b);
	const struct attention *a;
	size_t n;
	double *acc = scratch;

	if (err)
		return err;
	a = b->forward;
	n = (size_t)a->kv_len * a->head_dim;
	if (!scratch || scratch_bytes < 2 * (n + a->kv_len) * sizeof(double))
		return -EINVAL;
	for (uint32_t g = 0; g < a->kv_heads; g++) {
		const uint32_t shared = a->heads / a->kv_heads;

		for (size_t i = 0; i < 2 * n; i++)
			acc[i] = 0;
		for (uint32_t h = g * shared; h < (g + 1) * shared; h++)
			ref_head(b, h, acc, acc + 2 * n, acc + 2 * n + a->kv_len);
		for (uint32_t j = 0; j < a->kv_len; j++) {
			for (uint32_t d = 0; d < a->head_dim; d++) {
				size_t at = (size_t)j * a->head_dim + d;

				b->dk[g * a->k_head + j * a->k_row + d] = (float)acc[at];
				b->dv[g * a->v_head + j * a->v_row + d] = (float)acc[n + at];
			}
		}
	}
	return 0;
}
