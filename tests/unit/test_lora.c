/* SPDX-License-Identifier: Apache-2.0 */
/* test_lora.c: every micro-LoRA variant against the double-precision reference. */
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

enum { MAX_DIM = 1100, PAD = 1 }; /* odd addresses: a load that wants alignment faults */

struct layer {
	struct lora l;
	struct lora_gradient g;
	float a[2 * MAX_DIM + PAD], b[2 * MAX_DIM + PAD];
	float ga[2 * MAX_DIM + PAD], gb[2 * MAX_DIM + PAD];
	float x[MAX_DIM + PAD], y[MAX_DIM + PAD];
};

static uint32_t random_state = 99;

static void fill(float *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		random_state = random_state * 1664525 + 1013904223;
		p[i] = (float)(random_state >> 8) / (float)(1 << 23) - 1;
	}
}

static struct layer *layer_new(uint32_t in, uint32_t out, uint32_t rank)
{
	struct layer *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->l = (struct lora){in, out, rank, 0.5f, t->a + PAD, t->b + PAD};
	t->g = (struct lora_gradient){t->ga + PAD, t->gb + PAD, 0};
	fill(t->a, 2 * MAX_DIM + PAD);
	fill(t->b, 2 * MAX_DIM + PAD);
	fill(t->ga, 2 * MAX_DIM + PAD);
	fill(t->gb, 2 * MAX_DIM + PAD);
	fill(t->x, MAX_DIM + PAD);
	fill(t->y, MAX_DIM + PAD);
	return t;
}

/* A copy with pointers of its own. */
static struct layer *layer_copy(const struct layer *from)
{
	struct layer *t = malloc(sizeof(*t));

	assert_non_null(t);
	memcpy(t, from, sizeof(*t));
	t->l.a = t->a + PAD;
	t->l.b = t->b + PAD;
	t->g.a = t->ga + PAD;
	t->g.b = t->gb + PAD;
	return t;
}

/* All of got within the bound of lora.h: `size` is the sum of |terms| that made an element. */
static void assert_close(const char *what, const struct kernel *k, const float *got,
			 const float *want, size_t n, double size)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)got[i] - want[i]) <= LORA_ERROR * (fabs(want[i]) + size)))
			fail_msg("%s %s %s[%zu]: %g, not %g", k->name, isa_name(k->isa), what, i,
				 (double)got[i], (double)want[i]);
}

static void assert_same_beyond(const float *got, const float *before, size_t from, size_t size)
{
	assert_memory_equal(got + from, before + from, (size - from) * sizeof(float));
}

static const uint32_t dims[] = {1,  2,	3,  7,	8,   9,	  15,  16,  17,	 31,  32,  33,	 47,
				63, 64, 65, 96, 127, 128, 130, 200, 256, 257, 512, 1000, 1024};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FOR_ROWS(row, kind_)                                                           \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == (kind_) && kernels_supported(row))

static void check_forward(uint32_t in, uint32_t out, uint32_t rank)
{
	struct layer *start = layer_new(in, out, rank), *want = layer_copy(start);

	assert_int_equal(lora_forward_ref(&want->l, want->x + PAD, want->y + PAD), 0);
	FOR_ROWS(k, KERNEL_lora_forward)
	{
		struct layer *got = layer_copy(start);

		assert_int_equal(k->run.lora_forward(&got->l, got->x + PAD, got->y + PAD), 0);
		assert_close("y", k, got->y + PAD, want->y + PAD, out, 0.5 * rank * in);
		assert_same_beyond(got->y, start->y, PAD + out, COUNT(got->y));
		free(got);
	}
	free(start);
	free(want);
}

static void check_update(uint32_t in, uint32_t out, uint32_t rank)
{
	struct layer *start = layer_new(in, out, rank), *want = layer_copy(start);
	double most = 0.5 * (in > out ? in : out);

	assert_int_equal(lora_update_ref(&want->l, want->x + PAD, want->y + PAD, 0.7f, &want->g),
			 0);
	FOR_ROWS(k, KERNEL_lora_update)
	{
		struct layer *got = layer_copy(start);

		assert_int_equal(
			k->run.lora_update(&got->l, got->x + PAD, got->y + PAD, 0.7f, &got->g), 0);
		assert_close("ga", k, got->g.a, want->g.a, (size_t)rank * in, most);
		assert_close("gb", k, got->g.b, want->g.b, (size_t)rank * out, most);
		assert_same_beyond(got->ga, start->ga, PAD + (size_t)rank * in, COUNT(got->ga));
		assert_same_beyond(got->gb, start->gb, PAD + (size_t)rank * out, COUNT(got->gb));
		assert_int_equal(got->g.count, 1);
		free(got);
	}
	free(start);
	free(want);
}

