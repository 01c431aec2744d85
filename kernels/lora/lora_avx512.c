/* SPDX-License-Identifier: Apache-2.0 */
/* lora_avx512.c: micro-LoRA with AVX-512. */
#include "kernels/lora/lora.h"

#if defined(__x86_64__)
#include "kernels/vec_avx512.h"
#include "kernels/lora/lora_sums16.h"

#define LORA_WIDE
#include "kernels/lora/lora_loops.h"

int lora_forward_avx512(const struct lora *l, const float *x, float *y)
{
	return lora_forward(l, x, y);
}

int lora_update_avx512(const struct lora *l, const float *x, const float *grad_y, float weight,
		       struct lora_gradient *g)
{
	return lora_update(l, x, grad_y, weight, g);
}

int lora_forward_batch_avx512(const struct lora *l, const float *x, size_t x_row, float *y,
			      size_t y_row, uint32_t rows)
{
	return lora_forward_batch(l, x, x_row, y, y_row, rows);
}

int lora_update_batch_avx512(const struct lora *l, const float *x, size_t x_row,
			     const float *grad_y, size_t grad_row, const float *weight,
			     uint32_t rows, struct lora_gradient *g)
{
	return lora_update_batch(l, x, x_row, grad_y, grad_row, weight, rows, g);
}
#endif
