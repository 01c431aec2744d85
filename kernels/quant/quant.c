/* SPDX-License-Identifier: Apache-2.0 */
/* quant.c: encoding, the choice of bits, and what was lost. */
#include "kernels/quant/quant.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

static int check_shape(const struct quant_matrix *q)
{
	if (!q || !q->rows || !q->cols || (q->group != 32 && q->group != QUANT_MAX_GROUP))
		return -EINVAL;
	return 0;
}

int quant_check(const struct quant_matrix *q)
{
	if (check_shape(q) || !q->codes || !q->steps)
		return -EINVAL;
	if (!q->row_bits)
		return q->bits == 8 || q->bits == 4 ? 0 : -EINVAL;
	for (uint32_t r = 0; r < q->rows; r++)
		if (q->row_bits[r] != 8 && q->row_bits[r] != 4)
			return -EINVAL;
	return 0;
}

size_t quant_code_bytes(const struct quant_matrix *q)
{
	size_t bytes = 0;

	for (uint32_t r = 0; r < q->rows; r++)
		bytes += quant_blocks(q) * quant_block_bytes(quant_row_bits(q, r));
	return bytes;
}

size_t quant_steps(const struct quant_matrix *q)
{
	return q->rows * quant_groups(q);
}

size_t quant_bytes(const struct quant_matrix *q)
{
	return quant_code_bytes(q) + quant_steps(q) * sizeof(*q->steps) +
	       (q->row_bits ? q->rows : 0);
}

uint64_t quant_matvec_flops(const struct quant_matrix *q)
{
	return 2ull * q->rows * q->cols;
}

uint64_t quant_matvec_bytes(const struct quant_matrix *q)
{
	return quant_bytes(q) + sizeof(float) * ((uint64_t)q->rows + q->cols);
}

/* The bf16 next to it that is not nearer to 0. */
static uint16_t away_from_zero(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return (uint16_t)((bits + 0xffff) >> 16);
}

static int code_of(float w, float step, int low, int high)
{
	float c = step != 0 ? rintf(w / step) : 0;

	return c < (float)low ? low : c > (float)high ? high : (int)c;
}

/* Sum of squared errors of n weights with that step. */
static double squared_error(const float *w, uint32_t n, float step, int low, int high)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		double e = (double)step * code_of(w[i], step, low, high) - w[i];

		sum += e * e;
	}
	return sum;
}

/* The step of n weights, and the squared error with it. */
static uint16_t choose_step(const float *w, uint32_t n, uint32_t bits, double *error)
{
	float most = 0;
	uint16_t wide, even;
	double even_error;

	for (uint32_t i = 0; i < n; i++)
		most = fabsf(w[i]) > fabsf(most) ? w[i] : most;
	if (bits == 8) {
		wide = away_from_zero(fabsf(most) / 127);
		*error = squared_error(w, n, quant_step(wide), -127, 127);
		return wide;
	}
	wide = away_from_zero(most / -8);
	even = away_from_zero(fabsf(most) / 7);
	*error = squared_error(w, n, quant_step(wide), -8, 7);
	even_error = squared_error(w, n, quant_step(even), -8, 7);
	if (even_error >= *error)
		return wide;
	*error = even_error;
	return even;
}

static uint32_t group_columns(const struct quant_matrix *q, size_t g)
{
	const uint32_t from = (uint32_t)g * q->group;

	return q->cols - from < q->group ? q->cols - from : q->group;
}

static void put_code(uint8_t *row, uint32_t bits, uint32_t col, int code)
{
	uint8_t *block = row + col / QUANT_BLOCK * quant_block_bytes(bits);
	const uint32_t c = col % QUANT_BLOCK, half = QUANT_BLOCK / 2;

	if (bits == 8)
		block[c] = (uint8_t)code;
	else if (c < half)
		block[c] = (uint8_t)((block[c] & 0xf0) | (code + 8));
	else
		block[c - half] = (uint8_t)((block[c - half] & 0x0f) | (code + 8) << 4);
}

