/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tail.c: slow calls whose reason is known are recognised, and their times add up.
 * Long because each reason to be slow is a case, over one fixture.
 */
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <cmocka.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/session.h"
#include "collectors/syscalls.h"
#include "collectors/tail_priv.h"
#include "collectors/tail_words.h"
#include "perftop.skel.h"
#include "tests/lib/func_rig.h"
#include "tests/lib/known_process.h"

#define MS 1000000ull

struct rig {
	struct known_process k;
	struct session *se;
};

static bool bpf_missing(void)
{
	return geteuid() != 0 || access("/sys/kernel/btf/vmlinux", R_OK);
}

static void need_bpf(void)
{
	const char *required = getenv("PERFTOP_REQUIRE_BPF");

	if (bpf_missing() && !(required && !strcmp(required, "1")))
		skip();
}

/* The next snapshot; gives up after a hundred seconds. */
static const struct snapshot *next(struct session *se)
{
	for (int i = 0; i < 1000; i++) {
		struct pollfd p = {.fd = session_eventfd(se), .events = POLLIN};
		const struct snapshot *s;

		poll(&p, 1, 100);
		s = session_snapshot(se);
		if (s)
			return s;
	}
	fail_msg("no snapshot came");
	return NULL;
}

static void rig_open(struct rig *r, uint64_t slower_ns)
{
	struct session_config cfg = {
		.interval_ns = 50 * MS,
		.offcpu = true,
		.force = true,
		.slower_ns = slower_ns,
		.probes = {"tail_reasons:tail_*"},
		.nprobes = 1,
		.syscalls = SYSCALL_OFF,
	};
	char why[256];
	int err;

	assert_int_equal(known_start_program(&r->k, "tail_reasons"), 0);
	cfg.pid = r->k.pid;
	r->se = session_new(&cfg, &err, why, sizeof(why));
	if (!r->se)
		fail_msg("%s", why);
	assert_int_equal(session_start(r->se), 0);
	next(r->se);
}

static void rig_close(struct rig *r)
{
	session_free(r->se);
	assert_int_equal(known_end(&r->k), 0);
}

/* The newest call of that function since `after`, CLOCK_REALTIME. */
static const struct snap_tail *find(const struct snapshot *s, const char *name, uint64_t after)
{
	const struct snap_tail *newest = NULL;

	for (uint32_t i = 0; i < s->ntails; i++)
		if (!strcmp(s->tails[i].name, name) && s->tails[i].time_ns > after) {
			newest = &s->tails[i];
			after = newest->time_ns;
		}
	return newest;
}

/*
 * Has the target do it, and waits for its evidence. The call need not be slow when the machine lets
 * the caller wait until the lock is free: then once more.
 */
static const struct snap_tail *slow_call(struct rig *r, const char *command, const char *name)
{
	for (int tries = 0; tries < 10; tries++) {
		uint64_t before = clock_real_ns();

		assert_int_equal(known_tell(&r->k, command), 0);
		for (int i = 0; i < 10; i++) {
			const struct snap_tail *t = find(next(r->se), name, before);

			if (t)
				return t;
		}
	}
	fail_msg("no evidence of %s", name);
	return NULL;
}

static bool near(double got, double want, double slack)
{
	return got >= want - slack && got <= want + slack;
}

static void assert_near(double got, double want, double slack, const char *what)
{
	if (!near(got, want, slack))
		fail_msg("%s: %.0f, not within %.0f of %.0f", what, got, slack, want);
}

/* The program's own clocks run around the breakpoints, perftop's inside them. */
static bool is_as_told(const struct rig *r, const struct snap_tail *t)
{
	double slack = 0.05 * (double)t->ns + 200000;

	return near((double)t->ns, known_told(&r->k, "ns"), slack) &&
	       near((double)t->cpu_ns, known_told(&r->k, "cpu_ns"), slack);
}

/*
 * A call as slow as the program itself says, whose parts add up. A busy machine takes the CPU away
 * between the two clocks now and then, and lets the caller wait longer for a CPU than for what it
 * does: a longer one tells them apart.
 */
static const struct snap_tail *true_call(struct rig *r, const char *what, uint32_t n,
					 const char *name, bool waits)
{
	char command[32];

	for (uint32_t i = 0; i < 20; i++) {
		const struct snap_tail *t;

		snprintf(command, sizeof(command), "%s %u", what, n << (i / 4));
		t = slow_call(r, command, name);
		assert_near((double)(t->cpu_ns + t->runq_ns + t->blocked_ns), (double)t->ns,
			    0.05 * (double)t->ns, "sum of parts");
		assert_int_equal(t->tid, (int)known_told(&r->k, "tid"));
		assert_true(t->nframes >= 4);
		if (t->reason == BLOCKED_RUNQ)
			assert_true((double)t->longest_ns <= 1.05 * (double)t->runq_ns + 200000);
		if (is_as_told(r, t) && !(waits && t->reason == BLOCKED_RUNQ))
			return t;
	}
	fail_msg("%s: never as long as the program says", name);
	return NULL;
}

