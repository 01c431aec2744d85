/* SPDX-License-Identifier: Apache-2.0 */
/* vec_neon.h: the vec_* primitives with AArch64's NEON, for the kernels' templates. */
#ifndef KERNELS_VEC_NEON_H
#define KERNELS_VEC_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VEC_LANES 4
#ifndef VEC_KEEP
#define VEC_KEEP(v) __asm__ volatile("" : "+w"(v)) /* the compiler must compute v */
#endif

typedef float32x4_t vec;

#define V static inline __attribute__((always_inline, unused))

V vec vec_zero(void)
{
	return vdupq_n_f32(0);
}
V vec vec_splat(float x)
{
	return vdupq_n_f32(x);
}
V vec vec_load(const float *p)
{
	return vld1q_f32(p);
}
V void vec_store(float *p, vec v)
{
	vst1q_f32(p, v);
}
/* No masked load here: the rest lane by lane. */
V vec vec_load_first(const float *p, uint32_t n)
{
	vec v = vec_zero();

	if (n >= VEC_LANES)
		return vld1q_f32(p);
	if (n > 0)
		v = vld1q_lane_f32(p, v, 0);
	if (n > 1)
		v = vld1q_lane_f32(p + 1, v, 1);
	if (n > 2)
		v = vld1q_lane_f32(p + 2, v, 2);
	return v;
}
V void vec_store_first(float *p, vec v, uint32_t n)
{
	if (n >= VEC_LANES) {
		vst1q_f32(p, v);
		return;
	}
	if (n > 0)
		vst1q_lane_f32(p, v, 0);
	if (n > 1)
		vst1q_lane_f32(p + 1, v, 1);
	if (n > 2)
		vst1q_lane_f32(p + 2, v, 2);
}
V vec vec_fma(vec a, vec b, vec c)
{
	return vfmaq_f32(c, a, b);
}
V vec vec_add(vec a, vec b)
{
	return vaddq_f32(a, b);
}
V vec vec_sub(vec a, vec b)
{
	return vsubq_f32(a, b);
}
V vec vec_mul(vec a, vec b)
{
	return vmulq_f32(a, b);
}
V vec vec_div(vec a, vec b)
{
	return vdivq_f32(a, b);
}
/* As x86 has it, b when either is NaN; FMAX would give NaN for both orders. */
V vec vec_max(vec a, vec b)
{
	return vbslq_f32(vcgtq_f32(a, b), a, b);
}

V vec clear_lanes(vec v, uint32x4_t which)
{
	return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v), which));
}

/*
 * 2^x = 2^floor(x) * p(x - floor(x)); p is the minimax polynomial of degree 5 on [0, 1] (Remez),
 * relative error 7.5e-8. The exponent is added as an integer, so below -126 the result is made 0.
 */
V vec vec_exp2(vec x)
{
	uint32x4_t small = vcltq_f32(x, vec_splat(-126));
	vec n = vrndmq_f32(vec_max(vec_splat(-126), x)); /* a NaN x is kept */
	vec f = vec_sub(x, n), p = vec_splat(0x1.ec3209a1a1746p-10f);

	p = vec_fma(p, f, vec_splat(0x1.26900cdc15e28p-7f));
	p = vec_fma(p, f, vec_splat(0x1.c9544648fe152p-5f));
	p = vec_fma(p, f, vec_splat(0x1.ebd5a8d9ce783p-3f));
	p = vec_fma(p, f, vec_splat(0x1.62e4f5a9084dfp-1f));
	p = vec_fma(p, f, vec_splat(0x1.fffffd7c4cf59p-1f));
	p = vreinterpretq_f32_s32(
		vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vcvtq_s32_f32(n), 23)));
	return clear_lanes(p, small);
}

V vec vec_select_less(vec a, vec b, vec x, vec y)
{
	return vbslq_f32(vcltq_f32(a, b), x, y);
}
V uint32x4_t first_lanes(uint32_t n)
{
	static const uint32_t lanes[4] = {0, 1, 2, 3};

	return vcltq_u32(vld1q_u32(lanes), vdupq_n_u32(n));
}
V vec vec_keep_from(vec v, uint32_t first)
{
	return vbslq_f32(first_lanes(first), vec_splat(-__builtin_inff()), v);
}
V vec vec_keep_first(vec v, uint32_t n)
{
	return vbslq_f32(first_lanes(n), v, vec_splat(-__builtin_inff()));
}
V vec vec_fix_max(vec m)
{
	return clear_lanes(m, vceqq_f32(m, vec_splat(-__builtin_inff())));
}
V vec vec_nonzero(vec l)
{
	return vbslq_f32(vceqq_f32(l, vec_zero()), vec_splat(1), l);
}

/* 4 x 4: pairs, then halves. */
V void vec_transpose(vec r[VEC_LANES])
{
	for (int i = 0; i < 4; i += 2) {
		vec even = vtrn1q_f32(r[i], r[i + 1]), odd = vtrn2q_f32(r[i], r[i + 1]);

		r[i] = even;
		r[i + 1] = odd;
	}
	for (int i = 0; i < 2; i++) {
		float64x2_t a = vreinterpretq_f64_f32(r[i]), b = vreinterpretq_f64_f32(r[i + 2]);

		r[i] = vreinterpretq_f32_f64(vtrn1q_f64(a, b));
		r[i + 2] = vreinterpretq_f32_f64(vtrn2q_f64(a, b));
	}
}

V vec vec_loadu(const float *p)
{
	return vld1q_f32(p);
}
V void vec_storeu(float *p, vec v)
{
	vst1q_f32(p, v);
}
V float vec_sum(vec v)
{
	return vaddvq_f32(v);
}
/* r[i][j] = p[j * row + i] * f[i]: a square turned. */
V void vec_load_turned(vec r[VEC_LANES], const float *p, size_t row, vec f)
{
	for (int j = 0; j < VEC_LANES; j++)
		r[j] = vec_mul(vec_loadu(p + j * row), f);
	vec_transpose(r);
}
#undef V

#endif
