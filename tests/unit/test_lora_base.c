/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lora_base.c: every base-LoRA variant against the double-precision reference.
 * Long because rows of many shapes and number formats are held to one reference.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

enum { LAYERS = 2, PAD = 1, MAX_ROWS = 7, GAP = 3 };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FOR_ROWS(row, kind_)                                                           \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == (kind_) && kernels_supported(row))

static uint32_t random_state = 7;

static void fill(float *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		random_state = random_state * 1664525 + 1013904223;
		p[i] = (float)(random_state >> 8) / (float)(1 << 23) - 1;
	}
}

static float *floats_new(size_t n)
{
	float *p = malloc((n + PAD) * sizeof(*p));

	assert_non_null(p);
	fill(p, n + PAD);
	return p;
}

static float *floats_copy(const float *from, size_t n)
{
	float *p = malloc((n + PAD) * sizeof(*p));

	assert_non_null(p);
	memcpy(p, from, (n + PAD) * sizeof(*p));
	return p;
}

/* Two layers from plain matrices; x and y of some rows, at odd addresses. */
struct fixture {
	struct lora_base l;
	struct lora_base_gradient g;
	uint32_t count[LAYERS];
	float *a, *b, *x, *y;
	size_t x_row, y_row, floats;
};

static void setup(struct fixture *f, uint32_t in, uint32_t out, uint32_t rank, uint32_t rows)
{
	memset(f, 0, sizeof(*f));
	f->l = (struct lora_base){in, out, rank, LAYERS, 0.5f, NULL};
	f->floats = lora_base_floats(&f->l);
	f->l.weights = floats_new(f->floats);
	f->a = floats_new((size_t)LAYERS * rank * in);
	f->b = floats_new((size_t)LAYERS * rank * out);
	for (uint32_t i = 0; i < LAYERS; i++)
		assert_int_equal(lora_base_set(&f->l, i, f->a + (size_t)i * rank * in,
					       f->b + (size_t)i * rank * out),
				 0);
	f->x_row = in + GAP;
	f->y_row = out + GAP;
	f->x = floats_new(rows * f->x_row);
	f->y = floats_new(rows * f->y_row);
	f->g.weights = floats_new(f->floats);
	f->g.count = f->count;
	lora_base_clear(&f->l, &f->g);
}

static void teardown(struct fixture *f)
{
	free(f->l.weights);
	free(f->g.weights);
	free(f->a);
	free(f->b);
	free(f->x);
	free(f->y);
}

static void assert_close(const char *what, const struct kernel *k, const float *got,
			 const float *want, size_t n, double size)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)got[i] - want[i]) <= LORA_BASE_ERROR * (fabs(want[i]) + size)))
			fail_msg("%s %s %s[%zu]: %g, not %g", k->name, isa_name(k->isa), what, i,
				 (double)got[i], (double)want[i]);
}

static void check_forward(uint32_t in, uint32_t out, uint32_t rank, uint32_t rows)
{
	const size_t n = PAD + (size_t)(rows + 1) * (out + GAP);
	struct fixture f;
	float *want;

	setup(&f, in, out, rank, rows + 1); /* one row is not to be touched */
	want = floats_copy(f.y, n - PAD);
	assert_int_equal(
		lora_base_forward_ref(&f.l, 1, f.x + PAD, f.x_row, want + PAD, f.y_row, rows), 0);
	FOR_ROWS(k, KERNEL_lora_base_forward)
	{
		float *got = floats_copy(f.y, n - PAD);

		assert_int_equal(k->run.lora_base_forward(&f.l, 1, f.x + PAD, f.x_row, got + PAD,
							  f.y_row, rows),
				 0);
		assert_close("y", k, got, want, n, 0.5 * rank * in);
		for (size_t i = 0; i < n; i++)
			if (want[i] == f.y[i]) /* between rows */
				assert_true(got[i] == f.y[i]);
		free(got);
	}
	free(want);
	teardown(&f);
}