static void forward_is_wrong_at_some_width(void **state)
{
	for (uint32_t rank = 1; rank <= LORA_MAX_RANK; rank++) {
		for (size_t i = 0; i < COUNT(dims); i++) {
			check_forward(dims[i], dims[i], rank);
			check_forward(dims[i], dims[COUNT(dims) - 1 - i], rank);
		}
	}
}

static void gradient_is_wrong_at_some_width(void **state)
{
	for (uint32_t rank = 1; rank <= LORA_MAX_RANK; rank++) {
		for (size_t i = 0; i < COUNT(dims); i++) {
			check_update(dims[i], dims[i], rank);
			check_update(dims[i], dims[COUNT(dims) - 1 - i], rank);
		}
	}
}

enum { MAX_ROWS = 9, ROW_GAP = 3, SMALL_DIM = 70, ROW = SMALL_DIM + ROW_GAP };

/* Rows by one call are the rows one by one, and what lies between rows stays as it was. */
static void check_batch_forward(uint32_t in, uint32_t out, uint32_t rank, uint32_t rows)
{
	struct layer *t = layer_new(in, out, rank);
	float x[MAX_ROWS * ROW], start[MAX_ROWS * ROW], want[MAX_ROWS * ROW], got[MAX_ROWS * ROW];

	fill(x, MAX_ROWS * ROW);
	fill(start, MAX_ROWS * ROW);
	memcpy(want, start, sizeof(want));
	for (uint32_t i = 0; i < rows; i++)
		assert_int_equal(lora_forward_ref(&t->l, x + PAD + i * ROW, want + PAD + i * ROW),
				 0);
	FOR_ROWS(k, KERNEL_lora_forward_batch)
	{
		memcpy(got, start, sizeof(got));
		assert_int_equal(
			k->run.lora_forward_batch(&t->l, x + PAD, ROW, got + PAD, ROW, rows), 0);
		for (uint32_t i = 0; i < MAX_ROWS * ROW; i++)
			if (want[i] == start[i])
				assert_true(got[i] == start[i]);
		assert_close("y", k, got, want, MAX_ROWS * ROW, 0.5 * rank * in);
	}
	free(t);
}

static void check_batch_update(uint32_t in, uint32_t out, uint32_t rank, uint32_t rows)
{
	struct layer *start = layer_new(in, out, rank), *want = layer_copy(start);
	const double most = 0.5 * rows * (in > out ? in : out);
	float x[MAX_ROWS * ROW], grad[MAX_ROWS * ROW], weight[MAX_ROWS];

	fill(x, MAX_ROWS * ROW);
	fill(grad, MAX_ROWS * ROW);
	fill(weight, MAX_ROWS);
	for (uint32_t i = 0; i < rows; i++)
		assert_int_equal(lora_update_ref(&want->l, x + i * ROW, grad + i * ROW, weight[i],
						 &want->g),
				 0);
	FOR_ROWS(k, KERNEL_lora_update_batch)
	{
		struct layer *got = layer_copy(start);

		assert_int_equal(k->run.lora_update_batch(&got->l, x, ROW, grad, ROW, weight, rows,
							  &got->g),
				 0);
		assert_close("ga", k, got->g.a, want->g.a, (size_t)rank * in, most);
		assert_close("gb", k, got->g.b, want->g.b, (size_t)rank * out, most);
		assert_same_beyond(got->ga, start->ga, PAD + (size_t)rank * in, COUNT(got->ga));
		assert_same_beyond(got->gb, start->gb, PAD + (size_t)rank * out, COUNT(got->gb));
		assert_int_equal(got->g.count, rows);
		free(got);
	}
	free(start);
	free(want);
}

