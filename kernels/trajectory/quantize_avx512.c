/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_avx512.c: floats to int8 codes and a scale with AVX-512. */
#include "kernels/trajectory/trajectory.h"

#if defined(__x86_64__)
#include <immintrin.h>

float quantize_i8_avx512(const float *x, int8_t *codes, uint32_t n)
{
	__m512 m0 = _mm512_setzero_ps(), m1 = m0, inv;
	uint32_t i = 0;
	float max;

	for (; i + 32 <= n; i += 32) {
		m0 = _mm512_max_ps(m0, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
		m1 = _mm512_max_ps(m1, _mm512_abs_ps(_mm512_loadu_ps(x + i + 16)));
	}
	for (; i < n; i += 16) {
		__mmask16 k = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;

		m0 = _mm512_max_ps(m0, _mm512_abs_ps(_mm512_maskz_loadu_ps(k, x + i)));
	}
	max = _mm512_reduce_max_ps(_mm512_max_ps(m0, m1));
	inv = _mm512_set1_ps(max > 1e-36f ? 127 / max : 0);
	for (i = 0; i < n; i += 16) {
		__mmask16 k = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;
		__m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), inv);

		_mm_mask_storeu_epi8(codes + i, k, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
	}
	return max / 127;
}

void quantize_rows_i8_avx512(const struct quantize_rows *q)
{
	quantize_each_row(q, quantize_i8_avx512);
}
#endif