static void check_gradient(uint32_t in, uint32_t out, uint32_t rank, uint32_t rows)
{
	const double most = 0.5 * 0.7 * rows * rank * (in > out ? in : out);
	struct fixture f;
	float *want, *want_x, *zero;

	setup(&f, in, out, rank, rows + 1); /* one row is not to be touched */
	zero = floats_copy(f.g.weights, f.floats - PAD);
	want_x = floats_copy(f.x, (rows + 1) * f.x_row);
	assert_int_equal(lora_base_gradient_ref(&f.l, 1,
						&(struct lora_base_signal){f.x, f.y, want_x + PAD,
									   f.x_row, f.y_row, rows,
									   0.7f},
						&f.g),
			 0);
	want = floats_copy(f.g.weights, f.floats - PAD);
	FOR_ROWS(k, KERNEL_lora_base_gradient)
	{
		float *got_x = floats_copy(f.x, (rows + 1) * f.x_row);

		lora_base_clear(&f.l, &f.g);
		assert_int_equal(k->run.lora_base_gradient(
					 &f.l, 1,
					 &(struct lora_base_signal){f.x, f.y, got_x + PAD, f.x_row,
								    f.y_row, rows, 0.7f},
					 &f.g),
				 0);
		assert_close("gradient", k, f.g.weights, want, f.floats, most);
		assert_close("grad_x", k, got_x, want_x, PAD + (rows + 1) * f.x_row, most);
		assert_memory_equal(f.g.weights, zero,
				    lora_base_offset(&f.l, 1, false) * sizeof(float));
		assert_int_equal(f.g.count[0], 0);
		assert_int_equal(f.g.count[1], rows);
		free(got_x);
	}
	free(zero);
	free(want);
	free(want_x);
	teardown(&f);
}

static void check_merge(uint32_t in, uint32_t out, uint32_t rank)
{
	const size_t n = (size_t)out * (in + GAP);
	struct fixture f;
	float *start, *want;

	setup(&f, in, out, rank, MAX_ROWS);
	start = floats_new(n);
	want = floats_copy(start, n);
	assert_int_equal(lora_base_merge_ref(&f.l, 1, -1, want + PAD, in + GAP), 0);
	FOR_ROWS(k, KERNEL_lora_base_merge)
	{
		float *got = floats_copy(start, n);

		assert_int_equal(k->run.lora_base_merge(&f.l, 1, -1, got + PAD, in + GAP), 0);
		assert_close("W", k, got, want, n + PAD, 0.5 * rank);
		free(got);
	}
	free(start);
	free(want);
	teardown(&f);
}

static const uint32_t dims[] = {1, 7, 8, 15, 16, 17, 24, 31, 33, 64, 65, 130, 257};
static const uint32_t ranks[] = {1, 3, 4, 5, 8, 9, 12, 13, 16};

static void a_variant_is_wrong_at_some_shape(void **state)
{
	for (size_t r = 0; r < COUNT(ranks); r++) {
		for (size_t i = 0; i < COUNT(dims); i++) {
			const uint32_t in = dims[i], out = dims[COUNT(dims) - 1 - i];

			for (uint32_t rows = 0; rows <= MAX_ROWS; rows++)
				check_forward(in, out, ranks[r], rows);
			check_gradient(in, out, ranks[r], 1);
			check_gradient(in, out, ranks[r], 5);
			check_merge(in, out, ranks[r]);
		}
	}
}

/* More columns than stay in a cache, and more rows than pass at once. */
static void many_rows_of_a_wide_layer_differ(void **state)
{
	check_forward(1100, 530, 16, 7);
	check_forward(530, 1100, 4, 5);
	check_gradient(530, 1100, 9, 7);
	check_forward(40, 300, 16, 101);
	check_gradient(300, 40, 13, 50);
}

static void weights_do_not_come_back(void **state)
{
	enum { IN = 19, OUT = 33, RANK = 11 };
	struct fixture f;
	float a[RANK * IN], b[RANK * OUT];
	double sum = 0, plain = 0;

	setup(&f, IN, OUT, RANK, MAX_ROWS);
	for (uint32_t i = 0; i < LAYERS; i++) {
		assert_int_equal(lora_base_get(&f.l, i, a, b), 0);
		assert_memory_equal(a, f.a + (size_t)i * RANK * IN, sizeof(a));
		assert_memory_equal(b, f.b + (size_t)i * RANK * OUT, sizeof(b));
	}
	/* And what set did not name is 0. */
	for (size_t i = 0; i < f.floats; i++)
		sum += fabs((double)f.l.weights[i]);
	for (size_t i = 0; i < (size_t)LAYERS * RANK * IN; i++)
		plain += fabs((double)f.a[i]);
	for (size_t i = 0; i < (size_t)LAYERS * RANK * OUT; i++)
		plain += fabs((double)f.b[i]);
	assert_true(fabs(sum - plain) < 1e-6 * plain);
	teardown(&f);
}

