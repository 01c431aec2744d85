/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_func.c: -e on a program that knows how often it called what, and for how long.
 * Long because every kind of probe and of target is a case, over one fixture.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/elf_image.h"
#include "collectors/session.h"
#include "collectors/symbols.h"
#include "tests/lib/func_rig.h"
#include "tests/lib/known_process.h"

enum { PATIENCE_MS = 20000 };

static void tell(struct known_process *t, const char *command)
{
	assert_int_equal(known_tell(t, command), 0);
}

static uint64_t told(const struct known_process *t, const char *key)
{
	return (uint64_t)known_told(t, key);
}

static void target_run(struct known_process *t)
{
	assert_int_equal(known_start(t), 0);
	assert_true(!strncmp(t->line, "ready", 5));
}

static void target_end(struct known_process *t)
{
	assert_int_equal(known_end(t), 0);
}

static void rig_open(struct func_rig *r, pid_t pid, const char *const *specs, uint32_t n,
		     bool force, bool sessions)
{
	if (func_rig_open(r, pid, specs, n, force, sessions))
		fail_msg("%s", r->why);
}

static uint32_t rig_row(struct func_rig *r, const char *name)
{
	int row = func_rig_read(r, name);

	if (row < 0)
		fail_msg("no row %s", name);
	return (uint32_t)row;
}

static bool have_bpf;

static int find_bpf(void **state)
{
	have_bpf = bpf_has_uprobe_multi();
	return 0;
}

