/* SPDX-License-Identifier: Apache-2.0 */
/* lora.h: micro-LoRA, y += scale * B (A x) with rank 1 or 2, and its gradient. */
#ifndef KERNELS_LORA_H
#define KERNELS_LORA_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

enum { LORA_MAX_RANK = 2 };

/*
 * Hu et al. 2021, "LoRA". Both matrices lie with the rank outermost, so that every loop walks them
 * in order: a is [rank][dim_in], b is [rank][dim_out]. Memory is the caller's; no alignment needed.
 */
struct lora {
	uint32_t dim_in, dim_out, rank;
	float scale;
	float *a, *b;
};

/* Sums of gradients in the shape of a and b, over `count` signals. Memory is the caller's. */
struct lora_gradient {
	float *a, *b;
	uint32_t count;
};

/*
 * y[dim_out] += scale * B (A x), x[dim_in]. x and y do not overlap anything else. Held to
 * |got - ref| <= LORA_ERROR * (|y| + scale * sum |b| |a| |x|). -EINVAL for a shape out of range or
 * a null pointer.
 */
#define LORA_ERROR 1e-5
typedef int lora_forward_fn(const struct lora *l, const float *x, float *y);

/*
 * One signal: grad_y is the gradient of the loss by y, at x, counted `weight` times.
 *   gb += weight * scale * (A x) grad_y^T,  ga += weight * scale * (B^T grad_y) x^T
 */
typedef int lora_update_fn(const struct lora *l, const float *x, const float *grad_y, float weight,
			   struct lora_gradient *g);

/*
 * The same for `rows` vectors at once, x_row, y_row and grad_row floats apart: the weights are read
 * once for four of them. An update of one row has 8 loads for each vector of a row, of four 5: the
 * loads bound both. -EINVAL too for rows that overlap.
 */
typedef int lora_forward_batch_fn(const struct lora *l, const float *x, size_t x_row, float *y,
				  size_t y_row, uint32_t rows);
typedef int lora_update_batch_fn(const struct lora *l, const float *x, size_t x_row,
				 const float *grad_y, size_t grad_row, const float *weight,
				 uint32_t rows, struct lora_gradient *g);

lora_forward_fn lora_forward_ref, lora_forward_scalar, lora_forward_avx2, lora_forward_avx512;
lora_forward_fn lora_forward_neon;
lora_update_fn lora_update_ref, lora_update_scalar, lora_update_avx2, lora_update_avx512;
lora_update_fn lora_update_neon;
lora_forward_batch_fn lora_forward_batch_scalar, lora_forward_batch_avx2, lora_forward_batch_avx512;
lora_forward_batch_fn lora_forward_batch_neon;
lora_update_batch_fn lora_update_batch_scalar, lora_update_batch_avx2, lora_update_batch_avx512;
lora_update_batch_fn lora_update_batch_neon;

/* One step down the mean gradient, which is then cleared: w -= rate * g / count. Nothing if 0. */
void lora_apply(struct lora *l, struct lora_gradient *g, float rate);
void lora_clear(const struct lora *l, struct lora_gradient *g);

/* Inline, as the next four: a call of its own is not nothing beside 30 ns. */
static inline int lora_check(const struct lora *l)
{
	if (!l || !l->a || !l->b || !l->dim_in || !l->dim_out)
		return -EINVAL;
	return l->rank >= 1 && l->rank <= LORA_MAX_RANK ? 0 : -EINVAL;
}

/* Multiply-adds count two; bytes once each for what is read and written. */
static inline uint64_t lora_forward_flops(const struct lora *l)
{
	return 2ull * l->rank * ((uint64_t)l->dim_in + l->dim_out);
}

static inline uint64_t lora_forward_bytes(const struct lora *l)
{
	return 2 * lora_forward_flops(l) + sizeof(float) * (l->dim_in + 2ull * l->dim_out);
}

static inline uint64_t lora_update_flops(const struct lora *l)
{
	return 4ull * l->rank * ((uint64_t)l->dim_in + l->dim_out);
}

static inline uint64_t lora_update_bytes(const struct lora *l)
{
	return 3 * lora_update_flops(l) + sizeof(float) * ((uint64_t)l->dim_in + l->dim_out);
}

#endif
