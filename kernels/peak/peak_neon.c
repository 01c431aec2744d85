/* SPDX-License-Identifier: Apache-2.0 */
/* peak_neon.c: the FMA peak and the read bandwidth of NEON. */
#include "kernels/peak/peak.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

#include "kernels/peak/read_sum.h"

enum { CHAINS = 24 }; /* beyond latency x ports, within the registers */

uint64_t peak_neon(uint64_t rounds)
{
	vec s[CHAINS], a = vec_splat(0.5f), b = vec_splat(0.25f);

	for (int i = 0; i < CHAINS; i++)
		s[i] = vec_splat((float)i);
	/* Chains of different values, or the compiler would keep one. */
	for (uint64_t n = 0; n < rounds; n++) {
#pragma GCC unroll 24
		for (int i = 0; i < CHAINS; i++)
			s[i] = vec_fma(s[i], a, b);
	}
	for (int i = 1; i < CHAINS; i++)
		s[0] = vec_add(s[0], s[i]);
	VEC_KEEP(s[0]);
	return rounds * CHAINS * VEC_LANES * 2;
}

float read_sum_neon(const float *p, size_t n)
{
	return read_sum(p, n);
}
#endif
