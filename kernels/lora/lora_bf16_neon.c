/* SPDX-License-Identifier: Apache-2.0 */
/* lora_bf16_neon.c: bf16 layers with NEON. */
#include "kernels/lora/lora_bf16.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

static inline void split(const uint32_t *p, vec *low, vec *high)
{
	const uint32x4_t w = vld1q_u32(p);

	*low = vreinterpretq_f32_u32(vshlq_n_u32(w, 16));
	*high = vreinterpretq_f32_u32(vandq_u32(w, vdupq_n_u32(0xffff0000u)));
}

#include "kernels/lora/lora_bf16_loops.h"

int lora_bf16_forward_neon(const struct lora_bf16 *l, uint32_t layer, const float *x, float *y)
{
	return bf16_forward(l, layer, x, y);
}
#endif
