/* SPDX-License-Identifier: Apache-2.0 */
/* uncounted.h: metered calls as a build with PERFTOP_DISABLED makes them: what counting costs. */
#ifndef KERNELS_BENCHMARK_UNCOUNTED_H
#define KERNELS_BENCHMARK_UNCOUNTED_H

#include "kernels/attention/attention.h"
#include "kernels/lora/lora.h"

struct kernel;

int uncounted_attention(const struct kernel *k, const struct attention *a, void *scratch,
			size_t scratch_bytes);
int uncounted_lora_forward(const struct kernel *k, const struct lora *l, const float *x,
			   size_t x_row, float *y, size_t y_row, uint32_t rows);

#endif
