/* SPDX-License-Identifier: Apache-2.0 */
/* lora_bf16.h: base LoRA with weights in bf16, which L2 delivers in half the time. */
#ifndef KERNELS_LORA_BF16_H
#define KERNELS_LORA_BF16_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/lora/lora_base.h"

/*
 * A layer that answers, not one that learns: a weight keeps 8 bits, an error of at most 2^-9 of
 * itself. Two weights share a word, so that a mask and a shift unpack 16 of them where a conversion
 * from 8-bit codes takes six operations. Layout as lora_base.h's, with blocks of 32 columns:
 *
 *   [group of 8 ranks, a last one of 4 or 8][block of 32 columns][rank of the group][16 words]
 *
 * Word j has column j in its low half and column j + 16 in its high half. words is the caller's,
 * lora_bf16_words() of them, 64-byte aligned for speed alone.
 */
enum { LORA_BF16_BLOCK = 32 };

struct lora_bf16 {
	uint32_t dim_in, dim_out, rank, layers;
	float scale;
	uint32_t *words;
};

size_t lora_bf16_words(const struct lora_bf16 *l);
/* Word of A[r][i], or B[r][i], and by how many bits it is shifted there. */
size_t lora_bf16_index(const struct lora_bf16 *l, uint32_t layer, bool b, uint32_t r, uint32_t i,
		       uint32_t *shift);
/* All layers of the same shape, rounded to nearest even. -EINVAL if the shapes differ. */
int lora_bf16_encode(const struct lora_bf16 *l, const struct lora_base *from);

/*
 * y[dim_out] += scale * B (A x). Held to LORA_BASE_ERROR as lora_base_forward, beside a reference
 * that has the same bf16 weights.
 */
typedef int lora_bf16_forward_fn(const struct lora_bf16 *l, uint32_t layer, const float *x,
				 float *y);
lora_bf16_forward_fn lora_bf16_forward_ref, lora_bf16_forward_scalar, lora_bf16_forward_avx2,
	lora_bf16_forward_avx512, lora_bf16_forward_neon;

int lora_bf16_check(const struct lora_bf16 *l, uint32_t layer, const float *x, const float *y);
/* Where a layer's A (or B) begins, in words. */
size_t lora_bf16_offset(const struct lora_bf16 *l, uint32_t layer, bool b);

#endif
