/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward_tiles.h: the one product that all five of the backward pass are made of. */

/*
 * Included once by each attention_backward_<isa>.c after its vec_<isa>.h; the file also says how
 * many rows of accumulators, two vectors wide, its registers hold (TILE_ROWS).
 *
 *   c[r][x] (+)= sum over o, s of a[r * a_row + o * a_outer + s * a_step] * b[o * b_outer + s][x]
 *
 * x runs over PANEL numbers, two vectors; every b and c with queries or dimensions along x is kept
 * in panels of that width, so that a product reads b as one stream and two panels never compete
 * for the same sets of the cache. a is read a broadcast at a time, in place: K and V as they lie.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels/attention/attention_backward_block.h"

#define TILE  static inline __attribute__((always_inline))
#define PANEL (2 * VEC_LANES)
#define LINE  16 /* floats of a line of the cache */
#define LOG2E 1.44269504088896340736

struct product {
	const float *a, *b;
	size_t a_row, a_outer, a_step, b_outer;
	uint32_t outer, inner;
	float *c;
	size_t c_row;
	bool add; /* to what c holds */
};

/* What c holds is added last, asked for first: on its way in it costs nothing. c may lie unaligned.
 */
TILE void product_tile(const int mr, const struct product *p, uint32_t row)
{
	float *c = p->c + row * p->c_row;
	vec acc[TILE_ROWS][2];

#pragma GCC unroll 16
	for (int r = 0; r < mr; r++) {
		if (p->add)
			__builtin_prefetch(c + r * p->c_row, 1);
		acc[r][0] = vec_zero();
		acc[r][1] = vec_zero();
	}
	for (uint32_t o = 0; o < p->outer; o++) {
		const float *a = p->a + row * p->a_row + o * p->a_outer;
		const float *b = p->b + o * p->b_outer;
		const size_t a_row = p->a_row, a_step = p->a_step;

		for (uint32_t s = p->inner; s; s--, a += a_step, b += PANEL) {
			vec x = vec_load(b), y = vec_load(b + VEC_LANES);

#pragma GCC unroll 16
			for (int r = 0; r < mr; r++) {
				vec f = vec_splat(a[r * a_row]);

				acc[r][0] = vec_fma(f, x, acc[r][0]);
				acc[r][1] = vec_fma(f, y, acc[r][1]);
			}
		}
	}
#pragma GCC unroll 16
	for (int r = 0; r < mr; r++) {
		float *to = c + r * p->c_row;

		if (p->add) {
			acc[r][0] = vec_add(acc[r][0], vec_loadu(to));
			acc[r][1] = vec_add(acc[r][1], vec_loadu(to + VEC_LANES));
		}
		vec_storeu(to, acc[r][0]);
		vec_storeu(to + VEC_LANES, acc[r][1]);
	}
}

/* Rows in whole tiles, and what is left in falling powers of two. */
static void product_rows(const struct product *p, uint32_t rows)
{
	uint32_t at = 0;

	for (; at + TILE_ROWS <= rows; at += TILE_ROWS)
		product_tile(TILE_ROWS, p, at);
	if (TILE_ROWS > 8 && at + 8 <= rows) {
		product_tile(TILE_ROWS > 8 ? 8 : 1, p, at);
		at += 8;
	}
	if (at + 4 <= rows) {
		product_tile(4, p, at);
		at += 4;
	}
	if (at + 2 <= rows) {
		product_tile(2, p, at);
		at += 2;
	}
	if (at < rows)
		product_tile(1, p, at);
}
