/* SPDX-License-Identifier: Apache-2.0 */
/* lora_bf16_avx512.c: bf16 layers with AVX-512. */
#include "kernels/lora/lora_bf16.h"

#if defined(__x86_64__)
#include "kernels/vec_avx512.h"

static inline void split(const uint32_t *p, vec *low, vec *high)
{
	const __m512i w = _mm512_loadu_si512((const void *)p);

	*low = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
	*high = _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32(-65536)));
}

#include "kernels/lora/lora_bf16_loops.h"

int lora_bf16_forward_avx512(const struct lora_bf16 *l, uint32_t layer, const float *x, float *y)
{
	return bf16_forward(l, layer, x, y);
}
#endif
