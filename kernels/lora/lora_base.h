/* SPDX-License-Identifier: Apache-2.0 */
/* lora_base.h: base LoRA, rank 1 to 16 over many layers: forward, gradient, step, merge. */
#ifndef KERNELS_LORA_BASE_H
#define KERNELS_LORA_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/quant/quant.h"

enum {
	LORA_BASE_MAX_RANK = 16,
	LORA_BASE_BLOCK = 16, /* floats of a rank that lie together: a cache line */
	LORA_BASE_GROUP = 8,  /* ranks that are worked on together */
};

/*
 * Per layer, y += scale * B (A x), as micro-LoRA. A layer is read once a request, so what counts is
 * how it streams: it is one run of memory in the order of use. A stands before B, each
 *
 *   [group of 8 ranks, a last one of 4 or 8][block of 16 columns][rank of the group][16]
 *
 * so 8 running sums (or 8 factors) stay in registers while x (or y) passes once, on any vector
 * width. Ranks are padded to 4 and columns to 16 with zeros, which stay zero. weights is the
 * caller's, lora_base_floats() of them, 64-byte aligned for speed alone.
 */
struct lora_base {
	uint32_t dim_in, dim_out, rank, layers;
	float scale;
	float *weights;
};

/* Sums of gradients in the layout of the weights, and of how many signals, by layer. */
struct lora_base_gradient {
	float *weights;
	uint32_t *count; /* [layers] */
};

int lora_base_check(const struct lora_base *l);
size_t lora_base_floats(const struct lora_base *l);
/* Where a layer's A (or B) is, and one element in it: A[r][i], i < dim_in; B[r][i], i < dim_out. */
size_t lora_base_offset(const struct lora_base *l, uint32_t layer, bool b);
size_t lora_base_index(const struct lora_base *l, uint32_t layer, bool b, uint32_t r, uint32_t i);
/* A layer from and to plain a[rank][dim_in], b[rank][dim_out]; set writes the padding too. */
int lora_base_set(const struct lora_base *l, uint32_t layer, const float *a, const float *b);
int lora_base_get(const struct lora_base *l, uint32_t layer, float *a, float *b);

/*
 * `rows` vectors through one layer: y[dim_out] += scale * B (A x), x_row and y_row floats apart.
 * Held to |got - ref| <= LORA_BASE_ERROR * (|y| + scale * sum |b| |a| |x|). -EINVAL for a bad
 * shape, layer or null pointer, or rows that overlap.
 */
#define LORA_BASE_ERROR 1e-5
typedef int lora_base_forward_fn(const struct lora_base *l, uint32_t layer, const float *x,
				 size_t x_row, float *y, size_t y_row, uint32_t rows);

/*
 * `rows` signals, gradients of the loss by y at x, each counted `weight` times. With e = B grad_y:
 *   gB += weight * scale * (A x) grad_y^T,  gA += weight * scale * e x^T,
 * and, when grad_x is not NULL, the gradient by x for the layer before: grad_x += scale * A^T e.
 */
struct lora_base_signal {
	const float *x, *grad_y;
	float *grad_x; /* or NULL */
	size_t x_row, y_row;
	uint32_t rows;
	float weight;
};
typedef int lora_base_gradient_fn(const struct lora_base *l, uint32_t layer,
				  const struct lora_base_signal *s, struct lora_base_gradient *g);

/*
 * W[dim_out][dim_in] += times * scale * B A, rows w_row floats apart: times 1 merges a layer into
 * the weights that it adapts, -1 takes it out again (up to rounding).
 */
typedef int lora_base_merge_fn(const struct lora_base *l, uint32_t layer, float times, float *w,
			       size_t w_row);

lora_base_forward_fn lora_base_forward_ref, lora_base_forward_scalar, lora_base_forward_avx2,
	lora_base_forward_avx512, lora_base_forward_neon;
lora_base_gradient_fn lora_base_gradient_ref, lora_base_gradient_scalar, lora_base_gradient_avx2,
	lora_base_gradient_avx512, lora_base_gradient_neon;
lora_base_merge_fn lora_base_merge_ref, lora_base_merge_scalar, lora_base_merge_avx2,
	lora_base_merge_avx512, lora_base_merge_neon;

/*
 * The same layers in codes of 8 or 4 bits: a[layer] has `rank` rows of dim_in, b[layer] `rank` rows
 * of dim_out. y[dim_out] += scale * B (A x), held to what quant.h says of both products.
 */
struct lora_base_coded {
	uint32_t dim_in, dim_out, rank, layers;
	float scale;
	const struct quant_matrix *a, *b; /* [layers] */
};
typedef int lora_base_coded_fn(const struct lora_base_coded *l, uint32_t layer, const float *x,
			       float *y);
lora_base_coded_fn lora_base_coded_ref, lora_base_coded_scalar, lora_base_coded_avx2,
	lora_base_coded_avx512, lora_base_coded_neon;
/* For the variants: it, by the products of their instruction set. */
int lora_base_run_coded(const struct lora_base_coded *l, uint32_t layer, const float *x, float *y,
			quant_matvec_fn *matvec, quant_expand_fn *expand);

/* One step down the mean gradient of each layer that has one; the gradient is then clear. */
void lora_base_apply(struct lora_base *l, struct lora_base_gradient *g, float rate);
void lora_base_clear(const struct lora_base *l, struct lora_base_gradient *g);

/* Of one row. Multiply-adds count two; bytes once each for what is read and written. */
uint64_t lora_base_forward_flops(const struct lora_base *l);
uint64_t lora_base_forward_bytes(const struct lora_base *l);
uint64_t lora_base_gradient_flops(const struct lora_base *l);
uint64_t lora_base_gradient_bytes(const struct lora_base *l);

/* For the variants: do a call's arguments make sense? 0 or -EINVAL. */
int lora_base_check_forward(const struct lora_base *l, uint32_t layer, const float *x, size_t x_row,
			    const float *y, size_t y_row, uint32_t rows);
int lora_base_check_gradient(const struct lora_base *l, uint32_t layer,
			     const struct lora_base_signal *s, const struct lora_base_gradient *g);

#endif
