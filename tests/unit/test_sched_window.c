/* SPDX-License-Identifier: Apache-2.0 */
/* test_sched_window.c: which part of a target's context switches is seen when they are too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/sched_window.h"
#include "collectors/threads.h"
#include "probes/contract.h"

/* Ns a second of a percent of a CPU. */
#define PCT    1e7
#define SECOND 1000000000ull

/* The weight after so many ticks with this rate, at 300 ns a switch and a budget of 5 %. */
static uint32_t weight_after(struct sched_window *w, uint32_t ticks, double switches_per_s)
{
	while (ticks--)
		sched_window_weigh(w, switches_per_s, 300, 5 * PCT, SECOND);
	return w->weight;
}

static void within_the_budget_every_switch_is_seen(void **state)
{
	struct sched_window w = {.weight = 1};

	(void)state;
	assert_int_equal(weight_after(&w, 10, 160000), 1);
}

static void a_burst_is_no_reason_to_look_away(void **state)
{
	struct sched_window w = {.weight = 1};

	(void)state;
	assert_int_equal(weight_after(&w, 2, 1e6), 1);
	assert_int_equal(weight_after(&w, 1, 1e4), 1);
	assert_int_equal(weight_after(&w, 2, 1e6), 1);
}

static void what_is_seen_keeps_to_the_budget(void **state)
{
	(void)state;
	for (double rate = 200000; rate < 4e6; rate *= 1.3) {
		struct sched_window w = {.weight = 1};
		uint32_t weight = weight_after(&w, 3, rate);

		assert_true(weight > 1);
		assert_true(rate * 300 / weight <= 5 * PCT);
		/* And no less is seen than it allows, but for rounding. */
		assert_true(rate * 300 / (weight - 1) > 0.8 * 5 * PCT);
	}
}

static void windows_do_not_become_too_short_to_see_anything(void **state)
{
	struct sched_window w = {.weight = 1};

	(void)state;
	assert_int_equal(weight_after(&w, 3, 1e9), 25);
	/* Of a shorter interval: 20 ms. */
	sched_window_weigh(&w, 1e9, 300, 5 * PCT, SECOND / 5);
	assert_int_equal(w.weight, 10);
	sched_window_weigh(&w, 1e9, 300, 5 * PCT, SECOND / 100);
	assert_int_equal(w.weight, 2);
}

static void all_are_seen_again_when_they_are_clearly_fewer(void **state)
{
	struct sched_window w = {.weight = 1};

	(void)state;
	weight_after(&w, 3, 200000);
	assert_true(weight_after(&w, 1, 160000) > 1);
	/* Not after a pause, of the machine say. */
	assert_true(weight_after(&w, 2, 120000) > 1);
	assert_true(weight_after(&w, 1, 200000) > 1);
	assert_true(weight_after(&w, 2, 0) > 1);
	assert_int_equal(weight_after(&w, 1, 120000), 1);
}

static void without_a_limit_or_a_known_cost_all_are_seen(void **state)
{
	struct sched_window w = {.weight = 1};

	(void)state;
	for (int i = 0; i < 9; i++)
		sched_window_weigh(&w, 1e6, 300, 0, SECOND);
	assert_int_equal(w.weight, 1);
	for (int i = 0; i < 9; i++)
		sched_window_weigh(&w, 1e6, 0, 5 * PCT, SECOND);
	assert_int_equal(w.weight, 1);
}

static void windows_that_were_closed_late_are_made_up_for(void **state)
{
	const uint64_t began = 5 * SECOND;
	struct sched_window w = {.weight = 10};
	uint64_t now = began, stood_for = 0;

	(void)state;
	for (int i = 0; i < 50; i++) {
		uint64_t late = i % 7 ? 0 : 40000000, ns = sched_window_length(&w, now, SECOND);

		w.opened_ns = now;
		w.seen_ns = ns + late;
		w.seen_weight = w.weight;
		stood_for += w.seen_ns * w.weight;
		now += SECOND;
	}
	/* The last two alone can be off. */
	assert_true(stood_for > now - began - SECOND / 2);
	assert_true(stood_for < now - began + SECOND / 2);
	assert_true(sched_window_length(&w, now, SECOND) >= SECOND / 10 / 8);
}

static void a_program_that_is_added_twice_is_attached_once(void **state)
{
	struct sched_window w = {.weight = 1};
	static const char *const names[SCHED_WINDOW_PROGRAMS] = {"on_sched_switch", "waking",
								 "stacks"};

	(void)state;
	for (int i = 0; i < 3 * SCHED_WINDOW_PROGRAMS; i++)
		sched_window_add(&w, names[i % SCHED_WINDOW_PROGRAMS]);
	assert_int_equal(w.nprograms, SCHED_WINDOW_PROGRAMS);
	sched_window_drop(&w, "waking");
	sched_window_add(&w, "stacks");
	assert_int_equal(w.nprograms, 2);
	assert_string_equal(w.programs[0], "on_sched_switch");
	assert_string_equal(w.programs[1], "stacks");
}

static void a_long_wait_counts_for_the_part_within_the_window(void **state)
{
	struct threads t = {.since_ns = 1000, .weight = 4};
	struct contract_thread row = {.at_ns = 1500, .off_ns = 100, .wait = WAIT_FUTEX};
	uint64_t blocked, queued;

	(void)state;
	threads_counted_wait(&t, &row, &blocked, &queued);
	assert_int_equal(blocked, 4 * 500);
	assert_int_equal(queued, 0);
	/* Woken before it began, and in the run queue since. */
	row.wake_ns = 600;
	threads_counted_wait(&t, &row, &blocked, &queued);
	assert_int_equal(blocked, 0);
	assert_int_equal(queued, 4 * 500);
	row.wake_ns = 1200;
	threads_counted_wait(&t, &row, &blocked, &queued);
	assert_int_equal(blocked, 4 * 200);
	assert_int_equal(queued, 4 * 300);
}

static void a_wait_that_began_within_the_window_counts_whole(void **state)
{
	struct threads t = {.since_ns = 1000, .weight = 1};
	struct contract_thread row = {.at_ns = 1500, .off_ns = 1100, .wait = WAIT_RUNQ};
	uint64_t blocked, queued;

	(void)state;
	threads_counted_wait(&t, &row, &blocked, &queued);
	assert_int_equal(blocked, 0);
	assert_int_equal(queued, 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(within_the_budget_every_switch_is_seen),
		cmocka_unit_test(a_burst_is_no_reason_to_look_away),
		cmocka_unit_test(what_is_seen_keeps_to_the_budget),
		cmocka_unit_test(windows_do_not_become_too_short_to_see_anything),
		cmocka_unit_test(all_are_seen_again_when_they_are_clearly_fewer),
		cmocka_unit_test(without_a_limit_or_a_known_cost_all_are_seen),
		cmocka_unit_test(windows_that_were_closed_late_are_made_up_for),
		cmocka_unit_test(a_program_that_is_added_twice_is_attached_once),
		cmocka_unit_test(a_long_wait_counts_for_the_part_within_the_window),
		cmocka_unit_test(a_wait_that_began_within_the_window_counts_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
