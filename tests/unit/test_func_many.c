/* SPDX-License-Identifier: Apache-2.0 */
/* test_func_many.c: thousands of probes at once, hot ones among them, and libraries that come late.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/session.h"
#include "tests/lib/func_rig.h"
#include "tests/lib/known_process.h"

enum { PATIENCE_MS = 20000, TRIES = 8 };

static void need_bpf(void)
{
	const char *required = getenv("PERFTOP_REQUIRE_BPF");

	if (bpf_has_uprobe_multi())
		return;
	if (required && !strcmp(required, "1"))
		fail_msg("user probes through eBPF do not work here");
	print_message("no permission or no kernel support for user probes\n");
	skip();
}

static void start(struct known_process *t, const char *program)
{
	assert_int_equal(known_start_program(t, program), 0);
	assert_true(!strncmp(t->line, "ready", 5));
}

static void tell(struct known_process *t, const char *command)
{
	assert_int_equal(known_tell(t, command), 0);
}

static struct session *session_on(pid_t pid, const char *a, const char *b, double budget_pct,
				  bool force)
{
	struct session_config cfg = {
		.pid = pid,
		.interval_ns = 100000000,
		.syscalls = SYSCALL_OFF,
		.max_overhead_pct = budget_pct,
		.force = force,
		.probes = {a, b},
		.nprobes = b ? 2 : 1,
	};
	char why[256] = "";
	int err = 0;
	struct session *se = session_new(&cfg, &err, why, sizeof(why));

	if (!se || session_start(se))
		fail_msg("%s", why);
	return se;
}

/* One that was begun after the call: of two the first was there, the second on its way. */
static const struct snapshot *next(struct session *se)
{
	uint32_t seen = 0;

	for (int wait = 0; wait < PATIENCE_MS; wait += 10) {
		const struct snapshot *s = session_snapshot(se);

		if (s && seen++ == 2)
			return s;
		poll(NULL, 0, 10);
	}
	fail_msg("no snapshot came");
	return NULL;
}

static const struct snap_latency *row_of(const struct snapshot *s, const char *name)
{
	for (uint32_t i = 0; i < s->nlatency; i++)
		if (!strcmp(s->latency[i].name, name))
			return &s->latency[i];
	return NULL;
}

static const char *section_of(const struct snapshot *s)
{
	const struct snap_section *sec = snapshot_find_section(s, "func");

	return sec ? sec->reason : "";
}

/* Tick after tick, until the section says so. */
static const struct snapshot *until_said(struct session *se, const char *text)
{
	const struct snapshot *s = next(se);

	for (int wait = 0; !strstr(section_of(s), text); wait++) {
		if (wait == PATIENCE_MS / 100)
			fail_msg("'%s' does not say '%s'", section_of(s), text);
		s = next(se);
	}
	return s;
}

static void count_ten_thousand(bool sessions)
{
	const char *spec = "many_functions:/^many_[0-9]*$/";
	struct known_process t;
	struct func_rig r;

	start(&t, "many_functions");
	if (func_rig_open(&r, t.pid, &spec, 1, false, sessions))
		fail_msg("%s", r.why);
	assert_int_equal(probe_plan_rows(r.plan), 10000);
	assert_true(r.hists.copies > 0);
	tell(&t, "call 0 10000 3");
	tell(&t, "call 9990 10 4");
	for (uint32_t i = 0; i < 10000; i++) {
		func_hists_sum(&r.hists, i, &r.sum);
		assert_int_equal(r.sum.calls, i < 9990 ? 3 : 7);
		assert_int_equal(r.sum.count, r.sum.calls);
	}
	func_rig_close(&r);
	assert_int_equal(known_end(&t), 0);
}

static void calls_of_ten_thousand_functions_are_each_counted(void **state)
{
	need_bpf();
	count_ten_thousand(false);
	if (bpf_has_uprobe_session())
		count_ten_thousand(true);
}

