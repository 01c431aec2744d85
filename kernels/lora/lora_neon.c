/* SPDX-License-Identifier: Apache-2.0 */
/* lora_neon.c: micro-LoRA with NEON. */
#include "kernels/lora/lora.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"
#include "kernels/lora/lora_loops.h"

int lora_forward_neon(const struct lora *l, const float *x, float *y)
{
	return lora_forward(l, x, y);
}

int lora_update_neon(const struct lora *l, const float *x, const float *grad_y, float weight,
		     struct lora_gradient *g)
{
	return lora_update(l, x, grad_y, weight, g);
}

int lora_forward_batch_neon(const struct lora *l, const float *x, size_t x_row, float *y,
			    size_t y_row, uint32_t rows)
{
	return lora_forward_batch(l, x, x_row, y, y_row, rows);
}

int lora_update_batch_neon(const struct lora *l, const float *x, size_t x_row, const float *grad_y,
			   size_t grad_row, const float *weight, uint32_t rows,
			   struct lora_gradient *g)
{
	return lora_update_batch(l, x, x_row, grad_y, grad_row, weight, rows, g);
}
#endif
