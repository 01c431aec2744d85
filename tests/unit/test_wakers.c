/* SPDX-License-Identifier: Apache-2.0 */
/* test_wakers.c: when wake-ups are looked at, to tell who woke a thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/wakers.h"

static uint32_t seen_of(struct wakers *w, uint32_t ticks, double rate)
{
	uint32_t seen = 0;

	while (ticks--)
		seen += wakers_wanted(w, rate);
	return seen;
}

static void a_quiet_target_s_wakers_are_all_told(void **state)
{
	struct wakers w = {.seen = true};

	(void)state;
	assert_int_equal(seen_of(&w, 100, 100), 100);
}

static void a_busy_target_is_spared_most_and_told_of_at_once(void **state)
{
	struct wakers w = {.seen = true};

	(void)state;
	assert_true(wakers_wanted(&w, 1e5));
	assert_in_range(seen_of(&w, 160, 1e5), 10, 40);
}

/* Where waits are timed by wake-ups, or slow calls are taken apart by them, none may be missed. */
static void what_else_needs_them_has_them(void **state)
{
	struct wakers w = {.seen = true, .kept = true};

	(void)state;
	assert_int_equal(seen_of(&w, 100, 1e6), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quiet_target_s_wakers_are_all_told),
		cmocka_unit_test(a_busy_target_is_spared_most_and_told_of_at_once),
		cmocka_unit_test(what_else_needs_them_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
