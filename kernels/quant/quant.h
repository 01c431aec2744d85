/* SPDX-License-Identifier: Apache-2.0 */
/* quant.h: matrices of 8-bit and 4-bit codes with a step for each group of columns. */
#ifndef KERNELS_QUANT_H
#define KERNELS_QUANT_H

#include <stddef.h>
#include <stdint.h>

enum {
	QUANT_BLOCK = 32, /* columns that are unpacked together */
	QUANT_MAX_GROUP = 64,
};

/*
 * w ~ step * code. 8 bits: code -127..127, step = the group's largest |w| / 127, so an error of at
 * most half a step. 4 bits: code -8..7, stored plus 8; the step is the group's largest / -8 or its
 * |largest| / 7, whichever gives the smaller sum of squares, so an error of at most a step, and
 * rarely over half of one. Steps are bf16, rounded away from zero before the codes are made: so
 * their own rounding costs at most 1/128 of the error, they have the range of floats, and a shift
 * unpacks them. A row is padded to whole blocks with the code of 0. In a block of 4-bit codes byte
 * j has column j in its low half and column j + 16 in its high half.
 *
 * Mixed: each row has 8 or 4 bits of its own. Memory is the caller's, quant_code_bytes() and
 * quant_steps() of it.
 */
struct quant_matrix {
	uint32_t rows, cols;
	uint32_t group;		 /* columns that share a step: 32 or 64 */
	uint32_t bits;		 /* 8 or 4 */
	const uint8_t *row_bits; /* [rows], of 8 and 4; NULL: all rows have `bits` */
	uint16_t *steps;	 /* [rows][groups], bf16 */
	uint8_t *codes;		 /* row after row */
};

/* 0, or -EINVAL for a bad shape, group or number of bits, or a null pointer. */
int quant_check(const struct quant_matrix *q);
size_t quant_code_bytes(const struct quant_matrix *q);
size_t quant_steps(const struct quant_matrix *q);
/* All that the matrix takes: codes, steps and row_bits. */
size_t quant_bytes(const struct quant_matrix *q);

/* From floats, rows w_row apart. -EINVAL also for a weight above FLT_MAX / 2 in size, or NaN. */
int quant_encode(const struct quant_matrix *q, const float *w, size_t w_row);

/* To floats: step * code, rounded once. */
typedef int quant_decode_fn(const struct quant_matrix *q, float *w, size_t w_row);

/*
 * y[rows] = Q x[cols], and y[cols] += Q^T h[rows]. x, h and y are floats, at any address. Held to
 * |got - ref| <= QUANT_ERROR * sum (|w| + 8 step) |x|, where ref has the decoded weights.
 */
#define QUANT_ERROR 1e-5
typedef int quant_matvec_fn(const struct quant_matrix *q, const float *x, float *y);
typedef int quant_expand_fn(const struct quant_matrix *q, const float *h, float *y);

/*
 * y[rows] = Q x with x in 8-bit codes too, a matrix of one row with the group of Q: products are
 * summed as integers, exactly, within a block. -EINVAL also for an x of another shape.
 */
typedef int quant_matvec_i8_fn(const struct quant_matrix *q, const struct quant_matrix *x,
			       float *y);

quant_decode_fn quant_decode_scalar, quant_decode_avx2, quant_decode_avx512, quant_decode_neon;
quant_matvec_fn quant_matvec_ref, quant_matvec_scalar, quant_matvec_avx2, quant_matvec_avx512,
	quant_matvec_neon;
quant_expand_fn quant_expand_ref, quant_expand_scalar, quant_expand_avx2, quant_expand_avx512,
	quant_expand_neon;
quant_matvec_i8_fn quant_matvec_i8_ref, quant_matvec_i8_scalar, quant_matvec_i8_avx2,
	quant_matvec_i8_avxvnni, quant_matvec_i8_avx512vnni, quant_matvec_i8_neon;
int quant_check_i8(const struct quant_matrix *q, const struct quant_matrix *x, const float *y);

/* What an approximation of n floats lost. */
struct quant_error {
	double max, rms;
	double snr_db; /* of the mean squares of w and of the error; INFINITY for no error */
};
int quant_error_measure(struct quant_error *e, const float *w, size_t w_row, const float *got,
			size_t got_row, uint32_t rows, uint32_t cols);

/*
 * Mixed precision: q->row_bits becomes the choice (row_bits[rows], the caller's) of the fewest
 * bytes for which the squared error is at most that of snr_db over all of w. All rows begin with 4
 * bits; those that lose most by it get 8 first. -ERANGE if 8 bits for all are not enough, which is
 * then the choice. q has rows, cols and group; codes and steps may be missing.
 */
int quant_choose_bits(struct quant_matrix *q, uint8_t *row_bits, const float *w, size_t w_row,
		      double snr_db);

/* Multiply-adds count two; bytes once each for what is read and written. */
uint64_t quant_matvec_flops(const struct quant_matrix *q);
uint64_t quant_matvec_bytes(const struct quant_matrix *q);

/* For the variants. */
static inline uint32_t quant_row_bits(const struct quant_matrix *q, uint32_t row)
{
	return q->row_bits ? q->row_bits[row] : q->bits;
}
static inline size_t quant_blocks(const struct quant_matrix *q)
{
	return (q->cols + QUANT_BLOCK - 1) / QUANT_BLOCK;
}
static inline size_t quant_groups(const struct quant_matrix *q)
{
	return (q->cols + q->group - 1) / q->group;
}
static inline size_t quant_block_bytes(uint32_t bits)
{
	return QUANT_BLOCK / 8 * bits;
}
static inline float quant_step(uint16_t bf16)
{
	union {
		uint32_t bits;
		float value;
	} u = {.bits = (uint32_t)bf16 << 16};

	return u.value;
}

#endif
