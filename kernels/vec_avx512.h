/* SPDX-License-Identifier: Apache-2.0 */
/* vec_avx512.h: the vec_* primitives with AVX-512 (F, DQ), for the kernels' templates. */
#ifndef KERNELS_VEC_AVX512_H
#define KERNELS_VEC_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VEC_LANES 16
#ifndef VEC_KEEP
#define VEC_KEEP(v) __asm__ volatile("" : "+v"(v)) /* the compiler must compute v */
#endif

typedef __m512 vec;

#define V static inline __attribute__((always_inline, unused))

V vec vec_zero(void)
{
	return _mm512_setzero_ps();
}
V vec vec_splat(float x)
{
	return _mm512_set1_ps(x);
}
V vec vec_load(const float *p)
{
	return _mm512_load_ps(p);
}
V void vec_store(float *p, vec v)
{
	_mm512_store_ps(p, v);
}
V vec vec_load_first(const float *p, uint32_t n)
{
	return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
V void vec_store_first(float *p, vec v, uint32_t n)
{
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
V vec vec_fma(vec a, vec b, vec c)
{
	return _mm512_fmadd_ps(a, b, c);
}
V vec vec_add(vec a, vec b)
{
	return _mm512_add_ps(a, b);
}
V vec vec_sub(vec a, vec b)
{
	return _mm512_sub_ps(a, b);
}
V vec vec_mul(vec a, vec b)
{
	return _mm512_mul_ps(a, b);
}
V vec vec_div(vec a, vec b)
{
	return _mm512_div_ps(a, b);
}
V vec vec_max(vec a, vec b)
{
	return _mm512_max_ps(a, b);
}

/*
 * 2^x = 2^floor(x) * p(x - floor(x)); p is the minimax polynomial of degree 5 on [0, 1] (Remez),
 * relative error 7.5e-8. vscalef floors by itself, and gives 0 for -inf and below the subnormals.
 */
V vec vec_exp2(vec x)
{
	vec f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
	vec p = vec_splat(0x1.ec3209a1a1746p-10f);

	p = vec_fma(p, f, vec_splat(0x1.26900cdc15e28p-7f));
	p = vec_fma(p, f, vec_splat(0x1.c9544648fe152p-5f));
	p = vec_fma(p, f, vec_splat(0x1.ebd5a8d9ce783p-3f));
	p = vec_fma(p, f, vec_splat(0x1.62e4f5a9084dfp-1f));
	p = vec_fma(p, f, vec_splat(0x1.fffffd7c4cf59p-1f));
	return _mm512_scalef_ps(p, x);
}

/* a < b ? x : y in each lane; y where either is NaN. */
V vec vec_select_less(vec a, vec b, vec x, vec y)
{
	return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
}
V vec vec_keep_from(vec v, uint32_t first)
{
	__mmask16 hidden = first >= 16 ? 0xffff : (__mmask16)((1u << first) - 1);

	return _mm512_mask_mov_ps(v, hidden, vec_splat(-__builtin_inff()));
}
V vec vec_keep_first(vec v, uint32_t n)
{
	__mmask16 kept = n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);

	return _mm512_mask_mov_ps(vec_splat(-__builtin_inff()), kept, v);
}
V vec vec_fix_max(vec m)
{
	__mmask16 none = _mm512_cmp_ps_mask(m, vec_splat(-__builtin_inff()), _CMP_EQ_OQ);

	return _mm512_mask_mov_ps(m, none, vec_zero());
}
V vec vec_nonzero(vec l)
{
	return _mm512_mask_mov_ps(l, _mm512_cmp_ps_mask(l, vec_zero(), _CMP_EQ_OQ), vec_splat(1));
}

/* 16 x 16: pairs, quads, then 128-bit lanes twice. */
V void vec_transpose(vec r[VEC_LANES])
{
	vec t[16];

	for (int i = 0; i < 16; i += 2) {
		t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
	}
	for (int i = 0; i < 16; i += 4) {
		for (int j = 0; j < 2; j++) {
			__m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + j + 2]);

			r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
			r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
		}
	}
	for (int i = 0; i < 4; i++) {
		t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
		t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
		t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
		t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
	}
	for (int i = 0; i < 8; i++) {
		r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
		r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
	}
}

V vec vec_loadu(const float *p)
{
	return _mm512_loadu_ps(p);
}
V void vec_storeu(float *p, vec v)
{
	_mm512_storeu_ps(p, v);
}
V float vec_sum(vec v)
{
	return _mm512_reduce_add_ps(v);
}
/* Quarter i has the sums of quarter i of a, b, c and d. */
V vec vec_sum_quarters(vec a, vec b, vec c, vec d)
{
	__m512d lo = _mm512_castps_pd(vec_add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
	__m512d hi = _mm512_castps_pd(vec_add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));

	return vec_add(_mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi)),
		       _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi)));
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