static void encode_row(const struct quant_matrix *q, uint32_t bits, const float *w, uint16_t *steps,
		       uint8_t *codes)
{
	const int low = bits == 8 ? -127 : -8, high = bits == 8 ? 127 : 7;
	double error;

	memset(codes, bits == 8 ? 0 : 0x88, quant_blocks(q) * quant_block_bytes(bits));
	for (size_t g = 0; g < quant_groups(q); g++) {
		const float *from = w + g * q->group;
		float step;

		steps[g] = choose_step(from, group_columns(q, g), bits, &error);
		step = quant_step(steps[g]);
		for (uint32_t i = 0; i < group_columns(q, g); i++)
			put_code(codes, bits, (uint32_t)g * q->group + i,
				 code_of(from[i], step, low, high));
	}
}

/* A step rounded up must not take the largest weight beyond what a float holds. */
static bool all_encodable(const float *w, size_t w_row, uint32_t rows, uint32_t cols)
{
	for (uint32_t r = 0; r < rows; r++)
		for (uint32_t c = 0; c < cols; c++)
			if (!(fabsf(w[r * w_row + c]) <= FLT_MAX / 2))
				return false;
	return true;
}

int quant_encode(const struct quant_matrix *q, const float *w, size_t w_row)
{
	uint8_t *codes;

	if (quant_check(q) || !w || w_row < q->cols || !all_encodable(w, w_row, q->rows, q->cols))
		return -EINVAL;
	codes = q->codes;
	for (uint32_t r = 0; r < q->rows; r++) {
		const uint32_t bits = quant_row_bits(q, r);

		encode_row(q, bits, w + r * w_row, q->steps + r * quant_groups(q), codes);
		codes += quant_blocks(q) * quant_block_bytes(bits);
	}
	return 0;
}

static double row_error(const struct quant_matrix *q, uint32_t bits, const float *w)
{
	double sum = 0;

	for (size_t g = 0; g < quant_groups(q); g++) {
		double error;

		choose_step(w + g * q->group, group_columns(q, g), bits, &error);
		sum += error;
	}
	return sum;
}

/* The row of 4 bits that loses most; rows if none is left. */
static uint32_t worst_row(const struct quant_matrix *q, const uint8_t *row_bits, const float *w,
			  size_t w_row, double *gain)
{
	uint32_t worst = q->rows;

	*gain = -1;
	for (uint32_t r = 0; r < q->rows; r++) {
		double g;

		if (row_bits[r] == 8)
			continue;
		g = row_error(q, 4, w + r * w_row) - row_error(q, 8, w + r * w_row);
		if (g > *gain) {
			*gain = g;
			worst = r;
		}
	}
	return worst;
}

int quant_choose_bits(struct quant_matrix *q, uint8_t *row_bits, const float *w, size_t w_row,
		      double snr_db)
{
	double squares = 0, error = 0, budget;

	if (check_shape(q) || !row_bits || !w || w_row < q->cols || isnan(snr_db) ||
	    !all_encodable(w, w_row, q->rows, q->cols))
		return -EINVAL;
	for (uint32_t r = 0; r < q->rows; r++) {
		for (uint32_t c = 0; c < q->cols; c++)
			squares += (double)w[r * w_row + c] * w[r * w_row + c];
		row_bits[r] = 4;
		error += row_error(q, 4, w + r * w_row);
	}
	budget = squares * pow(10, -snr_db / 10);
	q->row_bits = row_bits;
	while (error > budget) {
		double gain;
		const uint32_t r = worst_row(q, row_bits, w, w_row, &gain);

		if (r == q->rows)
			return -ERANGE;
		row_bits[r] = 8;
		error -= gain;
	}
	return 0;
}

int quant_error_measure(struct quant_error *e, const float *w, size_t w_row, const float *got,
			size_t got_row, uint32_t rows, uint32_t cols)
{
	double squares = 0, errors = 0, max = 0;

	if (!e || !w || !got || !rows || !cols || w_row < cols || got_row < cols)
		return -EINVAL;
	for (uint32_t r = 0; r < rows; r++) {
		for (uint32_t c = 0; c < cols; c++) {
			const double was = w[r * w_row + c], lost = got[r * got_row + c] - was;

			squares += was * was;
			errors += lost * lost;
			max = fabs(lost) > max ? fabs(lost) : max;
		}
	}
	e->max = max;
	e->rms = sqrt(errors / ((double)rows * cols));
	e->snr_db = errors > 0 ? 10 * log10(squares / errors) : (double)INFINITY;
	return 0;
}
