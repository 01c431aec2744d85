/* SPDX-License-Identifier: Apache-2.0 */
/* quant_tiles.h: the rows of a coded matrix, TILE of the same bits at a time, else one by one. */
#ifndef KERNELS_QUANT_TILES_H
#define KERNELS_QUANT_TILES_H

#include "kernels/quant/quant.h"

enum { TILE = 4 };

/* As many rows of the same bits as a tile takes, from row r on. */
static inline uint32_t quant_tile_rows(const struct quant_matrix *q, uint32_t r)
{
	uint32_t n = 1;

	while (n < TILE && r + n < q->rows && quant_row_bits(q, r + n) == quant_row_bits(q, r))
		n++;
	return n == TILE ? TILE : 1;
}

/*
 * run(rows, bits, q, codes, steps, ...) for each tile, with rows and bits that the compiler knows.
 * What is passed on may use `r`, the tile's first row.
 */
#define QUANT_EACH_TILE(q, run, ...)                                              \
	do {                                                                      \
		const uint8_t *codes = (q)->codes;                                \
                                                                                  \
		for (uint32_t r = 0, n; r < (q)->rows; r += n) {                  \
			const uint32_t bits = quant_row_bits(q, r);               \
			const uint16_t *steps = (q)->steps + r * quant_groups(q); \
                                                                                  \
			n = quant_tile_rows(q, r);                                \
			if (n == TILE && bits == 8)                               \
				run(TILE, 8, q, codes, steps, __VA_ARGS__);       \
			else if (n == TILE)                                       \
				run(TILE, 4, q, codes, steps, __VA_ARGS__);       \
			else if (bits == 8)                                       \
				run(1, 8, q, codes, steps, __VA_ARGS__);          \
			else                                                      \
				run(1, 4, q, codes, steps, __VA_ARGS__);          \
			codes += n * quant_blocks(q) * quant_block_bytes(bits);   \
		}                                                                 \
	} while (0)

#endif
