/* SPDX-License-Identifier: Apache-2.0 */
/* test_ewc.c: EWC++ in every instruction set, and earlier tasks that are not forgotten. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/ewc/ewc_tasks.h"
#include "kernels/kernels.h"

enum { MOST = 300, TASKS = 5 };

static uint32_t random_state = 3;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

/* One float past the middle of a cache line, so that nothing is aligned by luck. */
struct arrays {
	float square[MOST + 4], mean[MOST + 4], gradient[MOST + 4], theta[MOST + 4];
	float stiffness[TASKS][MOST + 4], anchor[TASKS][MOST + 4];
};

#define GUARD 12345.0f

static void fill_arrays(struct arrays *a, size_t n, float scale)
{
	memset(a, 0, sizeof(*a));
	for (size_t i = 0; i < n; i++) {
		a->square[i + 1] = fabsf(scale * random_float());
		a->mean[i + 1] = scale * random_float();
		a->gradient[i + 1] = scale * random_float();
		a->theta[i + 1] = scale * random_float();
		for (int t = 0; t < TASKS; t++) {
			/* Some weights did not matter at all. */
			a->stiffness[t][i + 1] = i % 7 == 3 ? 0 : fabsf(scale * random_float());
			a->anchor[t][i + 1] = scale * random_float();
		}
	}
	a->square[n + 1] = a->mean[n + 1] = a->gradient[n + 1] = GUARD;
	a->stiffness[0][n + 1] = a->anchor[0][n + 1] = GUARD;
}

static void tasks_of(const struct arrays *a, struct ewc_task *task)
{
	for (int t = 0; t < TASKS; t++)
		task[t] = (struct ewc_task){a->stiffness[t] + 1, a->anchor[t] + 1,
					    0.5f + (float)t / 4};
}

#define FOR_ROWS(row, of_kind)                                                         \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == (of_kind) && kernels_supported(row))

static const size_t sizes[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 257, 300};

#define FOR_SIZES(n)                                                                             \
	for (size_t at_ = 0, n; at_ < sizeof(sizes) / sizeof(sizes[0]) && ((n = sizes[at_]), 1); \
	     at_++)

static void close_to(const struct kernel *k, size_t n, size_t i, double got, double want,
		     double bound)
{
	if (!(fabs(got - want) <= bound + 1e-37))
		fail_msg("%s %s n=%zu [%zu]: %.9g, not %.9g +- %.3g", k->name, isa_name(k->isa), n,
			 i, got, want, bound);
}

static void fisher_moments_differ_from_the_reference(void **state)
{
	static const float decays[] = {0, 0.9f, 0.999f, 1};
	static struct arrays ref, got;

	FOR_ROWS(k, KERNEL_ewc_fisher)
	{
		FOR_SIZES(n)
		{
			const float d = decays[n % 4], scale = n % 3 ? 1 : 1e-8f;
			const bool with_mean = n % 2;

			fill_arrays(&ref, n, scale);
			got = ref;
			assert_int_equal(ewc_fisher_ref(ref.square + 1,
							with_mean ? ref.mean + 1 : NULL,
							ref.gradient + 1, n, d),
					 0);
			assert_int_equal(k->run.ewc_fisher(got.square + 1,
							   with_mean ? got.mean + 1 : NULL,
							   got.gradient + 1, n, d),
					 0);
			for (size_t i = 1; i <= n; i++) {
				double g = fabs((double)ref.gradient[i]);

				close_to(k, n, i, got.square[i], ref.square[i],
					 3 * EWC_ERROR * (ref.square[i] + (double)g * g));
				close_to(k, n, i, got.mean[i], ref.mean[i],
					 3 * EWC_ERROR * (scale + g));
			}
			assert_true(got.square[n + 1] == GUARD && got.mean[n + 1] == GUARD);
			assert_true(got.square[0] == 0 && got.mean[0] == 0);
		}
	}
}

static void constraints_differ_from_the_reference(void **state)
{
	static struct arrays ref, got;
	struct ewc_task task[TASKS];

	FOR_ROWS(k, KERNEL_ewc_constrain)
	{
		for (uint32_t ntasks = 0; ntasks <= TASKS; ntasks++) {
			FOR_SIZES(n)
			{
				fill_arrays(&ref, n, n % 2 ? 1 : 1e12f);
				got = ref;
				tasks_of(&ref, task);
				assert_int_equal(ewc_constrain_ref(ref.gradient + 1, ref.theta + 1,
								   task, ntasks, n),
						 0);
				assert_int_equal(k->run.ewc_constrain(got.gradient + 1,
								      ref.theta + 1, task, ntasks,
								      n),
						 0);
				for (size_t i = 1; i <= n; i++) {
					double size = fabs((double)got.gradient[i]) +
						      fabs((double)ref.gradient[i]);

					for (uint32_t t = 0; t < ntasks; t++)
						size += task[t].weight * ref.stiffness[t][i] *
							(fabs((double)ref.theta[i]) +
							 fabs((double)ref.anchor[t][i]));
					close_to(k, n, i, got.gradient[i], ref.gradient[i],
						 EWC_ERROR * (3 + 2 * ntasks) * size);
				}
				assert_true(got.gradient[n + 1] == GUARD);
			}
		}
	}
}

