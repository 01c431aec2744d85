/* SPDX-License-Identifier: Apache-2.0 */
/* decode_avx512.c: decode with AVX-512 (F, BW). */
#include "kernels/decode/decode.h"

#if defined(__x86_64__)
#include "kernels/vec_avx512.h"

/* Pairs of vectors of out that a tile of mr rows keeps in registers: 8 or 16 accumulators of 32. */
#define VALUE_PAIRS(mr) ((mr) == 1 ? 4 : (mr) == 2 ? 4 : 2)

#define V		static inline __attribute__((always_inline))

typedef __m512i ivec, icodes;

V void load_pair(const enum kv_type type, const void *p, vec *a, vec *b)
{
	const char *at = p;
	__m512i x;

	if (type == KV_F32) {
		*a = vec_loadu(p);
		*b = vec_loadu((const float *)p + VEC_LANES);
	} else if (type == KV_BF16) {
		x = _mm512_loadu_si512(p);
		*a = _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
		*b = _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(-65536)));
	} else {
		x = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)at));
		*a = _mm512_cvtepi32_ps(x);
		x = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(at + 16)));
		*b = _mm512_cvtepi32_ps(x);
	}
}

/* Pairs and quads within 128-bit lanes, then the lanes of four vectors at once. */
V vec vec_sums(const vec r[VEC_LANES])
{
	vec t[4], a, b;

	for (int i = 0; i < 4; i++)
		t[i] = vec_sum_quarters(r[4 * i], r[4 * i + 1], r[4 * i + 2], r[4 * i + 3]);
	a = vec_add(_mm512_shuffle_f32x4(t[0], t[1], 0x88), _mm512_shuffle_f32x4(t[0], t[1], 0xdd));
	b = vec_add(_mm512_shuffle_f32x4(t[2], t[3], 0x88), _mm512_shuffle_f32x4(t[2], t[3], 0xdd));
	return vec_add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

V float vec_top(vec v)
{
	return _mm512_reduce_max_ps(v);
}

V ivec ivec_zero(void)
{
	return _mm512_setzero_si512();
}
V icodes ivec_codes(const void *p)
{
	return _mm512_cvtepi8_epi16(_mm256_loadu_si256(p));
}
V ivec ivec_dot(icodes codes, const int16_t *q, ivec acc)
{
	return _mm512_add_epi32(acc, _mm512_madd_epi16(codes, _mm512_load_si512(q)));
}
V vec ivec_float(ivec v)
{
	return _mm512_cvtepi32_ps(v);
}

/* 128 bits in all four quarters: a load that needs no shuffle. */
V vec vec_splat_few(const void *p)
{
	return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
}
V vec vec_load_twice(const float *p)
{
	return _mm512_broadcast_f32x8(_mm256_loadu_ps(p));
}
V vec vec_swap_halves(vec v)
{
	return _mm512_shuffle_f32x4(v, v, 0x4e);
}
V vec vec_sum_quads(vec a, vec b, vec c, vec d)
{
	const __m512i order =
		_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);

	return _mm512_permutexvar_ps(order, vec_sum_quarters(a, b, c, d));
}

#define DECODE_WIDE "kernels/decode/decode_wide16.h"
#include "kernels/decode/decode_tiles.h"
#include "kernels/decode/decode_loops.h"

int decode_avx512(const struct decode *d, void *scratch, size_t scratch_bytes)
{
	return decode(d, scratch, scratch_bytes);
}
#endif
