/* SPDX-License-Identifier: Apache-2.0 */
/* distance_avx512.c: distances with AVX-512. */
#include "kernels/patterns/distance.h"

#if defined(__x86_64__)
#include "kernels/vec_avx512.h"

/*
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs in 16 bits: |q| by x with the sign
 * of q. Codes are at most 127, so a pair is at most 32258 and does not saturate.
 */
static inline __attribute__((always_inline)) void code_dots(const int rows,
							    const struct distance_code *q,
							    const struct distance_code *const *x,
							    uint32_t dim, int32_t *dot)
{
	const __m512i ones = _mm512_set1_epi16(1), zero = _mm512_setzero_si512();
	__m512i s[4];

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		s[r] = zero;
	for (uint32_t i = 0; i < dim; i += 64) {
		__mmask64 k = dim - i < 64 ? (1ull << (dim - i)) - 1 : ~0ull;
		__m512i c = _mm512_maskz_loadu_epi8(k, q->codes + i), a = _mm512_abs_epi8(c);
		__mmask64 negative = _mm512_movepi8_mask(c);

#pragma GCC unroll 4
		for (int r = 0; r < rows; r++) {
			__m512i v = _mm512_maskz_loadu_epi8(k, x[r]->codes + i);
			__m512i p =
				_mm512_maddubs_epi16(a, _mm512_mask_sub_epi8(v, negative, zero, v));

			s[r] = _mm512_add_epi32(s[r], _mm512_madd_epi16(p, ones));
		}
	}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		dot[r] = _mm512_reduce_add_epi32(s[r]);
}

#include "kernels/patterns/distance_loops.h"

int distance_l2_avx512(const void *query, const struct distance_rows *r, float *out)
{
	return float_distances(METRIC_L2, query, r, out);
}

int distance_ip_avx512(const void *query, const struct distance_rows *r, float *out)
{
	return float_distances(METRIC_IP, query, r, out);
}

int distance_l2_i8_avx512(const void *query, const struct distance_rows *r, float *out)
{
	return code_distances(query, r, out);
}

int mean_rows_avx512(const struct distance_rows *r, float *out)
{
	return mean_of_rows(r, out);
}
#endif
