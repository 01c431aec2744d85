/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quant_i8_x86.h: what quant_i8_loops.h computes with, in 256-bit registers; included before it by
 * quant_i8_<isa>.c, which gives DOT_U8_I8(a, b): 32 products of unsigned by signed bytes, summed by
 * fours into 8 lanes.
 */
#include <immintrin.h>

#define LOOP static inline __attribute__((always_inline))

typedef __m256 sum;
typedef __m256i isum;

/*
 * A block of x, once for four rows. The instruction wants one side unsigned: for 8-bit codes that
 * is |x|, with the sign of x moved to the weight; for 4-bit ones the weights are 0..15 as they are
 * stored, and the 8 too much in each is taken off as 8 times the sum of x.
 */
struct block {
	__m256i x, magnitude, less;
};

LOOP struct block block_load(const uint32_t bits, const void *codes)
{
	struct block b;

	b.x = _mm256_loadu_si256(codes);
	b.magnitude = _mm256_abs_epi8(b.x);
	b.less = bits == 4 ? DOT_U8_I8(_mm256_set1_epi8(8), b.x) : b.x;
	return b;
}

LOOP isum dot_codes(const uint32_t bits, const uint8_t *p, const struct block *b)
{
	if (bits == 8) {
		__m256i w = _mm256_loadu_si256((const __m256i *)p);

		return DOT_U8_I8(b->magnitude, _mm256_sign_epi8(w, b->x));
	} else {
		__m256i w = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));

		/* Columns 0..15 are low halves, 16..31 high ones. */
		w = _mm256_srlv_epi64(w, _mm256_setr_epi64x(0, 0, 4, 4));
		w = _mm256_and_si256(w, _mm256_set1_epi8(15));
		return _mm256_sub_epi32(DOT_U8_I8(w, b->x), b->less);
	}
}

LOOP sum sum_zero(void)
{
	return _mm256_setzero_ps();
}

LOOP sum sum_add(sum acc, float step, isum dot)
{
	return _mm256_fmadd_ps(_mm256_set1_ps(step), _mm256_cvtepi32_ps(dot), acc);
}

LOOP float sum_lanes(sum v)
{
	__m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
