/* SPDX-License-Identifier: Apache-2.0 */
/* lora_bf16_avx2.c: bf16 layers with AVX2. */
#include "kernels/lora/lora_bf16.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

static inline void split(const uint32_t *p, vec *low, vec *high)
{
	const __m256i w = _mm256_loadu_si256((const __m256i *)p);

	*low = _mm256_castsi256_ps(_mm256_slli_epi32(w, 16));
	*high = _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(-65536)));
}

#include "kernels/lora/lora_bf16_loops.h"

int lora_bf16_forward_avx2(const struct lora_bf16 *l, uint32_t layer, const float *x, float *y)
{
	return bf16_forward(l, layer, x, y);
}
#endif
