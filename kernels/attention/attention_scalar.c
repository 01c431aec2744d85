/* SPDX-License-Identifier: Apache-2.0 */
/* attention_scalar.c: the textbook loop, and flash attention with no vector instruction. */
#include "kernels/attention/attention.h"

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

/* What the last query of each head weighs the keys. */
static void keep_weights(const struct attention *a, uint32_t h)
{
	const float *q = a->q + h * a->q_head + (a->q_len - 1) * a->q_row;
	const float *k = a->k + h / (a->heads / a->kv_heads) * a->k_head;
	float *w = a->weights + (size_t)h * a->kv_len, max = -INFINITY, sum = 0;
	uint32_t first, n;

	attention_visible(a, a->q_len - 1, &first, &n);
	memset(w, 0, a->kv_len * sizeof(*w));
	for (uint32_t j = first; j < n; j++) {
		w[j] = a->scale * dot(q, k + j * a->k_row, a->head_dim);
		max = w[j] > max ? w[j] : max;
	}
	for (uint32_t j = first; j < n; j++) {
		w[j] = expf(w[j] - (max == -INFINITY ? 0 : max));
		sum += w[j];
	}
	for (uint32_t j = first; j < n; j++)
		w[j] = sum == 0 ? 0 : w[j] / sum;
}

static void textbook_row(const struct attention *a, uint32_t h, uint32_t i, float *p)
{
	uint32_t kv = h / (a->heads / a->kv_heads), first, n;
	const float *q = a->q + h * a->q_head + i * a->q_row;
	float *out = a->out + h * a->o_head + i * a->o_row;
	float max = -INFINITY, sum = 0;

	attention_visible(a, i, &first, &n);
	for (uint32_t j = first; j < n; j++) {
		p[j] = a->scale * dot(q, a->k + kv * a->k_head + j * a->k_row, a->head_dim);
		max = p[j] > max ? p[j] : max;
	}
	if (max == -INFINITY)
		max = 0;
	for (uint32_t j = first; j < n; j++) {
		p[j] = expf(p[j] - max);
		sum += p[j];
	}
	memset(out, 0, a->head_dim * sizeof(*out));
	for (uint32_t j = first; j < n; j++) {
		const float *v = a->v + kv * a->v_head + j * a->v_row;

		for (uint32_t d = 0; d < a->head_dim; d++)
			out[d] += p[j] * v[d];
	}
	for (uint32_t d = 0; d < a->head_dim; d++)
		out[d] = sum == 0 ? 0 : out[d] / sum;
	if (a->lse)
		a->lse[(size_t)h * a->q_len + i] = max + logf(sum);
}

int attention_textbook_scalar(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	int err = attention_check(a);

	if (err)
		return err;
	if (!scratch || scratch_bytes < attention_textbook_scratch(a))
		return -EINVAL;
	for (uint32_t h = 0; h < a->heads; h++) {
		for (uint32_t i = 0; i < a->q_len; i++)
			textbook_row(a, h, i, scratch);
		if (a->weights)
			keep_weights(a, h);
	}
	return 0;
}

/* One block of keys into one query's running (max, sum, out); Milakov and Gimelshein 2018. */
static void flash_block(const struct attention *a, const float *q, const float *k, const float *v,
			uint32_t n, float *p, float *max, float *sum, float *out)
{
	float m = *max, alpha;

	for (uint32_t j = 0; j < n; j++) {
		p[j] = a->scale * dot(q, k + j * a->k_row, a->head_dim);
		m = p[j] > m ? p[j] : m;
	}
	alpha = m == -INFINITY ? 1 : expf(*max - m);
	*max = m;
	*sum *= alpha;
	for (uint32_t d = 0; d < a->head_dim; d++)
		out[d] *= alpha;
	for (uint32_t j = 0; j < n; j++) {
		float w = expf(p[j] - (m == -INFINITY ? 0 : m));

		*sum += w;
		for (uint32_t d = 0; d < a->head_dim; d++)
			out[d] += w * v[j * a->v_row + d];
	}
}

