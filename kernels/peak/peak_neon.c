/* SPDX-License-Identifier: Apache-2.0 */
/* peak_neon.c: the FMA peak and the read bandwidth of NEON. */
#include "kernels/peak/peak.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

enum { CHAINS = 24 };

#include "kernels/peak/peak_loops.h"

uint64_t peak_neon(uint64_t rounds)
{
	return multiply_add(rounds);
}

float read_sum_neon(const float *p, size_t n)
{
	return read_sum(p, n);
}
#endif
