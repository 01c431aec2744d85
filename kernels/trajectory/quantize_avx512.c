/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_avx512.c: floats to int8 codes and a scale with AVX-512. */
#include "kernels/trajectory/trajectory.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/*
 * Of TRAJECTORY_DIM floats the largest magnitude. vrangeps gives that of two numbers in one
 * instruction.
 */
enum { VECTORS = TRAJECTORY_DIM / 16 };

INLINE float largest_whole(const float *x)
{
	__m512 m[4];

#pragma GCC unroll 16
	for (int i = 0; i < VECTORS; i++) {
		__m512 v = _mm512_loadu_ps(x + 16 * i);

		m[i % 4] = _mm512_range_ps(i < 4 ? v : m[i % 4], v, 11);
	}
	return _mm512_reduce_max_ps(
		_mm512_max_ps(_mm512_max_ps(m[0], m[1]), _mm512_max_ps(m[2], m[3])));
}

INLINE float inverse(float max)
{
	return max > 1e-36f ? 127 / max : 0;
}

/*
 * And their codes: two rounds of packs and a permutation make 64 of four vectors in four
 * instructions, where narrowing each by itself takes eight and four stores.
 */
INLINE void codes_whole(const float *x, float by, int8_t *codes)
{
	const __m512i order =
		_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	const __m512 inv = _mm512_set1_ps(by);

#pragma GCC unroll 4
	for (int i = 0; i < VECTORS; i += 4) {
		__m512i c[4];

#pragma GCC unroll 4
		for (int u = 0; u < 4; u++)
			c[u] = _mm512_cvtps_epi32(
				_mm512_mul_ps(_mm512_loadu_ps(x + 16 * (i + u)), inv));
		c[0] = _mm512_packs_epi16(_mm512_packs_epi32(c[0], c[1]),
					  _mm512_packs_epi32(c[2], c[3]));
		_mm512_storeu_si512(codes + 16 * i, _mm512_permutexvar_epi32(order, c[0]));
	}
}

float quantize_i8_avx512(const float *x, int8_t *codes, uint32_t n)
{
	__m512 m0 = _mm512_setzero_ps(), m1 = m0, inv;
	uint32_t i = 0;
	float max;

	if (n == TRAJECTORY_DIM) {
		max = largest_whole(x);
		codes_whole(x, inverse(max), codes);
		return max / 127;
	}
	for (; i + 32 <= n; i += 32) {
		m0 = _mm512_max_ps(m0, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
		m1 = _mm512_max_ps(m1, _mm512_abs_ps(_mm512_loadu_ps(x + i + 16)));
	}
	for (; i < n; i += 16) {
		__mmask16 k = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;

		m0 = _mm512_max_ps(m0, _mm512_abs_ps(_mm512_maskz_loadu_ps(k, x + i)));
	}
	max = _mm512_reduce_max_ps(_mm512_max_ps(m0, m1));
	inv = _mm512_set1_ps(inverse(max));
	for (i = 0; i < n; i += 16) {
		__mmask16 k = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;
		__m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), inv);

		_mm_mask_storeu_epi8(codes + i, k, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
	}
	return max / 127;
}

/*
 * Whole rows, whose maxima are made AHEAD of their codes: these wait for a reduction and a
 * division, and would fill up what the CPU looks ahead with. What is written is asked for as early.
 */
void quantize_rows_i8_avx512(const struct quantize_rows *q)
{
	enum { AHEAD = 2 };
	float max[AHEAD] = {0};

	if (q->n != TRAJECTORY_DIM) {
		quantize_each_row(q, quantize_i8_avx512);
		return;
	}
	for (uint32_t r = 0; r < q->rows + AHEAD; r++) {
		if (r >= AHEAD) {
			struct trajectory_step *to = &q->to[r - AHEAD];
			const float m = max[r % AHEAD];

			to->scale = m / 127;
			trajectory_copy_attention(&to->attention, q->attention);
			codes_whole(q->x + (r - AHEAD) * q->x_row, inverse(m), to->activations);
		}
		if (r < q->rows) {
			max[r % AHEAD] = largest_whole(q->x + r * q->x_row);
			for (size_t i = 0; i < sizeof(q->to[r]); i += 64)
				__builtin_prefetch((char *)&q->to[r] + i, 1);
		}
	}
}
#endif
