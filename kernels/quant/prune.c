/* SPDX-License-Identifier: Apache-2.0 */
/* prune.c: which weights are the smallest, alone and together, and what is left of them. */
#include "kernels/quant/prune.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static int check(const struct prune *p)
{
	if (!p || !p->w || !p->rows || !p->cols || p->w_row < p->cols)
		return -EINVAL;
	for (uint32_t r = 0; r < p->rows; r++)
		for (uint32_t c = 0; c < p->cols; c++)
			if (isnan(p->w[r * p->w_row + c]))
				return -EINVAL;
	return 0;
}

static void swap(float *a, float *b)
{
	float t = *a;

	*a = *b;
	*b = t;
}

/* The middle one of three spread over the range: sorted input is no worst case. */
static float pivot_of(const float *v, size_t low, size_t high)
{
	const float a = v[low], b = v[low + (high - low) / 2], c = v[high];

	return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

float prune_select(float *v, size_t count, size_t n)
{
	size_t low = 0, high = count - 1;

	while (low < high) {
		const float pivot = pivot_of(v, low, high);
		size_t i = low, j = high;

		for (;;) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i >= j)
				break;
			swap(&v[i++], &v[j--]);
		}
		/* Where both met is the pivot's value, or the left part ends before it. */
		if (i == j && v[i] == pivot && i == n)
			return v[n];
		j = i == j && !(v[i] > pivot) ? i : i - 1;
		if (n <= j)
			high = j;
		else
			low = j + 1;
	}
	return v[n];
}

/*
 * The `count` smallest of scores[n] get a score of -1. Those below the count-th smallest are fewer
 * than count; equals of it fill up, the first ones first. work[n] is reordered.
 */
static void mark_smallest(float *scores, float *work, size_t n, size_t count)
{
	float threshold;
	size_t below = 0;

	if (!count)
		return;
	memcpy(work, scores, n * sizeof(*work));
	threshold = prune_select(work, n, count - 1);
	for (size_t i = 0; i < n; i++)
		below += scores[i] < threshold;
	for (size_t i = 0; i < n; i++) {
		if (scores[i] < threshold) {
			scores[i] = -1;
		} else if (scores[i] == threshold && below < count) {
			scores[i] = -1;
			below++;
		}
	}
}

int prune_magnitude(const struct prune *p, size_t count, float *scratch)
{
	const size_t n = p ? (size_t)p->rows * p->cols : 0;
	size_t below = 0;
	float threshold;

	if (check(p) || !scratch || count > n)
		return -EINVAL;
	if (!count)
		return 0;
	for (uint32_t r = 0; r < p->rows; r++)
		for (uint32_t c = 0; c < p->cols; c++)
			scratch[(size_t)r * p->cols + c] = fabsf(p->w[r * p->w_row + c]);
	threshold = prune_select(scratch, n, count - 1);
	for (size_t i = 0; i < n; i++)
		below += scratch[i] < threshold;
	for (uint32_t r = 0; r < p->rows; r++) {
		for (uint32_t c = 0; c < p->cols; c++) {
			float *w = &p->w[r * p->w_row + c];

			if (fabsf(*w) == threshold && below < count)
				below++;
			else if (!(fabsf(*w) < threshold))
				continue;
			*w = 0;
		}
	}
	return 0;
}

/* Blocks are the general case: a row is a block 1 high, a column one 1 wide. */
static void block_scores(const struct prune *p, uint32_t high, uint32_t wide, float *scores)
{
	for (uint32_t r = 0; r < p->rows; r += high) {
		for (uint32_t c = 0; c < p->cols; c += wide) {
			const uint32_t rows = p->rows - r < high ? p->rows - r : high;
			const uint32_t cols = p->cols - c < wide ? p->cols - c : wide;
			double sum = 0;

			for (uint32_t i = 0; i < rows; i++)
				for (uint32_t j = 0; j < cols; j++) {
					const double w = p->w[(r + i) * p->w_row + c + j];

					sum += w * w;
				}
			*scores++ = (float)(sum / ((double)rows * cols));
		}
	}
}

