/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_attention_backward.c: gradients against finite differences, and every variant's in parity.
 * Long because parity and masks are held to the same reference and walk the same shapes.
 */
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

#define FOR_BACKWARD_ROWS(row)                                                         \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == KERNEL_backward && kernels_supported(row))

static uint32_t random_state = 12345;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 24) - 0.5f;
}

/* Inputs at odd addresses. Gradients: dq, dk, dv one after the other; so are want and bound. */
struct problem {
	struct attention a;
	struct attention_backward b;
	float *mem, *q, *k, *v, *out, *dout, *lse, *got, *want;
	double *bound;
	size_t q_size, k_size, grads;
	void *scratch;
	size_t scratch_bytes;
};

static void set_gradients(struct problem *p, float *to)
{
	p->b.dq = to;
	p->b.dk = to + p->q_size;
	p->b.dv = to + p->q_size + p->k_size;
}

static void forward(struct problem *p)
{
	attention_fn *run = kernels_select("attention_flash", isa_best())->run.attention;

	assert_int_equal(run(&p->a, p->scratch, p->scratch_bytes), 0);
}

static void problem_init(struct problem *p, uint32_t heads, uint32_t kv_heads, uint32_t q_len,
			 uint32_t kv_len, uint32_t dim)
{
	size_t floats;

	memset(p, 0, sizeof(*p));
	attention_set_packed(&p->a, heads, kv_heads, q_len, kv_len, dim);
	p->q_size = (size_t)heads * q_len * dim;
	p->k_size = (size_t)kv_heads * kv_len * dim;
	p->grads = p->q_size + 2 * p->k_size;
	floats = 3 * p->q_size + 2 * p->k_size + (size_t)heads * q_len + 2 * p->grads + 2;
	p->mem = malloc(floats * sizeof(float));
	p->bound = malloc(p->grads * sizeof(double));
	assert_non_null(p->mem);
	assert_non_null(p->bound);
	p->q = p->mem + 1;
	p->k = p->q + p->q_size;
	p->v = p->k + p->k_size;
	p->dout = p->v + p->k_size;
	p->out = p->dout + p->q_size;
	p->lse = p->out + p->q_size;
	p->got = p->lse + (size_t)heads * q_len;
	p->want = p->got + p->grads + 1;
	for (float *x = p->q; x < p->out; x++)
		*x = 4 * random_float();
	p->a.q = p->q;
	p->a.k = p->k;
	p->a.v = p->v;
	p->a.out = p->out;
	p->a.lse = p->lse;
	p->b.forward = &p->a;
	p->b.dout = p->dout;
	p->b.threads = 2;
	set_gradients(p, p->got);
	p->scratch_bytes = attention_backward_scratch(&p->b) + attention_flash_scratch(&p->a) +
			   2 * (p->k_size + kv_len) * sizeof(double) + 256;
	p->scratch_bytes = (p->scratch_bytes + 63) / 64 * 64;
	p->scratch = aligned_alloc(ATTENTION_ALIGN, p->scratch_bytes);
	assert_non_null(p->scratch);
}

static void problem_fini(struct problem *p)
{
	free(p->scratch);
	free(p->bound);
	free(p->mem);
}

static void reference(struct problem *p)
{
	set_gradients(p, p->want);
	assert_int_equal(attention_backward_ref(&p->b, p->scratch, p->scratch_bytes), 0);
	set_gradients(p, p->got);
}

static double abs_dot(const float *x, const float *y, uint32_t n)
{
	double s = 0;

	for (uint32_t d = 0; d < n; d++)
		s += fabs((double)x[d] * y[d]);
	return s;
}

static double dot(const float *x, const float *y, uint32_t n)
{
	double s = 0;

	for (uint32_t d = 0; d < n; d++)
		s += (double)x[d] * y[d];
	return s;
}

/* The bounds of attention_backward.h: the same sums over absolute values. */
static void bounds(struct problem *p)
{
	const struct attention *a = &p->a;
	double *dq = p->bound, *dk = dq + p->q_size, *dv = dk + p->k_size, worst = 0;

	memset(p->bound, 0, p->grads * sizeof(double));
	for (uint32_t r = 0; r < a->heads * a->q_len; r++) {
		uint32_t h = r / a->q_len, i = r % a->q_len, first, end;
		uint32_t g = h / (a->heads / a->kv_heads);
		size_t at = h * a->q_head + i * a->q_row;

		attention_visible(a, i, &first, &end);
		for (uint32_t j = first; j < end; j++) {
			size_t key = g * a->k_head + j * a->k_row;
			double w = exp(a->scale * dot(a->q + at, a->k + key, a->head_dim) -
				       p->lse[(size_t)h * a->q_len + i]);
			double ds = a->scale * w *
				    (abs_dot(p->dout + at, a->v + key, a->head_dim) +
				     abs_dot(p->dout + at, a->out + at, a->head_dim));

			worst = fmax(worst, a->scale * abs_dot(a->q + at, a->k + key, a->head_dim));
			for (uint32_t d = 0; d < a->head_dim; d++) {
				dq[at + d] += ds * fabs(a->k[key + d]);
				dk[key + d] += ds * fabs(a->q[at + d]);
				dv[key + d] += w * fabs(p->dout[at + d]);
			}
		}
	}
	for (size_t i = 0; i < p->grads; i++)
		p->bound[i] *= ATTENTION_BACKWARD_ERROR * (1 + worst);
}

