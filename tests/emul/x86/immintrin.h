/* SPDX-License-Identifier: Apache-2.0 */
/*
 * immintrin.h: in front of the compiler's own for *_avx512*.c and *_avxvnni.c of the emulated
 * build: what they use, by SIMDe, on a CPU that lacks it. What SIMDe 0.7.4 lacks is here as plain
 * loops, after Intel's description of each instruction; one that is in neither is an error of the
 * compiler's.
 */
#ifndef EMUL_IMMINTRIN_H
#define EMUL_IMMINTRIN_H

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <math.h>
#include <simde/x86/avx512.h>
#include <stdint.h>
#include <string.h>

#define VEC_KEEP(v) __asm__ volatile("" : "+m"(v))

#define E	    static inline __attribute__((unused))

/* Lanes k of from[] to memory, or from memory and zeros; only the lanes of k are touched. */
#define EMUL_MEMORY(WIDTH, N, BITS, MASK, SUFFIX, REG)                                           \
	E REG emul##WIDTH##_maskz_loadu_##SUFFIX(MASK k, const void *p)                          \
	{                                                                                        \
		uint##BITS##_t lanes[N] = {0};                                                   \
		REG v;                                                                           \
                                                                                                 \
		for (int i = 0; i < (N); i++)                                                    \
			if (k >> i & 1)                                                          \
				memcpy(&lanes[i], (const char *)p + i * (BITS) / 8, (BITS) / 8); \
		memcpy(&v, lanes, sizeof(v));                                                    \
		return v;                                                                        \
	}                                                                                        \
	E void emul##WIDTH##_mask_storeu_##SUFFIX(void *p, MASK k, REG v)                        \
	{                                                                                        \
		uint##BITS##_t lanes[N];                                                         \
                                                                                                 \
		memcpy(lanes, &v, sizeof(v));                                                    \
		for (int i = 0; i < (N); i++)                                                    \
			if (k >> i & 1)                                                          \
				memcpy((char *)p + i * (BITS) / 8, &lanes[i], (BITS) / 8);       \
	}
EMUL_MEMORY(512, 16, 32, __mmask16, ps, __m512)
EMUL_MEMORY(512, 16, 32, __mmask16, epi32, __m512i)
EMUL_MEMORY(512, 32, 16, __mmask32, epi16, __m512i)
EMUL_MEMORY(512, 64, 8, __mmask64, epi8, __m512i)
EMUL_MEMORY(256, 8, 32, __mmask8, ps, __m256)
EMUL_MEMORY(256, 8, 32, __mmask8, epi32, __m256i)
EMUL_MEMORY(256, 16, 16, __mmask16, epi16, __m256i)
EMUL_MEMORY(256, 32, 8, __mmask32, epi8, __m256i)
EMUL_MEMORY(128, 8, 16, __mmask8, epi16, __m128i)
EMUL_MEMORY(128, 16, 8, __mmask16, epi8, __m128i)

/* Halves onto halves, as gcc's own sequence adds. */
#define EMUL_REDUCE(NAME, N, TYPE, REG, OF)                   \
	E TYPE emul512_reduce_##NAME(REG v)                   \
	{                                                     \
		TYPE x[N];                                    \
                                                              \
		memcpy(x, &v, sizeof(x));                     \
		for (int half = (N) / 2; half; half /= 2)     \
			for (int i = 0; i < half; i++)        \
				x[i] = OF(x[i], x[i + half]); \
		return x[0];                                  \
	}
#define EMUL_ADD(a, b) ((a) + (b))
#define EMUL_MAX(a, b) ((a) > (b) ? (a) : (b))
#define EMUL_MIN(a, b) ((a) < (b) ? (a) : (b))
EMUL_REDUCE(add_ps, 16, float, __m512, EMUL_ADD)
EMUL_REDUCE(max_ps, 16, float, __m512, EMUL_MAX)
EMUL_REDUCE(min_ps, 16, float, __m512, EMUL_MIN)
EMUL_REDUCE(add_pd, 8, double, __m512d, EMUL_ADD)
EMUL_REDUCE(add_epi32, 16, int32_t, __m512i, EMUL_ADD)
EMUL_REDUCE(max_epi32, 16, int32_t, __m512i, EMUL_MAX)

/* Each lane to another type. */
#define EMUL_CONVERT(NAME, N, FROM, FROM_REG, TO, TO_REG) \
	E TO_REG emul512_##NAME(FROM_REG v)               \
	{                                                 \
		FROM x[N];                                \
		TO out[N];                                \
		TO_REG r;                                 \
                                                          \
		memcpy(x, &v, sizeof(x));                 \
		for (int i = 0; i < (N); i++)             \
			out[i] = (TO)x[i];                \
		memcpy(&r, out, sizeof(r));               \
		return r;                                 \
	}
EMUL_CONVERT(cvtepi32_ps, 16, int32_t, __m512i, float, __m512)
EMUL_CONVERT(cvtepi8_epi32, 16, int8_t, __m128i, int32_t, __m512i)
EMUL_CONVERT(cvtepu8_epi32, 16, uint8_t, __m128i, int32_t, __m512i)

/* Out of range, and NaN, give the integer indefinite. */
E __m512i emul512_cvtps_epi32(__m512 v)
{
	int32_t out[16];
	float x[16];

	memcpy(x, &v, sizeof(x));
	for (int i = 0; i < 16; i++)
		out[i] = x[i] >= -0x1p31f && x[i] < 0x1p31f ? (int32_t)lrintf(x[i]) : INT32_MIN;
	memcpy(&v, out, sizeof(v));
	return _mm512_castps_si512(v);
}

