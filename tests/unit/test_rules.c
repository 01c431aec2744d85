/* SPDX-License-Identifier: Apache-2.0 */
/* test_rules.c: alerts are raised for what they name, after a while, and for nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collectors/rules.h"

static struct snapshot *s;
static struct rules *rules;

static int setup(void **state)
{
	s = snapshot_new();
	rules = rules_new();
	return !s || !rules;
}

static int teardown(void **state)
{
	snapshot_free(s);
	rules_free(rules);
	return 0;
}

static const struct snap_alert *alert(const char *rule)
{
	for (uint32_t i = 0; i < s->nalerts; i++)
		if (!strcmp(s->alerts[i].rule, rule))
			return &s->alerts[i];
	return NULL;
}

static void run(uint64_t time_ns)
{
	s->nalerts = 0;
	s->time_ns = time_ns;
	rules_run(rules, s);
}

static void busy(double self_pct)
{
	s->proc.user_pct = 95;
	s->cpu.samples = 500;
	s->nfunctions = 1;
	s->functions[0].self_pct = s->functions[0].recent_pct = self_pct;
	snprintf(s->functions[0].name, SNAP_NAME, "dictFind");
	snprintf(s->functions[0].module, 48, "redis-server");
}

static void one_hot_function_is_named(void **state)
{
	const struct snap_alert *a;

	busy(72);
	run(1);
	assert_null(alert("cpu_bound")); /* one tick may be chance */
	run(2);
	a = alert("cpu_bound");
	assert_non_null(a);
	assert_string_equal(a->subject, "dictFind");
	assert_int_equal(a->severity, ALERT_CRITICAL);
	assert_int_equal(a->since_ns, 2);
	assert_non_null(strstr(a->evidence, "72 %"));
	run(3);
	assert_int_equal(alert("cpu_bound")->since_ns, 2);
}

static void a_spread_or_idle_profile_raises_nothing(void **state)
{
	busy(20);
	for (int i = 0; i < 5; i++)
		run((uint64_t)i);
	assert_null(alert("cpu_bound"));
	busy(90);
	s->proc.user_pct = 10;
	for (int i = 0; i < 5; i++)
		run((uint64_t)i);
	assert_null(alert("cpu_bound"));
	busy(90);
	s->cpu.samples = 5;
	for (int i = 0; i < 5; i++)
		run((uint64_t)i);
	assert_null(alert("cpu_bound"));
}

static void an_alert_outlives_a_short_gap_and_then_clears(void **state)
{
	busy(72);
	run(1);
	run(2);
	busy(5);
	run(3);
	assert_non_null(alert("cpu_bound"));
	run(4);
	assert_non_null(alert("cpu_bound"));
	run(5);
	assert_null(alert("cpu_bound"));
}

static void threads_idle_on_condition_variables_are_no_lock_contention(void **state)
{
	s->nlocks = 1;
	s->locks[0].pct = 800;
	s->locks[0].is_mutex = 0;
	run(1);
	run(2);
	assert_null(alert("lock_wait"));
	s->locks[0].is_mutex = 1;
	s->locks[0].addr = 0x7f00;
	s->locks[0].owner_tid = 4711;
	run(3);
	run(4);
	assert_non_null(alert("lock_wait"));
	assert_non_null(strstr(alert("lock_wait")->evidence, "4711"));
	assert_string_equal(alert("lock_wait")->subject, "mutex 0x7f00");
}

static void dropped_trajectories_are_reported(void **state)
{
	run(1);
	run(2);
	assert_null(alert("trajectory_drop"));
	s->ntrajectory = 1;
	s->trajectory.recorded_rate = 900;
	run(3);
	run(4);
	assert_null(alert("trajectory_drop"));
	s->trajectory.dropped_rate = 100;
	run(5);
	run(6);
	assert_non_null(alert("trajectory_drop"));
	assert_true(alert("trajectory_drop")->value > 9.9);
}

static void the_last_screen_keeps_what_was_wrong(void **state)
{
	busy(72);
	run(1);
	run(2);
	s->finished = 1;
	s->proc.user_pct = 0;
	run(3);
	assert_non_null(alert("cpu_bound"));
}