static void run_row(struct problem *p, const struct kernel *k)
{
	size_t need = attention_backward_scratch(&p->b);

	memset(p->scratch, 0xff, p->scratch_bytes);
	memset(p->got, 0xff, (p->grads + 1) * sizeof(float));
	assert_int_equal(k->run.backward(&p->b, p->scratch, need), 0);
	for (size_t i = need; i < p->scratch_bytes; i++)
		if (((unsigned char *)p->scratch)[i] != 0xff)
			fail_msg("%s %s wrote beyond its scratch", k->name, isa_name(k->isa));
	assert_true(isnan(p->got[p->grads]));
}

static void check(struct problem *p)
{
	const struct attention *a = &p->a;

	forward(p);
	reference(p);
	bounds(p);
	FOR_BACKWARD_ROWS(k)
	{
		run_row(p, k);
		for (size_t i = 0; i < p->grads; i++)
			if (!(fabs((double)p->got[i] - p->want[i]) <= p->bound[i]))
				fail_msg("%s: H%u/%u q%u kv%u D%u causal%d window%u: d%s[%zu] is "
					 "%g, not %g (bound %g)",
					 isa_name(k->isa), a->heads, a->kv_heads, a->q_len,
					 a->kv_len, a->head_dim, a->causal, a->window,
					 i < p->q_size		     ? "q"
					 : i < p->q_size + p->k_size ? "k"
								     : "v",
					 i, (double)p->got[i], (double)p->want[i], p->bound[i]);
	}
}

static void check_shape(uint32_t heads, uint32_t kv_heads, uint32_t q_len, uint32_t kv_len,
			uint32_t dim, bool causal, uint32_t window)
{
	struct problem p;

	problem_init(&p, heads, kv_heads, q_len, kv_len, dim);
	p.a.causal = causal;
	p.a.window = window;
	check(&p);
	problem_fini(&p);
}

/* sum of dout * out in double, with x moved by e: what the gradients are the slopes of. */
static double loss_with(struct problem *p, float *x, double e)
{
	const struct attention *a = &p->a;
	double loss = 0, w[64];
	ptrdiff_t at_q = x - p->q, at_k = x - p->k, at_v = x - p->v;

	for (uint32_t r = 0; r < a->heads * a->q_len; r++) {
		uint32_t h = r / a->q_len, i = r % a->q_len, first, end;
		size_t q = h * a->q_head + i * a->q_row;
		size_t k = h / (a->heads / a->kv_heads) * a->k_head;
		double sum = 0, part = 0;

		attention_visible(a, i, &first, &end);
		for (uint32_t j = first; j < end; j++) {
			double s = 0;

			for (uint32_t d = 0; d < a->head_dim; d++) {
				size_t key = k + j * a->k_row + d;

				s += (p->q[q + d] + (at_q == (ptrdiff_t)(q + d) ? e : 0)) *
				     (p->k[key] + (at_k == (ptrdiff_t)key ? e : 0));
			}
			w[j] = exp(a->scale * s);
			sum += w[j];
		}
		for (uint32_t j = first; j < end; j++) {
			for (uint32_t d = 0; d < a->head_dim; d++) {
				size_t value = k + j * a->k_row + d;

				part += w[j] / sum * p->dout[q + d] *
					(p->v[value] + (at_v == (ptrdiff_t)value ? e : 0));
			}
		}
		loss += part;
	}
	return loss;
}

/* Central differences of the loss in double: independent of the formulas of the gradients. */
static void the_reference_is_no_gradient(void **state)
{
	const double e = 1e-4;

	for (int i = 0; i < 6; i++) {
		struct problem p;

		problem_init(&p, 4, i % 2 ? 2 : 4, 7, i < 3 ? 9 : 7, 5);
		p.a.causal = i % 3 > 0;
		p.a.window = i % 3 == 2 ? 4 : 0;
		forward(&p);
		reference(&p);
		for (size_t g = 0; g < p.grads; g++) {
			float *x = g < p.q_size ? p.q + g : p.k + (g - p.q_size);
			double slope = (loss_with(&p, x, e) - loss_with(&p, x, -e)) / (2 * e);

			if (!(fabs(slope - p.want[g]) <= 1e-5))
				fail_msg("shape %d, gradient %zu: slope %g, not %g", i, g, slope,
					 (double)p.want[g]);
		}
		problem_fini(&p);
	}
}

