/* SPDX-License-Identifier: Apache-2.0 */
/* lora_bf16.c: bf16 layers: layout, rounding, reference and scalar. */
#include "kernels/lora/lora_bf16.h"

#include <errno.h>
#include <string.h>

enum { WORDS = LORA_BF16_BLOCK / 2 }; /* of a rank in a block */

static size_t padded_rank(const struct lora_bf16 *l)
{
	return (l->rank + 3ul) / 4 * 4;
}

/* Words of one rank of A, or of B. */
static size_t row_words(const struct lora_bf16 *l, bool b)
{
	const size_t n = b ? l->dim_out : l->dim_in;

	return (n + LORA_BF16_BLOCK - 1) / LORA_BF16_BLOCK * WORDS;
}

static int check_shape(const struct lora_bf16 *l)
{
	if (!l || !l->words || !l->dim_in || !l->dim_out || !l->layers)
		return -EINVAL;
	return l->rank >= 1 && l->rank <= LORA_BASE_MAX_RANK ? 0 : -EINVAL;
}

int lora_bf16_check(const struct lora_bf16 *l, uint32_t layer, const float *x, const float *y)
{
	return check_shape(l) || layer >= l->layers || !x || !y ? -EINVAL : 0;
}

size_t lora_bf16_words(const struct lora_bf16 *l)
{
	return lora_bf16_offset(l, l->layers, false);
}

size_t lora_bf16_offset(const struct lora_bf16 *l, uint32_t layer, bool b)
{
	const size_t a_words = padded_rank(l) * row_words(l, false);

	return layer * (a_words + padded_rank(l) * row_words(l, true)) + (b ? a_words : 0);
}

size_t lora_bf16_index(const struct lora_bf16 *l, uint32_t layer, bool b, uint32_t r, uint32_t i,
		       uint32_t *shift)
{
	const size_t group = r / LORA_BASE_GROUP * LORA_BASE_GROUP;
	const size_t left = padded_rank(l) - group;
	const size_t width = left < LORA_BASE_GROUP ? left : LORA_BASE_GROUP;
	const uint32_t c = i % LORA_BF16_BLOCK;
	size_t at = lora_bf16_offset(l, layer, b) + group * row_words(l, b);

	*shift = c < WORDS ? 0 : 16;
	at += i / LORA_BF16_BLOCK * width * WORDS + (r - group) * WORDS;
	return at + c % WORDS;
}

/* To nearest, ties to even; a NaN stays one. */
static uint32_t to_bf16(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	if ((bits & 0x7fffffff) > 0x7f800000)
		return bits >> 16 | 0x40;
	return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static float from_bf16(uint32_t half)
{
	const uint32_t bits = half << 16;
	float x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

static void encode_matrix(const struct lora_bf16 *l, const struct lora_base *from, uint32_t layer,
			  bool b)
{
	for (uint32_t r = 0; r < l->rank; r++) {
		for (uint32_t i = 0; i < (b ? l->dim_out : l->dim_in); i++) {
			const float w = from->weights[lora_base_index(from, layer, b, r, i)];
			uint32_t shift;
			const size_t at = lora_bf16_index(l, layer, b, r, i, &shift);

			l->words[at] |= to_bf16(w) << shift;
		}
	}
}

int lora_bf16_encode(const struct lora_bf16 *l, const struct lora_base *from)
{
	if (check_shape(l) || lora_base_check(from) || l->dim_in != from->dim_in ||
	    l->dim_out != from->dim_out || l->rank != from->rank || l->layers != from->layers)
		return -EINVAL;
	memset(l->words, 0, lora_bf16_words(l) * sizeof(*l->words));
	for (uint32_t layer = 0; layer < l->layers; layer++) {
		encode_matrix(l, from, layer, false);
		encode_matrix(l, from, layer, true);
	}
	return 0;
}

static float weight_at(const struct lora_bf16 *l, uint32_t layer, bool b, uint32_t r, uint32_t i)
{
	uint32_t shift;
	const size_t at = lora_bf16_index(l, layer, b, r, i, &shift);

	return from_bf16(l->words[at] >> shift & 0xffff);
}

#define DEFINE_LORA_BF16(SUFFIX, TYPE)                                                            \
	int lora_bf16_forward_##SUFFIX(const struct lora_bf16 *l, uint32_t layer, const float *x, \
				       float *y)                                                  \
	{                                                                                         \
		TYPE h[LORA_BASE_MAX_RANK];                                                       \
                                                                                                  \
		if (lora_bf16_check(l, layer, x, y))                                              \
			return -EINVAL;                                                           \
		for (uint32_t r = 0; r < l->rank; r++) {                                          \
			h[r] = 0;                                                                 \
			for (uint32_t i = 0; i < l->dim_in; i++)                                  \
				h[r] += (TYPE)weight_at(l, layer, false, r, i) * x[i];            \
			h[r] *= l->scale;                                                         \
		}                                                                                 \
		for (uint32_t i = 0; i < l->dim_out; i++) {                                       \
			TYPE s = y[i];                                                            \
                                                                                                  \
			for (uint32_t r = 0; r < l->rank; r++)                                    \
				s += h[r] * weight_at(l, layer, true, r, i);                      \
			y[i] = (float)s;                                                          \
		}                                                                                 \
		return 0;                                                                         \
	}
DEFINE_LORA_BF16(ref, double)
DEFINE_LORA_BF16(scalar, float)