static void a_used_up_cpu_quota_is_named_with_its_group(void **state)
{
	s->nfunctions = 0;
	s->proc.user_pct = 20;
	s->proc.quota_cpus = 0.2;
	s->proc.throttled_pct = 98;
	snprintf(s->proc.quota_group, SNAP_NAME, "/docker/abc");
	run(1);
	run(2);
	assert_non_null(alert("cpu_quota"));
	assert_int_equal(alert("cpu_quota")->severity, ALERT_CRITICAL);
	assert_string_equal(alert("cpu_quota")->subject, "/docker/abc");
	assert_non_null(strstr(alert("cpu_quota")->evidence, "0.20 CPUs"));
	/* Another process of the group used it up. */
	s->proc.user_pct = 1;
	for (uint64_t i = 3; i < 10; i++)
		run(i);
	assert_null(alert("cpu_quota"));
}

static void the_gravest_alert_comes_first(void **state)
{
	s->proc.ncpu = 2;
	s->cpu.runq_wait_pct = 0;
	busy(50);
	s->nlocks = 1;
	s->locks[0] = (struct snap_lock){.addr = 0x7f00, .pct = 600, .is_mutex = 1, .kind = "GIL"};
	run(1);
	run(2);
	assert_int_equal(alert("cpu_bound")->severity, ALERT_WARNING);
	assert_string_equal(s->alerts[0].rule, "lock_wait");
	assert_string_equal(s->alerts[1].rule, "cpu_bound");
	s->nlocks = 0;
	for (uint64_t i = 3; i < 10; i++)
		run(i);
}

static void a_full_machine_is_blamed_on_who_fills_it(void **state)
{
	s->nfunctions = 0;
	s->proc.ncpu = 2;
	s->proc.user_pct = 40;
	s->proc.machine_cpu_pct = 100;
	s->proc.throttled_pct = 0;
	s->cpu.runq_wait_pct = 55;
	run(1);
	run(2);
	assert_non_null(alert("cpu_queue"));
	assert_int_equal(alert("cpu_queue")->severity, ALERT_WARNING);
	assert_non_null(strstr(alert("cpu_queue")->evidence, "0.55 threads are ready"));
	assert_non_null(strstr(alert("cpu_queue")->evidence, "100 % busy, 20 % with this program"));
	assert_non_null(strstr(alert("cpu_queue")->advice, "others use the CPUs"));
	s->proc.nice = 19;
	run(2);
	assert_non_null(strstr(alert("cpu_queue")->advice, "its nice value is 19"));
	s->proc.nice = -5;
	run(2);
	assert_non_null(strstr(alert("cpu_queue")->advice, "others use the CPUs"));
	s->proc.nice = 0;
	s->proc.user_pct = 190;
	s->cpu.runq_wait_pct = 600;
	run(3);
	assert_int_equal(alert("cpu_queue")->severity, ALERT_CRITICAL);
	assert_non_null(strstr(alert("cpu_queue")->advice, "its own threads queue for 2 CPUs"));
	s->proc.cpus_allowed = 1;
	snprintf(s->proc.cpus_list, sizeof(s->proc.cpus_list), "1");
	run(4);
	assert_non_null(strstr(alert("cpu_queue")->advice, "it may use 1 of 2 CPUs (1)"));
	/* Its control group stops it: no other CPU would help. And little is lost to a short queue.
	 */
	s->proc.throttled_pct = 90;
	for (uint64_t i = 5; i < 12; i++)
		run(i);
	assert_null(alert("cpu_queue"));
	s->proc.throttled_pct = 0;
	s->cpu.runq_wait_pct = 30;
	run(12);
	run(13);
	assert_null(alert("cpu_queue"));
	s->proc.user_pct = 10;
	s->nlocks = 1;
	s->locks[0] = (struct snap_lock){.addr = 1, .pct = 600, .is_mutex = 1};
	run(14);
	run(15);
	assert_null(alert("cpu_queue"));
	s->nlocks = 0;
	s->proc.cpus_allowed = 0;
}

