/* SPDX-License-Identifier: Apache-2.0 */
/* lora_sums16.h: sums across the sixteen lanes of several vectors, with AVX-512. */
#ifndef KERNELS_LORA_SUMS16_H
#define KERNELS_LORA_SUMS16_H

#include "kernels/vec_avx512.h"

/*
 * Sums of eight vectors at once: neighbours, then pairs of them, then the quarters. Others, which
 * are few, one by one.
 */
static inline __attribute__((always_inline)) void lora_sums(const int n, const vec *s, float *h)
{
	int j = 0;

#pragma GCC unroll 2
	for (; j + 8 <= n; j += 8) {
		vec t[2], a;

#pragma GCC unroll 2
		for (int i = 0; i < 2; i++) {
			const vec *x = s + j + 4 * i;

			t[i] = vec_sum_quarters(x[0], x[1], x[2], x[3]);
		}
		a = vec_add(_mm512_shuffle_f32x4(t[0], t[1], 0x88),
			    _mm512_shuffle_f32x4(t[0], t[1], 0xdd));
		a = vec_add(_mm512_shuffle_f32x4(a, a, 0x08), _mm512_shuffle_f32x4(a, a, 0x0d));
		_mm256_storeu_ps(h + j, _mm512_castps512_ps256(a));
	}
#pragma GCC unroll 8
	for (; j < n; j++)
		h[j] = vec_sum(s[j]);
}

#endif