static double loss_of(const struct fixture *f, const float *x, const float *c)
{
	float y[64] = {0};
	double loss = 0;

	assert_int_equal(lora_base_forward_ref(&f->l, 0, x, f->x_row, y, f->y_row, 1), 0);
	for (uint32_t i = 0; i < f->l.dim_out; i++)
		loss += (double)y[i] * c[i];
	return loss;
}

static void assert_slope(const struct fixture *f, float *at, double got, const float *c)
{
	const float step = 0.125f, keep = *at;
	double loss[2];

	for (int s = 0; s < 2; s++) {
		*at = keep + (s ? step : -step);
		loss[s] = loss_of(f, f->x, c);
	}
	*at = keep;
	assert_true(fabs((loss[1] - loss[0]) / (2 * step) - got) < 1e-5);
}

/* Codes of both matrices of one layer, in memory that ends where they end. */
static void coded_init(struct quant_matrix *q, uint32_t rank, uint32_t dim, uint32_t bits,
		       const float *w)
{
	*q = (struct quant_matrix){rank, dim, 32, bits, NULL, NULL, NULL};
	q->codes = malloc(quant_code_bytes(q));
	q->steps = malloc(quant_steps(q) * sizeof(*q->steps));
	assert_non_null(q->codes);
	assert_non_null(q->steps);
	assert_int_equal(quant_encode(q, w, dim), 0);
}

/* Beside the reference in codes, to rounding; beside the layer in floats, to what codes lose. */
static void check_coded(uint32_t in, uint32_t out, uint32_t rank, uint32_t bits)
{
	/* Of each weight: half a step of 1/127, a whole one of 1/8; twice, for A and for B. */
	const double lost = bits == 8 ? 2.1 / 254 : 2.1 / 8;
	struct quant_matrix a, b;
	struct lora_base_coded l = {in, out, rank, 1, 0.5f, &a, &b};
	struct fixture f;
	float want[300] = {0}, floats[300] = {0};

	setup(&f, in, out, rank, MAX_ROWS);
	coded_init(&a, rank, in, bits, f.a);
	coded_init(&b, rank, out, bits, f.b);
	assert_int_equal(lora_base_coded_ref(&l, 0, f.x + PAD, want), 0);
	assert_int_equal(lora_base_forward_ref(&f.l, 0, f.x + PAD, in, floats, out, 1), 0);
	for (uint32_t i = 0; i < out; i++)
		assert_true(fabs((double)want[i] - floats[i]) < lost * 0.5 * rank * in);
	FOR_ROWS(k, KERNEL_lora_base_coded)
	{
		float got[300] = {0};

		assert_int_equal(k->run.lora_base_coded(&l, 0, f.x + PAD, got), 0);
		assert_close("y", k, got, want, COUNT(got), 2.0 * rank * in);
		assert_int_equal(k->run.lora_base_coded(&l, 1, f.x, got), -EINVAL);
		assert_int_equal(k->run.lora_base_coded(&l, 0, NULL, got), -EINVAL);
		assert_int_equal(k->run.lora_base_coded(NULL, 0, f.x, got), -EINVAL);
		l.rank++;
		assert_int_equal(k->run.lora_base_coded(&l, 0, f.x, got), -EINVAL);
		l.rank--;
	}
	free(a.codes);
	free(a.steps);
	free(b.codes);
	free(b.steps);
	teardown(&f);
}

static void coded_layers_answer_otherwise(void **state)
{
	for (size_t r = 0; r < COUNT(ranks); r++)
		for (size_t i = 0; i < COUNT(dims); i++)
			for (uint32_t bits = 4; bits <= 8; bits += 4)
				check_coded(dims[i], dims[COUNT(dims) - 1 - i], ranks[r], bits);
}

