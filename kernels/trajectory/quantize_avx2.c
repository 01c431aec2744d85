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

/* Of whole groups of 32 floats, four running maxima more. */
INLINE void max_of_32(__m256 *m, const float *x)
{
#pragma GCC unroll 4
	for (int u = 0; u < 4; u++)
		m[u] = _mm256_max_ps(m[u], magnitude(x + 8 * u));
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
		max_of_32(m, x + i);
	for (; i + 8 <= n; i += 8)
		m[0] = _mm256_max_ps(m[0], magnitude(x + i));
	max = largest(_mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3])));
	for (; i < n; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	return max;
}

/* As lrintf(), without a call of it, for which the loops would give up their registers. */
INLINE int8_t code_of(float x)
{
	return (int8_t)_mm_cvtss_si32(_mm_set_ss(x));
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
		codes[i] = code_of(x[i] * f);
	return max / 127;
}

/* Compilers copy by 16 bytes, with as many more instructions. */
INLINE void copy_attention(struct trajectory_attention *to, const struct trajectory_attention *from)
{
	enum { TAIL = sizeof(*to) - 16 };
	const char *p = (const char *)from;
	char *q = (char *)to;

	_Static_assert(TAIL % 32 == 0, "vectors, and half a one");
#pragma GCC unroll 8
	for (size_t i = 0; i < TAIL; i += 32)
		_mm256_storeu_si256((__m256i *)(void *)(q + i),
				    _mm256_loadu_si256((const __m256i *)(const void *)(p + i)));
	_mm_storeu_si128((__m128i *)(void *)(q + TAIL),
			 _mm_loadu_si128((const __m128i *)(const void *)(p + TAIL)));
}

/*
 * While a row's codes are made, the maximum of the row two further on is looked for, so that
 * nothing waits for the way from the last maximum through the division: half of the time of a row
 * alone.
 *
 * 32 floats are 21 operations of the four vector units, 5.3 cycles where memcpy of their codes
 * takes one or two. To slots that are in the L1 cache no record is written faster than 1.8 times
 * memcpy; to those that are not, as in a ring of thousands, memory decides.
 */
void quantize_rows_i8_avx2(const struct quantize_rows *q)
{
	const uint32_t n = q->n, whole = n / 32 * 32, rows = q->rows;
	const size_t x_row = q->x_row;
	const struct trajectory_attention *attention = q->attention;
	struct trajectory_step *to = q->to;
	const float *x = q->x;
	float max[2] = {0};

	for (uint32_t r = 0; r < 2 && r < rows; r++)
		max[r] = max_magnitude(x + r * x_row, n);
	for (uint32_t r = 0; r < rows; r++, x += x_row, to++) {
		const float f = inverse(max[0]);
		const float *ahead = r + 2 < rows ? x + 2 * x_row : x;
		const __m256 inv = _mm256_set1_ps(f);
		__m256 m[4];

		to->scale = max[0] / 127;
		copy_attention(&to->attention, attention);
		for (int u = 0; u < 4; u++)
			m[u] = _mm256_setzero_ps();
		for (uint32_t i = 0; i < whole; i += 32) {
			max_of_32(m, ahead + i);
			__builtin_prefetch((const char *)(to + 1) + 2 * i, 1);
			store_codes(x + i, to->activations + i, inv);
		}
		max[0] = max[1];
		max[1] = largest(
			_mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3])));
		for (uint32_t i = whole; i < n; i++) {
			to->activations[i] = code_of(x[i] * f);
			max[1] = fabsf(ahead[i]) > max[1] ? fabsf(ahead[i]) : max[1];
		}
	}
}
#endif
