/* SPDX-License-Identifier: Apache-2.0 */
/* decode_avx2.c: decode with AVX2 and FMA. */
#include "kernels/decode/decode.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

/* Pairs of vectors of out that a tile of mr rows keeps in registers: 8 accumulators of 16. */
#define VALUE_PAIRS(mr) ((mr) == 1 ? 4 : (mr) == 2 ? 2 : 1)

#define V		static inline __attribute__((always_inline))

typedef __m256i ivec, icodes;

V void load_pair(const enum kv_type type, const void *p, vec *a, vec *b)
{
	const __m128i *at = p;
	__m256i x;

	if (type == KV_F32) {
		*a = vec_loadu(p);
		*b = vec_loadu((const float *)p + VEC_LANES);
	} else if (type == KV_BF16) {
		x = _mm256_loadu_si256(p);
		*a = _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
		*b = _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(-65536)));
	} else {
		x = _mm256_cvtepi8_epi32(_mm_loadl_epi64(at));
		*a = _mm256_cvtepi32_ps(x);
		x = _mm256_cvtepi8_epi32(
			_mm_loadl_epi64((const __m128i *)(const void *)((const char *)p + 8)));
		*b = _mm256_cvtepi32_ps(x);
	}
}

V vec vec_sums(const vec r[VEC_LANES])
{
	vec a = _mm256_hadd_ps(_mm256_hadd_ps(r[0], r[1]), _mm256_hadd_ps(r[2], r[3]));
	vec b = _mm256_hadd_ps(_mm256_hadd_ps(r[4], r[5]), _mm256_hadd_ps(r[6], r[7]));

	return vec_add(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

V float vec_top(vec v)
{
	__m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	x = _mm_max_ps(x, _mm_movehl_ps(x, x));
	return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

V ivec ivec_zero(void)
{
	return _mm256_setzero_si256();
}
V icodes ivec_codes(const void *p)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128(p));
}
V ivec ivec_dot(icodes codes, const int16_t *q, ivec acc)
{
	return _mm256_add_epi32(
		acc, _mm256_madd_epi16(codes, _mm256_load_si256((const __m256i *)(const void *)q)));
}
V vec ivec_float(ivec v)
{
	return _mm256_cvtepi32_ps(v);
}

V vec vec_splat_few(const void *p)
{
	return _mm256_castpd_ps(_mm256_broadcast_sd(p));
}
V vec vec_sum_pairs(vec a, vec b)
{
	return _mm256_hadd_ps(a, b);
}

#define DECODE_WIDE "kernels/decode/decode_wide.h"
#include "kernels/decode/decode_tiles.h"
#include "kernels/decode/decode_loops.h"

int decode_avx2(const struct decode *d, void *scratch, size_t scratch_bytes)
{
	return decode(d, scratch, scratch_bytes);
}
#endif