static void check_bf16(uint32_t in, uint32_t out, uint32_t rank)
{
	struct fixture f;
	struct lora_bf16 l = {in, out, rank, LAYERS, 0.5f, NULL};
	float start[300], want[300], floats[300];

	setup(&f, in, out, rank, MAX_ROWS);
	l.words = malloc(lora_bf16_words(&l) * sizeof(*l.words));
	assert_non_null(l.words);
	assert_int_equal(lora_bf16_encode(&l, &f.l), 0);
	fill(start, COUNT(start));
	memcpy(want, start, sizeof(want));
	memcpy(floats, start, sizeof(want));
	assert_int_equal(lora_bf16_forward_ref(&l, 1, f.x + PAD, want + PAD), 0);
	assert_int_equal(lora_base_forward_ref(&f.l, 1, f.x + PAD, in, floats + PAD, out, 1), 0);
	for (uint32_t i = 0; i < out; i++) /* 2^-9 of A and of B */
		assert_true(fabs((double)want[PAD + i] - floats[PAD + i]) <
			    1.01 / 256 * 0.5 * rank * in + 1e-6);
	FOR_ROWS(k, KERNEL_lora_bf16_forward)
	{
		float got[300];

		memcpy(got, start, sizeof(got));
		assert_int_equal(k->run.lora_bf16_forward(&l, 1, f.x + PAD, got + PAD), 0);
		assert_close("y", k, got, want, COUNT(got), 0.5 * rank * in);
		assert_memory_equal(got + PAD + out, start + PAD + out,
				    (COUNT(got) - PAD - out) * sizeof(float));
		assert_int_equal(k->run.lora_bf16_forward(&l, LAYERS, f.x, got), -EINVAL);
		assert_int_equal(k->run.lora_bf16_forward(&l, 0, NULL, got), -EINVAL);
		assert_int_equal(k->run.lora_bf16_forward(&l, 0, f.x, NULL), -EINVAL);
		assert_int_equal(k->run.lora_bf16_forward(NULL, 0, f.x, got), -EINVAL);
	}
	l.rank++;
	assert_int_equal(lora_bf16_encode(&l, &f.l), -EINVAL);
	free(l.words);
	teardown(&f);
}

static void bf16_layers_answer_otherwise(void **state)
{
	for (size_t r = 0; r < COUNT(ranks); r++)
		for (size_t i = 0; i < COUNT(dims); i++)
			check_bf16(dims[i], dims[COUNT(dims) - 1 - i], ranks[r]);
}

static void a_weight_is_rounded_wrong(void **state)
{
	static const struct {
		float from, to;
	} pairs[] = {{1, 1},
		     {-0.0f, -0.0f},
		     {1 + 0x1p-8f, 1},		     /* a tie, to even */
		     {1 + 3 * 0x1p-8f, 1 + 0x1p-6f}, /* a tie, to even */
		     {1 + 0x1.02p-8f, 1 + 0x1p-7f},
		     {3.4028235e38f, INFINITY},
		     {INFINITY, INFINITY},
		     {0x1p-149f, 0}};
	struct fixture f;
	struct lora_bf16 l = {1, 1, 1, LAYERS, 1, NULL};

	setup(&f, 1, 1, 1, MAX_ROWS);
	f.l.scale = 1;
	l.words = calloc(lora_bf16_words(&l), sizeof(*l.words));
	assert_non_null(l.words);
	for (size_t i = 0; i <= COUNT(pairs); i++) {
		const float from = i < COUNT(pairs) ? pairs[i].from : NAN, one = 1;
		uint32_t shift, bits;
		size_t at;
		float got;

		assert_int_equal(lora_base_set(&f.l, 0, &from, &one), 0);
		assert_int_equal(lora_bf16_encode(&l, &f.l), 0);
		at = lora_bf16_index(&l, 0, false, 0, 0, &shift);
		bits = l.words[at] << (16 - shift);
		memcpy(&got, &bits, sizeof(got));
		if (i < COUNT(pairs))
			assert_memory_equal(&got, &pairs[i].to, sizeof(got));
		else
			assert_true(isnan(got));
	}
	free(l.words);
	teardown(&f);
}

/* The loss is y . c, linear in each weight and in x: central differences are exact. */
static void gradient_disagrees_with_finite_differences(void **state)
{
	enum { IN = 5, OUT = 4, RANK = 6 };
	struct fixture f;
	float c[OUT], grad_x[IN + GAP] = {0};

	setup(&f, IN, OUT, RANK, MAX_ROWS);
	fill(c, OUT);
	assert_int_equal(lora_base_gradient_ref(&f.l, 0,
						&(struct lora_base_signal){f.x, c, grad_x, f.x_row,
									   f.y_row, 1, 1},
						&f.g),
			 0);
	for (uint32_t r = 0; r < RANK; r++) {
		for (uint32_t i = 0; i < IN; i++) {
			size_t at = lora_base_index(&f.l, 0, false, r, i);

			assert_slope(&f, f.l.weights + at, (double)f.g.weights[at], c);
		}
		for (uint32_t i = 0; i < OUT; i++) {
			size_t at = lora_base_index(&f.l, 0, true, r, i);

			assert_slope(&f, f.l.weights + at, (double)f.g.weights[at], c);
		}
	}
	for (uint32_t i = 0; i < IN; i++)
		assert_slope(&f, f.x + i, (double)grad_x[i], c);
	teardown(&f);
}

