/* SPDX-License-Identifier: Apache-2.0 */
/* attention_tune.c: times block sizes on the shape at hand and keeps the fastest. */
#include <errno.h>
#include <string.h>

#include "kernels/attention/attention_parallel.h"
#include "kernels/kernels.h"

static const uint32_t tune_q[] = {16, 32, 48, 64, 96, 128};
static const uint32_t tune_k[] = {32, 64, 128, 256, 512};

enum { TUNE_Q = sizeof(tune_q) / sizeof(tune_q[0]), TUNE_K = sizeof(tune_k) / sizeof(tune_k[0]) };

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

	for (uint32_t n = 0; n <= TUNE_Q * TUNE_K; n++) {
		struct attention c = candidate(a, n);
		size_t need = kernels_attention_scratch(k, &c);

		most = need > most ? need : most;
	}
	return most;
}

int attention_tune(const struct kernel *k, const struct attention *a, uint64_t budget_ns,
		   void *scratch, size_t scratch_bytes, uint32_t *block_q, uint32_t *block_k)
{
	const uint64_t end = perftop_now_ns() + budget_ns;
	uint64_t best[TUNE_Q * TUNE_K + 1];
	struct attention c;
	uint32_t fastest = 0;

	if (!k || k->kind != KERNEL_attention || !kernels_supported(k) || attention_check(a) ||
	    !block_q || !block_k || scratch_bytes < attention_tune_scratch(k, a))
		return -EINVAL;
	memset(best, 0xff, sizeof(best));
	/* All in turn, so that a busy moment of the machine hits all alike; the least time counts.
	 */
	do {
		for (uint32_t n = 0; n <= TUNE_Q * TUNE_K; n++) {
			uint64_t t0, ns;

			c = candidate(a, n);
			t0 = perftop_now_ns();
			if (k->run.attention(&c, scratch, scratch_bytes))
				return -EINVAL;
			ns = perftop_now_ns() - t0;
			best[n] = ns < best[n] ? ns : best[n];
		}
	} while (perftop_now_ns() < end);
	for (uint32_t n = 1; n <= TUNE_Q * TUNE_K; n++)
		if (best[n] < best[fastest] && best[n] < best[0] / 100 * 98)
			fastest = n;
	c = candidate(a, fastest);
	attention_blocks(&c, k->isa, block_q, block_k);
	return 0;
}
