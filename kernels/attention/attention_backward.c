/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward.c: what all variants of the backward pass share: checks, sizes, work counted.
 */
#include "kernels/attention/attention_backward.h"
#include "kernels/attention/attention_backward_block.h"

#include <errno.h>

int attention_backward_check(const struct attention_backward *b)
{
	if (!b || !b->forward || !b->dout || !b->dq || !b->dk || !b->dv)
		return -EINVAL;
	if (!b->forward->lse || b->threads > ATTENTION_BACKWARD_MAX_THREADS)
		return -EINVAL;
	return attention_check(b->forward);
}

size_t backward_block_bytes(const struct attention *a)
{
	size_t q = backward_block_q(a), k = BACKWARD_BLOCK_K;
	size_t dim = (a->head_dim + BACKWARD_PAD - 1) / BACKWARD_PAD * BACKWARD_PAD;

	/* Q, dO and dQ transposed, Q and dO packed; P and dS; a tile; lse and D. */
	return (5 * dim * q + 2 * k * q + BACKWARD_TILE * BACKWARD_PAD + 2 * q) * sizeof(float);
}

size_t attention_backward_scratch(const struct attention_backward *b)
{
	return (b->threads > 1 ? b->threads : 1) * backward_block_bytes(b->forward);
}

uint64_t attention_backward_flops(const struct attention_backward *b)
{
	return attention_flops(b->forward) / 2 * 5;
}

/* Q, K, V, out, dout, and the three gradients; lse is 1 / head_dim of out. */
uint64_t attention_backward_bytes(const struct attention_backward *b)
{
	const struct attention *a = b->forward;
	uint64_t rows = 4 * (uint64_t)a->q_len * a->heads + 4 * (uint64_t)a->kv_len * a->kv_heads;

	return rows * a->head_dim * sizeof(float);
}
