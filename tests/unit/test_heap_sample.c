/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_heap_sample.c: the heap sampler in programs that keep their own account of their memory.
 * Long because each way to allocate is a case, over one fixture.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/heap_sites.h"
#include "tests/lib/known_process.h"

/* ---- a target with the library in it ---------------------------------------------------------
 */

static struct rig {
	struct known_process k; /* its pipes, and the truth it told */
	struct heap_segment *segment;
	struct symbols *syms;
	struct unwinder *unwinder;
	struct heap_stacks stacks;
	struct heap_sites *sites;
	struct heap_report *report;
	struct heap_totals before;
} rig;

static void beside(char *buf, size_t size, const char *name)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	assert_true(n > 0);
	exe[n] = '\0';
	for (int up = 0; up < 3; up++)
		*strrchr(exe, '/') = '\0';
	assert_true((size_t)snprintf(buf, size, "%s/%s", exe, name) < size);
}

static void hear(void)
{
	assert_non_null(fgets(rig.k.line, sizeof(rig.k.line), rig.k.out));
}

static void start(const char *target, const char *mean)
{
	char path[PATH_MAX], lib[PATH_MAX];
	int to[2], from[2];

	beside(path, sizeof(path), target);
	beside(lib, sizeof(lib), "libperftop_heap.so");
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	rig.k.pid = fork();
	assert_true(rig.k.pid >= 0);
	if (!rig.k.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		setenv("LD_PRELOAD", lib, 1);
		setenv("PERFTOP_HEAP_MEAN", mean, 1);
		setenv("PERFTOP_HEAP_SEED", "1", 1);
		execl(path, target, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	rig.k.in = fdopen(to[1], "w");
	rig.k.out = fdopen(from[0], "r");
	assert_non_null(rig.k.in);
	assert_non_null(rig.k.out);
	hear();
}

static void attach(pid_t pid)
{
	char why[256] = "";
	int err;

	rig.segment = heap_segment_attach(pid, &err, why, sizeof(why));
	if (!rig.segment)
		print_error("%s\n", why);
	assert_non_null(rig.segment);
	rig.syms = symbols_new(pid);
	assert_int_equal(symbols_refresh(rig.syms), 0);
	rig.unwinder = unwind_new(rig.syms);
	rig.report = calloc(1, sizeof(*rig.report));
	assert_non_null(rig.report);
	rig.stacks = (struct heap_stacks){
		.syms = rig.syms, .unwinder = rig.unwinder, .segment = rig.segment};
	rig.sites = heap_sites_new(heap_stack_ids, &rig.stacks);
	assert_non_null(rig.sites);
}

static void detach(void)
{
	heap_sites_free(rig.sites);
	unwind_free(rig.unwinder);
	symbols_free(rig.syms);
	free(rig.report);
	heap_segment_free(rig.segment);
}

static void finish(void)
{
	detach();
	assert_int_equal(known_end(&rig.k), 0);
}

static const struct heap_totals *refresh(void)
{
	assert_int_equal(heap_segment_refresh(rig.segment), 0);
	return heap_segment_totals(rig.segment);
}

static void update(void)
{
	assert_int_equal(heap_sites_update(rig.sites, rig.segment, clock_mono_ns()), 0);
}

/* Tell it a command; rig.before is what there was before. */
static const struct heap_totals *tell(const char *command)
{
	rig.before = *refresh();
	assert_int_equal(known_tell(&rig.k, command), 0);
	return refresh();
}

static uint64_t told(const char *key)
{
	return (uint64_t)known_told(&rig.k, key);
}

static const struct heap_site *site_named(const char *name)
{
	for (uint32_t i = 0; i < rig.report->ntop; i++) {
		const struct heap_site *s = &rig.report->top[i];
		struct symbol sym;

		if (!s->nframes)
			continue;
		symbols_by_id(rig.syms, s->frames[0], &sym);
		if (!strcmp(sym.name, name))
			return s;
	}
	fail_msg("no site %s", name);
	return NULL;
}

static void near(const char *what, double got, double want, double part)
{
	if (fabs(got - want) > part * want)
		fail_msg("%s is %.0f, which is not within %.0f %% of %.0f", what, got, 100 * part,
			 want);
}

/* ---- planted truth --------------------------------------------------------------------------- */

static void ten_million_allocations_are_counted_exactly_and_sited_within_5_percent(void **state)
{
	const struct heap_site *leak, *churn, *cache;
	const struct heap_totals *t;
	struct heap_totals first;
	struct symbol sym;

	start("tests/targets/heap_known", "16384");
	attach(rig.k.pid);
	first = *refresh();
	/* In turns, so that a slow machine drops nothing. */
	for (int i = 0; i < 40; i++) {
		t = tell("run 250000");
		update();
		usleep(20000);
	}
	assert_int_equal(t->dropped, 0);
	assert_int_equal(t->unread, 0);
	assert_int_equal(t->allocs - first.allocs, told("objects"));
	assert_true(told("objects") > 9900000);
	assert_int_equal(t->live_bytes - first.live_bytes, told("live"));
	assert_int_equal(t->alloc_bytes - first.alloc_bytes,
			 told("churn") + told("cache") + told("leak"));
	heap_sites_report(rig.sites, clock_mono_ns(), rig.report);
	leak = site_named("known_site_leak");
	churn = site_named("known_site_churn");
	cache = site_named("known_site_cache");
	near("leaked bytes", leak->live_bytes, told("leak"), 0.05);
	near("leaked objects", leak->live_objects, told("leak_objects"), 0.05);
	near("bytes of the churn", churn->alloc_bytes, told("churn"), 0.05);
	near("bytes of the cache", cache->live_bytes, told("cache"), 0.05);
	near("live bytes", rig.report->live_bytes, told("live"), 0.05);
	near("allocated bytes", rig.report->alloc_bytes, t->alloc_bytes - first.alloc_bytes, 0.05);
	/* The cache is as old and nearly as large: it is no leak. */
	assert_true(rig.report->nsuspects >= 1);
	symbols_by_id(rig.syms, rig.report->suspects[0].frames[0], &sym);
	assert_string_equal(sym.name, "known_site_leak");
	assert_true(leak->leak_score > 50);
	assert_true(cache->leak_score < 10);
	assert_true(churn->leak_score < 10);
	assert_true(rig.stacks.complete > 100 * rig.stacks.broken);
	finish();
}

static void lifetimes_and_generations_are_those_of_the_objects(void **state)
{
	double held = 0, all = 0;

	start("tests/targets/heap_known", "1");
	attach(rig.k.pid);
	update();
	heap_sites_reset(rig.sites);
	tell("hold 500 100 50");
	update();
	heap_sites_report(rig.sites, clock_mono_ns(), rig.report);
	for (int i = 0; i < HEAP_LIFETIMES; i++) {
		all += rig.report->lifetimes[i];
		held += i >= 25 ? rig.report->lifetimes[i] : 0; /* 2^25 ns = 34 ms */
	}
	near("objects freed", all, 500, 0.001);
	near("objects that lived 50 ms", held, 500, 0.001);
	assert_true(rig.report->lifetime_p50_ns >= 33000000);
	/* What lives is younger than the time since the target began, and of the first generation.
	 */
	tell("align");
	update();
	heap_sites_report(rig.sites, clock_mono_ns() + 5000000000u, rig.report);
	assert_true(rig.report->generation_objects[0] < 0.5);
	assert_true(rig.report->generation_objects[1] >= (double)told("objects"));
	finish();
}

/* Objects smaller than the mean: each byte of bias would show as 4 %. */
static void small_objects_are_sampled_without_bias(void **state)
{
	double objects = 0;

	start("tests/targets/heap_known", "128");
	attach(rig.k.pid);
	update();
	heap_sites_reset(rig.sites);
	for (int i = 0; i < 100; i++) {
		tell("hold 4000 20 0");
		objects += (double)told("objects");
		update();
	}
	assert_int_equal(refresh()->dropped, 0);
	heap_sites_report(rig.sites, clock_mono_ns(), rig.report);
	near("objects", rig.report->alloc_objects, objects, 0.015);
	near("bytes", rig.report->alloc_bytes, 24 * objects, 0.015);
	finish();
}

/* ---- every way to allocate ------------------------------------------------------------------- */

static void each_way_to_allocate_is_counted_and_works_as_before(void **state)
{
	const struct heap_totals *t;

	start("tests/targets/heap_known", "4096");
	attach(rig.k.pid);
	t = tell("align");
	assert_int_equal(told("bad"), 0);
	assert_int_equal(t->live_objects - rig.before.live_objects, told("objects"));
	assert_int_equal(t->live_bytes - rig.before.live_bytes, told("bytes"));
	t = tell("realloc 300");
	assert_int_equal(told("bad"), 0);
	assert_int_equal(t->live_objects, rig.before.live_objects);
	assert_int_equal(t->live_bytes, rig.before.live_bytes);
	assert_true(t->allocs - rig.before.allocs >= 300);
	/* No sample outlives its object, whichever way that went. */
	tell("realloc 300");
	update();
	heap_sites_report(rig.sites, clock_mono_ns(), rig.report);
	assert_true(rig.report->live_bytes < 3000000);
	for (int i = 0; i < HEAP_CLASSES; i++)
		assert_true(t->class_allocs[i] >= t->class_frees[i]);
	finish();
}

static void operators_new_and_delete_are_counted(void **state)
{
	const struct heap_totals *t;
	char path[PATH_MAX];

	beside(path, sizeof(path), "tests/targets/heap_cxx");
	if (access(path, X_OK))
		skip(); /* no C++ compiler when this was built */
	start("tests/targets/heap_cxx", "1024");
	attach(rig.k.pid);
	t = tell("on");
	assert_int_equal(t->live_objects - rig.before.live_objects, told("objects"));
	assert_int_equal(t->live_bytes - rig.before.live_bytes, told("bytes"));
	assert_true(t->frees - rig.before.frees > 20000);
	finish();
}

/* ---- threads --------------------------------------------------------------------------------- */

static void memory_freed_by_another_thread_is_right_in_the_sum(void **state)
{
	const struct heap_totals *t;

	start("tests/targets/heap_known", "4096");
	attach(rig.k.pid);
	tell("threads 200 10"); /* glibc keeps the stacks of the first, and what belongs to them */
	t = tell("threads 200 5000");
	assert_int_equal(t->live_bytes, rig.before.live_bytes);
	assert_int_equal(t->live_objects, rig.before.live_objects);
	assert_int_equal(t->allocs - rig.before.allocs, told("objects"));
	assert_in_range(t->threads, 1, 2);
	assert_int_equal(t->refused_threads, 0);
	finish();
}

static void thousands_of_threads_are_counted(void **state)
{
	const struct heap_totals *t;

	start("tests/targets/heap_known", "65536");
	attach(rig.k.pid);
	t = tell("threads 2000 20");
	assert_true(t->allocs - rig.before.allocs >= told("objects"));
	/* Beside what glibc keeps for the stacks that it keeps, all is gone. */
	assert_true(t->live_objects - rig.before.live_objects <= 4 * 2000);
	assert_in_range(t->threads, 1, 2);
	finish();
}

/* ---- fork, exec, the end --------------------------------------------------------------------- */

static void a_forked_child_has_a_heap_of_its_own_that_begins_as_its_parents(void **state)
{
	struct heap_totals parent;
	const struct heap_totals *t;
	pid_t child;

	start("tests/targets/heap_known", "1");
	attach(rig.k.pid);
	tell("run 30000");
	parent = *refresh();
	assert_int_equal(known_tell(&rig.k, "fork 100"), 0);
	child = (pid_t)told("pid");
	assert_true(child > 0 && child != rig.k.pid);
	t = refresh();
	assert_int_equal(t->allocs, parent.allocs);
	assert_int_equal(t->frees, parent.frees);
	detach();

	attach(child);
	t = refresh();
	assert_int_equal(t->from, HEAP_FROM_FORK);
	assert_int_equal(t->allocs - parent.allocs, told("objects"));
	assert_int_equal(t->live_bytes - parent.live_bytes, (int64_t)known_told(&rig.k, "bytes"));
	update();
	heap_sites_report(rig.sites, clock_mono_ns(), rig.report);
	near("objects of the child", rig.report->live_objects, told("objects"), 0.01);
	finish();
}

static void an_exec_is_noticed_and_the_new_program_has_a_segment_of_its_own(void **state)
{
	start("tests/targets/heap_known", "4096");
	attach(rig.k.pid);
	tell("run 30000");
	assert_int_equal(known_tell(&rig.k, "exec"), 0);
	assert_int_equal(heap_segment_refresh(rig.segment), -ESRCH);
	assert_true(heap_segment_totals(rig.segment)->allocs >= 20000);
	detach();
	attach(rig.k.pid);
	assert_true(refresh()->allocs < 1000);
	finish();
}

static void a_program_that_closes_its_descriptors_is_still_read(void **state)
{
	const struct heap_totals *t;

	if (geteuid())
		skip(); /* following links in map_files takes a capability */
	start("tests/targets/heap_known", "4096");
	assert_int_equal(known_tell(&rig.k, "close"), 0);
	attach(rig.k.pid);
	t = tell("run 1000");
	assert_int_equal(t->allocs - rig.before.allocs, 1000);
	finish();
}

static void two_readers_lose_samples_to_each_other_and_nothing_else(void **state)
{
	struct heap_segment *other;
	struct heap_sites *sites;
	char why[256];
	int err;

	start("tests/targets/heap_known", "4096");
	attach(rig.k.pid);
	other = heap_segment_attach(rig.k.pid, &err, why, sizeof(why));
	sites = heap_sites_new(heap_stack_ids, &rig.stacks);
	assert_true(other && sites);
	for (int i = 0; i < 6; i++) {
		tell("run 20000");
		if (i & 1)
			assert_int_equal(heap_sites_update(sites, other, clock_mono_ns()), 0);
		else
			update();
	}
	assert_int_equal(heap_segment_refresh(other), 0);
	assert_int_equal(heap_segment_totals(other)->allocs, refresh()->allocs);
	assert_true(heap_segment_lost(other) > 0);
	heap_sites_free(sites);
	heap_segment_free(other);
	finish();
}

static void calls_that_took_long_are_counted_and_have_a_stack(void **state)
{
	const struct heap_totals *t;
	bool named = false;

	start("tests/targets/heap_known", "524288");
	attach(rig.k.pid);
	heap_segment_set_pause(rig.segment, 1);
	t = tell("big 50");
	assert_true(t->timed - rig.before.timed >= 100); /* every malloc and every free of them */
	assert_true(t->pauses - rig.before.pauses >= 100);
	assert_true(t->pause_max_ns >= t->pause_p50_ns && t->pause_p50_ns > 0);
	update();
	heap_sites_report(rig.sites, clock_mono_ns(), rig.report);
	assert_true(rig.report->npauses > 0);
	for (uint32_t i = 0; i < rig.report->npauses; i++) {
		const struct heap_pause *p = &rig.report->pauses[i];
		struct symbol sym;

		for (uint32_t f = 0; f < p->nframes; f++) {
			symbols_by_id(rig.syms, p->frames[f], &sym);
			named |= !strcmp(sym.name, "main");
		}
	}
	assert_true(named);
	finish();
}

static void what_was_counted_up_to_the_end_is_read_after_it(void **state)
{
	const struct heap_totals *t;
	uint64_t objects;

	start("tests/targets/heap_known", "4096");
	attach(rig.k.pid);
	tell("run 100000");
	objects = told("objects");
	assert_int_equal(known_end(&rig.k), 0);
	assert_int_equal(heap_segment_refresh(rig.segment), -ESRCH);
	t = heap_segment_totals(rig.segment);
	assert_true(t->allocs >= objects);
	update();
	heap_sites_report(rig.sites, clock_mono_ns(), rig.report);
	assert_true(rig.report->live_samples > 100);
	detach();
}

/* ---- a slow reader --------------------------------------------------------------------------- */

static void a_full_ring_is_counted_and_halves_the_samples(void **state)
{
	const struct heap_totals *t;

	start("tests/targets/heap_known", "64");
	attach(rig.k.pid);
	update();
	for (int i = 0; i < 6; i++) {
		t = tell("run 200000");
		update();
	}
	assert_true(t->dropped > 0 && t->dropped_bytes > t->dropped * 64);
	assert_true(t->mean_bytes >= 128);
	/* Frees whose records were lost do not keep samples alive. */
	heap_sites_report(rig.sites, clock_mono_ns(), rig.report);
	assert_true(rig.report->live_bytes < (double)t->live_bytes * 1.2);
	finish();
}

static uint64_t mean_after_a_storm(const char *mean)
{
	uint64_t after;

	start("tests/targets/heap_known", mean);
	attach(rig.k.pid);
	update();
	/* As fast as calls of a megabyte go, and fewer than the ring has room for. */
	after = tell("big 600")->mean_bytes;
	assert_int_equal(refresh()->dropped, 0);
	assert_true(refresh()->samples > 100);
	finish();
	return after;
}

static void samples_that_come_fast_get_fewer_unless_a_mean_is_asked_for(void **state)
{
	assert_true(mean_after_a_storm("0") > HEAP_DEFAULT_MEAN_BYTES);
	assert_int_equal(mean_after_a_storm("524288"), HEAP_DEFAULT_MEAN_BYTES);
}

static void a_process_without_the_library_is_said_to_be_one(void **state)
{
	char why[256];
	int err;

	assert_null(heap_segment_attach(getpid(), &err, why, sizeof(why)));
	assert_int_equal(err, -ENOENT);
	assert_non_null(strstr(why, "not loaded"));
	assert_null(heap_segment_attach(INT_MAX - 1, &err, why, sizeof(why)));
	assert_int_equal(err, -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			ten_million_allocations_are_counted_exactly_and_sited_within_5_percent),
		cmocka_unit_test(lifetimes_and_generations_are_those_of_the_objects),
		cmocka_unit_test(small_objects_are_sampled_without_bias),
		cmocka_unit_test(each_way_to_allocate_is_counted_and_works_as_before),
		cmocka_unit_test(operators_new_and_delete_are_counted),
		cmocka_unit_test(memory_freed_by_another_thread_is_right_in_the_sum),
		cmocka_unit_test(thousands_of_threads_are_counted),
		cmocka_unit_test(a_forked_child_has_a_heap_of_its_own_that_begins_as_its_parents),
		cmocka_unit_test(an_exec_is_noticed_and_the_new_program_has_a_segment_of_its_own),
		cmocka_unit_test(a_program_that_closes_its_descriptors_is_still_read),
		cmocka_unit_test(two_readers_lose_samples_to_each_other_and_nothing_else),
		cmocka_unit_test(calls_that_took_long_are_counted_and_have_a_stack),
		cmocka_unit_test(what_was_counted_up_to_the_end_is_read_after_it),
		cmocka_unit_test(a_full_ring_is_counted_and_halves_the_samples),
		cmocka_unit_test(samples_that_come_fast_get_fewer_unless_a_mean_is_asked_for),
		cmocka_unit_test(a_process_without_the_library_is_said_to_be_one),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
