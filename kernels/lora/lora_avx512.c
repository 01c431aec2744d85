/* SPDX-License-Identifier: Apache-2.0 */
/* lora_avx512.c: micro-LoRA with AVX-512. */
#include "kernels/lora/lora.h"

#if defined(__x86_64__)
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
			__m512d lo = _mm512_castps_pd(vec_add(_mm512_unpacklo_ps(x[0], x[1]),
							      _mm512_unpackhi_ps(x[0], x[1])));
			__m512d hi = _mm512_castps_pd(vec_add(_mm512_unpacklo_ps(x[2], x[3]),
							      _mm512_unpackhi_ps(x[2], x[3])));

			t[i] = vec_add(_mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi)),
				       _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi)));
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

#define LORA_WIDE
#include "kernels/lora/lora_loops.h"

int lora_forward_avx512(const struct lora *l, const float *x, float *y)
{
	return lora_forward(l, x, y);
}

int lora_update_avx512(const struct lora *l, const float *x, const float *grad_y, float weight,
		       struct lora_gradient *g)
{
	return lora_update(l, x, grad_y, weight, g);
}

int lora_forward_batch_avx512(const struct lora *l, const float *x, size_t x_row, float *y,
			      size_t y_row, uint32_t rows)
{
	return lora_forward_batch(l, x, x_row, y, y_row, rows);
}

int lora_update_batch_avx512(const struct lora *l, const float *x, size_t x_row,
			     const float *grad_y, size_t grad_row, const float *weight,
			     uint32_t rows, struct lora_gradient *g)
{
	return lora_update_batch(l, x, x_row, grad_y, grad_row, weight, rows, g);
}
#endif