static void assert_frames(const struct rig *r, const struct snapshot *s, const struct snap_tail *t)
{
	const char *last = s->symbols[t->frames[t->nframes - 1]].name;

	assert_string_equal(s->symbols[t->frames[0]].name, t->name);
	assert_string_equal(last, "_start");
}

static void a_call_that_computes_was_on_the_cpu(void **state)
{
	const struct snap_tail *t;
	struct rig r;

	need_bpf();
	rig_open(&r, 2 * MS);
	t = true_call(&r, "compute", 5, "tail_compute", false);
	assert_true(t->cpu_ns >= 5 * MS * 95 / 100);
	assert_int_equal(t->blocked_ns, 0);
	rig_close(&r);
}

static void a_call_that_sleeps_was_blocked_by_sleep(void **state)
{
	const struct snap_tail *t;
	struct rig r;

	need_bpf();
	rig_open(&r, 2 * MS);
	t = true_call(&r, "sleep", 5, "tail_sleep", true);
	assert_int_equal(t->reason, BLOCKED_SLEEP);
	assert_true(t->longest_ns >= 5 * MS * 95 / 100);
	assert_string_equal(t->waker, "timer");
	assert_non_null(strstr(t->what, "nanosleep"));
	rig_close(&r);
}

static void a_wait_for_a_mutex_names_lock_holder_and_waker(void **state)
{
	char holder[64], addr[32];
	const struct snap_tail *t;
	struct rig r;

	need_bpf();
	rig_open(&r, 2 * MS);
	t = true_call(&r, "lock", 5, "tail_lock", true);
	assert_int_equal(t->reason, BLOCKED_FUTEX);
	snprintf(holder, sizeof(holder), "worker-3/%d", (int)known_told(&r.k, "other"));
	snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)known_told(&r.k, "lock"));
	assert_string_equal(t->waker, holder);
	assert_non_null(strstr(t->what, holder));
	assert_true(strstr(t->what, addr) || strstr(t->what, "cache_lock"));
	rig_close(&r);
}

static void a_wait_for_a_pipe_names_the_pipe_and_its_writer(void **state)
{
	const struct snap_tail *t;
	char writer[64];
	struct rig r;

	need_bpf();
	rig_open(&r, 2 * MS);
	t = true_call(&r, "pipe", 5, "tail_pipe", true);
	snprintf(writer, sizeof(writer), "worker-3/%d", (int)known_told(&r.k, "other"));
	assert_string_equal(t->waker, writer);
	assert_int_equal(strncmp(t->what, "read pipe:[", 11), 0);
	rig_close(&r);
}

static void page_faults_inside_the_call_are_counted(void **state)
{
	const struct snap_tail *t;
	struct rig r;

	need_bpf();
	rig_open(&r, MS / 10);
	t = true_call(&r, "fault", 2000, "tail_fault", false);
	/* The first touch of a page of the stack, or of code, may fall into the call as well. */
	assert_near((double)t->minflt, known_told(&r.k, "minflt"), 6, "faults by getrusage");
	assert_true(t->minflt >= 2000);
	assert_int_equal(t->majflt, 0);
	rig_close(&r);
}

static void a_wait_further_in_counts_for_all_who_wait_for_it(void **state)
{
	const struct snap_tail *t;
	struct rig r;

	need_bpf();
	rig_open(&r, 2 * MS);
	t = true_call(&r, "nested", 10, "tail_nested", true);
	assert_true(t->cpu_ns >= 9 * MS && t->blocked_ns >= 9 * MS);
	assert_int_equal(t->reason, BLOCKED_SLEEP);
	rig_close(&r);
}

static void the_stack_of_a_slow_call_reaches_the_start(void **state)
{
	const struct snapshot *s;
	struct rig r;

	need_bpf();
	rig_open(&r, 2 * MS);
	slow_call(&r, "sleep 3", "tail_sleep");
	s = next(r.se);
	assert_frames(&r, s, find(s, "tail_sleep", 0));
	rig_close(&r);
}