static void flash_row(const struct attention *a, uint32_t h, uint32_t i, uint32_t block, float *p)
{
	uint32_t kv = h / (a->heads / a->kv_heads), first, n;
	const float *k = a->k + kv * a->k_head, *v = a->v + kv * a->v_head;
	float *out = a->out + h * a->o_head + i * a->o_row;
	float max = -INFINITY, sum = 0;

	attention_visible(a, i, &first, &n);
	memset(out, 0, a->head_dim * sizeof(*out));
	for (uint32_t j = first; j < n; j += block)
		flash_block(a, a->q + h * a->q_head + i * a->q_row, k + j * a->k_row,
			    v + j * a->v_row, n - j < block ? n - j : block, p, &max, &sum, out);
	for (uint32_t d = 0; d < a->head_dim; d++)
		out[d] = sum == 0 ? 0 : out[d] / sum;
	if (a->lse)
		a->lse[(size_t)h * a->q_len + i] = max + logf(sum);
}

int attention_flash_scalar(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	uint32_t block_q, block_k;
	int err = attention_check(a);

	if (err)
		return err;
	if (!scratch || scratch_bytes < attention_flash_scratch(a))
		return -EINVAL;
	attention_blocks(a, ISA_SCALAR, &block_q, &block_k);
	for (uint32_t h = 0; h < a->heads; h++) {
		for (uint32_t i = 0; i < a->q_len; i++)
			flash_row(a, h, i, block_k, scratch);
		if (a->weights)
			keep_weights(a, h);
	}
	return 0;
}

/* A result of chunk's own keys into the row's: each is weighted by the exponential of its maximum.
 */
static void merge_chunk(float *max, float *sum, float *out, float chunk_max, float chunk_sum,
			const float *chunk, uint32_t dim)
{
	float m = chunk_max > *max ? chunk_max : *max, fix = m == -INFINITY ? 0 : m;
	float w0 = expf(*max - fix), w1 = expf(chunk_max - fix);

	for (uint32_t d = 0; d < dim; d++)
		out[d] = out[d] * w0 + chunk[d] * w1;
	*sum = *sum * w0 + chunk_sum * w1;
	*max = m;
}

static void chunked_row(const struct attention *a, uint32_t h, uint32_t i, uint32_t keys, float *p)
{
	uint32_t kv = h / (a->heads / a->kv_heads), dim = a->head_dim, first, end;
	float *out = a->out + h * a->o_head + i * a->o_row, *chunk = p + keys;
	float max = -INFINITY, sum = 0;

	attention_visible(a, i, &first, &end);
	memset(out, 0, dim * sizeof(*out));
	for (uint32_t j = first; j < end; j += keys) {
		float chunk_max = -INFINITY, chunk_sum = 0;

		memset(chunk, 0, dim * sizeof(*chunk));
		flash_block(a, a->q + h * a->q_head + i * a->q_row,
			    a->k + kv * a->k_head + j * a->k_row,
			    a->v + kv * a->v_head + j * a->v_row, end - j < keys ? end - j : keys,
			    p, &chunk_max, &chunk_sum, chunk);
		merge_chunk(&max, &sum, out, chunk_max, chunk_sum, chunk, dim);
	}
	for (uint32_t d = 0; d < dim; d++)
		out[d] = sum == 0 ? 0 : out[d] / sum;
	if (a->lse)
		a->lse[(size_t)h * a->q_len + i] = max + logf(sum);
}

int attention_chunked_scalar(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	uint32_t block_q, block_k;
	int err = attention_check(a);

	if (err)
		return err;
	if (!scratch || scratch_bytes < attention_chunked_scratch(a))
		return -EINVAL;
	attention_blocks(a, ISA_SCALAR, &block_q, &block_k);
	for (uint32_t h = 0; h < a->heads; h++) {
		for (uint32_t i = 0; i < a->q_len; i++)
			chunked_row(a, h, i, block_k, scratch);
		if (a->weights)
			keep_weights(a, h);
	}
	return 0;
}

void exp2_scalar(const float *x, float *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] < -126 ? 0 : exp2f(x[i]);
}
