/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matmul_tiles.h: the matrix product over the vec_* primitives; included by matmul_<isa>.c, which
 * gives the register tile: TILE_ROWS rows by TILE_VECS vectors, sums and operands all in registers.
 */
#include <errno.h>

#define LOOP	     static inline __attribute__((always_inline))
#define LANES	     ((size_t)VEC_LANES)
#define TILE_COLUMNS (TILE_VECS * LANES)

_Static_assert(TILE_ROWS <= (int)MATMUL_MAX_TILE, "scratch");
_Static_assert(TILE_COLUMNS <= (size_t)MATMUL_MAX_TILE, "scratch");
_Static_assert((int)MATMUL_HEIGHT % TILE_ROWS == 0, "whole panels of A");

/*
 * `rows` rows of a matrix, `depth` columns of each, to out[depth][across]: what the kernel reads in
 * order. Missing rows are 0. A vector's store may run past the column's end where the next one is
 * not written yet: so columns go in order, and scratch has room past its end.
 */
LOOP void pack_rows(const size_t across, const float *x, size_t x_row, size_t rows, size_t depth,
		    float *out)
{
	for (size_t first = 0; first < across; first += LANES) {
		size_t k = 0;

		for (; k + LANES <= depth; k += LANES) {
			vec t[VEC_LANES];

			for (size_t r = 0; r < LANES; r++)
				t[r] = first + r < rows && first + r < across
					       ? vec_loadu(x + (first + r) * x_row + k)
					       : vec_zero();
			vec_transpose(t);
			for (size_t r = 0; r < LANES; r++)
				vec_storeu(out + (k + r) * across + first, t[r]);
		}
		for (; k < depth; k++)
			for (size_t r = first; r < first + LANES && r < across; r++)
				out[k * across + r] = r < rows ? x[r * x_row + k] : 0;
	}
}

/* `columns` columns of rows that lie in order, to out[depth][TILE_COLUMNS]; missing ones are 0. */
LOOP void pack_columns(const float *x, size_t x_row, size_t columns, size_t depth, float *out)
{
	for (size_t k = 0; k < depth; k++, x += x_row, out += TILE_COLUMNS) {
#pragma GCC unroll 4
		for (size_t v = 0; v < TILE_VECS; v++) {
			const size_t at = v * LANES;

			if (at + LANES <= columns)
				vec_storeu(out + at, vec_loadu(x + at));
			else if (at < columns)
				vec_storeu(out + at,
					   vec_load_first(x + at, (uint32_t)(columns - at)));
			else
				vec_storeu(out + at, vec_zero());
		}
	}
}

