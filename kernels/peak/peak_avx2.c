/* SPDX-License-Identifier: Apache-2.0 */
/* peak_avx2.c: the FMA peak and the read bandwidth of AVX2. */
#include "kernels/peak/peak.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

enum { CHAINS = 12 };

#include "kernels/peak/peak_loops.h"

uint64_t peak_avx2(uint64_t rounds)
{
	return multiply_add(rounds);
}

float read_sum_avx2(const float *p, size_t n)
{
	return read_sum(p, n);
}
#endif
