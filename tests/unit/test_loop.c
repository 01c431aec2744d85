/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop.c: what held an event loop: in which function, in what words, and what is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collectors/loop_words.h"
#include "collectors/sample_trail.h"
#include "collectors/syscalls.h"
#include "probes/contract.h"

static void the_trail_tells_threads_and_times_apart(void **state)
{
	struct sample_trail *t = calloc(1, sizeof(*t));
	uint32_t id = 0, all = 9;

	assert_non_null(t);
	assert_int_equal(sample_trail_top(t, 7, 0, 1000, &id, &all), 0);
	assert_int_equal(all, 0);
	for (uint64_t ns = 100; ns < 200; ns += 10) {
		sample_trail_add(t, ns, 7, ns < 140 ? 1 : 2);
		sample_trail_add(t, ns, 8, 3);
	}
	sample_trail_add(t, 0, 7, 4); /* of no known time */
	assert_int_equal(sample_trail_top(t, 7, 100, 199, &id, &all), 6);
	assert_int_equal(id, 2);
	assert_int_equal(all, 10);
	assert_int_equal(sample_trail_top(t, 7, 100, 150, &id, &all), 4);
	assert_int_equal(id, 1);
	assert_int_equal(all, 6);
	free(t);
}

static void the_trail_forgets_the_oldest(void **state)
{
	struct sample_trail *t = calloc(1, sizeof(*t));
	uint32_t id = 0, all = 0;

	assert_non_null(t);
	for (uint64_t ns = 1; ns <= SAMPLE_TRAIL + 10; ns++)
		sample_trail_add(t, ns, 7, (uint32_t)ns); /* more functions than it counts */
	assert_int_equal(sample_trail_top(t, 7, 0, UINT64_MAX, &id, &all), 1);
	assert_int_equal(all, SAMPLE_TRAIL);
	assert_int_equal(sample_trail_top(t, 7, 0, 10, &id, &all), 0);
	free(t);
}

static void what_held_a_loop_is_said_in_words(void **state)
{
	struct snapshot *s = snapshot_new();
	struct snap_event_loop *e = &s->event_loop;
	char words[SNAP_TEXT];

	assert_non_null(s);
	assert_false(loop_words(s, words, sizeof(words)));
	s->nevent_loop = 1;
	s->time_ns = 10000000000;
	*e = (struct snap_event_loop){.held_ns = 49000000, .held_comm = "node", .held_tid = 7};
	assert_false(loop_words(s, words, sizeof(words)));
	e->held_ns = 526000000;
	e->held_cpu_ns = 510000000;
	e->held_time_ns = 9900000000;
	assert_true(loop_words(s, words, sizeof(words)));
	assert_string_equal(words, "the event loop of node (tid 7) was held for 526 ms by one "
				   "turn, 510 ms of it on a CPU");
	e->held_samples = 50;
	e->held_function_samples = 48;
	snprintf(e->held_function, sizeof(e->held_function), "luaV_execute");
	e->held_time_ns = 7000000000;
	assert_true(loop_words(s, words, sizeof(words)));
	assert_string_equal(words, "the event loop of node (tid 7) was held for 526 ms by one "
				   "turn 3 s ago, 510 ms of it on a CPU, 48 of its 50 samples in "
				   "luaV_execute");
	e->held_function_samples = 0;
	e->held_goes_on = e->held_at_least = 1;
	e->held_ns = e->held_cpu_ns = 12000000000;
	assert_true(loop_words(s, words, sizeof(words)));
	assert_string_equal(words, "the event loop of node (tid 7) is held for at least 12 s so "
				   "far by one turn, 12 s of it on a CPU");
	snapshot_free(s);
}

static uint32_t turn_of(const char *name)
{
	int nr = syscall_nr(name);

	return nr < 0 ? TURN_NONE : syscall_turn((uint32_t)nr);
}

static void calls_that_wait_for_any_of_many_end_a_turn(void **state)
{
	assert_int_equal(turn_of("epoll_pwait"), TURN_EPOLL);
	assert_int_equal(turn_of("epoll_pwait2"), TURN_EPOLL2);
	assert_int_equal(turn_of("ppoll"), TURN_PPOLL);
	assert_int_equal(turn_of("pselect6"), TURN_SELECT);
	assert_int_equal(turn_of("connect"), TURN_CONNECT);
	assert_int_equal(turn_of("futex"), TURN_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_trail_tells_threads_and_times_apart),
		cmocka_unit_test(the_trail_forgets_the_oldest),
		cmocka_unit_test(what_held_a_loop_is_said_in_words),
		cmocka_unit_test(calls_that_wait_for_any_of_many_end_a_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
