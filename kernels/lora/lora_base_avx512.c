/* SPDX-License-Identifier: Apache-2.0 */
/* lora_base_avx512.c: base LoRA with AVX-512. */
#include "kernels/lora/lora_base.h"

#if defined(__x86_64__)
#include "kernels/vec_avx512.h"
#include "kernels/lora/lora_sums16.h"

#define LORA_BASE_SUMS lora_sums
#define LORA_BASE_TILE 4
#include "kernels/lora/lora_base_loops.h"

int lora_base_forward_avx512(const struct lora_base *l, uint32_t layer, const float *x,
			     size_t x_row, float *y, size_t y_row, uint32_t rows)
{
	return base_forward(l, layer, x, x_row, y, y_row, rows);
}

int lora_base_gradient_avx512(const struct lora_base *l, uint32_t layer,
			      const struct lora_base_signal *s, struct lora_base_gradient *g)
{
	return base_gradient(l, layer, s, g);
}

int lora_base_merge_avx512(const struct lora_base *l, uint32_t layer, float times, float *w,
			   size_t w_row)
{
	return base_merge(l, layer, times, w, w_row);
}

int lora_base_coded_avx512(const struct lora_base_coded *l, uint32_t layer, const float *x,
			   float *y)
{
	return lora_base_run_coded(l, layer, x, y, quant_matvec_avx512, quant_expand_avx512);
}
#endif