static void merged_weights_answer_otherwise(void **state)
{
	enum { IN = 24, OUT = 18 };
	const struct kernel *merge = kernels_select("lora_base_merge", isa_best());
	const struct kernel *forward = kernels_select("lora_base_forward", isa_best());
	struct fixture f;
	float *w, *start, apart[OUT] = {0};

	setup(&f, IN, OUT, 8, MAX_ROWS);
	w = floats_new((size_t)OUT * IN);
	start = floats_copy(w, (size_t)OUT * IN);
	assert_int_equal(forward->run.lora_base_forward(&f.l, 1, f.x, IN, apart, OUT, 1), 0);
	assert_int_equal(merge->run.lora_base_merge(&f.l, 1, 1, w, IN), 0);
	for (int o = 0; o < OUT; o++) {
		double together = 0, base = 0;

		for (int i = 0; i < IN; i++) {
			together += (double)w[o * IN + i] * f.x[i];
			base += (double)start[o * IN + i] * f.x[i];
		}
		assert_true(fabs(together - base - apart[o]) < 1e-4);
	}
	assert_int_equal(merge->run.lora_base_merge(&f.l, 1, -1, w, IN), 0);
	for (int i = 0; i < OUT * IN; i++)
		assert_true(fabs((double)w[i] - start[i]) < 1e-5);
	free(w);
	free(start);
	teardown(&f);
}

/* Learns y = target from zero B, as LoRA starts; padding must stay 0 all the way. */
static void learning_does_not_learn(void **state)
{
	enum { DIM = 36, RANK = 5 };
	const struct kernel *forward = kernels_select("lora_base_forward", isa_best());
	const struct kernel *gradient = kernels_select("lora_base_gradient", isa_best());
	struct fixture f;
	float target[DIM], a[RANK * DIM], b[RANK * DIM] = {0};
	double first = 0, last = 0, all = 0;

	setup(&f, DIM, DIM, RANK, MAX_ROWS);
	assert_int_equal(lora_base_set(&f.l, 1, f.a, b), 0);
	fill(target, DIM);
	for (int step = 0; step < 2000; step++) {
		float y[DIM] = {0};

		assert_int_equal(forward->run.lora_base_forward(&f.l, 1, f.x, DIM, y, DIM, 1), 0);
		last = 0;
		for (int i = 0; i < DIM; i++) {
			y[i] -= target[i];
			last += (double)y[i] * y[i];
		}
		if (!step)
			first = last;
		assert_int_equal(gradient->run.lora_base_gradient(
					 &f.l, 1,
					 &(struct lora_base_signal){f.x, y, NULL, DIM, DIM, 1, 1},
					 &f.g),
				 0);
		lora_base_apply(&f.l, &f.g, 0.01f);
		assert_int_equal(f.g.count[1], 0);
	}
	assert_true(last < first / 1000);
	assert_int_equal(lora_base_get(&f.l, 1, a, b), 0);
	for (size_t i = lora_base_offset(&f.l, 1, false); i < f.floats; i++)
		all += fabs((double)f.l.weights[i]);
	for (int i = 0; i < RANK * DIM; i++)
		all -= fabs((double)a[i]) + fabs((double)b[i]);
	assert_true(fabs(all) < 1e-6);
	/* The other layer had no signal. */
	assert_int_equal(lora_base_get(&f.l, 0, a, b), 0);
	assert_memory_equal(a, f.a, sizeof(a));
	teardown(&f);
}

