/* SPDX-License-Identifier: Apache-2.0 */
/* test_profile.c: samples of programs that run long and in many threads still add up right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "collectors/profile.h"

struct fixture {
	struct profile *p;
	struct symbols *syms;
	struct snapshot *s;
};

static struct fixture fixture;

static int setup(void **state)
{
	fixture.p = profile_new();
	fixture.syms = symbols_new(getpid());
	fixture.s = snapshot_new();
	*state = &fixture;
	return !fixture.p || !fixture.syms || !fixture.s || symbols_refresh(fixture.syms);
}

static int teardown(void **state)
{
	profile_free(fixture.p);
	symbols_free(fixture.syms);
	snapshot_free(fixture.s);
	return 0;
}

static uint32_t id_of(struct fixture *f, const void *function)
{
	struct symbol sym;

	symbols_lookup(f->syms, (uint64_t)(uintptr_t)function, &sym);
	return sym.id;
}

static const struct snap_function *function(const struct snapshot *s, const char *name)
{
	for (uint32_t i = 0; i < s->nfunctions; i++)
		if (!strcmp(s->functions[i].name, name))
			return &s->functions[i];
	return NULL;
}

static void recursion_counts_once_in_the_total(void **state)
{
	struct fixture *f = *state;
	uint32_t ids[] = {id_of(f, setup), id_of(f, teardown), id_of(f, setup)};

	profile_add(f->p, 7, ids, 3, 0, false, true);
	profile_add(f->p, 7, ids + 1, 2, 0, true, false);
	profile_fill(f->p, f->syms, f->s);
	assert_int_equal(f->s->cpu.samples, 2);
	assert_int_equal(f->s->cpu.kernel_samples, 1);
	assert_true(f->s->cpu.unwound_pct == 50);
	assert_int_equal(function(f->s, "setup")->self, 1);
	assert_int_equal(function(f->s, "setup")->total, 2);
	assert_int_equal(function(f->s, "teardown")->total, 2);
}

static void what_is_hot_now_is_told_over_an_hour_of_something_else(void **state)
{
	struct fixture *f = *state;
	uint32_t old = id_of(f, setup), hot = id_of(f, teardown);

	f->s->interval_ns = 1000000000;
	for (int i = 0; i < 100000; i++)
		profile_add(f->p, 7, &old, 1, 0, false, true);
	profile_fill(f->p, f->syms, f->s);
	assert_true(function(f->s, "setup")->recent_pct > 99.9);
	for (int tick = 0; tick < 120; tick++) {
		for (int i = 0; i < 99; i++)
			profile_add(f->p, 7, &hot, 1, 0, false, true);
		snapshot_clear(f->s);
		f->s->interval_ns = 1000000000;
		profile_fill(f->p, f->syms, f->s);
	}
	assert_true(function(f->s, "teardown")->recent_pct > 90);
	assert_true(function(f->s, "teardown")->self_pct < 20);
	assert_true(function(f->s, "setup")->recent_pct < 10);
}

static void a_new_thread_has_a_top_after_thousands_have_come_and_gone(void **state)
{
	struct fixture *f = *state;
	uint32_t cold = id_of(f, setup), hot = id_of(f, teardown);

	for (uint32_t tid = 1; tid < 40000; tid++)
		profile_add(f->p, tid, &cold, 1, 0, false, true);
	for (int i = 0; i < 50; i++)
		profile_add(f->p, 50000, &hot, 1, 0, false, true);
	f->s->nthreads = 1;
	f->s->threads[0].tid = 50000;
	f->s->threads[0].cpu_pct = 90;
	profile_fill(f->p, f->syms, f->s);
	assert_string_equal(f->s->threads[0].top, "teardown");
	assert_int_equal(function(f->s, "setup")->self, 39999);
}

static void a_stack_that_becomes_hot_late_is_shown(void **state)
{
	struct fixture *f = *state;
	uint32_t hot[] = {id_of(f, teardown), id_of(f, setup)}, other[12];

	/* Far more distinct stacks than are kept, each seen once. */
	for (uint32_t i = 0; i < 20000; i++) {
		for (uint32_t k = 0; k < 12; k++)
			other[k] = i >> k & 1 ? hot[0] : hot[1];
		other[11] = i;
		profile_add(f->p, 1, other, 12, 0, false, true);
	}
	for (int i = 0; i < 500; i++)
		profile_add(f->p, 1, hot, 2, 0, false, true);
	profile_fill(f->p, f->syms, f->s);
	assert_true(f->s->nstacks > 0);
	assert_int_equal(f->s->stacks[0].count, 500);
	assert_int_equal(f->s->stacks[0].nframes, 2);
	/* What gave way is counted. */
	assert_true(f->s->truncated > 10000);
}

static void a_reset_forgets_everything(void **state)
{
	struct fixture *f = *state;
	uint32_t id = id_of(f, setup);

	profile_add(f->p, 7, &id, 1, 0, false, true);
	profile_reset(f->p);
	profile_fill(f->p, f->syms, f->s);
	assert_int_equal(f->s->cpu.samples, 0);
	assert_int_equal(f->s->nfunctions, 0);
	profile_add(f->p, 7, &id, 1, 0, false, true);
	profile_fill(f->p, f->syms, f->s);
	assert_int_equal(function(f->s, "setup")->total, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(recursion_counts_once_in_the_total),
		T(what_is_hot_now_is_told_over_an_hour_of_something_else),
		T(a_new_thread_has_a_top_after_thousands_have_come_and_gone),
		T(a_stack_that_becomes_hot_late_is_shown),
		T(a_reset_forgets_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
