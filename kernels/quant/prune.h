/* SPDX-License-Identifier: Apache-2.0 */
/* prune.h: weights set to zero by size, alone or by rows, columns, blocks and N of M. */
#ifndef KERNELS_PRUNE_H
#define KERNELS_PRUNE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/quant/quant.h"

/*
 * All work on w[rows][cols], rows w_row floats apart, in place, and zero exactly as many as asked:
 * the smallest, and of equals the first ones. `count` may be 0 to all of them. Scratch is the
 * caller's, floats as told. 0; -EINVAL for a null pointer, an empty or overlapping shape, a count
 * that is too large, or a NaN among the weights.
 */
struct prune {
	float *w;
	size_t w_row;
	uint32_t rows, cols;
};

/* `count` single weights by |w|; the threshold by exact selection. scratch: [rows * cols]. */
int prune_magnitude(const struct prune *p, size_t count, float *scratch);
/* Whole rows, or whole columns, by their sums of squares. scratch: [2 * rows], [2 * cols]. */
int prune_rows(const struct prune *p, uint32_t count, float *scratch);
int prune_columns(const struct prune *p, uint32_t count, float *scratch);
/*
 * Blocks of `high` x `wide` weights (those at the edges smaller) by their mean squares. scratch: 2
 * for each block.
 */
int prune_blocks(const struct prune *p, uint32_t high, uint32_t wide, size_t count, float *scratch);
/*
 * N:M, as 2:4: of every m weights in a row, m <= PRUNE_MAX_M, the n largest stay. Of a last part of
 * k < m weights, k * n / m stay, rounded up.
 */
enum { PRUNE_MAX_M = 32 };
int prune_n_of_m(const struct prune *p, uint32_t n, uint32_t m);

/* How many weights are exactly 0. */
size_t prune_zeros(const struct prune *p);

/*
 * What is left, really smaller: a bit for each weight, set where it is not 0, row after row padded
 * to whole words, and the floats that are not 0 in their order. Bytes of a matrix in that form; and
 * there, into words[prune_words()] and kept[rows * cols - zeros], and back.
 */
size_t prune_words(const struct prune *p);
size_t prune_packed_bytes(const struct prune *p);
int prune_pack(const struct prune *p, uint64_t *words, float *kept);
int prune_unpack(const struct prune *p, const uint64_t *words, const float *kept);

/* The n-th smallest (from 0) of count floats, which are reordered: Hoare's selection, no NaN. */
float prune_select(float *v, size_t count, size_t n);

#endif