static void of_thousands_the_most_called_are_shown_first(void **state)
{
	const struct snapshot *s;
	struct known_process t;
	struct session *se;

	need_bpf();
	start(&t, "many_functions");
	se = session_on(t.pid, "many_functions:many_*", NULL, 0, false);
	s = next(se);
	assert_int_equal(s->nlatency, 0);
	tell(&t, "call 4000 3000 2");
	tell(&t, "call 5500 1 50");
	tell(&t, "call 5501 1 40");
	s = next(se);
	assert_string_equal(s->latency[0].name, "many_5500");
	assert_int_equal(s->latency[0].count, 52);
	assert_string_equal(s->latency[1].name, "many_5501");
	assert_int_equal(s->latency[1].count, 42);
	assert_true(s->latency[0].p50 > 0 && s->latency[0].p50 <= s->latency[0].max);
	/* The others are not lost in silence. */
	assert_int_equal(s->nlatency + s->truncated, 3000);
	session_reset(se);
	s = next(se);
	tell(&t, "call 17 1 5");
	s = next(se);
	assert_int_equal(s->nlatency, 1);
	assert_int_equal(s->latency[0].count, 5);
	session_free(se);
	assert_int_equal(known_end(&t), 0);
}

/*
 * One run of a hot function for some time beside a cold one. Its estimate by the truth; low: it is
 * said to be.
 */
static double estimate_once(double budget_pct, bool force, uint32_t ms, bool *throttled, bool *low)
{
	char pace[64];
	const struct snap_latency *hot, *cold;
	const struct snapshot *s;
	struct known_process t;
	struct session *se;
	double ratio, truth;

	start(&t, "many_functions");
	se = session_on(t.pid, "many_functions:many_0007", "many_functions:many_0009", budget_pct,
			force);
	s = next(se);
	tell(&t, "call 9 1 100"); /* cold where a call costs 8 us, too */
	snprintf(pace, sizeof(pace), "pace 7 25000 %u", ms);
	tell(&t, pace);
	truth = known_told(&t, "count");
	tell(&t, "call 9 1 23");
	s = next(se);
	hot = row_of(s, "many_0007");
	cold = row_of(s, "many_0009");
	assert_non_null(hot);
	assert_non_null(cold);
	*low = strstr(hot->note, "low estimate") != NULL;
	/* And so early that most of the time was spent so. */
	*throttled = strstr(hot->note, "estimate") != NULL && hot->sampled < hot->count / 2;
	/* A budget that had to be made smaller has no room for the cold one either. */
	if (budget_pct >= 3 || !strstr(cold->note, "estimate")) {
		assert_int_equal(cold->count, 123);
		assert_null(strstr(cold->note, "estimate"));
	}
	ratio = (double)hot->count / truth;
	if (*throttled) {
		assert_int_equal(s->cost.throttled, 1);
		assert_non_null(strstr(section_of(s), "windows"));
	} else if (!strstr(hot->note, "estimate")) {
		assert_int_equal(hot->count, (uint64_t)truth);
	}
	session_free(se);
	assert_int_equal(known_end(&t), 0);
	return ratio;
}

/*
 * The machine may take the CPU away in a window: that moves an estimate, and is tried again. On a
 * busy one the function is hot for a smaller budget only.
 */
static void a_hot_function_is_estimated_and_a_cold_one_beside_it_is_exact(void **state)
{
	double ratio = 0, budget_pct = 3;
	bool throttled = false, low = false, good = false;

	need_bpf();
	for (int i = 0; i < TRIES && !good; i++) {
		ratio = estimate_once(budget_pct, false, 2500, &throttled, &low);
		print_message("%.2f %%: %sestimate is %.3f of the truth\n", budget_pct,
			      low ? "low " : "", ratio);
		good = throttled && ratio > (low ? 0.4 : 0.8) && ratio < 1.2;
		if (!throttled)
			budget_pct /= 3;
	}
	assert_true(good);
}

