/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_tiles.h: distances of many to many for one ISA; included by matrix_<isa>.c. */
#include <errno.h>
#include <math.h>

#include "kernels/patterns/matrix.h"

/*
 * The ISA's file defines before: TILE_CENTRES, the most centres of a tile. A tile is two vectors of
 * points by that many centres, so 2 * TILE_CENTRES sums, two loads and one broadcast have to fit
 * into the registers.
 */
#define LOOP  static inline __attribute__((always_inline))
#define LANES ((uint32_t)VEC_LANES)

enum { TILE_VECS = 2, TILE_BLOCK = TILE_VECS * VEC_LANES };

/* What is known of a block's points so far. */
struct best {
	vec score[TILE_VECS], index[TILE_VECS];
};

/* Scores of one tile into [count][n][k], from point `from` and centre j on. */
LOOP void store_scores(const struct matrix *m, const int centres, vec (*s)[TILE_VECS],
		       uint32_t from, uint32_t j)
{
	uint32_t points = m->n - from < TILE_BLOCK ? m->n - from : TILE_BLOCK;
	float lanes[TILE_BLOCK];

	for (int c = 0; c < centres; c++) {
		for (uint32_t v = 0; v < TILE_VECS; v++)
			vec_storeu(lanes + v * LANES, s[c][v]);
		for (uint32_t i = 0; i < points; i++)
			m->scores[(size_t)(from + i) * m->k + j + (uint32_t)c] = lanes[i];
	}
}

LOOP void tile(const struct matrix *m, const int centres, uint32_t from, uint32_t j,
	       struct best *best)
{
	const float *x = m->packed + (size_t)from * m->dim;
	const float *c = m->centres + (size_t)j * m->dim;
	const vec minus_two = vec_splat(-2);
	vec s[TILE_CENTRES][TILE_VECS];

#pragma GCC unroll 16
	for (int i = 0; i < centres; i++)
#pragma GCC unroll 2
		for (int v = 0; v < TILE_VECS; v++)
			s[i][v] = vec_zero();
	for (uint32_t d = 0; d < m->dim; d++, x += TILE_BLOCK) {
		vec x0 = vec_load(x), x1 = vec_load(x + LANES);

#pragma GCC unroll 16
		for (int i = 0; i < centres; i++) {
			vec b = vec_splat(c[(size_t)i * m->dim + d]);

			s[i][0] = vec_fma(x0, b, s[i][0]);
			s[i][1] = vec_fma(x1, b, s[i][1]);
		}
	}
#pragma GCC unroll 16
	for (int i = 0; i < centres; i++) {
		vec norm = vec_splat(m->norms[j + (uint32_t)i]);
		vec index = vec_splat((float)(j + (uint32_t)i));

#pragma GCC unroll 2
		for (int v = 0; v < TILE_VECS; v++) {
			s[i][v] = vec_fma(s[i][v], minus_two, norm);
			best->index[v] =
				vec_select_less(s[i][v], best->score[v], index, best->index[v]);
			best->score[v] =
				vec_select_less(s[i][v], best->score[v], s[i][v], best->score[v]);
		}
	}
	if (m->scores)
		store_scores(m, centres, s, from, j);
}

/* A function for each width: the sums are registers only when their number is known. */
#define TILE(n_)                                                                               \
	static __attribute__((noinline)) void tile_##n_(const struct matrix *m, uint32_t from, \
							uint32_t j, struct best *best)         \
	{                                                                                      \
		tile(m, n_, from, j, best);                                                    \
	}
TILES
#undef TILE

#define TILE(n_) tile_##n_,
typedef void tile_fn(const struct matrix *m, uint32_t from, uint32_t j, struct best *best);
static tile_fn *const tiles[TILE_CENTRES] = {TILES};
#undef TILE

LOOP void store_best(const struct matrix *m, const struct best *best, uint32_t from)
{
	uint32_t points = m->n - from < TILE_BLOCK ? m->n - from : TILE_BLOCK;
	float score[TILE_BLOCK], index[TILE_BLOCK];

	for (uint32_t v = 0; v < TILE_VECS; v++) {
		vec_storeu(score + v * LANES, best->score[v]);
		vec_storeu(index + v * LANES, best->index[v]);
	}
	for (uint32_t i = 0; i < points; i++) {
		if (m->nearest)
			m->nearest[from + i] = (uint32_t)index[i];
		if (m->score)
			m->score[from + i] = score[i];
	}
}

LOOP int matrix_tiled(const struct matrix *m)
{
	uint32_t ntiles, width, wider;

	if (matrix_check(m) || m->block != TILE_BLOCK)
		return -EINVAL;
	/* Tiles of even width: 50 centres are 5 + 5 + ..., not 6 + 6 + ... + 2 that waits on FMA.
	 */
	ntiles = (m->k + TILE_CENTRES - 1) / TILE_CENTRES;
	width = m->k / ntiles;
	wider = m->k % ntiles;
	for (uint32_t from = 0; from < m->n; from += TILE_BLOCK) {
		struct best best;
		uint32_t j = 0;

		for (int v = 0; v < TILE_VECS; v++) {
			best.score[v] = vec_splat(INFINITY);
			best.index[v] = vec_zero();
		}
		for (uint32_t t = 0; t < ntiles; t++) {
			uint32_t centres = width + (t < wider);

			tiles[centres - 1](m, from, j, &best);
			j += centres;
		}
		store_best(m, &best, from);
	}
	return 0;
}
