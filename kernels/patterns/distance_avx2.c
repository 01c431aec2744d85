/* SPDX-License-Identifier: Apache-2.0 */
/* distance_avx2.c: distances with AVX2. */
#include "kernels/patterns/distance.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

static inline __attribute__((always_inline)) __m256i code_load(const int8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/*
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs in 16 bits: |q| by x with the sign
 * of q. Codes are at most 127, so a pair is at most 32258 and does not saturate.
 */
static inline __attribute__((always_inline)) void code_dots(const int rows,
							    const struct distance_code *q,
							    const struct distance_code *const *x,
							    uint32_t dim, int32_t *dot)
{
	const __m256i ones = _mm256_set1_epi16(1);
	__m256i s[4];
	uint32_t i = 0;

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		s[r] = _mm256_setzero_si256();
	for (; i + 32 <= dim; i += 32) {
		__m256i c = code_load(q->codes + i), a = _mm256_abs_epi8(c);

#pragma GCC unroll 4
		for (int r = 0; r < rows; r++) {
			__m256i p = _mm256_maddubs_epi16(
				a, _mm256_sign_epi8(code_load(x[r]->codes + i), c));

			s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(p, ones));
		}
	}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++) {
		__m128i t = _mm_add_epi32(_mm256_castsi256_si128(s[r]),
					  _mm256_extracti128_si256(s[r], 1));

		t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
		t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1));
		dot[r] = _mm_cvtsi128_si32(t);
		for (uint32_t d = i; d < dim; d++)
			dot[r] += q->codes[d] * x[r]->codes[d];
	}
}

#include "kernels/patterns/distance_loops.h"

int distance_l2_avx2(const void *query, const struct distance_rows *r, float *out)
{
	return float_distances(METRIC_L2, query, r, out);
}

int distance_ip_avx2(const void *query, const struct distance_rows *r, float *out)
{
	return float_distances(METRIC_IP, query, r, out);
}

int distance_l2_i8_avx2(const void *query, const struct distance_rows *r, float *out)
{
	return code_distances(query, r, out);
}

int mean_rows_avx2(const struct distance_rows *r, float *out)
{
	return mean_of_rows(r, out);
}
#endif
