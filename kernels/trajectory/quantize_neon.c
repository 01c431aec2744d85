/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_neon.c: floats to int8 codes and a scale with NEON. */
#include "kernels/trajectory/trajectory.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include <arm_neon.h>
#include <math.h>

static inline int16x4_t codes_of(const float *x, float32x4_t inv)
{
	return vqmovn_s32(vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x), inv)));
}

float quantize_i8_neon(const float *x, int8_t *codes, uint32_t n)
{
	float32x4_t m0 = vdupq_n_f32(0), m1 = m0, inv;
	uint32_t i = 0;
	float max, f;

	for (; i + 8 <= n; i += 8) {
		m0 = vmaxq_f32(m0, vabsq_f32(vld1q_f32(x + i)));
		m1 = vmaxq_f32(m1, vabsq_f32(vld1q_f32(x + i + 4)));
	}
	max = vmaxvq_f32(vmaxq_f32(m0, m1));
	for (; i < n; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	f = max > 1e-36f ? 127 / max : 0;
	inv = vdupq_n_f32(f);
	for (i = 0; i + 8 <= n; i += 8)
		vst1_s8(codes + i,
			vqmovn_s16(vcombine_s16(codes_of(x + i, inv), codes_of(x + i + 4, inv))));
	for (; i < n; i++)
		codes[i] = (int8_t)lrintf(x[i] * f);
	return max / 127;
}

void quantize_rows_i8_neon(const struct quantize_rows *q)
{
	quantize_each_row(q, quantize_i8_neon);
}
#endif
