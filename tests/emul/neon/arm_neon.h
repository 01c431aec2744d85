/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm_neon.h: for *_neon.c of the emulated build: what AArch64's NEON does, by SIMDe, on another
 * CPU. What SIMDe 0.7.4 lacks is here as plain loops, after Arm's description of each instruction.
 */
#ifndef EMUL_ARM_NEON_H
#define EMUL_ARM_NEON_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <math.h>
#include <simde/arm/neon.h>
#include <stdint.h>
#include <string.h>

#define VEC_KEEP(v) __asm__ volatile("" : "+m"(v))

#define E	    static inline __attribute__((unused))

E float32x4_t emul_vdivq_f32(float32x4_t a, float32x4_t b)
{
	float x[4], y[4];

	vst1q_f32(x, a);
	vst1q_f32(y, b);
	for (int i = 0; i < 4; i++)
		x[i] /= y[i];
	return vld1q_f32(x);
}

/* To the nearest, ties to even; what does not fit saturates, NaN is 0. */
E int32x4_t emul_vcvtnq_s32_f32(float32x4_t v)
{
	int32_t out[4];
	float x[4];

	vst1q_f32(x, v);
	for (int i = 0; i < 4; i++) {
		if (isnan(x[i]))
			out[i] = 0;
		else if (x[i] < -0x1p31f || x[i] >= 0x1p31f)
			out[i] = x[i] < 0 ? INT32_MIN : INT32_MAX;
		else
			out[i] = (int32_t)lrintf(x[i]);
	}
	return vld1q_s32(out);
}
#undef E

#define vdivq_f32      emul_vdivq_f32
#define vcvtnq_s32_f32 emul_vcvtnq_s32_f32

#endif
