/* SPDX-License-Identifier: Apache-2.0 */
/* attention.c: what all variants share: checks, sizes, blocks, work counted. */
#include "kernels/attention/attention.h"

#include <errno.h>
#include <math.h>

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

int attention_check(const struct attention *a)
{
	if (!a || !a->q || !a->k || !a->v || !a->out)
		return -EINVAL;
	if (!a->heads || !a->kv_heads || a->heads % a->kv_heads)
		return -EINVAL;
	if (!a->q_len || !a->kv_len || a->q_len > INT32_MAX / 2 || a->kv_len > INT32_MAX / 2)
		return -EINVAL;
	if (!a->head_dim || a->head_dim > ATTENTION_MAX_DIM)
		return -EINVAL;
	if (a->block_q > ATTENTION_MAX_BLOCK_Q || a->block_q % 16)
		return -EINVAL;
	if (a->block_k > ATTENTION_MAX_BLOCK_K)
		return -EINVAL;
	return isfinite(a->scale) ? 0 : -EINVAL;
}

void attention_set_packed(struct attention *a, uint32_t heads, uint32_t kv_heads, uint32_t q_len,
			  uint32_t kv_len, uint32_t head_dim)
{
	*a = (struct attention){
		.heads = heads,
		.kv_heads = kv_heads,
		.q_len = q_len,
		.kv_len = kv_len,
		.head_dim = head_dim,
		.q_head = (size_t)q_len * head_dim,
		.q_row = head_dim,
		.k_head = (size_t)kv_len * head_dim,
		.k_row = head_dim,
		.v_head = (size_t)kv_len * head_dim,
		.v_row = head_dim,
		.o_head = (size_t)q_len * head_dim,
		.o_row = head_dim,
		.scale = head_dim ? 1.0f / sqrtf((float)head_dim) : 0,
	};
}

/*
 * The transposed block of queries, one block of scores and the stripe of V under way want to sit
 * in 48 KiB of L1 together; measured with tests/bench/bench_kernels.c.
 */
void attention_blocks(const struct attention *a, uint32_t *block_q, uint32_t *block_k)
{
	const uint32_t dim = a->head_dim;

	/* Heads beyond 256 are no usual ones: what 160 KiB of scratch allow. */
	*block_q = a->block_q ? a->block_q : dim <= 64 ? 64 : dim <= 512 ? 32 : 16;
	*block_k = a->block_k ? a->block_k : dim <= 256 ? 128 : 64;
}

size_t attention_flash_scratch(const struct attention *a)
{
	uint32_t bq, bk;
	size_t dim = round_up(a->head_dim, 16);

	attention_blocks(a, &bq, &bk);
	/* Q and O transposed, one block of scores, and four vectors of per-query state. */
	return (2 * dim + bk + 4) * bq * sizeof(float);
}

size_t attention_standard_scratch(const struct attention *a)
{
	size_t dim = round_up(a->head_dim, 16), q = round_up(a->q_len, 64);

	/* Scores, the sum of each row, and what flash keeps beside its scores. */
	return ((a->kv_len + 1) * q + (2 * dim + 4) * 64) * sizeof(float);
}

size_t attention_textbook_scratch(const struct attention *a)
{
	return round_up(a->kv_len * sizeof(double), ATTENTION_ALIGN);
}

void attention_visible(const struct attention *a, uint32_t i, uint32_t *first, uint32_t *end)
{
	const int64_t n = (int64_t)i + 1 + a->kv_len - a->q_len; /* keys up to its position */
	const int64_t hidden = n - a->window;

	*end = !a->causal ? a->kv_len : n < 0 ? 0 : (uint32_t)n;
	*first = !a->window || hidden < 0 ? 0 : (uint32_t)hidden;
}

/* Pairs of a triangle: the last query has n keys, the one before n - 1, and so on down to none. */
static uint64_t triangle(uint64_t q_len, uint64_t n)
{
	uint64_t rows = q_len < n ? q_len : n;

	return rows * (2 * n - rows + 1) / 2;
}

uint64_t attention_flops(const struct attention *a)
{
	uint64_t pairs = (uint64_t)a->q_len * a->kv_len;

	if (a->causal)
		pairs = triangle(a->q_len, a->kv_len);
	if (a->window && a->window < a->kv_len)
		pairs -= triangle(a->q_len, a->kv_len - a->window);
	return 4 * pairs * a->head_dim * a->heads;
}

uint64_t attention_bytes(const struct attention *a)
{
	uint64_t rows = 2 * (uint64_t)a->q_len * a->heads + 2 * (uint64_t)a->kv_len * a->kv_heads;

	return rows * a->head_dim * sizeof(float);
}
