/* SPDX-License-Identifier: Apache-2.0 */
/* decode_neon.c: decode with NEON. */
#include "kernels/decode/decode.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

/* Pairs of vectors of out that a tile of mr rows keeps in registers: 8 or 16 accumulators of 32. */
#define VALUE_PAIRS(mr) ((mr) == 4 ? 2 : 4)

#define V		static inline __attribute__((always_inline))

typedef int32x4_t ivec;
typedef int16x8_t icodes;

V void load_pair(const enum kv_type type, const void *p, vec *a, vec *b)
{
	if (type == KV_F32) {
		*a = vec_loadu(p);
		*b = vec_loadu((const float *)p + VEC_LANES);
	} else if (type == KV_BF16) {
		uint32x4_t x = vreinterpretq_u32_u16(vld1q_u16(p));

		*a = vreinterpretq_f32_u32(vshlq_n_u32(x, 16));
		*b = vreinterpretq_f32_u32(vandq_u32(x, vdupq_n_u32(0xffff0000)));
	} else {
		int16x8_t x = vmovl_s8(vld1_s8(p));

		*a = vcvtq_f32_s32(vmovl_s16(vget_low_s16(x)));
		*b = vcvtq_f32_s32(vmovl_high_s16(x));
	}
}

V vec vec_sums(const vec r[VEC_LANES])
{
	return vpaddq_f32(vpaddq_f32(r[0], r[1]), vpaddq_f32(r[2], r[3]));
}

V float vec_top(vec v)
{
	return vmaxvq_f32(v);
}

V ivec ivec_zero(void)
{
	return vdupq_n_s32(0);
}
V icodes ivec_codes(const void *p)
{
	return vmovl_s8(vld1_s8(p));
}
V ivec ivec_dot(icodes codes, const int16_t *q, ivec acc)
{
	int16x8_t x = vld1q_s16(q);

	acc = vmlal_s16(acc, vget_low_s16(codes), vget_low_s16(x));
	return vmlal_high_s16(acc, codes, x);
}
V vec ivec_float(ivec v)
{
	return vcvtq_f32_s32(v);
}

#include "kernels/decode/decode_tiles.h"
#include "kernels/decode/decode_loops.h"

int decode_neon(const struct decode *d, void *scratch, size_t scratch_bytes)
{
	return decode(d, scratch, scratch_bytes);
}
#endif