static void with_budget_enough_or_force_every_call_counts(void **state)
{
	bool throttled = true, low;

	need_bpf();
	estimate_once(100, false, 600, &throttled, &low);
	assert_false(throttled);
	estimate_once(3, true, 600, &throttled, &low);
	assert_false(throttled);
}

static void a_library_that_is_not_there_yet_is_waited_for(void **state)
{
	const struct snapshot *s;
	struct known_process t;
	struct session *se;

	need_bpf();
	start(&t, "dl_loop");
	se = session_on(t.pid, "libz.so.1:zlibCompileFlags", NULL, 0, false);
	s = until_said(se, "libz.so.1 is not loaded yet");
	assert_int_equal(s->nlatency, 0);
	tell(&t, "load libz.so.1");
	if (!known_told(&t, "ok")) {
		print_message("no libz.so.1 here\n");
		skip();
	}
	s = until_said(se, "1 functions");
	tell(&t, "call zlibCompileFlags 300");
	s = next(se);
	assert_int_equal(row_of(s, "zlibCompileFlags")->count, 300);
	tell(&t, "unload");
	s = until_said(se, "unloaded");
	assert_int_equal(row_of(s, "zlibCompileFlags")->count, 300);
	assert_non_null(strstr(row_of(s, "zlibCompileFlags")->note, "gone"));
	/* Loaded again it is the same row, from the first call on. */
	tell(&t, "loop libz.so.1 zlibCompileFlags 50");
	s = next(se);
	assert_int_equal(row_of(s, "zlibCompileFlags")->count, 350);
	tell(&t, "load libz.so.1");
	tell(&t, "call zlibCompileFlags 20");
	s = until_said(se, "1 functions");
	s = next(se);
	assert_int_equal(row_of(s, "zlibCompileFlags")->count, 370);
	assert_null(strstr(row_of(s, "zlibCompileFlags")->note, "gone"));
	session_free(se);
	assert_int_equal(known_end(&t), 0);
}

static void any_file_includes_those_that_come_later(void **state)
{
	const struct snapshot *s;
	struct known_process t;
	struct session *se;

	need_bpf();
	start(&t, "dl_loop");
	se = session_on(t.pid, "*:zlibCompile*", NULL, 0, true);
	until_said(se, "not loaded yet");
	tell(&t, "load libz.so.1");
	if (!known_told(&t, "ok"))
		skip();
	until_said(se, "1 functions");
	tell(&t, "call zlibCompileFlags 7");
	s = next(se);
	assert_int_equal(row_of(s, "zlibCompileFlags")->count, 7);
	session_free(se);
	assert_int_equal(known_end(&t), 0);
}

static void a_library_that_came_without_the_function_says_so(void **state)
{
	const struct snapshot *s;
	struct known_process t;
	struct session *se;
	bool told = false;

	need_bpf();
	start(&t, "dl_loop");
	se = session_on(t.pid, "libz.so.1:zlibCompileFlag", NULL, 0, false);
	until_said(se, "not loaded yet");
	tell(&t, "load libz.so.1");
	if (!known_told(&t, "ok"))
		skip();
	for (int i = 0; i < 50 && !told; i++) {
		s = next(se);
		for (uint32_t k = 0; k < s->nevents; k++)
			told |= strstr(s->events[k].text, "did you mean 'zlibCompileFlags'") !=
				NULL;
	}
	assert_true(told);
	session_free(se);
	assert_int_equal(known_end(&t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_of_ten_thousand_functions_are_each_counted),
		cmocka_unit_test(of_thousands_the_most_called_are_shown_first),
		cmocka_unit_test(a_hot_function_is_estimated_and_a_cold_one_beside_it_is_exact),
		cmocka_unit_test(with_budget_enough_or_force_every_call_counts),
		cmocka_unit_test(a_library_that_is_not_there_yet_is_waited_for),
		cmocka_unit_test(any_file_includes_those_that_come_later),
		cmocka_unit_test(a_library_that_came_without_the_function_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
