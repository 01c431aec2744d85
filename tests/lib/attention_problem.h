/* SPDX-License-Identifier: Apache-2.0 */
/* attention_problem.h: one attention call for every variant, and the reference's answer to it. */
#ifndef TESTS_ATTENTION_PROBLEM_H
#define TESTS_ATTENTION_PROBLEM_H

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define FOR_ATTENTION_ROWS(row)                                                        \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == KERNEL_attention && kernels_supported(row))

/* Inputs at odd addresses, so that a load that wants alignment faults. */
struct problem {
	struct attention a;
	float *mem, *q, *k, *v, *got, *want;
	double *bound; /* of every query of every head */
	size_t q_size, k_size;
	void *scratch;
	size_t scratch_bytes;
};

static uint32_t random_state = 12345;

static inline float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 24) - 0.5f;
}

/* Scratch for every variant and the reference; again after a change of block sizes. */
static inline void problem_reserve(struct problem *p)
{
	size_t most = p->a.kv_len * sizeof(double);

	FOR_ATTENTION_ROWS(k)
	{
		size_t need = kernels_attention_scratch(k, &p->a);

		most = need > most ? need : most;
	}
	free(p->scratch);
	p->scratch_bytes = (most + 127) / 64 * 64; /* and some that must stay untouched */
	p->scratch = aligned_alloc(ATTENTION_ALIGN, p->scratch_bytes);
	assert_non_null(p->scratch);
}

static inline void problem_init(struct problem *p, uint32_t heads, uint32_t kv_heads,
				uint32_t q_len, uint32_t kv_len, uint32_t dim, bool causal)
{
	size_t total;

	attention_set_packed(&p->a, heads, kv_heads, q_len, kv_len, dim);
	p->a.causal = causal;
	p->q_size = (size_t)heads * q_len * dim;
	p->k_size = (size_t)kv_heads * kv_len * dim;
	total = 3 * p->q_size + 2 * p->k_size + 1;
	p->mem = malloc(total * sizeof(float));
	assert_non_null(p->mem);
	p->q = p->mem + 1;
	p->k = p->q + p->q_size;
	p->v = p->k + p->k_size;
	p->got = p->v + p->k_size;
	p->want = p->got + p->q_size;
	for (size_t i = 0; i < p->q_size + 2 * p->k_size; i++)
		p->q[i] = 4 * random_float();
	p->a.q = p->q;
	p->a.k = p->k;
	p->a.v = p->v;
	p->a.out = p->got;
	p->bound = malloc((size_t)heads * q_len * sizeof(*p->bound));
	assert_non_null(p->bound);
	p->scratch = NULL;
	problem_reserve(p);
}

static inline void problem_fini(struct problem *p)
{
	free(p->scratch);
	free(p->bound);
	free(p->mem);
}

/* The bound of attention.h for one query. */
static inline double row_bound(const struct attention *a, uint32_t h, uint32_t i)
{
	uint32_t kv = h / (a->heads / a->kv_heads);
	double worst = 0, vmax = 0;

	for (uint32_t j = 0; j < a->kv_len; j++) {
		const float *k = a->k + kv * a->k_head + j * a->k_row;
		const float *v = a->v + kv * a->v_head + j * a->v_row;
		const float *q = a->q + h * a->q_head + i * a->q_row;
		double sum = 0;

		for (uint32_t d = 0; d < a->head_dim; d++) {
			sum += fabs((double)q[d] * k[d]);
			vmax = fmax(vmax, fabs(v[d]));
		}
		worst = fmax(worst, sum * a->scale);
	}
	return ATTENTION_ERROR * (1 + worst) * vmax;
}

static inline void reference(struct problem *p)
{
	p->a.out = p->want;
	assert_int_equal(attention_ref(&p->a, p->scratch, p->scratch_bytes), 0);
	p->a.out = p->got;
	for (uint32_t h = 0; h < p->a.heads; h++)
		for (uint32_t i = 0; i < p->a.q_len; i++)
			p->bound[h * p->a.q_len + i] = row_bound(&p->a, h, i);
}

/* Exactly the scratch that the header asks for, filled with rubbish. */
static inline void run_row(struct problem *p, const struct kernel *k)
{
	size_t need = kernels_attention_scratch(k, &p->a);

	assert_true(need <= p->scratch_bytes);
	memset(p->scratch, 0xff, p->scratch_bytes);
	memset(p->got, 0xff, p->q_size * sizeof(float));
	assert_int_equal(k->run.attention(&p->a, p->scratch, need), 0);
	for (size_t i = need; i < p->scratch_bytes; i++)
		if (((unsigned char *)p->scratch)[i] != 0xff)
			fail_msg("%s %s wrote beyond its scratch", k->name, isa_name(k->isa));
}

static inline void compare(const struct problem *p, const struct kernel *k)
{
	const struct attention *a = &p->a;

	for (uint32_t h = 0; h < a->heads; h++) {
		for (uint32_t i = 0; i < a->q_len; i++) {
			double bound = p->bound[h * a->q_len + i];

			for (uint32_t d = 0; d < a->head_dim; d++) {
				size_t at = h * a->o_head + i * a->o_row + d;
				double diff = fabs((double)p->got[at] - p->want[at]);

				if (!(diff <= bound))
					fail_msg("%s %s: H%u/%u q%u kv%u D%u causal%d window%u "
						 "bq%u bk%u: "
						 "head %u row %u dim %u: %g, not %g (bound %g)",
						 k->name, isa_name(k->isa), a->heads, a->kv_heads,
						 a->q_len, a->kv_len, a->head_dim, a->causal,
						 a->window, a->block_q, a->block_k, h, i, d,
						 (double)p->got[at], (double)p->want[at], bound);
			}
		}
	}
}

static inline void check_all_variants(struct problem *p)
{
	problem_reserve(p);
	reference(p);
	FOR_ATTENTION_ROWS(k)
	{
		run_row(p, k);
		compare(p, k);
	}
}

#endif