static void zero_marked(const struct prune *p, uint32_t high, uint32_t wide, const float *scores)
{
	const size_t across = (p->cols - 1) / wide + 1;

	for (uint32_t r = 0; r < p->rows; r++)
		for (uint32_t c = 0; c < p->cols; c++)
			if (scores[r / high * across + c / wide] < 0)
				p->w[r * p->w_row + c] = 0;
}

int prune_blocks(const struct prune *p, uint32_t high, uint32_t wide, size_t count, float *scratch)
{
	size_t blocks;

	if (check(p) || !scratch || !high || !wide)
		return -EINVAL;
	blocks = ((p->rows - 1ul) / high + 1) * ((p->cols - 1ul) / wide + 1);
	if (count > blocks)
		return -EINVAL;
	block_scores(p, high < p->rows ? high : p->rows, wide < p->cols ? wide : p->cols, scratch);
	mark_smallest(scratch, scratch + blocks, blocks, count);
	zero_marked(p, high, wide, scratch);
	return 0;
}

int prune_rows(const struct prune *p, uint32_t count, float *scratch)
{
	return p ? prune_blocks(p, 1, p->cols, count, scratch) : -EINVAL;
}

int prune_columns(const struct prune *p, uint32_t count, float *scratch)
{
	return p ? prune_blocks(p, p->rows, 1, count, scratch) : -EINVAL;
}

int prune_n_of_m(const struct prune *p, uint32_t n, uint32_t m)
{
	if (check(p) || !m || m > PRUNE_MAX_M || n > m)
		return -EINVAL;
	for (uint32_t r = 0; r < p->rows; r++) {
		for (uint32_t c = 0; c < p->cols; c += m) {
			const uint32_t k = p->cols - c < m ? p->cols - c : m;
			float scores[PRUNE_MAX_M], work[PRUNE_MAX_M];
			float *w = &p->w[r * p->w_row + c];

			for (uint32_t i = 0; i < k; i++)
				scores[i] = fabsf(w[i]);
			mark_smallest(scores, work, k, k - (k * n + m - 1) / m);
			for (uint32_t i = 0; i < k; i++)
				w[i] = scores[i] < 0 ? 0 : w[i];
		}
	}
	return 0;
}

size_t prune_zeros(const struct prune *p)
{
	size_t zeros = 0;

	for (uint32_t r = 0; r < p->rows; r++)
		for (uint32_t c = 0; c < p->cols; c++)
			zeros += p->w[r * p->w_row + c] == 0;
	return zeros;
}

static size_t row_words(const struct prune *p)
{
	return (p->cols + 63ul) / 64;
}

size_t prune_words(const struct prune *p)
{
	return p->rows * row_words(p);
}

size_t prune_packed_bytes(const struct prune *p)
{
	const size_t kept = (size_t)p->rows * p->cols - prune_zeros(p);

	return prune_words(p) * sizeof(uint64_t) + kept * sizeof(float);
}

int prune_pack(const struct prune *p, uint64_t *words, float *kept)
{
	if (check(p) || !words || !kept)
		return -EINVAL;
	memset(words, 0, prune_words(p) * sizeof(*words));
	for (uint32_t r = 0; r < p->rows; r++, words += row_words(p)) {
		for (uint32_t c = 0; c < p->cols; c++) {
			const float w = p->w[r * p->w_row + c];

			if (w == 0)
				continue;
			words[c / 64] |= 1ull << c % 64;
			*kept++ = w;
		}
	}
	return 0;
}

int prune_unpack(const struct prune *p, const uint64_t *words, const float *kept)
{
	if (!p || !p->w || !words || !kept || p->w_row < p->cols)
		return -EINVAL;
	for (uint32_t r = 0; r < p->rows; r++, words += row_words(p))
		for (uint32_t c = 0; c < p->cols; c++)
			p->w[r * p->w_row + c] = words[c / 64] >> c % 64 & 1 ? *kept++ : 0;
	return 0;
}
