/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quant_i8_loops.h: codes by codes in 256-bit registers; included by quant_i8_<isa>.c, which gives
 * DOT_U8_I8(a, b): 32 products of unsigned by signed bytes, summed by fours into 8 lanes.
 */
#include <errno.h>
#include <immintrin.h>

#define LOOP static inline __attribute__((always_inline))

enum { TILE = 4 };

/*
 * A block of x, once for four rows. The instruction wants one side unsigned: for 8-bit codes that
 * is |x|, with the sign of x moved to the weight; for 4-bit ones the weights are 0..15 as they are
 * stored, and the 8 too much in each is taken off as 8 times the sum of x.
 */
struct block {
	__m256i x, magnitude, less;
	float step;
};

LOOP __m256i dot_codes(const uint32_t bits, const uint8_t *p, const struct block *b)
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

LOOP float sum_lanes(__m256 v)
{
	__m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

LOOP void dot_rows(const int rows, const uint32_t bits, const struct quant_matrix *q,
		   const uint8_t *codes, const uint16_t *steps, const struct quant_matrix *x,
		   float *y)
{
	const size_t blocks = quant_blocks(q), groups = quant_groups(q);
	const size_t bytes = quant_block_bytes(bits);
	const int shift = q->group > QUANT_BLOCK; /* blocks of a group: 1 or 2 */
	__m256 acc[TILE];

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		acc[r] = _mm256_setzero_ps();
	for (size_t i = 0; i < blocks; i++) {
		const size_t g = i >> shift;
		struct block b;

		b.x = _mm256_loadu_si256((const __m256i *)(x->codes + i * QUANT_BLOCK));
		b.magnitude = _mm256_abs_epi8(b.x);
		b.less = bits == 4 ? DOT_U8_I8(_mm256_set1_epi8(8), b.x) : b.x;
		b.step = quant_step(x->steps[g]);
#pragma GCC unroll 4
		for (int r = 0; r < rows; r++) {
			const uint8_t *p = codes + ((size_t)r * blocks + i) * bytes;
			const float step = b.step * quant_step(steps[(size_t)r * groups + g]);

			acc[r] =
				_mm256_fmadd_ps(_mm256_set1_ps(step),
						_mm256_cvtepi32_ps(dot_codes(bits, p, &b)), acc[r]);
		}
	}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		y[r] = sum_lanes(acc[r]);
}

LOOP int matvec_i8(const struct quant_matrix *q, const struct quant_matrix *x, float *y)
{
	const uint8_t *codes;

	if (quant_check_i8(q, x, y))
		return -EINVAL;
	codes = q->codes;
	for (uint32_t r = 0, n; r < q->rows; r += n) {
		const uint32_t bits = quant_row_bits(q, r);
		const uint16_t *steps = q->steps + r * quant_groups(q);

		n = 1;
		while (n < TILE && r + n < q->rows && quant_row_bits(q, r + n) == bits)
			n++;
		n = n == TILE ? TILE : 1;
		if (n == TILE && bits == 8)
			dot_rows(TILE, 8, q, codes, steps, x, y + r);
		else if (n == TILE)
			dot_rows(TILE, 4, q, codes, steps, x, y + r);
		else if (bits == 8)
			dot_rows(1, 8, q, codes, steps, x, y + r);
		else
			dot_rows(1, 4, q, codes, steps, x, y + r);
		codes += n * quant_blocks(q) * quant_block_bytes(bits);
	}
	return 0;
}