static void without_a_limit_the_slowest_of_a_hundred_is_told(void **state)
{
	const struct snap_tail *t;
	char command[32];
	uint32_t slow_ms;
	double most = 0;
	struct rig r;

	need_bpf();
	rig_open(&r, 0);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(known_tell(&r.k, "sleep 1"), 0);
		most = fmax(most, known_told(&r.k, "ns"));
	}
	next(r.se);
	next(r.se);
	/* Far slower than any of the thirty, however late the machine let them be. */
	slow_ms = 20 + 2 * (uint32_t)(most / MS);
	snprintf(command, sizeof(command), "sleep %u", slow_ms);
	t = slow_call(&r, command, "tail_sleep");
	/* One of the thirty may be there too. */
	for (int i = 0; i < 40 && t->ns < slow_ms * MS; i++) {
		const struct snapshot *s = next(r.se);

		for (uint32_t k = 0; k < s->ntails; k++)
			if (s->tails[k].ns >= slow_ms * MS)
				t = &s->tails[k];
	}
	assert_true(t->ns >= slow_ms * MS);
	assert_true(t->threshold_ns > MS && t->threshold_ns < slow_ms * MS);
	rig_close(&r);
}

static void counts_that_begin_anew_forget_old_tails(void **state)
{
	const struct snapshot *s;
	struct rig r;

	need_bpf();
	rig_open(&r, 2 * MS);
	slow_call(&r, "sleep 3", "tail_sleep");
	session_reset(r.se);
	next(r.se);
	s = next(r.se);
	assert_int_equal(s->ntails, 0);
	rig_close(&r);
}

/* By entry and return probes that know of each other by the stack alone. */
static void a_kernel_without_sessions_has_evidence_too(void **state)
{
	static const char *const spec = "tail_reasons:tail_sleep";
	struct bpf_request req = {.offcpu = true, .tails = true};
	struct contract_tail_slot *slots;
	struct known_process k;
	struct func_rig r;
	char fix[256];

	need_bpf();
	assert_int_equal(known_start_program(&k, "tail_reasons"), 0);
	func_rig_plan(&r, k.pid, &spec, 1, true);
	assert_non_null(r.plan);
	req.pid = k.pid;
	req.nslots = probe_plan_slots(r.plan);
	r.bpf = bpf_new(&req, r.why, sizeof(r.why), fix, sizeof(fix));
	assert_non_null(r.bpf);
	assert_int_equal(func_hists_map(&r.hists, r.bpf, req.nslots, 0), 0);
	slots = bpf_map_array(r.bpf, bpf_map__fd(bpf_skeleton(r.bpf)->maps.tail_slots),
			      sizeof(*slots), req.nslots, true);
	assert_non_null(slots);
	slots[0].threshold_ns = 2 * MS;
	r.attach = func_attach_new(r.bpf, r.plan, k.pid, r.why, sizeof(r.why));
	assert_non_null(r.attach);
	assert_int_equal(func_attach_sites(r.attach, 0, r.why, sizeof(r.why)), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(known_tell(&k, "sleep 5"), 0);
	assert_int_equal(slots[0].slow, 3);
	assert_int_equal(slots[0].kept, 3);
	assert_int_equal(slots[0].blind, 0);
	func_rig_close(&r);
	assert_int_equal(known_end(&k), 0);
}

/* Fifty a second, ten of them at once; the slowest of each second in any case. */
static void a_flood_of_slow_calls_costs_little(void **state)
{
	const struct snapshot *s;
	struct rig r;
	double ns;

	need_bpf();
	rig_open(&r, 1);
	assert_int_equal(known_tell(&r.k, "fast 20000"), 0);
	ns = known_told(&r.k, "ns") * 20000;
	next(r.se);
	s = next(r.se);
	for (uint32_t i = 0; i < s->nsections; i++) {
		unsigned long long slow, kept;

		if (strcmp(s->sections[i].name, "tail") != 0)
			continue;
		assert_int_equal(sscanf(s->sections[i].reason,
					"%llu calls above 0.001 µs, %llu with evidence", &slow,
					&kept),
				 2);
		assert_true(slow >= 20000);
		assert_in_range(kept, 1, 100 * (uint64_t)(ns / 1e9 + 2));
		rig_close(&r);
		return;
	}
	fail_msg("no section");
}

/* ---- without a process ---------------------------------------------------------------------- */

static void add(struct tail_keep *k, uint32_t slot, uint64_t ns, uint64_t end_ns)
{
	struct tail_call *c = tail_keep_place(k, slot, ns, end_ns);

	if (c)
		c->of = (struct contract_tail){.slot = slot, .ns = ns, .end_ns = end_ns};
}

static uint32_t count(const struct tail_keep *k, uint32_t slot, uint64_t ns)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->n; i++)
		n += k->calls[i].of.slot == slot && k->calls[i].of.ns >= ns;
	return n;
}

static void the_slowest_calls_are_kept(void **state)
{
	struct tail_keep *k = calloc(1, sizeof(*k));

	for (uint64_t i = 1; i <= 1000; i++)
		add(k, 1, (i * 7919) % 1000 + 1, 1000 + i);
	assert_int_equal(k->n, TAIL_KEPT);
	assert_int_equal(count(k, 1, 1000 - TAIL_KEPT + 1), TAIL_KEPT);
	free(k);
}