static void stolen_cpu_time_is_blamed_on_the_hypervisor(void **state)
{
	s->proc.user_pct = 60;
	s->proc.machine_steal_pct = 30;
	run(1);
	run(2);
	assert_int_equal(alert("cpu_steal")->severity, ALERT_CRITICAL);
	assert_non_null(strstr(alert("cpu_steal")->evidence, "30 %"));
	/* An idle program does not suffer from it. */
	s->proc.user_pct = 1;
	for (uint64_t i = 3; i < 10; i++)
		run(i);
	assert_null(alert("cpu_steal"));
}

static void failing(const char *name, const char *error, double rate, double pct)
{
	struct snap_latency *l = &s->syscalls[s->nsyscalls++];

	*l = (struct snap_latency){.rate = rate, .failed_pct = pct, .failed = 100};
	snprintf(l->name, sizeof(l->name), "%s", name);
	snprintf(l->error, sizeof(l->error), "%s", error);
}

static void what_is_used_up_is_hidden_by_calls_that_fail_more(void **state)
{
	s->nsyscalls = 0;
	failing("recvfrom", "EAGAIN", 50000, 50); /* how an event loop finds that all is read */
	run(1);
	run(2);
	assert_null(alert("syscall_errors"));
	failing("openat", "ENOENT", 3000, 98);
	run(3);
	run(4);
	assert_int_equal(alert("syscall_errors")->severity, ALERT_WARNING);
	assert_string_equal(alert("syscall_errors")->subject, "openat");
	assert_non_null(strstr(alert("syscall_errors")->evidence, "2940 times a second, 98 %"));
	failing("accept4", "EMFILE", 9, 100);
	run(5);
	run(6);
	assert_non_null(strstr(alert("syscall_errors")->evidence, "may open no more descriptors"));
	assert_int_equal(alert("syscall_errors")->severity, ALERT_CRITICAL);
}

static void a_memory_limit_counts_when_it_is_met(void **state)
{
	s->proc.memory_limit_bytes = 256 << 20;
	s->proc.memory_group_bytes = 250 << 20;
	for (uint64_t i = 1; i < 5; i++)
		run(i);
	assert_null(alert("memory_limit")); /* full of file cache, as any group is in time */
	s->proc.memory_limit_rate = 40;
	run(5);
	run(6);
	assert_non_null(alert("memory_limit"));
	assert_int_equal(alert("memory_limit")->severity, ALERT_WARNING);
	assert_non_null(strstr(alert("memory_limit")->evidence, "98 % of the 256 MiB"));
	s->proc.majflt_rate = 30;
	run(7);
	assert_int_equal(alert("memory_limit")->severity, ALERT_CRITICAL);
}

static void a_held_loop_is_told_by_what_held_it(void **state)
{
	s->nevent_loop = 1;
	s->event_loop = (struct snap_event_loop){.held_ns = 40000000, .held_comm = "node"};
	run(1);
	run(2);
	assert_null(alert("loop_held"));
	s->event_loop.held_ns = s->event_loop.held_cpu_ns = 300000000;
	run(3);
	run(4);
	assert_non_null(alert("loop_held"));
	assert_int_equal(alert("loop_held")->severity, ALERT_WARNING);
	assert_string_equal(alert("loop_held")->subject, "event loop of node");
	assert_non_null(strstr(alert("loop_held")->evidence, "held for 300 ms"));
	assert_non_null(strstr(alert("loop_held")->advice, "in pieces"));
	s->event_loop.held_ns = 2000000000;
	run(5);
	assert_int_equal(alert("loop_held")->severity, ALERT_CRITICAL);
	assert_non_null(strstr(alert("loop_held")->advice, "it waited amid the turn"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_hot_function_is_named),
		T(a_spread_or_idle_profile_raises_nothing),
		T(an_alert_outlives_a_short_gap_and_then_clears),
		T(threads_idle_on_condition_variables_are_no_lock_contention),
		T(dropped_trajectories_are_reported),
		T(the_last_screen_keeps_what_was_wrong),
		T(a_used_up_cpu_quota_is_named_with_its_group),
		T(the_gravest_alert_comes_first),
		T(a_full_machine_is_blamed_on_who_fills_it),
		T(stolen_cpu_time_is_blamed_on_the_hypervisor),
		T(what_is_used_up_is_hidden_by_calls_that_fail_more),
		T(a_memory_limit_counts_when_it_is_met),
		T(a_held_loop_is_told_by_what_held_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
