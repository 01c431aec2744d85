/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quant_loops.h: products of coded matrices over the vec_* primitives; included by quant_<isa>.c,
 * which gives load_codes() and load_halves(), a vector of codes as floats.
 */
#include <errno.h>
#include <string.h>

#include "kernels/quant/quant_tiles.h"

#define LOOP  static inline __attribute__((always_inline))
#define LANES ((size_t)VEC_LANES)
#define PARTS (QUANT_BLOCK / VEC_LANES) /* vectors of a block */

/*
 * Rows pass four at a time, which read x (or keep y) once for the four. Codes of 4 bits stay 0..15:
 * the 8 that is too much in each is taken off once for a block, as 8 times the sum of x (or of the
 * factors), and not for each row.
 */

LOOP void load_block(const uint32_t bits, const uint8_t *p, vec *w)
{
	if (bits == 8) {
#pragma GCC unroll 8
		for (size_t v = 0; v < PARTS; v++)
			w[v] = load_codes(p + v * LANES);
	} else {
#pragma GCC unroll 4
		for (size_t v = 0; v < PARTS / 2; v++)
			load_halves(p + v * LANES, &w[v], &w[v + PARTS / 2]);
	}
}

LOOP vec step_of(uint16_t bf16)
{
	return vec_splat(quant_step(bf16));
}

/* acc[r] += step of the row's block * (codes . x), for `rows` rows whose codes are `row` apart. */
LOOP void dot_block(const int rows, const uint32_t bits, const uint8_t *codes, size_t row,
		    const uint16_t *steps, size_t groups, const float *x, vec *acc)
{
	vec in[PARTS], less = vec_zero();

#pragma GCC unroll 8
	for (size_t v = 0; v < PARTS; v++) {
		in[v] = vec_loadu(x + v * LANES);
		less = vec_add(less, in[v]);
	}
	less = vec_mul(less, vec_splat(-8));
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++) {
		vec w[PARTS], s;

		load_block(bits, codes + (size_t)r * row, w);
		s = bits == 8 ? vec_mul(w[0], in[0]) : vec_fma(w[0], in[0], less);
#pragma GCC unroll 8
		for (size_t v = 1; v < PARTS; v++)
			s = vec_fma(w[v], in[v], s);
		acc[r] = vec_fma(step_of(steps[(size_t)r * groups]), s, acc[r]);
	}
}

/* A last block is worked on in a copy, whose missing columns are 0. */
LOOP uint32_t block_columns(const struct quant_matrix *q, size_t block)
{
	const size_t left = q->cols - block * QUANT_BLOCK;

	return left < QUANT_BLOCK ? (uint32_t)left : QUANT_BLOCK;
}

LOOP void dot_rows(const int rows, const uint32_t bits, const struct quant_matrix *q,
		   const uint8_t *codes, const uint16_t *steps, const float *x, float *y)
{
	const size_t blocks = quant_blocks(q), groups = quant_groups(q);
	const size_t bytes = quant_block_bytes(bits);
	const int shift = q->group > QUANT_BLOCK; /* blocks of a group: 1 or 2 */
	vec acc[TILE];

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		acc[r] = vec_zero();
	for (size_t b = 0; b < blocks; b++) {
		const uint32_t n = block_columns(q, b);
		const float *in = x + b * QUANT_BLOCK;
		float last[QUANT_BLOCK];

		if (n < QUANT_BLOCK) {
			memset(last, 0, sizeof(last));
			memcpy(last, in, n * sizeof(*in));
			in = last;
		}
		dot_block(rows, bits, codes + b * bytes, blocks * bytes, steps + (b >> shift),
			  groups, in, acc);
	}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		y[r] = vec_sum(acc[r]);
}

