/* SPDX-License-Identifier: Apache-2.0 */
/* peak_loops.h: FMA and reads as fast as one core can, over the vec_* primitives of one ISA. */

/* The ISA's file defines before: CHAINS, beyond latency x ports, and within the registers. */
static inline uint64_t multiply_add(uint64_t rounds)
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

/*
 * One load and one add a vector, in chains enough to hide the adds: at 64 bytes a cycle on cores
 * that load two vectors of 32. The sum is what keeps the compiler from leaving the loads out.
 */
enum { READ_CHAINS = 8 };

static inline float read_sum(const float *p, size_t n)
{
	vec s[READ_CHAINS];
	size_t i = 0;

#pragma GCC unroll 8
	for (int c = 0; c < READ_CHAINS; c++)
		s[c] = vec_zero();
	for (; i + READ_CHAINS * VEC_LANES <= n; i += READ_CHAINS * VEC_LANES) {
#pragma GCC unroll 8
		for (int c = 0; c < READ_CHAINS; c++)
			s[c] = vec_add(s[c], vec_loadu(p + i + c * VEC_LANES));
	}
	for (; i < n; i += VEC_LANES)
		s[0] = vec_add(s[0], vec_load_first(p + i, n - i < VEC_LANES ? (uint32_t)(n - i)
									     : VEC_LANES));
#pragma GCC unroll 4
	for (int c = 0; c < READ_CHAINS / 2; c++)
		s[c] = vec_add(s[c], s[c + READ_CHAINS / 2]);
	return vec_sum(vec_add(vec_add(s[0], s[1]), vec_add(s[2], s[3])));
}