/* VREDUCEPS to whole numbers: x - round(x); 0 for an infinity. */
E __m512 emul512_reduce_ps(__m512 v, int how)
{
	float x[16];

	memcpy(x, &v, sizeof(x));
	for (int i = 0; i < 16; i++) {
		float whole = (how & 3) == _MM_FROUND_TO_NEG_INF   ? floorf(x[i])
			      : (how & 3) == _MM_FROUND_TO_POS_INF ? ceilf(x[i])
			      : (how & 3) == _MM_FROUND_TO_ZERO	   ? truncf(x[i])
								   : rintf(x[i]);

		x[i] = isinf(x[i]) ? 0 : x[i] - whole;
	}
	memcpy(&v, x, sizeof(v));
	return v;
}

/* a * 2^floor(b); SIMDe's goes through exp2 and flushes subnormals. */
E __m512 emul512_scalef_ps(__m512 a, __m512 b)
{
	float x[16], y[16];

	memcpy(x, &a, sizeof(x));
	memcpy(y, &b, sizeof(y));
	for (int i = 0; i < 16; i++) {
		float n = floorf(y[i]);

		if (isnan(n))
			x[i] = n;
		else
			x[i] = ldexpf(x[i], n < -1000 ? -1000 : n > 1000 ? 1000 : (int)n);
	}
	memcpy(&a, x, sizeof(a));
	return a;
}

E __m512 emul512_shuffle_f32x4(__m512 a, __m512 b, int which)
{
	float x[16], y[16], out[16];

	memcpy(x, &a, sizeof(x));
	memcpy(y, &b, sizeof(y));
	for (int q = 0; q < 4; q++)
		memcpy(out + 4 * q, (q < 2 ? x : y) + 4 * (which >> 2 * q & 3), 16);
	memcpy(&a, out, sizeof(a));
	return a;
}
#undef E

/* The same as AVX512-VNNI's, under another name. */
#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32(s, a, b) simde_mm256_dpbusd_epi32(s, a, b)

/* SIMDe's alias wants the arguments of another. */
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

#undef _mm512_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#undef _mm512_maskz_loadu_epi32
#undef _mm512_mask_storeu_epi32
#undef _mm512_maskz_loadu_epi16
#undef _mm512_mask_storeu_epi16
#undef _mm512_maskz_loadu_epi8
#undef _mm512_mask_storeu_epi8
#undef _mm512_scalef_ps
#undef _mm512_reduce_ps
#undef _mm512_shuffle_f32x4
#define _mm512_maskz_loadu_ps	 emul512_maskz_loadu_ps
#define _mm512_mask_storeu_ps	 emul512_mask_storeu_ps
#define _mm512_maskz_loadu_epi32 emul512_maskz_loadu_epi32
#define _mm512_mask_storeu_epi32 emul512_mask_storeu_epi32
#define _mm512_maskz_loadu_epi16 emul512_maskz_loadu_epi16
#define _mm512_mask_storeu_epi16 emul512_mask_storeu_epi16
#define _mm512_maskz_loadu_epi8	 emul512_maskz_loadu_epi8
#define _mm512_mask_storeu_epi8	 emul512_mask_storeu_epi8
#define _mm256_maskz_loadu_ps	 emul256_maskz_loadu_ps
#define _mm256_mask_storeu_ps	 emul256_mask_storeu_ps
#define _mm256_maskz_loadu_epi32 emul256_maskz_loadu_epi32
#define _mm256_mask_storeu_epi32 emul256_mask_storeu_epi32
#define _mm256_maskz_loadu_epi16 emul256_maskz_loadu_epi16
#define _mm256_mask_storeu_epi16 emul256_mask_storeu_epi16
#define _mm256_maskz_loadu_epi8	 emul256_maskz_loadu_epi8
#define _mm256_mask_storeu_epi8	 emul256_mask_storeu_epi8
#define _mm_maskz_loadu_epi16	 emul128_maskz_loadu_epi16
#define _mm_mask_storeu_epi16	 emul128_mask_storeu_epi16
#define _mm_maskz_loadu_epi8	 emul128_maskz_loadu_epi8
#define _mm_mask_storeu_epi8	 emul128_mask_storeu_epi8
#define _mm512_reduce_add_ps	 emul512_reduce_add_ps
#define _mm512_reduce_max_ps	 emul512_reduce_max_ps
#define _mm512_reduce_min_ps	 emul512_reduce_min_ps
#define _mm512_reduce_add_pd	 emul512_reduce_add_pd
#define _mm512_reduce_add_epi32	 emul512_reduce_add_epi32
#define _mm512_reduce_max_epi32	 emul512_reduce_max_epi32
#define _mm512_cvtepi32_ps	 emul512_cvtepi32_ps
#define _mm512_cvtepi8_epi32	 emul512_cvtepi8_epi32
#define _mm512_cvtepu8_epi32	 emul512_cvtepu8_epi32
#define _mm512_cvtps_epi32	 emul512_cvtps_epi32
#define _mm512_reduce_ps	 emul512_reduce_ps
#define _mm512_scalef_ps	 emul512_scalef_ps
#define _mm512_shuffle_f32x4	 emul512_shuffle_f32x4

#endif
