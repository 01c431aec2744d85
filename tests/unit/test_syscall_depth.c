/* SPDX-License-Identifier: Apache-2.0 */
/* test_syscall_depth.c: how closely system calls are watched at which rate. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collectors/syscall_depth.h"

/* What counting or timing n calls a second takes must be the part of the budget that it may be. */
static void test_limits_follow_the_budget(void **state)
{
	struct syscall_limits five, ten, dear;
	double path = syscall_depth_path_ns(100);

	(void)state;
	syscall_depth_limits(&five, path, 5);
	syscall_depth_limits(&ten, path, 10);
	syscall_depth_limits(&dear, 1.5 * path, 5);
	for (int d = DEPTH_COUNT; d < SYSCALL_DEPTHS; d++) {
		assert_true(five.from_rate[d] > five.from_rate[d - 1]);
		assert_true(fabs(ten.from_rate[d] / five.from_rate[d] - 2) < 1e-9);
		assert_true(dear.from_rate[d] < five.from_rate[d]);
		/* No call's path alone may take more than the whole budget. */
		assert_true(five.from_rate[d] * path < 5e7);
	}
}

static void test_no_limit(void **state)
{
	struct syscall_limits l;

	(void)state;
	syscall_depth_limits(&l, syscall_depth_path_ns(100), 0);
	assert_int_equal(syscall_depth_next(&l, DEPTH_EVERY, 1e9), DEPTH_EVERY);
	assert_int_equal(syscall_depth_next(&l, DEPTH_WINDOW, 1e9), DEPTH_EVERY);
}

/* What a machine that is busy elsewhere adds to the measurement is bounded, both ways. */
static void test_path_is_bounded(void **state)
{
	(void)state;
	assert_true(syscall_depth_path_ns(-50) > 0);
	assert_true(syscall_depth_path_ns(0) > 0);
	assert_true(syscall_depth_path_ns(100) > 100);
	assert_true(syscall_depth_path_ns(5000) < 1000);
}

static void test_depth_does_not_flicker(void **state)
{
	struct syscall_limits l;
	double count, window;

	(void)state;
	syscall_depth_limits(&l, syscall_depth_path_ns(100), 5);
	count = l.from_rate[DEPTH_COUNT];
	window = l.from_rate[DEPTH_WINDOW];
	assert_int_equal(syscall_depth_next(&l, DEPTH_EVERY, 0), DEPTH_EVERY);
	assert_int_equal(syscall_depth_next(&l, DEPTH_EVERY, 1.2 * count), DEPTH_EVERY);
	assert_int_equal(syscall_depth_next(&l, DEPTH_EVERY, 1.4 * count), DEPTH_COUNT);
	assert_int_equal(syscall_depth_next(&l, DEPTH_COUNT, 0.8 * count), DEPTH_COUNT);
	assert_int_equal(syscall_depth_next(&l, DEPTH_COUNT, 0.6 * count), DEPTH_EVERY);
	assert_int_equal(syscall_depth_next(&l, DEPTH_EVERY, 2 * window), DEPTH_WINDOW);
	assert_int_equal(syscall_depth_next(&l, DEPTH_WINDOW, 0.8 * window), DEPTH_WINDOW);
	assert_int_equal(syscall_depth_next(&l, DEPTH_WINDOW, 0), DEPTH_EVERY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_follow_the_budget),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_path_is_bounded),
		cmocka_unit_test(test_depth_does_not_flicker),
	};

	return cmocka_run_group_tests_name("syscall_depth", tests, NULL, NULL);
}