static void wrong_gradient_at_some_head_dim(void **state)
{
	static const uint32_t dims[] = {1,  2,	 3,   5,   7,	8,   9,	  15,
					16, 17,	 31,  32,  33,	48,  63,  64,
					65, 127, 128, 129, 255, 256, 257, ATTENTION_MAX_DIM};

	for (size_t i = 0; i < COUNT(dims); i++) {
		check_shape(2, 2, 37, 41, dims[i], false, 0);
		check_shape(2, 1, 37, 37, dims[i], true, 0);
	}
}

static void wrong_gradient_at_some_length(void **state)
{
	static const uint32_t q[] = {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 130, 257, 260},
			      kv[] = {1, 2, 5, 6, 7, 12, 13, 33, 95, 96, 97, 200, 257, 260};

	for (size_t i = 0; i < COUNT(q); i++) {
		for (size_t j = 0; j < COUNT(kv); j++) {
			check_shape(1, 1, q[i], kv[j], 20, false, 0);
			check_shape(1, 1, q[i], kv[j], 20, true, 0);
			check_shape(1, 1, q[i], kv[j], 12, true, 21);
			check_shape(1, 1, q[i], kv[j], 12, false, 7);
		}
	}
}

static void heads_that_share_keys_lose_gradients(void **state)
{
	check_shape(8, 8, 33, 33, 16, true, 0);
	check_shape(8, 2, 70, 70, 16, true, 0);
	check_shape(8, 1, 33, 70, 16, false, 0);
	check_shape(6, 3, 33, 70, 16, true, 10);
}

/* [row][head][dim], as a model lays its projections out. */
static void wrong_gradient_with_interleaved_heads(void **state)
{
	struct problem p;

	problem_init(&p, 4, 4, 50, 50, 20);
	p.a.q_head = p.a.k_head = p.a.v_head = p.a.o_head = 20;
	p.a.q_row = p.a.k_row = p.a.v_row = p.a.o_row = 80;
	p.a.causal = true;
	check(&p);
	problem_fini(&p);
}

static void rows_that_see_nothing_have_gradients(void **state)
{
	struct problem p;

	problem_init(&p, 2, 1, 90, 20, 17); /* the first 70 queries see no key */
	p.a.causal = true;
	check(&p);
	FOR_BACKWARD_ROWS(k)
	{
		run_row(&p, k);
		for (uint32_t i = 0; i < 70 * 17; i++)
			assert_true(p.got[i] == 0 && p.got[90 * 17 + i] == 0);
	}
	problem_fini(&p);
}

static void overflow_with_large_logits(void **state)
{
	static const float factors[] = {1e-20f, 30, 1e3f, 1e6f};

	for (size_t f = 0; f < COUNT(factors); f++) {
		struct problem p;

		problem_init(&p, 1, 1, 40, 70, 16);
		for (size_t i = 0; i < p.q_size; i++)
			p.q[i] *= factors[f];
		forward(&p);
		reference(&p);
		bounds(&p);
		FOR_BACKWARD_ROWS(k)
		{
			run_row(&p, k);
			for (size_t i = 0; i < p.grads; i++)
				assert_true(isfinite(p.got[i]) &&
					    (f > 2 || fabs((double)p.got[i] - p.want[i]) <=
							      p.bound[i] + 1e-30));
		}
		problem_fini(&p);
	}
}

/* Where the reference is finite so is every variant, and near; elsewhere none is. */
static void check_reach(struct problem *p, const char *what)
{
	const struct attention *a = &p->a;

	forward(p);
	reference(p);
	FOR_BACKWARD_ROWS(k)
	{
		run_row(p, k);
		for (size_t i = 0; i < p->grads; i++) {
			const float got = p->got[i], want = p->want[i];

			if (isfinite(want) ? fabsf(got - want) <= 1e-4f * (1 + fabsf(want))
					   : !isfinite(got))
				continue;
			fail_msg("%s %s: q%u kv%u D%u causal%d window%u: gradient %zu is %g, not "
				 "%g",
				 what, isa_name(k->isa), a->q_len, a->kv_len, a->head_dim,
				 a->causal, a->window, i, (double)got, (double)want);
		}
	}
}

/* Rows `step` apart, beginning with the last or the first; of each one number or all. */
static void spoil(float *x, uint32_t rows, uint32_t dim, uint32_t step, bool from_the_last)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY};

	for (uint32_t n = 0; n * step < rows; n++) {
		float *row = x + (size_t)(from_the_last ? rows - 1 - n * step : n * step) * dim;

		for (uint32_t d = 0; d < dim; d++)
			if (n % 2 || d == n % dim)
				row[d] = bad[n % 3];
	}
}

