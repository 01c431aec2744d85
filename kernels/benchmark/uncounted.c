/* SPDX-License-Identifier: Apache-2.0 */
/* uncounted.c: the metered calls of kernels.h, compiled without their counters. */
#define PERFTOP_DISABLED
#include "kernels/kernels.h"

#include "kernels/benchmark/uncounted.h"

int uncounted_attention(const struct kernel *k, const struct attention *a, void *scratch,
			size_t scratch_bytes)
{
	const struct metered m = {.kernel = k};

	return metered_attention(&m, a, scratch, scratch_bytes);
}

int uncounted_lora_forward(const struct kernel *k, const struct lora *l, const float *x,
			   size_t x_row, float *y, size_t y_row, uint32_t rows)
{
	const struct metered m = {.kernel = k};

	return metered_lora_forward(&m, l, x, x_row, y, y_row, rows);
}
