/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_avx2.c: floats to int8 codes and a scale with AVX2. */
#include "kernels/trajectory/trajectory.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

static inline __m256i codes_of(const float *x, __m256 inv)
{
	return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inv));
}

float quantize_i8_avx2(const float *x, int8_t *codes, uint32_t n)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	/* packs works within 128-bit halves, so the groups of four come out as 0 4 1 5 ... */
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256 m = _mm256_setzero_ps(), inv;
	float part[8], max = 0, f;
	uint32_t i = 0;

	for (; i + 8 <= n; i += 8)
		m = _mm256_max_ps(m, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
	_mm256_storeu_ps(part, m);
	for (int l = 0; l < 8; l++)
		max = part[l] > max ? part[l] : max;
	for (; i < n; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	f = max > 1e-36f ? 127 / max : 0;
	inv = _mm256_set1_ps(f);
	for (i = 0; i + 32 <= n; i += 32) {
		__m256i a = _mm256_packs_epi32(codes_of(x + i, inv), codes_of(x + i + 8, inv));
		__m256i b =
			_mm256_packs_epi32(codes_of(x + i + 16, inv), codes_of(x + i + 24, inv));

		_mm256_storeu_si256((__m256i *)(void *)(codes + i),
				    _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order));
	}
	for (; i < n; i++)
		codes[i] = (int8_t)lrintf(x[i] * f);
	return max / 127;
}
#endif
