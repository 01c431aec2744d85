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
	if (a->block_q > ATTENTION_MAX_BLOCK_Q || a->block_q % 8)
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
 * A span's queries, a block of its scores and the stripes of K and V under way want to sit in L1
 * together; the rest of the block, and these keys and values, in L2. More spans a block read the
 * keys and values that L2 does not hold fewer times. Measured: AVX-512 with 48 KiB of L1 and 1 MiB
 * of L2, AVX2 with 32 and 512, where spans are 48 and 24 queries wide, and where fewer keys a block
 * leave room for a neighbour on the core, but cut a diagonal into more pieces.
 */
void attention_blocks(const struct attention *a, enum isa isa, uint32_t *block_q, uint32_t *block_k)
{
	const uint32_t dim = a->head_dim;
	uint32_t bq = dim <= 64 ? 64 : 32, bk = dim <= 256 ? 128 : 64;

	/* Heads beyond 256 are no usual ones: what 160 KiB of scratch allow. */
	if (dim > 512)
		bq = 16;
	if ((isa == ISA_AVX512 || isa == ISA_AVX2) && dim <= 256)
		bq = dim <= 128 ? 96 : 48;
	if (isa == ISA_AVX512 && dim > 256 && dim <= 320) {
		bq = 48;
		bk = 128;
	} else if (isa == ISA_AVX512 && dim <= 128) {
		bk = a->causal ? 192 : 128;
	} else if (isa == ISA_AVX2 && dim <= 256) {
		bk = dim <= 64 ? 256 : dim <= 128 && a->causal ? 192 : 128;
	} else if (isa == ISA_AVX2 && dim <= 768) {
		bq = 24;
		bk = dim <= 512 ? 128 : 64;
	}
	*block_q = a->block_q ? (uint32_t)round_up(a->block_q, isa == ISA_AVX512 ? 16 : 8) : bq;
	*block_k = a->block_k ? a->block_k : bk;
}

/*
 * Floats of a block of queries before its scores: Q and O transposed, four vectors of per-query
 * state.
 */
static size_t block_floats(const struct attention *a, uint32_t bq)
{
	return (2 * (size_t)a->head_dim + 4) * bq;
}

/* The largest over the instruction sets; a chunked block keeps O and two of the state twice. */
static size_t most_bytes(const struct attention *a, size_t keys, bool chunked)
{
	static const uint32_t span[ISA_COUNT] = {
		[ISA_SCALAR] = 1,
		[ISA_NEON] = 16,
		[ISA_AVX2] = 24,
		[ISA_AVX512] = ATTENTION_MAX_SPAN,
	};
	size_t most = 0;

	for (int isa = 0; isa < ISA_COUNT; isa++) {
		uint32_t bq, bk;
		size_t floats;

		attention_blocks(a, (enum isa)isa, &bq, &bk);
		floats = block_floats(a, bq) + (keys ? keys : bk) * span[isa];
		if (chunked)
			floats += ((size_t)a->head_dim + 2) * bq;
		most = floats > most ? floats : most;
	}
	return round_up(most * sizeof(float), ATTENTION_ALIGN);
}

size_t attention_flash_scratch(const struct attention *a)
{
	return most_bytes(a, 0, false);
}

size_t attention_chunked_scratch(const struct attention *a)
{
	return most_bytes(a, 0, true);
}

size_t attention_memory_efficient_scratch(const struct attention *a)
{
	return most_bytes(a, a->kv_len, false);
}

size_t attention_standard_scratch(const struct attention *a)
{
	/* Scores, the maximum and sum of each row, and what a block of 64 keeps beside its scores.
	 */
	size_t floats = ((size_t)a->kv_len + 2) * round_up(a->q_len, 64) + block_floats(a, 64);

	return round_up(floats * sizeof(float), ATTENTION_ALIGN);
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
