/* SPDX-License-Identifier: Apache-2.0 */
/* vec_avx2.h: the vec_* primitives with AVX2 and FMA, for the kernels' templates. */
#ifndef KERNELS_VEC_AVX2_H
#define KERNELS_VEC_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VEC_LANES   8
#define VEC_KEEP(v) __asm__ volatile("" : "+x"(v)) /* the compiler must compute v */

typedef __m256 vec;

#define V static inline __attribute__((always_inline, unused))

V __m256i first_lanes(uint32_t n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
				  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

V vec vec_zero(void)
{
	return _mm256_setzero_ps();
}
V vec vec_splat(float x)
{
	return _mm256_set1_ps(x);
}
V vec vec_load(const float *p)
{
	return _mm256_load_ps(p);
}
V void vec_store(float *p, vec v)
{
	_mm256_store_ps(p, v);
}
V vec vec_load_first(const float *p, uint32_t n)
{
	return n == VEC_LANES ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first_lanes(n));
}
V void vec_store_first(float *p, vec v, uint32_t n)
{
	if (n == VEC_LANES)
		_mm256_storeu_ps(p, v);
	else
		_mm256_maskstore_ps(p, first_lanes(n), v);
}
V vec vec_fma(vec a, vec b, vec c)
{
	return _mm256_fmadd_ps(a, b, c);
}
V vec vec_add(vec a, vec b)
{
	return _mm256_add_ps(a, b);
}
V vec vec_sub(vec a, vec b)
{
	return _mm256_sub_ps(a, b);
}
V vec vec_mul(vec a, vec b)
{
	return _mm256_mul_ps(a, b);
}
V vec vec_div(vec a, vec b)
{
	return _mm256_div_ps(a, b);
}
V vec vec_max(vec a, vec b)
{
	return _mm256_max_ps(a, b);
}

/*
 * 2^x = 2^n * p(x - n), n the nearest integer; p is the minimax polynomial of degree 5 on
 * [-1/2, 1/2] (Remez), relative error 7.5e-8. A number of 1.5 * 2^23 added rounds x, and leaves
 * n + 127 in the lowest bits, which are the exponent of 2^n; from -127 on down they are 0, and so
 * is the factor. Ports for arithmetic bind: that is two operations less than with conversions and
 * a comparison.
 */
V vec vec_exp2(vec x)
{
	const vec big = vec_splat(0x1.8p23f + 127);
	vec t, f, p = vec_splat(0x1.5c08e6p-10f);

	x = vec_max(vec_splat(-127), x); /* x where it is NaN */
	t = vec_add(x, big);
	f = vec_sub(x, vec_sub(t, big));
	p = vec_fma(p, f, vec_splat(0x1.3d0c52p-7f));
	p = vec_fma(p, f, vec_splat(0x1.c6b6e4p-5f));
	p = vec_fma(p, f, vec_splat(0x1.ebf918p-3f));
	p = vec_fma(p, f, vec_splat(0x1.62e428p-1f));
	p = vec_fma(p, f, vec_splat(0x1.000002p+0f));
	return vec_mul(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}

/* a < b ? x : y in each lane; y where either is NaN. */
V vec vec_select_less(vec a, vec b, vec x, vec y)
{
	return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
V vec vec_keep_from(vec v, uint32_t first)
{
	return _mm256_blendv_ps(v, vec_splat(-__builtin_inff()),
				_mm256_castsi256_ps(first_lanes(first)));
}
V vec vec_keep_first(vec v, uint32_t n)
{
	return _mm256_blendv_ps(vec_splat(-__builtin_inff()), v,
				_mm256_castsi256_ps(first_lanes(n)));
}
V vec vec_fix_max(vec m)
{
	return _mm256_andnot_ps(_mm256_cmp_ps(m, vec_splat(-__builtin_inff()), _CMP_EQ_OQ), m);
}
V vec vec_nonzero(vec l)
{
	return _mm256_blendv_ps(l, vec_splat(1), _mm256_cmp_ps(l, vec_zero(), _CMP_EQ_OQ));
}

/* 8 x 8: pairs, quads, then 128-bit halves. */
V void vec_transpose(vec r[VEC_LANES])
{
	vec t[8];

	for (int i = 0; i < 8; i += 2) {
		t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
		t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
	}
	for (int i = 0; i < 8; i += 4) {
		for (int j = 0; j < 2; j++) {
			__m256d a = _mm256_castps_pd(t[i + j]), b = _mm256_castps_pd(t[i + j + 2]);

			r[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
			r[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
		}
	}
	for (int i = 0; i < 4; i++) {
		t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
		t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
	}
	memcpy(r, t, sizeof(t));
}

V vec vec_loadu(const float *p)
{
	return _mm256_loadu_ps(p);
}
V void vec_storeu(float *p, vec v)
{
	_mm256_storeu_ps(p, v);
}
V float vec_sum(vec v)
{
	__m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
/* r[i][j] = p[j * row + i] * f[i]: a square turned, by halves as it is loaded, then in them. */
V void vec_load_turned(vec r[VEC_LANES], const float *p, size_t row, vec f)
{
	const vec lo = _mm256_permute2f128_ps(f, f, 0x00), hi = _mm256_permute2f128_ps(f, f, 0x11);

	for (int half = 0; half < 2; half++, p += 4) {
		vec a[4], b[4], *to = r + 4 * half;

		for (int i = 0; i < 4; i++)
			a[i] = vec_mul(_mm256_insertf128_ps(
					       _mm256_castps128_ps256(_mm_loadu_ps(p + i * row)),
					       _mm_loadu_ps(p + (i + 4) * row), 1),
				       half ? hi : lo);
		for (int i = 0; i < 4; i += 2) {
			b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
			b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
		}
		for (int i = 0; i < 2; i++) {
			__m256d x = _mm256_castps_pd(b[i]), y = _mm256_castps_pd(b[i + 2]);

			to[2 * i] = _mm256_castpd_ps(_mm256_unpacklo_pd(x, y));
			to[2 * i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x, y));
		}
	}
}
#undef V

#endif
