/* SPDX-License-Identifier: Apache-2.0 */
/* quant_i8_neon.c: codes by codes with NEON. */
#include "kernels/quant/quant.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include <arm_neon.h>

#define LOOP static inline __attribute__((always_inline))

typedef float32x4_t sum;
typedef int32x4_t isum;

struct block {
	int8x16_t low, high;
};

LOOP struct block block_load(const uint32_t bits, const void *codes)
{
	const int8_t *p = codes;

	return (struct block){vld1q_s8(p), vld1q_s8(p + 16)};
}

/* Two products in 16 bits: 2 * 127 * 127 fits. */
LOOP int16x8_t products(int8x16_t a, int8x16_t b)
{
	int16x8_t p = vmull_s8(vget_low_s8(a), vget_low_s8(b));

	return vmlal_s8(p, vget_high_s8(a), vget_high_s8(b));
}

LOOP isum dot_codes(const uint32_t bits, const uint8_t *p, const struct block *b)
{
	int8x16_t low, high;

	if (bits == 8) {
		low = vld1q_s8((const int8_t *)p);
		high = vld1q_s8((const int8_t *)p + 16);
	} else {
		const uint8x16_t w = vld1q_u8(p);

		/* Columns 0..15 are low halves, 16..31 high ones; stored with 8 too much. */
		low = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(w, vdupq_n_u8(15))), vdupq_n_s8(8));
		high = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(w, 4)), vdupq_n_s8(8));
	}
	return vpadalq_s16(vpaddlq_s16(products(low, b->low)), products(high, b->high));
}

LOOP sum sum_zero(void)
{
	return vdupq_n_f32(0);
}

LOOP sum sum_add(sum acc, float step, isum dot)
{
	return vfmaq_f32(acc, vdupq_n_f32(step), vcvtq_f32_s32(dot));
}

LOOP float sum_lanes(sum v)
{
	return vaddvq_f32(v);
}

#include "kernels/quant/quant_i8_loops.h"

int quant_matvec_i8_neon(const struct quant_matrix *q, const struct quant_matrix *x, float *y)
{
	return matvec_i8(q, x, y);
}
#endif