static void infinity_or_nan_is_lost_or_made_up(void **state)
{
	enum { DIM = 20, RANK = 3 };
	struct fixture f;

	setup(&f, DIM, DIM, RANK, MAX_ROWS);
	for (int i = 0; i < RANK * DIM; i++) { /* positive: no infinity less another */
		f.a[i] = fabsf(f.a[i]) + 0.1f;
		f.b[i] = fabsf(f.b[i]) + 0.1f;
	}
	assert_int_equal(lora_base_set(&f.l, 0, f.a, f.b), 0);
	FOR_ROWS(k, KERNEL_lora_base_forward)
	{
		float y[DIM] = {0}, x[DIM] = {0};

		x[DIM - 1] = INFINITY;
		assert_int_equal(k->run.lora_base_forward(&f.l, 0, x, DIM, y, DIM, 1), 0);
		for (int i = 0; i < DIM; i++)
			assert_true(isinf(y[i]) && y[i] > 0);
		x[0] = NAN;
		assert_int_equal(k->run.lora_base_forward(&f.l, 0, x, DIM, y, DIM, 1), 0);
		for (int i = 0; i < DIM; i++)
			assert_true(isnan(y[i]));
	}
	teardown(&f);
}

static void a_bad_argument_is_accepted(void **state)
{
	struct fixture f;

	setup(&f, 8, 8, 4, MAX_ROWS);
	FOR_ROWS(k, KERNEL_lora_base_forward)
	{
		lora_base_forward_fn *fn = k->run.lora_base_forward;
		struct lora_base bad = f.l;

		assert_int_equal(fn(NULL, 0, f.x, 8, f.y, 8, 1), -EINVAL);
		assert_int_equal(fn(&f.l, LAYERS, f.x, 8, f.y, 8, 1), -EINVAL);
		assert_int_equal(fn(&f.l, 0, NULL, 8, f.y, 8, 1), -EINVAL);
		assert_int_equal(fn(&f.l, 0, f.x, 8, NULL, 8, 1), -EINVAL);
		assert_int_equal(fn(&f.l, 0, f.x, 7, f.y, 8, 2), -EINVAL);
		assert_int_equal(fn(&f.l, 0, f.x, 8, f.y, 7, 2), -EINVAL);
		bad.rank = LORA_BASE_MAX_RANK + 1;
		assert_int_equal(fn(&bad, 0, f.x, 8, f.y, 8, 1), -EINVAL);
		bad.rank = 0;
		assert_int_equal(fn(&bad, 0, f.x, 8, f.y, 8, 1), -EINVAL);
		bad = f.l;
		bad.dim_out = 0;
		assert_int_equal(fn(&bad, 0, f.x, 8, f.y, 8, 1), -EINVAL);
	}
	FOR_ROWS(k, KERNEL_lora_base_gradient)
	{
		struct lora_base_signal s = {f.x, f.y, NULL, 8, 8, 1, 1};

		assert_int_equal(k->run.lora_base_gradient(&f.l, 0, &s, NULL), -EINVAL);
		assert_int_equal(k->run.lora_base_gradient(&f.l, 0, NULL, &f.g), -EINVAL);
		assert_int_equal(k->run.lora_base_gradient(&f.l, 2, &s, &f.g), -EINVAL);
		s.x = NULL;
		assert_int_equal(k->run.lora_base_gradient(&f.l, 0, &s, &f.g), -EINVAL);
	}
	FOR_ROWS(k, KERNEL_lora_base_merge)
	{
		assert_int_equal(k->run.lora_base_merge(&f.l, 0, 1, NULL, 8), -EINVAL);
		assert_int_equal(k->run.lora_base_merge(&f.l, 0, 1, f.x, 7), -EINVAL);
		assert_int_equal(k->run.lora_base_merge(&f.l, 2, 1, f.x, 8), -EINVAL);
	}
	assert_int_equal(lora_base_set(&f.l, 2, f.a, f.b), -EINVAL);
	assert_int_equal(lora_base_get(&f.l, 0, NULL, f.b), -EINVAL);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_variant_is_wrong_at_some_shape),
		cmocka_unit_test(many_rows_of_a_wide_layer_differ),
		cmocka_unit_test(coded_layers_answer_otherwise),
		cmocka_unit_test(bf16_layers_answer_otherwise),
		cmocka_unit_test(a_weight_is_rounded_wrong),
		cmocka_unit_test(weights_do_not_come_back),
		cmocka_unit_test(gradient_disagrees_with_finite_differences),
		cmocka_unit_test(merged_weights_answer_otherwise),
		cmocka_unit_test(learning_does_not_learn),
		cmocka_unit_test(infinity_or_nan_is_lost_or_made_up),
		cmocka_unit_test(a_bad_argument_is_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
