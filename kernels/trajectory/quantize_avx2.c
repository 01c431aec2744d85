/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_avx2.c: floats to int8 codes and a scale with AVX2. */
#include "kernels/trajectory/trajectory.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))

INLINE __m256 magnitude(const float *x)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_loadu_ps(x));
}

INLINE __m256i codes_of(const float *x, __m256 inv)
{
	return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inv));
}

INLINE float largest(__m256 m)
{
	__m128 s = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));

	s = _mm_max_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

/* Four running maxima: one would wait for itself at each step. */
INLINE float max_magnitude(const float *x, uint32_t n)
{
	__m256 m[4];
	uint32_t i = 0;
	float max;

	for (int u = 0; u < 4; u++)
		m[u] = _mm256_setzero_ps();
	for (; i + 32 <= n; i += 32)
#pragma GCC unroll 4
		for (int u = 0; u < 4; u++)
			m[u] = _mm256_max_ps(m[u], magnitude(x + i + 8 * u));
	for (; i + 8 <= n; i += 8)
		m[0] = _mm256_max_ps(m[0], magnitude(x + i));
	max = largest(_mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3])));
	for (; i < n; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	return max;
}

INLINE float inverse(float max)
{
	return max > 1e-36f ? 127 / max : 0;
}

/* 32 codes. packs works within 128-bit halves, so groups of four come out as 0 4 1 5 ... */
INLINE void store_codes(const float *x, int8_t *codes, __m256 inv)
{
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256i a = _mm256_packs_epi32(codes_of(x, inv), codes_of(x + 8, inv));
	__m256i b = _mm256_packs_epi32(codes_of(x + 16, inv), codes_of(x + 24, inv));

	_mm256_storeu_si256((__m256i *)(void *)codes,
			    _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order));
}

float quantize_i8_avx2(const float *x, int8_t *codes, uint32_t n)
{
	const float max = max_magnitude(x, n), f = inverse(max);
	const __m256 inv = _mm256_set1_ps(f);
	uint32_t i = 0;

	for (; i + 32 <= n; i += 32)
		store_codes(x + i, codes + i, inv);
	for (; i < n; i++)
		codes[i] = (int8_t)lrintf(x[i] * f);
	return max / 127;
}

/*
 * While a row's codes are made, the maximum of the row two further on is looked for, so that
 * nothing waits for the way from the last maximum through the division: half of the time of a row
 * alone.
 */
void quantize_rows_i8_avx2(const struct quantize_rows *q)
{
	const uint32_t whole = q->n / 32 * 32;
	float max[2] = {0};

	for (uint32_t r = 0; r < 2 && r < q->rows; r++)
		max[r] = max_magnitude(q->x + r * q->x_row, q->n);
	for (uint32_t r = 0; r < q->rows; r++) {
		const float *x = q->x + r * q->x_row, f = inverse(max[0]);
		const float *ahead = r + 2 < q->rows ? x + 2 * q->x_row : x;
		int8_t *codes = q->codes + r * q->codes_step;
		const __m256 inv = _mm256_set1_ps(f);
		__m256 m[4];

		*(float *)(void *)((char *)q->scale + r * q->scale_step) = max[0] / 127;
		for (int u = 0; u < 4; u++)
			m[u] = _mm256_setzero_ps();
		for (uint32_t i = 0; i < whole; i += 32) {
#pragma GCC unroll 4
			for (int u = 0; u < 4; u++)
				m[u] = _mm256_max_ps(m[u], magnitude(ahead + i + 8 * u));
			store_codes(x + i, codes + i, inv);
		}
		max[0] = max[1];
		max[1] = largest(
			_mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3])));
		for (uint32_t i = whole; i < q->n; i++) {
			codes[i] = (int8_t)lrintf(x[i] * f);
			max[1] = fabsf(ahead[i]) > max[1] ? fabsf(ahead[i]) : max[1];
		}
	}
}
#endif