static void merged_tasks_differ_from_the_reference(void **state)
{
	static struct arrays ref, got;
	struct ewc_task task[TASKS];

	FOR_ROWS(k, KERNEL_ewc_merge)
	{
		FOR_SIZES(n)
		{
			fill_arrays(&ref, n, 1);
			got = ref;
			tasks_of(&ref, task);
			assert_int_equal(ewc_merge_ref(ref.stiffness[0] + 1, ref.anchor[0] + 1,
						       0.75f, &task[1], n),
					 0);
			assert_int_equal(k->run.ewc_merge(got.stiffness[0] + 1, got.anchor[0] + 1,
							  0.75f, &task[1], n),
					 0);
			for (size_t i = 1; i <= n; i++) {
				close_to(k, n, i, got.stiffness[0][i], ref.stiffness[0][i],
					 4 * EWC_ERROR * ref.stiffness[0][i]);
				close_to(k, n, i, got.anchor[0][i], ref.anchor[0][i],
					 4 * EWC_ERROR);
			}
			assert_true(got.stiffness[0][n + 1] == GUARD &&
				    got.anchor[0][n + 1] == GUARD);
		}
	}
}

/* A NaN or an infinity in one weight must not spread to its neighbours, nor be hidden. */
static void a_bad_gradient_spreads_or_is_hidden(void **state)
{
	FOR_ROWS(k, KERNEL_ewc_fisher)
	{
		float square[35] = {0}, mean[35] = {0}, g[35];

		for (int i = 0; i < 35; i++)
			g[i] = 1;
		g[4] = NAN;
		g[33] = INFINITY;
		assert_int_equal(k->run.ewc_fisher(square, mean, g, 35, 0.5f), 0);
		for (int i = 0; i < 35; i++) {
			assert_int_equal(!isnan(square[i]), i != 4);
			assert_int_equal(!isinf(square[i]), i != 33);
			assert_true(i == 4 || i == 33 || (square[i] == 0.5f && mean[i] == 0.5f));
		}
	}
}

static void bad_arguments_are_taken(void **state)
{
	float a[8] = {0}, b[8] = {0};
	struct ewc_task good = {a, b, 1}, bad = {a, NULL, 1};

	FOR_ROWS(k, KERNEL_ewc_fisher)
	{
		assert_int_equal(k->run.ewc_fisher(NULL, a, b, 8, 0.5f), -EINVAL);
		assert_int_equal(k->run.ewc_fisher(a, NULL, NULL, 8, 0.5f), -EINVAL);
		assert_int_equal(k->run.ewc_fisher(a, NULL, b, 8, 1.5f), -EINVAL);
		assert_int_equal(k->run.ewc_fisher(a, NULL, b, 8, -0.5f), -EINVAL);
		assert_int_equal(k->run.ewc_fisher(a, NULL, b, 8, NAN), -EINVAL);
	}
	FOR_ROWS(k, KERNEL_ewc_constrain)
	{
		assert_int_equal(k->run.ewc_constrain(NULL, a, &good, 1, 8), -EINVAL);
		assert_int_equal(k->run.ewc_constrain(a, NULL, &good, 1, 8), -EINVAL);
		assert_int_equal(k->run.ewc_constrain(a, b, NULL, 1, 8), -EINVAL);
		assert_int_equal(k->run.ewc_constrain(a, b, &bad, 1, 8), -EINVAL);
		assert_int_equal(k->run.ewc_constrain(a, b, NULL, 0, 8), 0);
	}
	FOR_ROWS(k, KERNEL_ewc_merge)
	{
		assert_int_equal(k->run.ewc_merge(NULL, a, 1, &good, 8), -EINVAL);
		assert_int_equal(k->run.ewc_merge(a, b, 2, &good, 8), -EINVAL);
		assert_int_equal(k->run.ewc_merge(a, b, 1, NULL, 8), -EINVAL);
		assert_int_equal(k->run.ewc_merge(a, b, 1, &bad, 8), -EINVAL);
	}
}