/* A tile of the product of two packed panels, left in s. */
LOOP void multiply(const float *a, const float *b, size_t depth, vec s[TILE_ROWS][TILE_VECS])
{
#pragma GCC unroll 16
	for (int i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 4
		for (int v = 0; v < TILE_VECS; v++)
			s[i][v] = vec_zero();
#pragma GCC unroll 4
	for (size_t k = 0; k < depth; k++, a += TILE_ROWS, b += TILE_COLUMNS) {
		vec w[TILE_VECS];

#pragma GCC unroll 4
		for (int v = 0; v < TILE_VECS; v++)
			w[v] = vec_loadu(b + (size_t)v * LANES);
#pragma GCC unroll 16
		for (int i = 0; i < TILE_ROWS; i++) {
			const vec f = vec_splat(a[i]);

#pragma GCC unroll 4
			for (int v = 0; v < TILE_VECS; v++)
				s[i][v] = vec_fma(f, w[v], s[i][v]);
		}
	}
}

static void tile_whole(const float *a, const float *b, size_t depth, bool add, float *c,
		       size_t c_row)
{
	vec s[TILE_ROWS][TILE_VECS];

	for (int i = 0; i < TILE_ROWS; i++)
		__builtin_prefetch(c + (size_t)i * c_row, 1);
	multiply(a, b, depth, s);
#pragma GCC unroll 16
	for (int i = 0; i < TILE_ROWS; i++) {
#pragma GCC unroll 4
		for (int v = 0; v < TILE_VECS; v++) {
			float *to = c + (size_t)i * c_row + (size_t)v * LANES;

			vec_storeu(to, add ? vec_add(vec_loadu(to), s[i][v]) : s[i][v]);
		}
	}
}

/* One that C has only a part of. */
static void tile_part(const float *a, const float *b, size_t depth, bool add, float *c,
		      size_t c_row, size_t rows, size_t columns)
{
	vec s[TILE_ROWS][TILE_VECS];
	float t[TILE_ROWS][TILE_VECS * VEC_LANES];

	multiply(a, b, depth, s);
#pragma GCC unroll 16
	for (int i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 4
		for (int v = 0; v < TILE_VECS; v++)
			vec_storeu(t[i] + (size_t)v * LANES, s[i][v]);
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < columns; j++)
			c[i * c_row + j] = t[i][j] + (add ? c[i * c_row + j] : 0);
}

struct block {
	size_t i, j, k, rows, columns, depth;
};

LOOP void pack_b(const struct vector_matmul *mm, const struct block *at, float *out)
{
	for (size_t j = 0; j < at->columns; j += TILE_COLUMNS, out += at->depth * TILE_COLUMNS) {
		if (mm->b_transposed)
			pack_rows(TILE_COLUMNS, mm->b + (at->j + j) * mm->b_row + at->k, mm->b_row,
				  at->columns - j, at->depth, out);
		else
			pack_columns(mm->b + at->k * mm->b_row + at->j + j, mm->b_row,
				     at->columns - j, at->depth, out);
	}
}

LOOP void pack_a(const struct vector_matmul *mm, const struct block *at, float *out)
{
	for (size_t i = 0; i < at->rows; i += TILE_ROWS, out += at->depth * TILE_ROWS)
		pack_rows(TILE_ROWS, mm->a + (at->i + i) * mm->a_row + at->k, mm->a_row,
			  at->rows - i, at->depth, out);
}

/* A panel of B stays in L1 while the panels of A pass from L2. */
LOOP void multiply_block(const struct vector_matmul *mm, const struct block *at, const float *a,
			 const float *b)
{
	const bool add = mm->add || at->k > 0;

	for (size_t j = 0; j < at->columns; j += TILE_COLUMNS, b += at->depth * TILE_COLUMNS) {
		const size_t columns = at->columns - j;
		const float *panel = a;

		for (size_t i = 0; i < at->rows; i += TILE_ROWS, panel += at->depth * TILE_ROWS) {
			float *c = mm->c + (at->i + i) * mm->c_row + at->j + j;
			const size_t rows = at->rows - i;

			if (rows >= TILE_ROWS && columns >= TILE_COLUMNS)
				tile_whole(panel, b, at->depth, add, c, mm->c_row);
			else
				tile_part(panel, b, at->depth, add, c, mm->c_row,
					  rows < TILE_ROWS ? rows : TILE_ROWS,
					  columns < TILE_COLUMNS ? columns : TILE_COLUMNS);
		}
	}
}

LOOP size_t at_most(size_t n, size_t most)
{
	return n < most ? n : most;
}

/* Nothing to sum: C is 0, or stays as it is. */
LOOP void no_depth(const struct vector_matmul *mm)
{
	for (size_t i = 0; i < mm->m && !mm->add; i++)
		for (size_t j = 0; j < mm->n; j++)
			mm->c[i * mm->c_row + j] = 0;
}

LOOP int matmul(const struct vector_matmul *mm, void *scratch, size_t scratch_bytes)
{
	struct block at;
	float *a, *b;

	if (vector_matmul_check_tiled(mm, scratch, scratch_bytes))
		return -EINVAL;
	if (!mm->k)
		no_depth(mm);
	a = scratch;
	b = a + vector_matmul_a_floats(mm);
	for (at.j = 0; at.j < mm->n; at.j += MATMUL_WIDTH) {
		at.columns = at_most(mm->n - at.j, MATMUL_WIDTH);
		for (at.k = 0; at.k < mm->k; at.k += MATMUL_DEPTH) {
			at.depth = at_most(mm->k - at.k, MATMUL_DEPTH);
			pack_b(mm, &at, b);
			for (at.i = 0; at.i < mm->m; at.i += MATMUL_HEIGHT) {
				at.rows = at_most(mm->m - at.i, MATMUL_HEIGHT);
				pack_a(mm, &at, a);
				multiply_block(mm, &at, a, b);
			}
		}
	}
	return 0;
}
