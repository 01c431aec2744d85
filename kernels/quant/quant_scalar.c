/* SPDX-License-Identifier: Apache-2.0 */
/* quant_scalar.c: products of coded matrices, reference in double precision and plain scalar. */
#include "kernels/quant/quant.h"

#include <errno.h>

/* The scalar variants stay scalar on purpose: they are baselines. */
#if !defined(__clang__)
#pragma GCC optimize("no-tree-vectorize")
#endif

static int code_at(const uint8_t *row, uint32_t bits, uint32_t col)
{
	const uint8_t *block = row + col / QUANT_BLOCK * quant_block_bytes(bits);
	const uint32_t c = col % QUANT_BLOCK, half = QUANT_BLOCK / 2;

	if (bits == 8)
		return (int8_t)block[c];
	return (c < half ? block[c] & 0xf : block[c - half] >> 4) - 8;
}

int quant_check_i8(const struct quant_matrix *q, const struct quant_matrix *x, const float *y)
{
	if (quant_check(q) || quant_check(x) || !y)
		return -EINVAL;
	if (x->rows != 1 || x->cols != q->cols || x->group != q->group)
		return -EINVAL;
	return quant_row_bits(x, 0) == 8 ? 0 : -EINVAL;
}

int quant_decode_scalar(const struct quant_matrix *q, float *w, size_t w_row)
{
	const uint8_t *row;

	if (quant_check(q) || !w || w_row < q->cols)
		return -EINVAL;
	row = q->codes;
	for (uint32_t r = 0; r < q->rows; r++) {
		const uint16_t *steps = q->steps + r * quant_groups(q);
		const uint32_t bits = quant_row_bits(q, r);

		for (uint32_t c = 0; c < q->cols; c++)
			w[r * w_row + c] =
				quant_step(steps[c / q->group]) * (float)code_at(row, bits, c);
		row += quant_blocks(q) * quant_block_bytes(bits);
	}
	return 0;
}

#define DEFINE_QUANT(SUFFIX, TYPE)                                                               \
	int quant_matvec_##SUFFIX(const struct quant_matrix *q, const float *x, float *y)        \
	{                                                                                        \
		const uint8_t *row;                                                              \
                                                                                                 \
		if (quant_check(q) || !x || !y)                                                  \
			return -EINVAL;                                                          \
		row = q->codes;                                                                  \
		for (uint32_t r = 0; r < q->rows; r++) {                                         \
			const uint16_t *steps = q->steps + r * quant_groups(q);                  \
			const uint32_t bits = quant_row_bits(q, r);                              \
			TYPE s = 0;                                                              \
                                                                                                 \
			for (uint32_t c = 0; c < q->cols; c++)                                   \
				s += (TYPE)quant_step(steps[c / q->group]) *                     \
				     (TYPE)code_at(row, bits, c) * x[c];                         \
			y[r] = (float)s;                                                         \
			row += quant_blocks(q) * quant_block_bytes(bits);                        \
		}                                                                                \
		return 0;                                                                        \
	}                                                                                        \
	int quant_expand_##SUFFIX(const struct quant_matrix *q, const float *h, float *y)        \
	{                                                                                        \
		if (quant_check(q) || !h || !y)                                                  \
			return -EINVAL;                                                          \
		for (uint32_t c = 0; c < q->cols; c++) {                                         \
			const uint8_t *row = q->codes;                                           \
			TYPE s = y[c];                                                           \
                                                                                                 \
			for (uint32_t r = 0; r < q->rows; r++) {                                 \
				const uint16_t *steps = q->steps + r * quant_groups(q);          \
				const uint32_t bits = quant_row_bits(q, r);                      \
                                                                                                 \
				s += (TYPE)quant_step(steps[c / q->group]) *                     \
				     (TYPE)code_at(row, bits, c) * h[r];                         \
				row += quant_blocks(q) * quant_block_bytes(bits);                \
			}                                                                        \
			y[c] = (float)s;                                                         \
		}                                                                                \
		return 0;                                                                        \
	}                                                                                        \
	int quant_matvec_i8_##SUFFIX(const struct quant_matrix *q, const struct quant_matrix *x, \
				     float *y)                                                   \
	{                                                                                        \
		const uint8_t *row;                                                              \
                                                                                                 \
		if (quant_check_i8(q, x, y))                                                     \
			return -EINVAL;                                                          \
		row = q->codes;                                                                  \
		for (uint32_t r = 0; r < q->rows; r++) {                                         \
			const uint16_t *steps = q->steps + r * quant_groups(q);                  \
			const uint32_t bits = quant_row_bits(q, r);                              \
			TYPE s = 0;                                                              \
                                                                                                 \
			for (uint32_t g = 0; g * q->group < q->cols; g++) {                      \
				const uint32_t from = g * q->group;                              \
				int sum = 0;                                                     \
                                                                                                 \
				for (uint32_t c = from; c < q->cols && c < from + q->group; c++) \
					sum += code_at(row, bits, c) * code_at(x->codes, 8, c);  \
				s += (TYPE)quant_step(steps[g]) * quant_step(x->steps[g]) *      \
				     (TYPE)sum;                                                  \
			}                                                                        \
			y[r] = (float)s;                                                         \
			row += quant_blocks(q) * quant_block_bytes(bits);                        \
		}                                                                                \
		return 0;                                                                        \
	}
DEFINE_QUANT(ref, double)
DEFINE_QUANT(scalar, float)
