/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quant_i8_loops.h: codes by codes; included by quant_i8_<isa>.c after what it computes with:
 *   struct block, block_load(bits, codes)	QUANT_BLOCK codes of x, made ready for four rows
 *   isum, dot_codes(bits, p, block)		lanes whose sum is a row's block times it
 *   sum, sum_zero(), sum_add(acc, step, isum)	acc + step * isum, in floats
 *   sum_lanes(sum)
 */
#include <errno.h>

#include "kernels/quant/quant_tiles.h"

LOOP void dot_rows(const int rows, const uint32_t bits, const struct quant_matrix *q,
		   const uint8_t *codes, const uint16_t *steps, const struct quant_matrix *x,
		   float *y)
{
	const size_t blocks = quant_blocks(q), groups = quant_groups(q);
	const size_t bytes = quant_block_bytes(bits);
	const int shift = q->group > QUANT_BLOCK; /* blocks of a group: 1 or 2 */
	sum acc[TILE];

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		acc[r] = sum_zero();
	for (size_t i = 0; i < blocks; i++) {
		const size_t g = i >> shift;
		const struct block b = block_load(bits, x->codes + i * QUANT_BLOCK);
		const float x_step = quant_step(x->steps[g]);

#pragma GCC unroll 4
		for (int r = 0; r < rows; r++) {
			const uint8_t *p = codes + ((size_t)r * blocks + i) * bytes;
			const float step = x_step * quant_step(steps[(size_t)r * groups + g]);

			acc[r] = sum_add(acc[r], step, dot_codes(bits, p, &b));
		}
	}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		y[r] = sum_lanes(acc[r]);
}

LOOP int matvec_i8(const struct quant_matrix *q, const struct quant_matrix *x, float *y)
{
	if (quant_check_i8(q, x, y))
		return -EINVAL;
	QUANT_EACH_TILE(q, dot_rows, x, y + r);
	return 0;
}
