/* SPDX-License-Identifier: Apache-2.0 */
/* test_deadlock.c: threads that wait for each other are found, and none that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "collectors/deadlock.h"
#include "collectors/threads.h"

enum { THREADS = 4, FUTEX_OP_WAIT_BITSET = 9 };
#define SECOND 1000000000ull

/* glibc's mutexes as they lie in memory: lock, count, owner, nusers, kind. */
static uint32_t mutex[THREADS][5];
static struct contract_thread rows[THREADS];
static struct threads threads;
static struct deadlock *d;
static struct snapshot *s;

/* Thread i, whose tid is 101 + i, has waited for mutex m for 5 s. */
static void waits(uint32_t i, uint32_t m)
{
	rows[i] = (struct contract_thread){.tid = 101 + i,
					   .ns_tid = 101 + i,
					   .tgid = 101,
					   .wait = WAIT_FUTEX,
					   .at_ns = 100 * SECOND,
					   .off_ns = 95 * SECOND,
					   .wait_id = 7 + i,
					   .lock = (uintptr_t)mutex[m] & 0xffffffffffffull};
	snprintf(rows[i].comm, sizeof(rows[i].comm), "prog");
}

static void held_by(uint32_t m, uint32_t i)
{
	const uint32_t words[5] = {2, 0, 101 + i, 1, 0};

	memcpy(mutex[m], words, sizeof(words));
}

static void sleeps(uint32_t i)
{
	waits(i, 0);
	rows[i].wait = WAIT_SLEEP;
	rows[i].lock = 0;
}

static const char *tick(void)
{
	snapshot_clear(s);
	snprintf(s->target.comm, sizeof(s->target.comm), "prog");
	deadlock_fill(d, &threads, NULL, s);
	return s->ndeadlock ? s->deadlock.kind : "";
}

static const char *two_ticks(void)
{
	tick();
	return tick();
}

static int setup(void **state)
{
	d = deadlock_new();
	s = snapshot_new();
	threads = (struct threads){.pid = getpid(), .now = rows, .n = THREADS};
	memset(mutex, 0, sizeof(mutex));
	for (uint32_t i = 0; i < THREADS; i++)
		sleeps(i);
	return d && s ? 0 : -1;
}

static int teardown(void **state)
{
	deadlock_free(d);
	snapshot_free(s);
	return 0;
}

static void a_circle_of_three_is_not_seen(void **state)
{
	for (uint32_t i = 0; i < 3; i++) {
		waits(i, i);
		held_by(i, (i + 1) % 3);
	}
	waits(3, 1);
	assert_string_equal(tick(), ""); /* once may be chance */
	assert_string_equal(tick(), "cycle");
	assert_int_equal(s->deadlock.threads, 3);
	assert_int_equal(s->deadlock.behind, 1);
	assert_int_equal(s->deadlock.ns, 5 * SECOND);
	assert_int_equal(s->deadlock.pid, getpid());
	assert_non_null(strstr(s->deadlock.words, "thread 101 waits for mutex 0x"));
	assert_non_null(strstr(s->deadlock.words, " held by 102, which waits for mutex 0x"));
	assert_non_null(strstr(s->deadlock.words, " held by 101; 1 more behind"));
}

static void whoever_waits_behind_a_circle_is_taken_for_a_part(void **state)
{
	waits(0, 0);
	held_by(0, 1);
	waits(1, 1);
	held_by(1, 2);
	waits(2, 2);
	held_by(2, 1);
	assert_string_equal(two_ticks(), "cycle");
	assert_int_equal(s->deadlock.threads, 2);
	assert_int_equal(s->deadlock.behind, 1);
	assert_null(strstr(s->deadlock.words, "101"));
}

static void a_chain_that_ends_is_called_a_deadlock(void **state)
{
	waits(0, 0);
	held_by(0, 1);
	waits(1, 1);
	held_by(1, 2); /* who sleeps */
	assert_string_equal(two_ticks(), "");
	/* Who waits for a condition variable, or with a timeout, goes on by itself. */
	waits(2, 2);
	held_by(2, 0);
	rows[2].lock_op = FUTEX_OP_WAIT_BITSET;
	assert_string_equal(two_ticks(), "");
	rows[2].lock_op = 0;
	assert_string_equal(two_ticks(), "cycle");
}

static void a_thread_that_has_run_meanwhile_is_called_stuck(void **state)
{
	waits(0, 0);
	held_by(0, 1);
	waits(1, 1);
	held_by(1, 0);
	assert_string_equal(tick(), "");
	rows[1].wait_id++; /* it got what it waited for, and waits again */
	assert_string_equal(tick(), "");
	rows[0].off_ns = rows[0].at_ns - SECOND / 2; /* not long yet */
	assert_string_equal(two_ticks(), "");
	rows[0].off_ns = rows[0].at_ns - 2 * SECOND;
	rows[0].wake_ns = rows[0].at_ns; /* woken, and waits for a CPU */
	assert_string_equal(two_ticks(), "");
	rows[0].wake_ns = 0;
	assert_string_equal(two_ticks(), "cycle");
}

static void a_mutex_that_its_own_holder_waits_for_is_not_seen(void **state)
{
	waits(2, 3);
	held_by(3, 2);
	assert_string_equal(two_ticks(), "self");
	assert_non_null(strstr(s->deadlock.words, "thread 103 waits for mutex"));
	assert_non_null(strstr(s->deadlock.words, "which it holds itself"));
}

/* Without a stack that says pthread_mutex_lock, two words of a Rust value can look like that. */
static void a_word_like_a_mutex_makes_an_orphan(void **state)
{
	waits(2, 3);
	held_by(3, 70);
	assert_string_equal(two_ticks(), "");
}

static void a_system_call_is_misread(void **state)
{
	uint64_t at = 1;

	assert_true(deadlock_waits_untimed("202 0x7f10 0x80 0x2 0x0 0x0 0x0 0x7ffd 0x7f\n", &at));
	assert_int_equal(at, 0);
	/* A word that others might share: pthread_join's. */
	assert_true(
		deadlock_waits_untimed("202 0x7f10 0x109 0x2 0x0 0x0 0xffffffff 0x7ffd 0x7f", &at));
	assert_int_equal(at, 0x7f10);
	assert_false(deadlock_waits_untimed("202 0x7f10 0x80 0x2 0x7ffc00 0x0 0x0 0x1 0x2", &at));
	assert_false(deadlock_waits_untimed("202 0x7f10 0x81 0x2 0x0 0x0 0x0 0x1 0x2", &at));
	assert_false(deadlock_waits_untimed("230 0x7f10 0x80 0x2 0x0 0x0 0x0 0x1 0x2", &at));
	assert_false(deadlock_waits_untimed("running\n", &at));
	assert_false(deadlock_waits_untimed("", &at));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_circle_of_three_is_not_seen),
		TEST(whoever_waits_behind_a_circle_is_taken_for_a_part),
		TEST(a_chain_that_ends_is_called_a_deadlock),
		TEST(a_thread_that_has_run_meanwhile_is_called_stuck),
		TEST(a_mutex_that_its_own_holder_waits_for_is_not_seen),
		TEST(a_word_like_a_mutex_makes_an_orphan),
		TEST(a_system_call_is_misread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