static void *storage_new(size_t n, uint32_t tasks, size_t *bytes)
{
	void *p;

	*bytes = ewc_bytes(n, tasks);
	assert_true(*bytes > 0);
	p = aligned_alloc(64, *bytes);
	assert_non_null(p);
	return p;
}

static void a_bad_shape_is_taken(void **state)
{
	struct ewc_config c = {100, 5, 0.9f, 1, 1};
	struct ewc e;
	size_t bytes;
	char *storage = storage_new(100, 5, &bytes);

	assert_int_equal(ewc_bytes(0, 1), 0);
	assert_int_equal(ewc_bytes(1, 0), 0);
	assert_int_equal(ewc_bytes(1, EWC_MAX_TASKS + 1), 0);
	assert_int_equal(ewc_bytes(SIZE_MAX / 8, 1), 0);
	assert_int_equal(ewc_init(&e, &c, ISA_SCALAR, storage, bytes), 0);
	assert_int_equal(ewc_init(&e, &c, ISA_SCALAR, storage, bytes - 1), -EINVAL);
	assert_int_equal(ewc_init(&e, &c, ISA_SCALAR, storage + 4, bytes), -EINVAL);
	assert_int_equal(ewc_init(&e, NULL, ISA_SCALAR, storage, bytes), -EINVAL);
	c.decay = 1;
	assert_int_equal(ewc_init(&e, &c, ISA_SCALAR, storage, bytes), -EINVAL);
	free(storage);
}

/* A quadratic loss: weights pulled to `goal`, hard where `pull` is large. */
static void learn_task(struct ewc *e, float *theta, const float *goal, const float *pull, int steps)
{
	enum { N = 64 };
	float noisy[N], gradient[N];

	for (int s = 0; s < steps; s++) {
		for (int i = 0; i < N; i++) {
			/* A sample's gradient: its spread is the Fisher information. */
			noisy[i] = sqrtf(pull[i]) * random_float();
			gradient[i] = pull[i] * (theta[i] - goal[i]);
		}
		assert_int_equal(ewc_observe(e, noisy), 0);
		assert_int_equal(ewc_apply(e, theta, gradient), 0);
		for (int i = 0; i < N; i++)
			theta[i] -= 0.05f * gradient[i];
	}
}

static double loss(const float *theta, const float *goal, const float *pull, int n)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += pull[i] * (theta[i] - goal[i]) * (double)(theta[i] - goal[i]) / 2;
	return sum;
}

/*
 * Task A needs the first half of the weights, task B mostly the second: after B, what A needed is
 * still there with EWC, and lost without.
 */
static double loss_of_first_task(float lambda, double *second)
{
	enum { N = 64 };
	float theta[N] = {0}, a[N], b[N], pull_a[N], pull_b[N];
	struct ewc_config c = {N, 3, 0.98f, lambda, 1};
	struct ewc e;
	size_t bytes;
	void *storage = storage_new(N, 3, &bytes);
	double first;

	for (int i = 0; i < N; i++) {
		a[i] = random_float();
		b[i] = random_float();
		pull_a[i] = i < N / 2 ? 1 : 0;
		pull_b[i] = i < N / 2 ? 0.05f : 1;
	}
	assert_int_equal(ewc_init(&e, &c, isa_best(), storage, bytes), 0);
	learn_task(&e, theta, a, pull_a, 400);
	assert_true(loss(theta, a, pull_a, N) < 1e-3);
	assert_int_equal(ewc_finish_task(&e, theta), 0);
	learn_task(&e, theta, b, pull_b, 2000);
	first = loss(theta, a, pull_a, N);
	*second = loss(theta + N / 2, b + N / 2, pull_b + N / 2, N / 2);
	free(storage);
	return first;
}

static void an_earlier_task_is_forgotten(void **state)
{
	double second_without, second_with;
	double without = loss_of_first_task(1e-6f, &second_without);
	double with = loss_of_first_task(10, &second_with);

	if (!(with < without / 20))
		fail_msg("first task's loss %g with EWC, %g without", with, without);
	assert_true(second_with < 1e-3); /* and what is free to move does */
}

static void remember_tasks(struct ewc *e, uint32_t n, int tasks)
{
	float theta[MOST], g[MOST];

	for (int t = 0; t < tasks; t++) {
		for (int s = 0; s < 20; s++) {
			for (uint32_t i = 0; i < n; i++)
				g[i] = (float)(1 + i % 3) * random_float();
			assert_int_equal(ewc_observe(e, g), 0);
		}
		for (uint32_t i = 0; i < n; i++)
			theta[i] = random_float();
		assert_int_equal(ewc_finish_task(e, theta), 0);
	}
}