static void need_bpf(void)
{
	const char *required = getenv("PERFTOP_REQUIRE_BPF");

	if (have_bpf)
		return;
	if (required && !strcmp(required, "1"))
		fail_msg("user probes through eBPF do not work here");
	print_message("no permission or no kernel support for user probes\n");
	skip();
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const char *const every_prologue[] = {"known:known_push",  "known:known_push_r12",
					     "known:known_nop5",  "known:known_endbr",
					     "known:known_test",  "known:known_leaf",
					     "known:known_headed"};
enum { NPROLOGUES = sizeof(every_prologue) / sizeof(every_prologue[0]) };

static void count_every_prologue(bool sessions)
{
	struct known_process t;
	char command[128];
	struct func_rig r;

	target_run(&t);
	rig_open(&r, t.pid, every_prologue, NPROLOGUES, false, sessions);
	for (int i = 0; i < NPROLOGUES; i++) {
		const char *name = strchr(every_prologue[i], ':') + 1;

		snprintf(command, sizeof(command), "calls %s 500 4", name);
		tell(&t, command);
		rig_row(&r, name);
		assert_int_equal(r.sum.calls, 2000);
		assert_int_equal(r.sum.count, 2000);
	}
	func_rig_close(&r);
	target_end(&t);
}

static void every_call_is_counted_whatever_the_prologue_and_thread(void **state)
{
	need_bpf();
	count_every_prologue(bpf_has_uprobe_session());
}

static void every_call_is_counted_where_the_kernel_has_no_sessions(void **state)
{
	need_bpf();
	count_every_prologue(false);
}

static void recursion_counts_every_level(bool sessions)
{
	const char *specs[] = {"known:known_recurse"};
	struct known_process t;
	struct func_rig r;

	target_run(&t);
	rig_open(&r, t.pid, specs, 1, false, sessions);
	tell(&t, "recurse 20 50");
	rig_row(&r, "known_recurse");
	assert_int_equal(r.sum.calls, told(&t, "count"));
	assert_int_equal(r.sum.count, 1000);
	func_rig_close(&r);
	target_end(&t);
}

static void recursive_calls_each_have_a_latency(void **state)
{
	need_bpf();
	if (bpf_has_uprobe_session())
		recursion_counts_every_level(true);
	recursion_counts_every_level(false);
}

static void longjmp_leaves(bool sessions)
{
	const char *specs[] = {"known:known_leave"};
	struct known_process t;
	struct func_rig r;

	target_run(&t);
	rig_open(&r, t.pid, specs, 1, false, sessions);
	tell(&t, "longjmp 300");
	rig_row(&r, "known_leave");
	assert_int_equal(r.sum.calls, 300);
	assert_int_equal(r.sum.count, told(&t, "returned"));
	assert_true(r.sum.count < r.sum.calls);
	func_rig_close(&r);
	target_end(&t);
}

static void a_call_left_by_longjmp_is_a_call_without_a_return(void **state)
{
	need_bpf();
	if (bpf_has_uprobe_session())
		longjmp_leaves(true);
	longjmp_leaves(false);
}

/*
 * No call reads shorter than it was. It may read longer when the thread is preempted inside the
 * probe, outside of the program's own account, which takes a call to another rank: `high` is the
 * truth a little further up.
 */
static void assert_quantile(const struct func_rig *r, double q, double truth, double high,
			    double own_ns)
{
	double got = (double)func_rig_quantile(r, q), half_bucket = 1.0 / 64;

	print_message("p%g: %.0f, truth %.0f\n", q * 100, got, truth);
	if (got < truth * (1 - half_bucket) || got > high * (1 + half_bucket) + own_ns)
		fail_msg("p%g is %.0f; the truth is %.0f, at most %.0f", q * 100, got, truth, high);
}

static void quantiles_agree_with_the_program_s_own(void **state)
{
	const char *specs[] = {"known:known_work"};
	struct known_process t;
	struct func_costs costs;
	struct func_rig r;
	double own;

	need_bpf();
	target_run(&t);
	rig_open(&r, t.pid, specs, 1, false, bpf_has_uprobe_session());
	func_attach_calibrate(r.attach, &r.hists, &costs);
	tell(&t, "script 5000");
	rig_row(&r, "known_work");
	own = (costs.measured ? 2 * costs.floor_ns : 2000) + 200;
	assert_int_equal(r.sum.calls, told(&t, "count"));
	assert_int_equal(r.sum.count, 5000);
	assert_quantile(&r, 0.50, known_told(&t, "p50"), known_told(&t, "p51"), own);
	assert_quantile(&r, 0.99, known_told(&t, "p99"), known_told(&t, "p995"), own);
	assert_quantile(&r, 0.999, known_told(&t, "p999"), known_told(&t, "p9998"), own);
	/* The maximum is one call, which an interrupt may have hit outside of the account. */
	assert_true(r.sum.max >= told(&t, "max"));
	func_rig_close(&r);
	target_end(&t);
}

static void entries_are_counted_where_no_latency_is_cheap(void **state)
{
	const char *specs[] = {"known:known_sub"};
	struct known_process t;
	struct func_rig r;

	need_bpf();
	target_run(&t);
	rig_open(&r, t.pid, specs, 1, false, bpf_has_uprobe_session());
	assert_int_equal(probe_plan_row(r.plan, 0)->how, PROBE_COUNT);
	tell(&t, "calls known_sub 100 3");
	rig_row(&r, "known_sub");
	assert_int_equal(r.sum.calls, 300);
	func_rig_close(&r);
	rig_open(&r, t.pid, specs, 1, true, bpf_has_uprobe_session());
	assert_int_equal(probe_plan_row(r.plan, 0)->how, PROBE_LATENCY);
	tell(&t, "calls known_sub 100 3");
	rig_row(&r, "known_sub");
	assert_int_equal(r.sum.calls, 300);
	assert_int_equal(r.sum.count, 300);
	func_rig_close(&r);
	target_end(&t);
}

static void markers_are_counted_and_pairs_are_timed(void **state)
{
	const char *specs[] = {"usdt:known:known:job", "usdt:known:kn*:single"};
	struct known_process t;
	struct func_rig r;

	need_bpf();
	target_run(&t);
	tell(&t, "marks 5");
	assert_int_equal(told(&t, "fired"), 0);
	rig_open(&r, t.pid, specs, 2, false, bpf_has_uprobe_session());
	tell(&t, "marks 40");
	/* The semaphore was up while somebody listened. */
	assert_int_equal(told(&t, "fired"), 40);
	rig_row(&r, "known:single");
	assert_int_equal(r.sum.calls, 40);
	rig_row(&r, "known:job");
	assert_int_equal(r.sum.calls, 40);
	assert_int_equal(r.sum.count, 40);
	assert_true(func_rig_quantile(&r, 0.5) >= 19600);
	func_rig_close(&r);
	tell(&t, "marks 5");
	assert_int_equal(told(&t, "fired"), 0);
	target_end(&t);
}

static void glibc_s_malloc_and_free_need_no_single_step(void **state)
{
	const char *specs[] = {"libc:malloc", "libc.so.6:free"};
	struct known_process t;
	struct func_rig r;

	need_bpf();
	target_run(&t);
	rig_open(&r, t.pid, specs, 2, false, bpf_has_uprobe_session());
#if defined(__x86_64__)
	for (uint32_t i = 0; i < 2; i++)
		assert_true(probe_plan_row(r.plan, i)->place.how <= PLACE_MOVED);
#endif
	tell(&t, "heap 1000");
	rig_row(&r, "malloc");
	assert_in_range(r.sum.calls, 1000, 1010); /* stdio may want a buffer */
	rig_row(&r, "free");
	assert_in_range(r.sum.calls, 1000, 1010);
	func_rig_close(&r);
	target_end(&t);
}

static void a_function_chosen_at_run_time_is_probed_where_the_choice_lies(void **state)
{
	const char *specs[] = {"libc:strlen"};
	struct known_process t;
	struct func_rig r;

	need_bpf();
	target_run(&t);
	rig_open(&r, t.pid, specs, 1, false, bpf_has_uprobe_session());
	tell(&t, "lengths 1000");
	rig_row(&r, "strlen");
	assert_in_range(r.sum.calls, 1000, 1020); /* stdio measures strings too */
	assert_int_equal(r.sum.count, r.sum.calls);
	func_rig_close(&r);
	target_end(&t);
}

static void a_dropped_probe_leaves_the_others_counting(void **state)
{
	const char *specs[] = {"known:known_push", "known:known_test"};
	struct known_process t;
	bool drop[CONTRACT_FUNC_SLOTS] = {0};
	struct func_rig r;

	need_bpf();
	target_run(&t);
	rig_open(&r, t.pid, specs, 2, false, bpf_has_uprobe_session());
	tell(&t, "calls known_push 10 1");
	drop[rig_row(&r, "known_push")] = true;
	assert_int_equal(func_attach_move(r.attach, drop, FUNC_OFF, r.why, sizeof(r.why)), 0);
	tell(&t, "calls known_push 10 1");
	tell(&t, "calls known_test 10 1");
	rig_row(&r, "known_push");
	assert_int_equal(r.sum.calls, 10);
	rig_row(&r, "known_test");
	assert_int_equal(r.sum.calls, 10);
	func_rig_close(&r);
	target_end(&t);
}

/*
 * The links of the others get successors while four threads call: a call at the moment that one
 * takes over may be seen by both, or neither.
 */
static void probes_that_come_and_go_take_no_call_from_the_others(void **state)
{
	const char *specs[] = {"known:known_push", "known:known_test"};
	enum { MOVES = 6, CALLS = 400000 };
	bool move[CONTRACT_FUNC_SLOTS] = {0};
	struct known_process t;
	struct func_rig r;

	need_bpf();
	target_run(&t);
	rig_open(&r, t.pid, specs, 2, false, bpf_has_uprobe_session());
	move[rig_row(&r, "known_test")] = true;
	fprintf(t.in, "calls known_push %d 4\n", CALLS / 4);
	fflush(t.in);
	for (int i = 0; i < MOVES; i++) {
		assert_int_equal(func_attach_move(r.attach, move,
						  i % 2 ? FUNC_STEADY : FUNC_WINDOWED, r.why,
						  sizeof(r.why)),
				 0);
		poll(NULL, 0, 20);
		func_attach_retire(r.attach);
	}
	assert_non_null(fgets(t.line, sizeof(t.line), t.out));
	rig_row(&r, "known_push");
	assert_in_range(r.sum.calls, CALLS - MOVES, CALLS + MOVES);
	assert_in_range(r.sum.count, CALLS - 8 * MOVES, CALLS + MOVES);
	/* What was moved last is attached, and counts. */
	tell(&t, "calls known_test 10 1");
	rig_row(&r, "known_test");
	assert_int_equal(r.sum.calls, 10);
	func_rig_close(&r);
	target_end(&t);
}

/* Bytes of a function as the target has them in memory now. */
static void read_code(struct known_process *t, const char *name, uint8_t *buf, size_t n)
{
	struct symbols *syms = symbols_new(t->pid);
	const struct symbols_module *mods;
	uint32_t nmods;
	char path[64];
	FILE *mem;

	assert_non_null(syms);
	assert_int_equal(symbols_refresh(syms), 0);
	mods = symbols_modules(syms, &nmods);
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)t->pid);
	mem = fopen(path, "r");
	assert_non_null(mem);
	memset(buf, 0, n);
	for (uint32_t m = 0; m < nmods; m++) {
		const struct elf_function *f = NULL;
		uint32_t nf = 0;

		if (!mods[m].image || elf_image_functions(mods[m].image, &f, &nf))
			continue;
		for (uint32_t i = 0; i < nf; i++) {
			if (strcmp(f[i].name, name))
				continue;
			assert_int_equal(fseeko(mem, (off_t)(f[i].vaddr + mods[m].bias), SEEK_SET),
					 0);
			assert_int_equal(fread(buf, 1, n, mem), n);
		}
	}
	fclose(mem);
	symbols_free(syms);
}