static void what_is_hidden_still_reaches_a_gradient(void **state)
{
	static const uint32_t shapes[][3] = {{100, 100, 20}, {70, 90, 8},    {90, 20, 17},
					     {150, 150, 64}, {33, 200, 130}, {1, 50, 16}};
	static const struct {
		bool causal;
		uint32_t window;
	} masks[] = {{true, 0}, {true, 7}, {false, 7}, {true, 40}};
	static const uint32_t steps[] = {29, 64, 1000};
	static const char *const whose[] = {"q", "k", "v", "dout"};

	for (size_t i = 0; i < COUNT(shapes) * COUNT(masks) * COUNT(steps) * COUNT(whose); i++) {
		const size_t w = i % COUNT(whose), m = i / COUNT(whose) % COUNT(masks);
		const uint32_t step = steps[i / COUNT(whose) / COUNT(masks) % COUNT(steps)];
		const uint32_t *s = shapes[i / COUNT(whose) / COUNT(masks) / COUNT(steps)];
		struct problem p;

		problem_init(&p, 2, 1, s[0], s[1], s[2]);
		p.a.causal = masks[m].causal;
		p.a.window = masks[m].window;
		spoil(w == 0   ? p.q
		      : w == 1 ? p.k
		      : w == 2 ? p.v
			       : p.dout,
		      w == 1 || w == 2 ? s[1] : s[0], s[2], step, w == 1 || w == 2);
		check_reach(&p, whose[w]);
		problem_fini(&p);
	}
}

static void a_bad_call_is_accepted(void **state)
{
	struct problem p;

	problem_init(&p, 4, 2, 8, 8, 8);
	forward(&p);
	FOR_BACKWARD_ROWS(k)
	{
		size_t need = attention_backward_scratch(&p.b);
		struct attention_backward bad[6];
		struct attention shape[3];

		for (size_t i = 0; i < COUNT(bad); i++)
			bad[i] = p.b;
		bad[0].forward = NULL;
		bad[1].dout = NULL;
		bad[2].dq = NULL;
		bad[3].dk = NULL;
		bad[4].dv = NULL;
		bad[5].threads = ATTENTION_BACKWARD_MAX_THREADS + 1;
		for (size_t i = 0; i < COUNT(bad); i++)
			assert_int_equal(k->run.backward(&bad[i], p.scratch, p.scratch_bytes),
					 -EINVAL);
		for (size_t i = 0; i < COUNT(shape); i++)
			shape[i] = p.a;
		shape[0].lse = NULL;
		shape[1].kv_heads = 3;
		shape[2].head_dim = ATTENTION_MAX_DIM + 1;
		for (size_t i = 0; i < COUNT(shape); i++) {
			bad[0] = p.b;
			bad[0].forward = &shape[i];
			assert_int_equal(k->run.backward(&bad[0], p.scratch, p.scratch_bytes),
					 -EINVAL);
		}
		assert_int_equal(k->run.backward(NULL, p.scratch, need), -EINVAL);
		assert_int_equal(k->run.backward(&p.b, NULL, need), -EINVAL);
		assert_int_equal(k->run.backward(&p.b, p.scratch, need - 1), -EINVAL);
		assert_int_equal(k->run.backward(&p.b, p.scratch, need), 0);
	}
	problem_fini(&p);
}

static void scratch_grows_with_the_sequence(void **state)
{
	struct attention a, b;
	struct attention_backward x = {.forward = &a}, y = {.forward = &b};

	for (uint32_t dim = 1; dim <= ATTENTION_MAX_DIM; dim++) {
		attention_set_packed(&a, 8, 8, 64, 64, dim);
		attention_set_packed(&b, 8, 8, 1 << 20, 1 << 20, dim);
		assert_int_equal(attention_backward_scratch(&x), attention_backward_scratch(&y));
		assert_true(dim > 256 || attention_backward_scratch(&x) <= 320 * 1024);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_is_no_gradient),
		cmocka_unit_test(wrong_gradient_at_some_head_dim),
		cmocka_unit_test(wrong_gradient_at_some_length),
		cmocka_unit_test(heads_that_share_keys_lose_gradients),
		cmocka_unit_test(wrong_gradient_with_interleaved_heads),
		cmocka_unit_test(rows_that_see_nothing_have_gradients),
		cmocka_unit_test(overflow_with_large_logits),
		cmocka_unit_test(what_is_hidden_still_reaches_a_gradient),
		cmocka_unit_test(a_bad_call_is_accepted),
		cmocka_unit_test(scratch_grows_with_the_sequence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