static void a_batch_is_not_its_rows(void **state)
{
	static const uint32_t small[] = {1, 7, 8, 16, 17, 32, 33, 64, 70};

	for (uint32_t rank = 1; rank <= LORA_MAX_RANK; rank++) {
		for (uint32_t rows = 0; rows <= MAX_ROWS; rows++) {
			for (size_t i = 0; i < COUNT(small); i++) {
				uint32_t other = small[COUNT(small) - 1 - i];

				check_batch_forward(small[i], other, rank, rows);
				check_batch_update(small[i], other, rank, rows);
			}
		}
	}
}

/* The loss is y . c, so its gradient by y is c; central differences of the reference are exact. */
static void gradient_disagrees_with_finite_differences(void **state)
{
	enum { IN = 5, OUT = 4 };
	struct layer *t = layer_new(IN, OUT, 2);
	float c[OUT], *w[2] = {t->l.a, t->l.b}, *g[2] = {t->g.a, t->g.b};
	size_t n[2] = {(size_t)2 * IN, (size_t)2 * OUT};

	fill(c, OUT);
	lora_clear(&t->l, &t->g);
	assert_int_equal(lora_update_ref(&t->l, t->x + PAD, c, 1, &t->g), 0);
	for (int m = 0; m < 2; m++) {
		for (size_t i = 0; i < n[m]; i++) {
			const float step = 0.125f, keep = w[m][i];
			double loss[2] = {0, 0};

			for (int s = 0; s < 2; s++) {
				float y[OUT] = {0};

				w[m][i] = keep + (s ? step : -step);
				assert_int_equal(lora_forward_ref(&t->l, t->x + PAD, y), 0);
				for (int o = 0; o < OUT; o++)
					loss[s] += (double)y[o] * c[o];
			}
			w[m][i] = keep;
			assert_true(fabs((loss[1] - loss[0]) / (2 * step) - g[m][i]) < 1e-5);
		}
	}
	free(t);
}

static void learning_does_not_learn(void **state)
{
	struct layer *t = layer_new(64, 64, 1);
	float target[64], y[64], grad[64];
	const struct kernel *fwd = kernels_select("micro_lora_forward", isa_best());
	const struct kernel *upd = kernels_select("micro_lora_update", isa_best());
	double first = 0, last = 0;

	fill(target, 64);
	lora_clear(&t->l, &t->g);
	for (int step = 0; step < 4000; step++) {
		last = 0;
		memset(y, 0, sizeof(y));
		assert_int_equal(fwd->run.lora_forward(&t->l, t->x + PAD, y), 0);
		for (int i = 0; i < 64; i++) {
			grad[i] = y[i] - target[i];
			last += 0.5 * (double)grad[i] * grad[i];
		}
		if (!step)
			first = last;
		assert_int_equal(upd->run.lora_update(&t->l, t->x + PAD, grad, 1, &t->g), 0);
		lora_apply(&t->l, &t->g, 0.005f);
		assert_int_equal(t->g.count, 0);
	}
	assert_true(last < first / 1000);
	free(t);
}

static void same_class(const struct kernel *k, const float *got, const float *want, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (isnan(got[i]) != isnan(want[i]) || isinf(got[i]) != isinf(want[i]))
			fail_msg("%s %s: %g at %zu, not %g", k->name, isa_name(k->isa),
				 (double)got[i], i, (double)want[i]);
}

/* Wherever in x or y it is, among the lanes or in the rest. */
static void check_bad_value(uint32_t dim, uint32_t rank, uint32_t at, float bad)
{
	struct layer *start = layer_new(dim, dim, rank), *want;

	start->x[PAD + at] = bad;
	want = layer_copy(start);
	assert_int_equal(lora_forward_ref(&want->l, want->x + PAD, want->y + PAD), 0);
	FOR_ROWS(k, KERNEL_lora_forward)
	{
		struct layer *got = layer_copy(start);

		assert_int_equal(k->run.lora_forward(&got->l, got->x + PAD, got->y + PAD), 0);
		same_class(k, got->y + PAD, want->y + PAD, dim);
		free(got);
	}
	FOR_ROWS(k, KERNEL_lora_forward_batch)
	{
		struct layer *got = layer_copy(start);

		assert_int_equal(k->run.lora_forward_batch(&got->l, got->x + PAD, dim, got->y + PAD,
							   dim, 1),
				 0);
		same_class(k, got->y + PAD, want->y + PAD, dim);
		free(got);
	}
	free(want);
	want = layer_copy(start);
	assert_int_equal(lora_update_ref(&want->l, want->x + PAD, want->y + PAD, 0.7f, &want->g),
			 0);
	FOR_ROWS(k, KERNEL_lora_update)
	{
		struct layer *got = layer_copy(start);

		assert_int_equal(
			k->run.lora_update(&got->l, got->x + PAD, got->y + PAD, 0.7f, &got->g), 0);
		same_class(k, got->g.a, want->g.a, (size_t)rank * dim);
		same_class(k, got->g.b, want->g.b, (size_t)rank * dim);
		free(got);
	}
	free(start);
	free(want);
}