/* In a child of its own: attach, say so, and wait to be killed. */
static pid_t run_perftop(pid_t target, int *ready)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		const char *specs[] = {"known:known_push", "known:known_nop5", "known:known_test",
				       "known:known_leaf"};
		struct func_rig r;

		rig_open(&r, target, specs, 4, false, bpf_has_uprobe_session());
		if (write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	*ready = fds[0];
	return pid;
}

static void a_killed_perftop_leaves_no_breakpoint_behind(void **state)
{
	static const char *const names[] = {"known_push", "known_nop5", "known_test", "known_leaf"};
	uint8_t before[4][8], during[8], after[8];
	struct known_process t;
	int ready, changed = 0, left = 4;
	char c;
	pid_t pid;

	need_bpf();
	target_run(&t);
	for (int i = 0; i < 4; i++)
		read_code(&t, names[i], before[i], 8);
	pid = run_perftop(t.pid, &ready);
	assert_int_equal(read(ready, &c, 1), 1);
	close(ready);
	tell(&t, "calls known_nop5 100 1"); /* the first hit may turn the nop into a call */
	for (int i = 0; i < 4; i++) {
		read_code(&t, names[i], during, 8);
		changed += memcmp(before[i], during, 8) != 0;
	}
	assert_int_equal(changed, 4); /* or the test would prove nothing */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* The kernel takes the probes off when the last descriptor is released, soon after. */
	for (int wait = 0; left && wait < PATIENCE_MS; wait += 10) {
		left = 0;
		for (int i = 0; i < 4; i++) {
			read_code(&t, names[i], after, 8);
			left += memcmp(before[i], after, 8) != 0;
		}
		if (left)
			poll(NULL, 0, 10);
	}
	assert_int_equal(left, 0);
	/* A trap is 300 ns at the very least; a call without one takes a few. */
	tell(&t, "calls known_leaf 200000 1");
	assert_true(known_told(&t, "ns") < 150);
	target_end(&t);
}