/* The sum, the tasks one by one, and the tasks after consolidation ask for the same force. */
static void merging_tasks_changes_what_they_ask_for(void **state)
{
	for (uint32_t max_tasks = 1; max_tasks <= 5; max_tasks += 2) {
		for (int tasks = 0; tasks <= 8; tasks++) {
			struct ewc_config c = {77, max_tasks, 0.9f, 2, 0.9f};
			float theta[77], sum[77], apart[77], after[77];
			size_t bytes;
			void *storage = storage_new(77, max_tasks, &bytes);
			struct ewc e;

			assert_int_equal(ewc_init(&e, &c, isa_best(), storage, bytes), 0);
			remember_tasks(&e, 77, tasks);
			assert_int_equal(e.ntasks, tasks < (int)max_tasks ? tasks : (int)max_tasks);
			for (int i = 0; i < 77; i++) {
				theta[i] = 3 * random_float();
				sum[i] = apart[i] = after[i] = random_float();
			}
			assert_int_equal(ewc_apply(&e, theta, sum), 0);
			assert_int_equal(ewc_apply_tasks(&e, theta, apart), 0);
			ewc_consolidate(&e);
			assert_true(e.ntasks <= 1);
			assert_int_equal(ewc_apply_tasks(&e, theta, after), 0);
			for (int i = 0; i < 77; i++) {
				double tol = 1e-5 * (1 + 20 * e.stiffness[i]);

				assert_true(fabs((double)sum[i] - apart[i]) <= tol);
				assert_true(fabs((double)sum[i] - after[i]) <= tol);
			}
			free(storage);
		}
	}
}

/* The force is the slope of the penalty: finite differences in double. */
static void the_force_is_not_the_slope_of_the_penalty(void **state)
{
	struct ewc_config c = {33, 5, 0.9f, 2, 1};
	size_t bytes;
	void *storage = storage_new(33, 5, &bytes);
	float theta[33], force[33] = {0};
	struct ewc e;

	assert_int_equal(ewc_init(&e, &c, isa_best(), storage, bytes), 0);
	remember_tasks(&e, 33, 4);
	for (int i = 0; i < 33; i++)
		theta[i] = random_float();
	assert_int_equal(ewc_apply(&e, theta, force), 0);
	for (int i = 0; i < 33; i++) {
		const float at = theta[i], h = 1.0f / 64;
		double up, down;

		theta[i] = at + h;
		up = ewc_penalty(&e, theta);
		theta[i] = at - h;
		down = ewc_penalty(&e, theta);
		theta[i] = at;
		assert_true(fabs((up - down) / (2 * h) - force[i]) < 1e-3 * (1 + fabsf(force[i])));
	}
	free(storage);
}

static void the_border_of_a_task_is_not_seen(void **state)
{
	struct ewc_config c = {100, 2, 0.95f, 1, 1};
	size_t bytes;
	void *storage = storage_new(100, 2, &bytes);
	float g[100];
	struct ewc e;
	double worst = 0, sum = 0, surprise;

	assert_int_equal(ewc_init(&e, &c, isa_best(), storage, bytes), 0);
	for (int s = 0; s < 200; s++) {
		for (int i = 0; i < 100; i++)
			g[i] = 0.5f + random_float();
		surprise = s > 50 ? ewc_surprise(&e, g) : 0;
		worst = fmax(worst, surprise);
		sum += surprise;
		assert_int_equal(ewc_observe(&e, g), 0);
	}
	assert_true(worst < 2);
	assert_true(fabs(sum / 149 - 1) < 0.2); /* one more of the same kind */
	for (int i = 0; i < 100; i++)
		g[i] = -2 + random_float();
	assert_true(ewc_surprise(&e, g) > 5);
	free(storage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fisher_moments_differ_from_the_reference),
		cmocka_unit_test(constraints_differ_from_the_reference),
		cmocka_unit_test(merged_tasks_differ_from_the_reference),
		cmocka_unit_test(a_bad_gradient_spreads_or_is_hidden),
		cmocka_unit_test(bad_arguments_are_taken),
		cmocka_unit_test(a_bad_shape_is_taken),
		cmocka_unit_test(an_earlier_task_is_forgotten),
		cmocka_unit_test(merging_tasks_changes_what_they_ask_for),
		cmocka_unit_test(the_force_is_not_the_slope_of_the_penalty),
		cmocka_unit_test(the_border_of_a_task_is_not_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
