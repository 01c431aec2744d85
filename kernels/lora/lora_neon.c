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
#endif