static void assert_refused(pid_t pid, const char *spec, const char *part)
{
	struct func_rig r;

	func_rig_plan(&r, pid, &spec, 1, false);
	if (r.plan || !strstr(r.why, part))
		fail_msg("%s: '%s' does not say '%s'", spec, r.why, part);
	symbols_free(r.syms);
}

static void a_probe_that_names_nothing_says_what_there_is(void **state)
{
	struct known_process t;

	target_run(&t);
	assert_refused(t.pid, "libc.so.6:mallok", "did you mean 'malloc'");
	assert_refused(t.pid, "known:known_pish", "did you mean 'known_push'");
	assert_refused(t.pid, "foo:malloc", "foo is not mapped");
	assert_refused(t.pid, "foo:malloc", "libc.so.6");
	assert_refused(t.pid, "usdt:known:known:nothing", "did you mean 'known:");
	assert_refused(t.pid, "libc:time", "IFUNC");
	target_end(&t);
}

static void aliases_of_one_function_are_one_row(void **state)
{
	const char *specs[] = {"libc:malloc", "libc:__libc_malloc"};
	struct known_process t;
	struct func_rig r;

	target_run(&t);
	func_rig_plan(&r, t.pid, specs, 2, false);
	if (!r.plan)
		fail_msg("%s", r.why);
	assert_int_equal(probe_plan_rows(r.plan), 1);
	assert_string_equal(probe_plan_row(r.plan, 0)->name, "malloc");
	probe_plan_free(r.plan);
	symbols_free(r.syms);
	target_end(&t);
}

