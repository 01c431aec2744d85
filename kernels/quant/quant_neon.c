/* SPDX-License-Identifier: Apache-2.0 */
/* quant_neon.c: products of coded matrices with NEON. */
#include "kernels/quant/quant.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

static inline uint8x8_t four_bytes(const uint8_t *p)
{
	uint32_t bits;

	memcpy(&bits, p, sizeof(bits));
	return vcreate_u8(bits);
}

static inline vec load_codes(const uint8_t *p)
{
	return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(four_bytes(p))))));
}

static inline void load_halves(const uint8_t *p, vec *low, vec *high)
{
	uint32x4_t w = vmovl_u16(vget_low_u16(vmovl_u8(four_bytes(p))));

	*low = vcvtq_f32_u32(vandq_u32(w, vdupq_n_u32(15)));
	*high = vcvtq_f32_u32(vshrq_n_u32(w, 4));
}

#include "kernels/quant/quant_loops.h"

int quant_matvec_neon(const struct quant_matrix *q, const float *x, float *y)
{
	return matvec(q, x, y);
}

int quant_expand_neon(const struct quant_matrix *q, const float *h, float *y)
{
	return expand(q, h, y);
}

int quant_decode_neon(const struct quant_matrix *q, float *w, size_t w_row)
{
	return decode(q, w, w_row);
}
#endif