static void one_function_leaves_room_for_the_others(void **state)
{
	struct tail_keep *k = calloc(1, sizeof(*k));

	for (uint64_t i = 0; i < 1000; i++)
		add(k, 1, 1000000 + i, 1000 + i);
	for (uint64_t i = 0; i < 1000; i++)
		add(k, 2, 10 + i, 2000 + i);
	assert_int_equal(count(k, 1, 0), TAIL_KEPT / 2);
	assert_int_equal(count(k, 2, 0), TAIL_KEPT / 2);
	assert_int_equal(count(k, 2, 1010 - TAIL_KEPT / 2), TAIL_KEPT / 2);
	free(k);
}

static void what_was_slow_long_ago_gives_way(void **state)
{
	struct tail_keep *k = calloc(1, sizeof(*k));
	uint64_t later = (TAIL_FRESH_S + 1) * 1000 * MS;

	for (uint64_t i = 0; i < TAIL_KEPT; i++)
		add(k, 1, 1000000, 1 + i);
	add(k, 1, 5, 2000);
	assert_int_equal(count(k, 1, 1000000), TAIL_KEPT);
	add(k, 1, 5, later);
	assert_int_equal(count(k, 1, 1000000), TAIL_KEPT - 1);
	free(k);
}

static void at_most_one_in_a_hundred_is_slow(void **state)
{
	struct latency_sum *s = calloc(1, sizeof(*s));
	uint64_t above = 0, limit;

	for (uint64_t v = 1; v <= 10000; v++) {
		s->bins[bucket_index(v)]++;
		s->count++;
	}
	s->nbins = bucket_index(10000) + 1;
	limit = tail_threshold_of(s);
	for (uint64_t v = 1; v <= 10000; v++)
		above += v > limit;
	assert_in_range(above, 0, 100);
	assert_in_range(limit, 9900, 10300);
	s->count = TAIL_LEAST_CALLS - 1;
	assert_int_equal(tail_threshold_of(s), TAIL_FIRST_NS);
	free(s);
}

static void a_wait_on_a_descriptor_names_its_file(void **state)
{
	struct contract_tail_wait w = {.ns = 1, .class = WAIT_IO};
	char text[SNAP_NAME];
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	w.nr = (uint32_t)syscall_nr("read");
	w.arg = (uint64_t)fds[0];
	tail_wait_text(&w, getpid(), text, sizeof(text));
	assert_int_equal(strncmp(text, "read pipe:[", 11), 0);
	close(fds[0]);
	close(fds[1]);
	/* Closed since, or no descriptor at all: the call alone. */
	tail_wait_text(&w, getpid(), text, sizeof(text));
	assert_string_equal(text, "read");
	w.nr = (uint32_t)syscall_nr("nanosleep");
	tail_wait_text(&w, getpid(), text, sizeof(text));
	assert_string_equal(text, "nanosleep");
	w.class = WAIT_RUNQ;
	tail_wait_text(&w, getpid(), text, sizeof(text));
	assert_string_equal(text, "");
}

static void a_thread_name_cannot_carry_control_characters(void **state)
{
	struct contract_tail_wait w = {.ns = 1, .class = WAIT_FUTEX, .waker = 7};
	char text[SNAP_NAME];

	memcpy(w.waker_comm, "a\033[2Jb\n_________", sizeof(w.waker_comm));
	tail_waker_text(&w, text, sizeof(text));
	assert_null(strchr(text, '\033'));
	assert_null(strchr(text, '\n'));
	assert_non_null(strstr(text, "/7"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_that_computes_was_on_the_cpu),
		cmocka_unit_test(a_call_that_sleeps_was_blocked_by_sleep),
		cmocka_unit_test(a_wait_for_a_mutex_names_lock_holder_and_waker),
		cmocka_unit_test(a_wait_for_a_pipe_names_the_pipe_and_its_writer),
		cmocka_unit_test(page_faults_inside_the_call_are_counted),
		cmocka_unit_test(a_wait_further_in_counts_for_all_who_wait_for_it),
		cmocka_unit_test(the_stack_of_a_slow_call_reaches_the_start),
		cmocka_unit_test(without_a_limit_the_slowest_of_a_hundred_is_told),
		cmocka_unit_test(counts_that_begin_anew_forget_old_tails),
		cmocka_unit_test(a_kernel_without_sessions_has_evidence_too),
		cmocka_unit_test(a_flood_of_slow_calls_costs_little),
		cmocka_unit_test(the_slowest_calls_are_kept),
		cmocka_unit_test(one_function_leaves_room_for_the_others),
		cmocka_unit_test(what_was_slow_long_ago_gives_way),
		cmocka_unit_test(at_most_one_in_a_hundred_is_slow),
		cmocka_unit_test(a_wait_on_a_descriptor_names_its_file),
		cmocka_unit_test(a_thread_name_cannot_carry_control_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