static void a_pattern_leaves_out_what_would_be_single_stepped(void **state)
{
	const char *specs[] = {"known_*"};
	struct known_process t;
	struct func_rig r;

	target_run(&t);
	func_rig_plan(&r, t.pid, specs, 1, false);
	if (!r.plan)
		fail_msg("%s", r.why);
	for (uint32_t i = 0; i < probe_plan_rows(r.plan); i++)
		assert_int_not_equal(probe_plan_row(r.plan, i)->place.how, PLACE_STEPPED);
#if defined(__x86_64__)
	assert_true(probe_plan_refused(r.plan) >= 2); /* known_leaf, known_headed */
#endif
	probe_plan_free(r.plan);
	symbols_free(r.syms);
	target_end(&t);
}

/* ---- through a session ----------------------------------------------------------------------- */

static struct session *session_on(pid_t pid, const char *spec, double budget_pct, bool force)
{
	struct session_config cfg = {
		.pid = pid,
		.interval_ns = 50000000,
		.syscalls = SYSCALL_OFF,
		.max_overhead_pct = budget_pct,
		.force = force,
		.probes = {spec},
		.nprobes = 1,
	};
	char why[256] = "";
	int err = 0;
	struct session *se = session_new(&cfg, &err, why, sizeof(why));

	if (!se || session_start(se))
		fail_msg("%s", why);
	return se;
}

/* The newest snapshot that has a latency row of that name; NULL when patience ends. */
static const struct snap_latency *next_row(struct session *se, const char *name,
					   const struct snapshot **out)
{
	for (int wait = 0; wait < PATIENCE_MS; wait += 10) {
		const struct snapshot *s = session_snapshot(se);

		for (uint32_t i = 0; s && i < s->nlatency; i++) {
			if (strcmp(s->latency[i].name, name))
				continue;
			*out = s;
			return &s->latency[i];
		}
		poll(NULL, 0, 10);
	}
	return NULL;
}

