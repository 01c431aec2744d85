/* SPDX-License-Identifier: Apache-2.0 */
/* matrix.h: distances of many points to many centres, in tiles that stay in registers. */
#ifndef KERNELS_MATRIX_H
#define KERNELS_MATRIX_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/isa.h"

/*
 * For each of n points the nearest of k centres, and, if wanted, all the distances. The points are
 * packed in blocks with a point in each lane, so that nothing is summed across lanes and the search
 * for the smallest costs one comparison for dim multiply-adds.
 *
 *   |x - c|^2 = |x|^2 + (|c|^2 - 2 x.c);  the part in brackets is the `score`, enough to compare by
 *
 * Where |x - c| is much smaller than |x|, that cancels: move the origin near (matrix_pack()).
 */
struct matrix {
	const float *packed;  /* of matrix_pack(), 64-byte aligned */
	uint32_t block;	      /* points in a block: matrix_block() of the variant's isa */
	const float *centres; /* [k][dim] */
	const float *norms;   /* [k]: |c|^2 */
	uint32_t n, k, dim;
	uint32_t *nearest; /* [n], the lowest index of equals; NULL: not wanted */
	float *score;	   /* [n], of the nearest; NULL: not wanted */
	float *scores;	   /* [n][k]; NULL: not wanted */
};

/*
 * Held to MATRIX_ERROR * (sum |x c| + |c|^2) a score. A NaN score is never the nearest; a point
 * with nothing below +inf has nearest 0 and score +inf. 0; -EINVAL for a null pointer, an n, k or
 * dim of 0, k above MATRIX_MAX_K, or the block of another instruction set.
 */
#define MATRIX_ERROR 4e-6
enum { MATRIX_MAX_K = 1 << 24 }; /* indices are kept as floats in the lanes */
typedef int matrix_fn(const struct matrix *m);
matrix_fn matrix_ref, matrix_scalar, matrix_avx2, matrix_avx512;
matrix_fn matrix_neon;

/* Points in a block: what a variant of that isa wants. */
uint32_t matrix_block(enum isa isa);
size_t matrix_packed_floats(uint32_t n, uint32_t dim, uint32_t block);
/* Rows of x, x_row floats apart, less origin ([dim]; NULL: as they are), into blocks. */
void matrix_pack(const float *x, size_t x_row, const float *origin, uint32_t n, uint32_t dim,
		 uint32_t block, float *packed);

int matrix_check(const struct matrix *m);
/* Multiply-adds count two. */
uint64_t matrix_flops(const struct matrix *m);

#endif
