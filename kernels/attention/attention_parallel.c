/* SPDX-License-Identifier: Apache-2.0 */
/* attention_parallel.c: heads and blocks of queries of one call on several threads. */
#include "kernels/attention/attention_parallel.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "kernels/kernels.h"

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* Rows of a slice: a block of queries, or all where a slice cannot stand for its place. */
static uint32_t slice_rows(const struct kernel *k, const struct attention *a)
{
	uint32_t block_q, block_k;

	if (a->window && !a->causal)
		return a->q_len;
	attention_blocks(a, k->isa, &block_q, &block_k);
	return block_q < a->q_len ? block_q : a->q_len;
}

static size_t slice_scratch(const struct kernel *k, const struct attention *a)
{
	struct attention s = *a;

	s.q_len = slice_rows(k, a);
	return round_up(kernels_attention_scratch(k, &s), ATTENTION_ALIGN);
}

size_t attention_parallel_scratch(const struct kernel *k, const struct attention *a,
				  uint32_t threads)
{
	return threads * slice_scratch(k, a);
}

/* Queries that see nothing. */
static void clear_rows(const struct attention *s)
{
	for (uint32_t i = 0; i < s->q_len; i++) {
		memset(s->out + i * s->o_row, 0, s->head_dim * sizeof(float));
		if (s->lse)
			s->lse[i] = -INFINITY;
	}
}

/*
 * Rows i .. i + rows - 1 of head h as a call of their own: causal ones keep their positions by
 * leaving out the keys after the last of them, which none sees.
 */
static int run_slice(const struct kernel *k, const struct attention *a, uint32_t h, uint32_t i,
		     uint32_t rows, void *scratch, size_t scratch_bytes)
{
	const uint32_t kv = h / (a->heads / a->kv_heads);
	int64_t keys = a->kv_len;
	struct attention s = *a;

	s.heads = s.kv_heads = 1;
	s.q = a->q + h * a->q_head + i * a->q_row;
	s.k = a->k + kv * a->k_head;
	s.v = a->v + kv * a->v_head;
	s.out = a->out + h * a->o_head + i * a->o_row;
	s.lse = a->lse ? a->lse + (size_t)h * a->q_len + i : NULL;
	s.weights = a->weights && i + rows == a->q_len ? a->weights + (size_t)h * a->kv_len : NULL;
	s.q_len = rows;
	if (a->causal)
		keys -= (int64_t)a->q_len - i - rows;
	if (keys < 1) {
		clear_rows(&s);
		return 0;
	}
	s.kv_len = (uint32_t)keys;
	return k->run.attention(&s, scratch, scratch_bytes);
}

/* Where slice i of n begins, of at most `rows`: as even as whole vectors let them be. */
static uint32_t slice_start(const struct attention *a, uint32_t rows, uint32_t i, uint32_t n)
{
	const uint32_t of = rows % 16 ? 8 : 16;
	const uint64_t row = (uint64_t)(a->q_len + of - 1) / of * i / n * of;

	return row < a->q_len ? (uint32_t)row : a->q_len;
}

int attention_parallel(const struct kernel *k, const struct attention *a, uint32_t threads,
		       void *scratch, size_t scratch_bytes)
{
	uint32_t rows, slices;
	size_t each;
	bool failed = false;

	if (!k || k->kind != KERNEL_attention || !kernels_supported(k) || attention_check(a))
		return -EINVAL;
	if (!threads || threads > INT16_MAX || !scratch || (uintptr_t)scratch % ATTENTION_ALIGN ||
	    scratch_bytes < attention_parallel_scratch(k, a, threads))
		return -EINVAL;
	rows = slice_rows(k, a);
	slices = (a->q_len + rows - 1) / rows;
	each = slice_scratch(k, a);
	/*
	 * Head by head, so that all its slices find its keys and values in the cache beyond L1.
	 * The last queries of a causal call see most: they go first, and the short ones fill up.
	 */
#ifdef _OPENMP
#pragma omp parallel for num_threads((int)threads) schedule(dynamic, 1) reduction(|| : failed)
#endif
	for (uint64_t n = 0; n < (uint64_t)slices * a->heads; n++) {
		const uint32_t s = slices - 1 - (uint32_t)(n % slices);
		const uint32_t i = slice_start(a, rows, s, slices);
		uint32_t thread = 0;

#ifdef _OPENMP
		thread = (uint32_t)omp_get_thread_num();
#endif
		if (run_slice(k, a, (uint32_t)(n / slices), i,
			      slice_start(a, rows, s + 1, slices) - i,
			      (char *)scratch + thread * each, each))
			failed = true;
	}
	return failed ? -EINVAL : 0;
}
