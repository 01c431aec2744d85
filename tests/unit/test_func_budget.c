/* SPDX-License-Identifier: Apache-2.0 */
/* test_func_budget.c: which probes are throttled when they cost more than the target can bear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/func_budget.h"

enum { N = 4 };

/* Ns a second of a percent of a CPU. */
#define PCT 1e7

static bool fit(struct func_load *loads, double budget_pct, uint64_t *window_ns)
{
	uint32_t order[N];

	return func_budget_fit(loads, N, budget_pct * PCT, 1e9, window_ns, order);
}

static void within_the_budget_every_call_is_counted(void **state)
{
	struct func_load loads[N] = {{3 * PCT}, {1 * PCT}, {0.5 * PCT}, {0}};
	uint64_t window_ns = 0;

	assert_false(fit(loads, 5, &window_ns));
	for (int i = 0; i < N; i++)
		assert_int_equal(loads[i].state, FUNC_EXACT);
}

static void the_hot_one_is_seen_in_windows_and_the_others_stay_exact(void **state)
{
	struct func_load loads[N] = {{0.1 * PCT}, {30 * PCT}, {0.5 * PCT}, {1 * PCT}};
	uint64_t window_ns = 0;

	assert_true(fit(loads, 5, &window_ns));
	assert_int_equal(loads[1].state, FUNC_SEEN);
	assert_int_equal(loads[0].state, FUNC_EXACT);
	assert_int_equal(loads[2].state, FUNC_EXACT);
	assert_int_equal(loads[3].state, FUNC_EXACT);
	assert_int_equal(window_ns, 50000000);
	assert_true(func_budget_total(loads, N, (double)window_ns / 1e9) <= 5 * PCT);
}

static void windows_get_shorter_before_a_probe_is_given_up(void **state)
{
	struct func_load loads[N] = {{95 * PCT}, {90 * PCT}, {0.5 * PCT}, {0}};
	uint64_t window_ns = 0;

	assert_true(fit(loads, 5, &window_ns));
	assert_int_equal(loads[0].state, FUNC_SEEN);
	assert_int_equal(loads[1].state, FUNC_SEEN);
	assert_int_equal(loads[2].state, FUNC_EXACT);
	assert_int_equal(window_ns, 20000000);
}

static void a_probe_too_hot_for_the_shortest_window_is_taken_off(void **state)
{
	struct func_load loads[N] = {{95 * PCT}, {0.001 * PCT}, {0}, {0}};
	uint64_t window_ns = 0;

	assert_true(fit(loads, 0.01, &window_ns));
	assert_int_equal(loads[0].state, FUNC_DETACHED);
	assert_int_equal(loads[1].state, FUNC_EXACT);
	/* It stays off: its load is not known any more. */
	loads[0].ns_per_s = 0;
	for (int i = 0; i < 20; i++)
		fit(loads, 0.01, &window_ns);
	assert_int_equal(loads[0].state, FUNC_DETACHED);
}

static void what_got_cold_is_exact_again_but_not_at_once(void **state)
{
	struct func_load loads[N] = {{30 * PCT}, {1 * PCT}, {0}, {0}};
	uint64_t window_ns = 0;

	fit(loads, 5, &window_ns);
	assert_int_equal(loads[0].state, FUNC_SEEN);
	loads[0].ns_per_s = 0.5 * PCT;
	assert_false(fit(loads, 5, &window_ns));
	assert_int_equal(loads[0].state, FUNC_SEEN);
	for (int i = 0; i < 10; i++)
		fit(loads, 5, &window_ns);
	assert_int_equal(loads[0].state, FUNC_EXACT);
}

static void a_load_that_swings_is_not_attached_throughout(void **state)
{
	struct func_load loads[N] = {{30 * PCT}, {0}, {0}, {0}};
	uint64_t window_ns = 0;

	fit(loads, 5, &window_ns);
	for (int i = 0; i < 30; i++) {
		loads[0].ns_per_s = i % 3 ? 0.1 * PCT : 30 * PCT;
		fit(loads, 5, &window_ns);
		assert_int_equal(loads[0].state, FUNC_SEEN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(within_the_budget_every_call_is_counted),
		cmocka_unit_test(the_hot_one_is_seen_in_windows_and_the_others_stay_exact),
		cmocka_unit_test(windows_get_shorter_before_a_probe_is_given_up),
		cmocka_unit_test(a_probe_too_hot_for_the_shortest_window_is_taken_off),
		cmocka_unit_test(what_got_cold_is_exact_again_but_not_at_once),
		cmocka_unit_test(a_load_that_swings_is_not_attached_throughout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