static void infinity_or_nan_is_lost_or_made_up(void **state)
{
	static const uint32_t widths[] = {1, 7, 16, 33, 70};

	for (uint32_t rank = 1; rank <= LORA_MAX_RANK; rank++) {
		for (size_t i = 0; i < COUNT(widths); i++) {
			for (uint32_t at = 0; at < widths[i]; at += 5) {
				check_bad_value(widths[i], rank, at, NAN);
				check_bad_value(widths[i], rank, at, INFINITY);
				check_bad_value(widths[i], rank, at, -INFINITY);
			}
		}
	}
}

static void a_bad_layer_is_accepted(void **state)
{
	struct layer *t = layer_new(8, 8, 1);

	FOR_ROWS(k, KERNEL_lora_forward)
	{
		struct lora bad = t->l;

		assert_int_equal(k->run.lora_forward(NULL, t->x, t->y), -EINVAL);
		assert_int_equal(k->run.lora_forward(&t->l, NULL, t->y), -EINVAL);
		assert_int_equal(k->run.lora_forward(&t->l, t->x, NULL), -EINVAL);
		bad.rank = LORA_MAX_RANK + 1;
		assert_int_equal(k->run.lora_forward(&bad, t->x, t->y), -EINVAL);
		bad.rank = 0;
		assert_int_equal(k->run.lora_forward(&bad, t->x, t->y), -EINVAL);
		bad = t->l;
		bad.dim_in = 0;
		assert_int_equal(k->run.lora_forward(&bad, t->x, t->y), -EINVAL);
	}
	FOR_ROWS(k, KERNEL_lora_update)
	{
		assert_int_equal(k->run.lora_update(&t->l, t->x, t->y, 1, NULL), -EINVAL);
		assert_int_equal(k->run.lora_update(&t->l, t->x, NULL, 1, &t->g), -EINVAL);
	}
	FOR_ROWS(k, KERNEL_lora_forward_batch)
	{
		lora_forward_batch_fn *f = k->run.lora_forward_batch;

		assert_int_equal(f(NULL, t->x, 8, t->y, 8, 2), -EINVAL);
		assert_int_equal(f(&t->l, NULL, 8, t->y, 8, 2), -EINVAL);
		assert_int_equal(f(&t->l, t->x, 8, NULL, 8, 2), -EINVAL);
		assert_int_equal(f(&t->l, t->x, 7, t->y, 8, 2), -EINVAL);
		assert_int_equal(f(&t->l, t->x, 8, t->y, 7, 2), -EINVAL);
		assert_int_equal(f(&t->l, t->x, 0, t->y, 0, 1), 0);
	}
	FOR_ROWS(k, KERNEL_lora_update_batch)
	{
		lora_update_batch_fn *f = k->run.lora_update_batch;
		const float w[2] = {1, 1};

		assert_int_equal(f(&t->l, t->x, 8, t->y, 8, NULL, 2, &t->g), -EINVAL);
		assert_int_equal(f(&t->l, t->x, 8, t->y, 8, w, 2, NULL), -EINVAL);
		assert_int_equal(f(&t->l, t->x, 7, t->y, 8, w, 2, &t->g), -EINVAL);
		assert_int_equal(f(&t->l, t->x, 8, t->y, 7, w, 2, &t->g), -EINVAL);
	}
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forward_is_wrong_at_some_width),
		cmocka_unit_test(gradient_is_wrong_at_some_width),
		cmocka_unit_test(a_batch_is_not_its_rows),
		cmocka_unit_test(gradient_disagrees_with_finite_differences),
		cmocka_unit_test(learning_does_not_learn),
		cmocka_unit_test(infinity_or_nan_is_lost_or_made_up),
		cmocka_unit_test(a_bad_layer_is_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
