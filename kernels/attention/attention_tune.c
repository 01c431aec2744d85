/* SPDX-License-Identifier: Apache-2.0 */
/* attention_tune.c: times block sizes on the shape at hand and keeps the fastest. */
#include <errno.h>
#include <string.h>

#include "kernels/attention/attention_parallel.h"
#include "kernels/kernels.h"

static const uint32_t tune_q[] = {16, 32, 48, 64, 96, 128};
static const uint32_t tune_k[] = {32, 64, 128, 256, 512};

enum {
	TUNE_Q = sizeof(tune_q) / sizeof(tune_q[0]),
	TUNE_K = sizeof(tune_k) / sizeof(tune_k[0]),
	CANDIDATES = TUNE_Q * TUNE_K + 1, /* and the defaults */
	MIN_ROUNDS = 8,
};

/* Candidate n of one head of a; 0 is the defaults. */
static struct attention candidate(const struct attention *a, uint32_t n)
{
	struct attention c = *a;

	c.heads = c.kv_heads = 1;
	c.block_q = n ? tune_q[(n - 1) / TUNE_K] : 0;
	c.block_k = n ? tune_k[(n - 1) % TUNE_K] : 0;
	return c;
}

size_t attention_tune_scratch(const struct kernel *k, const struct attention *a)
{
	size_t most = 0;

	for (uint32_t n = 0; n < CANDIDATES; n++) {
		struct attention c = candidate(a, n);
		size_t need = kernels_attention_scratch(k, &c);

		most = need > most ? need : most;
	}
	return most;
}

/* One call with each candidate whose best time is within `percent` of the least; and the defaults,
 * which are what the others have to beat. */
static int tune_round(const struct kernel *k, const struct attention *a, uint64_t percent,
		      void *scratch, size_t scratch_bytes, uint64_t best[CANDIDATES])
{
	uint64_t least = best[0];

	for (uint32_t n = 1; n < CANDIDATES; n++)
		least = best[n] < least ? best[n] : least;
	for (uint32_t n = 0; n < CANDIDATES; n++) {
		struct attention c = candidate(a, n);
		uint64_t t0, ns;

		if (n && best[n] != UINT64_MAX && best[n] > least + least / 100 * percent)
			continue;
		t0 = perftop_now_ns();
		if (k->run.attention(&c, scratch, scratch_bytes))
			return -EINVAL;
		ns = perftop_now_ns() - t0;
		best[n] = ns < best[n] ? ns : best[n];
	}
	return 0;
}

int attention_tune(const struct kernel *k, const struct attention *a, uint64_t budget_ns,
		   void *scratch, size_t scratch_bytes, uint32_t *block_q, uint32_t *block_k)
{
	const uint64_t end = perftop_now_ns() + budget_ns;
	uint64_t best[CANDIDATES];
	struct attention c;
	uint32_t fastest = 0, rounds = 0;

	if (!k || k->kind != KERNEL_attention || !kernels_supported(k) || attention_check(a) ||
	    !block_q || !block_k || scratch_bytes < attention_tune_scratch(k, a))
		return -EINVAL;
	memset(best, 0xff, sizeof(best));
	/*
	 * All in turn, so that a busy moment of the machine hits all alike; the least time counts.
	 * Who is behind drops out, so that there is time to tell apart those that are left.
	 */
	do {
		const uint64_t percent = 24 / (rounds + 1);

		if (tune_round(k, a, percent > 2 ? percent : 2, scratch, scratch_bytes, best))
			return -EINVAL;
		rounds++;
	} while (perftop_now_ns() < end || (budget_ns && rounds < MIN_ROUNDS));
	for (uint32_t n = 1; n < CANDIDATES; n++)
		if (best[n] < best[fastest] && best[n] < best[0] / 100 * 98)
			fastest = n;
	c = candidate(a, fastest);
	attention_blocks(&c, k->isa, block_q, block_k);
	return 0;
}