static void a_row_has_the_counts_the_cost_and_the_place(void **state)
{
	const struct snap_latency *row;
	const struct snapshot *s;
	struct known_process t;
	struct session *se;

	need_bpf();
	target_run(&t);
	se = session_on(t.pid, "known:known_test", 0, false);
	assert_non_null(next_row(se, "known_test", &s)); /* attached by now */
	tell(&t, "calls known_test 700 2");
	do {
		row = next_row(se, "known_test", &s);
		assert_non_null(row);
	} while (row->count < 1400);
	assert_int_equal(row->count, 1400);
	assert_int_equal(row->calls, 1400);
	assert_int_equal(row->source, LATENCY_UPROBE);
	assert_string_equal(row->module, "known");
	assert_true(row->p50 > 0 && row->p50 <= row->p99 && row->p99 <= row->max + row->max / 32);
	assert_true(row->bin_count > 0);
#if defined(__x86_64__)
	assert_true(row->cost_ns > 0);
	assert_non_null(strstr(row->note, "+3"));
#endif
	session_free(se);
	target_end(&t);
}

static void a_probe_over_its_budget_is_taken_off_and_says_so(void **state)
{
	const struct snap_latency *row;
	const struct snapshot *s;
	struct known_process t;
	struct session *se;
	bool told_user = false;

	need_bpf();
	target_run(&t);
	se = session_on(t.pid, "known:known_push", 0.01, false);
	row = next_row(se, "known_push", &s);
	for (int i = 0; row && i < 200 && !strstr(row->note, "detached"); i++) {
		tell(&t, "calls known_push 100000 1");
		row = next_row(se, "known_push", &s);
	}
	assert_non_null(row);
	assert_non_null(strstr(row->note, "detached: over budget"));
	for (uint32_t i = 0; i < s->nevents; i++)
		told_user |= strstr(s->events[i].text, "detached known_push") != NULL;
	assert_true(told_user);
	tell(&t, "calls known_push 100000 1");
	assert_true(known_told(&t, "ns") < 150);
	session_free(se);
	target_end(&t);
}

static void force_keeps_a_probe_over_its_budget(void **state)
{
	const struct snap_latency *row;
	const struct snapshot *s;
	struct known_process t;
	struct session *se;

	need_bpf();
	target_run(&t);
	se = session_on(t.pid, "known:known_push", 0.01, true);
	for (int i = 0; i < 8; i++) {
		tell(&t, "calls known_push 100000 1");
		row = next_row(se, "known_push", &s);
		assert_non_null(row);
		assert_null(strstr(row->note, "detached"));
	}
	session_free(se);
	target_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_is_counted_whatever_the_prologue_and_thread),
		cmocka_unit_test(every_call_is_counted_where_the_kernel_has_no_sessions),
		cmocka_unit_test(recursive_calls_each_have_a_latency),
		cmocka_unit_test(a_call_left_by_longjmp_is_a_call_without_a_return),
		cmocka_unit_test(quantiles_agree_with_the_program_s_own),
		cmocka_unit_test(entries_are_counted_where_no_latency_is_cheap),
		cmocka_unit_test(markers_are_counted_and_pairs_are_timed),
		cmocka_unit_test(glibc_s_malloc_and_free_need_no_single_step),
		cmocka_unit_test(a_function_chosen_at_run_time_is_probed_where_the_choice_lies),
		cmocka_unit_test(a_dropped_probe_leaves_the_others_counting),
		cmocka_unit_test(probes_that_come_and_go_take_no_call_from_the_others),
		cmocka_unit_test(a_killed_perftop_leaves_no_breakpoint_behind),
		cmocka_unit_test(a_row_has_the_counts_the_cost_and_the_place),
		cmocka_unit_test(a_probe_over_its_budget_is_taken_off_and_says_so),
		cmocka_unit_test(force_keeps_a_probe_over_its_budget),
		cmocka_unit_test(a_probe_that_names_nothing_says_what_there_is),
		cmocka_unit_test(aliases_of_one_function_are_one_row),
		cmocka_unit_test(a_pattern_leaves_out_what_would_be_single_stepped),
	};

	return cmocka_run_group_tests(tests, find_bpf, NULL);
}
