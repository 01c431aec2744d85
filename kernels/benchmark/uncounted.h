/* SPDX-License-Identifier: Apache-2.0 */
/* uncounted.h: metered calls, and as a build with PERFTOP_DISABLED makes them: what counting costs.
 */
#ifndef KERNELS_BENCHMARK_UNCOUNTED_H
#define KERNELS_BENCHMARK_UNCOUNTED_H

#include "kernels/kernels.h"

struct counted {
	struct metered m;
	struct attention a;
	void *scratch;
	size_t scratch_bytes;
	struct lora l;
	const float *x;
	float *y;
	uint32_t rows; /* of micro-LoRA, counted as one call */
};

/* With counters where PERFTOP_DISABLED is not defined. */
static inline int counted_attention(const struct counted *c)
{
	return metered_attention(&c->m, &c->a, c->scratch, c->scratch_bytes);
}

static inline int counted_lora_row(const struct counted *c)
{
	return metered_lora_forward(&c->m, &c->l, c->x, 0, c->y, 0, 1);
}

static inline int counted_lora_rows(const struct counted *c)
{
	return metered_lora_forward(&c->m, &c->l, c->x, c->l.dim_in, c->y, c->l.dim_out, c->rows);
}

/* arg is a struct counted. */
int uncounted_attention(void *arg);
int uncounted_lora_row(void *arg);
int uncounted_lora_rows(void *arg);
/* The least that could count: one number of the thread's counted down, and a branch. */
int countdown_lora_row(void *arg);

#endif