LOOP void expand_block(const int rows, const uint32_t bits, const uint8_t *codes, size_t row,
		       const uint16_t *steps, size_t groups, const float *h, float *y)
{
	vec out[PARTS], less = vec_zero(), f[TILE];

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++) {
		f[r] = vec_mul(vec_splat(h[r]), step_of(steps[(size_t)r * groups]));
		less = vec_fma(f[r], vec_splat(-8), less);
	}
#pragma GCC unroll 8
	for (size_t v = 0; v < PARTS; v++) {
		out[v] = vec_loadu(y + v * LANES);
		out[v] = bits == 8 ? out[v] : vec_add(out[v], less);
	}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++) {
		vec w[PARTS];

		load_block(bits, codes + (size_t)r * row, w);
#pragma GCC unroll 8
		for (size_t v = 0; v < PARTS; v++)
			out[v] = vec_fma(f[r], w[v], out[v]);
	}
#pragma GCC unroll 8
	for (size_t v = 0; v < PARTS; v++)
		vec_storeu(y + v * LANES, out[v]);
}

LOOP void expand_rows(const int rows, const uint32_t bits, const struct quant_matrix *q,
		      const uint8_t *codes, const uint16_t *steps, const float *h, float *y)
{
	const size_t blocks = quant_blocks(q), groups = quant_groups(q);
	const size_t bytes = quant_block_bytes(bits);
	const int shift = q->group > QUANT_BLOCK; /* blocks of a group: 1 or 2 */

	for (size_t b = 0; b < blocks; b++) {
		const uint32_t n = block_columns(q, b);
		float *out = y + b * QUANT_BLOCK, last[QUANT_BLOCK];

		if (n < QUANT_BLOCK) {
			memset(last, 0, sizeof(last));
			memcpy(last, out, n * sizeof(*out));
		}
		expand_block(rows, bits, codes + b * bytes, blocks * bytes, steps + (b >> shift),
			     groups, h, n < QUANT_BLOCK ? last : out);
		if (n < QUANT_BLOCK)
			memcpy(out, last, n * sizeof(*out));
	}
}

LOOP void decode_block(const uint32_t bits, const uint8_t *codes, uint16_t step, float *w,
		       uint32_t n)
{
	const vec f = step_of(step);
	vec c[PARTS];

	load_block(bits, codes, c);
#pragma GCC unroll 8
	for (size_t v = 0; v < PARTS; v++) {
		const size_t at = v * LANES;

		if (bits == 4)
			c[v] = vec_sub(c[v], vec_splat(8));
		if (at < n)
			vec_store_first(w + at, vec_mul(f, c[v]),
					n - at < LANES ? (uint32_t)(n - at) : VEC_LANES);
	}
}

LOOP int matvec(const struct quant_matrix *q, const float *x, float *y)
{
	if (quant_check(q) || !x || !y)
		return -EINVAL;
	QUANT_EACH_TILE(q, dot_rows, x, y + r);
	return 0;
}

LOOP int expand(const struct quant_matrix *q, const float *h, float *y)
{
	if (quant_check(q) || !h || !y)
		return -EINVAL;
	QUANT_EACH_TILE(q, expand_rows, h + r, y);
	return 0;
}

LOOP int decode(const struct quant_matrix *q, float *w, size_t w_row)
{
	const uint8_t *codes;

	if (quant_check(q) || !w || w_row < q->cols)
		return -EINVAL;
	codes = q->codes;
	for (uint32_t r = 0; r < q->rows; r++) {
		const uint32_t bits = quant_row_bits(q, r);
		const uint16_t *steps = q->steps + r * quant_groups(q);

		for (size_t b = 0; b < quant_blocks(q); b++) {
			const uint16_t step = steps[b * QUANT_BLOCK / q->group];
			float *to = w + r * w_row + b * QUANT_BLOCK;

			if (bits == 8)
				decode_block(8, codes, step, to, block_columns(q, b));
			else
				decode_block(4, codes, step, to, block_columns(q, b));
			codes += quant_block_bytes(bits);
		}
	}
	return 0;
}
