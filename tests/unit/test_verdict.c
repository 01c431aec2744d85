/* SPDX-License-Identifier: Apache-2.0 */
/* test_verdict.c: the sentence that says what holds the target back. Long because each sentence has
 * its cases here. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/sample_snapshot.h"
#include "tui/time_split.h"
#include "tui/verdict.h"

struct fixture {
	struct snapshot *s;
};

static struct fixture fixture;

static int setup(void **state)
{
	fixture.s = snapshot_new();
	sample_snapshot_fill(fixture.s, SAMPLE_REDIS, 1);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	snapshot_free(fixture.s);
	return 0;
}

static void expect(struct snapshot *s, enum verdict_mood mood, const char *label, const char *text)
{
	struct verdict v;

	verdict_compute(&v, s);
	if (v.mood != mood || strcmp(v.label, label) || !strstr(v.text, text))
		fail_msg("got mood %d '%s': %s", v.mood, v.label, v.text);
}

static void verdict_names_what_holds_the_target_back(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	expect(s, VERDICT_BAD, "CPU-bound", "41 % of samples in dictFind (redis-server)");
	s->proc.sys_pct = 900;
	expect(s, VERDICT_BAD, "CPU-bound", "most of it in the kernel");
	sample_snapshot_fill(s, SAMPLE_LOCKS, 1);
	expect(s, VERDICT_BAD, "Blocked on locks",
	       "mutex image_cache+32 in cache_lookup, held by tid 4714 (worker)");
	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	expect(s, VERDICT_GOOD, "Mostly idle", "waits in epoll_wait for requests, or for answers");
	sample_snapshot_fill(s, SAMPLE_ENDED, 1);
	expect(s, VERDICT_NONE, "Ended", "exited with status 0");
	sample_snapshot_fill(s, SAMPLE_USER, 1);
	expect(s, VERDICT_BAD, "CPU-bound", "functions are not sampled");
	s->finished = 1; /* perftop's time is over, the target goes on */
	expect(s, VERDICT_BAD, "CPU-bound", "functions are not sampled");
	s->replaying = 1;
	expect(s, VERDICT_BAD, "CPU-bound", "functions are not sampled");
	s->finished = s->replaying = 0;
	s->target.state = TARGET_STOPPED;
	expect(s, VERDICT_WARN, "Stopped", "kill -CONT resumes it, a debugger must let it go");
}

static void verdict_tells_waiting_for_cpu_and_disk(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct verdict v;

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->proc.user_pct = 60;
	s->threads[0].cpu_pct = 60;
	s->blocked[s->nblocked++] = (struct snap_blocked){.reason = BLOCKED_RUNQ, .pct = 35};
	expect(s, VERDICT_BAD, "Waiting for CPU", "37 % of active thread time in the run queue");
	/* The rule's threshold is not met: Alerts would be empty. */
	s->nalerts = 0;
	verdict_compute(&v, s);
	assert_string_equal(v.view, "blocked");
	snprintf(s->alerts[s->nalerts++].rule, sizeof(s->alerts[0].rule), "cpu_queue");
	verdict_compute(&v, s);
	assert_string_equal(v.view, "alerts");
	s->nalerts = 0;
	expect(s, VERDICT_BAD, "Waiting for CPU", "the machine is 63 % busy, 30 % by this program");
	s->proc.nice = 19;
	expect(s, VERDICT_BAD, "Waiting for CPU", "others go first: its nice value is 19");
	s->proc.cpus_allowed = 1;
	snprintf(s->proc.cpus_list, sizeof(s->proc.cpus_list), "1");
	expect(s, VERDICT_BAD, "Waiting for CPU",
	       "by this program; of 2 CPUs it may use 1 (CPU 1)");
	/* The queue is its control group's: another machine would not help. */
	s->proc.throttled_pct = 93;
	s->proc.quota_cpus = 0.6;
	snprintf(s->proc.quota_group, sizeof(s->proc.quota_group), "/docker/abc");
	expect(s, VERDICT_BAD, "CPU quota",
	       "37 % of active thread time stands still: control group /docker/abc may use 0.60 "
	       "CPUs, used up in 93 % of its periods");
	s->proc.throttled_pct = 0;
	s->blocked[s->nblocked - 1].reason = BLOCKED_IO;
	expect(s, VERDICT_BAD, "I/O-bound", "37 % of active thread time waits for disk");
	s->blocked[s->nblocked - 1].reason = BLOCKED_SLEEP;
	expect(s, VERDICT_WARN, "Partly CPU-bound", "60 % of a CPU");
}

static void a_loop_that_was_held_is_not_idle(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct verdict v;

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->nalerts = 0;
	s->nevent_loop = 1;
	s->event_loop = (struct snap_event_loop){.held_ns = 526000000,
						 .held_cpu_ns = 510000000,
						 .held_time_ns = s->time_ns,
						 .held_tid = 4711,
						 .held_comm = "redis-server"};
	expect(s, VERDICT_WARN, "Loop held", "(tid 4711) was held for 526 ms by one turn");
	/* Alerts has it from the second tick on. */
	verdict_compute(&v, s);
	assert_string_equal(v.view, "threads");
	snprintf(s->alerts[s->nalerts++].rule, sizeof(s->alerts[0].rule), "loop_held");
	verdict_compute(&v, s);
	assert_string_equal(v.view, "alerts");
	assert_string_equal(v.also, "");
	s->event_loop.held_ns = 0;
	s->nalerts = 0;
	expect(s, VERDICT_GOOD, "Mostly idle", "");
}

static void a_deadlock_is_hidden_by_what_still_runs(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->proc.user_pct = 95;
	s->threads[0].cpu_pct = 95;
	s->ndeadlock = 1;
	s->deadlock = (struct snap_deadlock){.kind = "cycle", .threads = 2, .ns = 5000000000};
	snprintf(s->deadlock.words, sizeof(s->deadlock.words), "thread 7 waits for mutex a");
	expect(s, VERDICT_BAD, "Deadlock", "thread 7 waits for mutex a (for 5.00 s so far)");
	/* Every thread waits: that is not idleness. */
	s->proc.user_pct = s->threads[0].cpu_pct = 0;
	snprintf(s->deadlock.kind, sizeof(s->deadlock.kind), "standstill");
	expect(s, VERDICT_BAD, "Stands still", "thread 7");
}

/* Idle threads of a database ask for what completes; a benchmark's do nothing else. */
static void asynchronous_io_counts_though_none_is_on_its_way(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct time_split t;

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->nblocked = 1;
	s->blocked[0] = (struct snap_blocked){.reason = BLOCKED_AIO, .pct = 200};
	s->nblock = 0;
	time_split_compute(&t, s);
	assert_true(t.pct[TIME_IO] == 0 && t.pct[TIME_OTHER] == 200);
	s->nblock = 1;
	s->block[0] = (struct snap_latency){.rate = 5000, .mean = 100000}; /* half a request */
	time_split_compute(&t, s);
	assert_true(fabs(t.pct[TIME_IO] - 50) < 1e-6 && fabs(t.pct[TIME_OTHER] - 150) < 1e-6);
	s->block[0].rate = 500000;
	time_split_compute(&t, s);
	assert_true(fabs(t.pct[TIME_IO] - 200) < 1e-6 && fabs(t.pct[TIME_OTHER]) < 1e-6);
	expect(s, VERDICT_BAD, "I/O-bound", "");
}

static void locks_that_are_no_futex_count_as_network(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct time_split t;

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->nblocked = 1;
	s->blocked[0] = (struct snap_blocked){.reason = BLOCKED_NET, .pct = 90};
	s->nlocks = 1;
	s->locks[0] = (struct snap_lock){
		.reason = BLOCKED_NET, .is_mutex = 1, .pct = 70, .kind = "pg lock"};
	snprintf(s->locks[0].site, sizeof(s->locks[0].site), "heap_update");
	time_split_compute(&t, s);
	assert_true(t.pct[TIME_LOCK] == 70 && t.pct[TIME_NET] == 20);
	expect(s, VERDICT_BAD, "Blocked on locks", "waits for pg lock in heap_update");
}

static void many_half_idle_threads_are_not_cpu_bound(void **state)
{
	struct fixture *f = *state;

	sample_snapshot_fill(f->s, SAMPLE_ENGINE, 1);
	f->s->proc.user_pct = 73;
	f->s->proc.ncpu = 4;
	for (uint32_t i = 0; i < f->s->nthreads; i++)
		f->s->threads[i].cpu_pct = 25;
	f->s->nalerts = 0;
	expect(f->s, VERDICT_GOOD, "Not saturated", "77 % of a CPU");
	f->s->proc.ncpu = 0;
	f->s->nthreads = 0;
	f->s->proc.user_pct = 80;
	expect(f->s, VERDICT_BAD, "CPU-bound", "attention_block_avx512");
}

static void condvar_waits_of_idle_workers_are_no_lock_problem(void **state)
{
	struct fixture *f = *state;

	sample_snapshot_fill(f->s, SAMPLE_IDLE, 1);
	f->s->blocked[f->s->nblocked++] =
		(struct snap_blocked){.reason = BLOCKED_FUTEX, .pct = 800};
	f->s->locks[f->s->nlocks++] = (struct snap_lock){.addr = 1, .pct = 800, .is_mutex = 0};
	expect(f->s, VERDICT_GOOD, "Mostly idle", "waits in epoll_wait for requests");
}

static void a_client_that_waits_for_its_server_is_not_idle(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->nsockets = 3;
	for (uint32_t i = 0; i < 3; i++)
		s->sockets[i] = (struct snap_socket){.fd = (int32_t)i,
						     .peer = "10.0.0.5:5432",
						     .waits = 10,
						     .wait_ns = 800000000,
						     .max_ns = 90000000 + i,
						     .pct = 49};
	s->sockets[2].peer[0] = '\0'; /* a connection that others made to it */
	expect(s, VERDICT_WARN, "Waiting for a peer",
	       "98 % of a thread's time waits for data from 10.0.0.5:5432: 20 waits, 80.0 ms each, "
	       "longest 90.0 ms");
	s->sockets[0].rtt_ns = 300000;
	s->sockets[1].rtt_ns = 200000;
	expect(s, VERDICT_WARN, "Waiting for a peer",
	       "longest 90.0 ms; of each the network's round trip takes 200 µs");
	s->sockets[0].rtt_ns = s->sockets[1].rtt_ns = 70000000;
	expect(s, VERDICT_WARN, "Waiting for a peer",
	       "longest 90.0 ms; most of each is the network's round trip, 70.0 ms");
	s->sockets[1].retransmits = 2;
	s->sockets[1].out_of_order = 2;
	s->sockets[1].loss_pct = 3.1;
	expect(s, VERDICT_WARN, "Waiting for a peer",
	       "longest 90.0 ms; the network loses or reorders 3.1 % of the packets");
	s->sockets[0].peer[0] = s->sockets[1].peer[0] = '\0';
	s->latency[s->nlatency++] = (struct snap_latency){.name = "answers of 10.0.0.5:80",
							  .source = LATENCY_SOCKET,
							  .count = 100,
							  .rate = 40,
							  .mean = 80000000,
							  .p50 = 70000000,
							  .p99 = 150000000};
	expect(s, VERDICT_WARN, "Waiting for a peer",
	       "3.2 answers of 10.0.0.5:80 are waited for at a time: 40/s, half of them take "
	       "70.0 ms, the slowest 1 % 150 ms");
	snprintf(s->latency[s->nlatency - 1].name, SNAP_NAME, "requests to :80");
	expect(s, VERDICT_GOOD, "Mostly idle", "");
}

static void futex_that_wakes_threads_all_the_time_is_named(void **state)
{
	struct fixture *f = *state;
	struct verdict v;

	sample_snapshot_fill(f->s, SAMPLE_IDLE, 1);
	f->s->blocked[f->s->nblocked++] =
		(struct snap_blocked){.reason = BLOCKED_FUTEX, .pct = 500};
	f->s->locks[f->s->nlocks++] = (struct snap_lock){
		.addr = 0xabc, .pct = 500, .waits = f->s->since_ns / 10000000, .is_mutex = 0};
	expect(f->s, VERDICT_GOOD, "Not saturated", "5.0 threads wait on futex 0xabc, 100/s");
	f->s->proc.user_pct = 98;
	f->s->threads[0].cpu_pct = 98;
	verdict_compute(&v, f->s);
	assert_string_equal(v.label, "CPU-bound");
	assert_non_null(strstr(v.also, "5.0 threads wait on futex 0xabc"));
	assert_string_equal(v.also_view, "blocked");
}

static void idle_parent_points_at_its_children(void **state)
{
	struct fixture *f = *state;

	sample_snapshot_fill(f->s, SAMPLE_IDLE, 1);
	f->s->nevents = 1;
	snprintf(f->s->events[0].text, SNAP_TEXT,
		 "the target forked 1 more child (newest: pid 4242), not followed");
	expect(f->s, VERDICT_WARN, "Mostly idle", "starts others, which are not counted here");
	f->s->nevents = 0;
	f->s->target.children = 5;
	expect(f->s, VERDICT_WARN, "Mostly idle",
	       "its 5 children are not counted here: perftop --follow-forks -p 4711");
	f->s->nevents = 1;
	snprintf(f->s->events[0].text, SNAP_TEXT, "launched make");
	expect(f->s, VERDICT_WARN, "Mostly idle", "perftop --follow-forks -- COMMAND");
	f->s->nprocesses = 6;
	expect(f->s, VERDICT_GOOD, "Mostly idle", "waits in epoll_wait for requests");
}

static void function_without_a_name_is_told_by_what_runs_around_it(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	s->nfunctions = 3;
	s->functions[0] = (struct snap_function){"fn@0x5d80", "libz.so.1", 45, 45, 450, 450};
	s->functions[1] = (struct snap_function){"deflate", "libz.so.1", 1, 96, 10, 960};
	s->functions[2] = (struct snap_function){"main", "nginx", 1, 100, 10, 1000};
	expect(s, VERDICT_BAD, "CPU-bound", "in fn@0x5d80 (libz.so.1), under deflate; ");
}

static void who_waits_for_its_output_to_be_taken_is_not_idle(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct snap_wait_stack *st = &s->wait_stacks[0];

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->nsyscalls = s->nsockets = 0;
	s->nwait_stacks = 1;
	*st = (struct snap_wait_stack){
		.reason = BLOCKED_OTHER, .ns = s->since_ns / 2, .count = 1, .nframes = 2};
	st->frames[0] = snapshot_symbol(s, "__GI___libc_write", "libc.so.6");
	st->frames[1] = snapshot_symbol(s, "print_all", "app");
	expect(s, VERDICT_WARN, "Waiting for a reader",
	       "50 % of a thread's time waits in write until what it sends is taken: who reads "
	       "the pipe or terminal is slower");
	/* A peer that does not take what is sent is not one whose data is waited for. */
	st->reason = BLOCKED_NET;
	st->frames[0] = snapshot_symbol(s, "__send", "libc.so.6");
	s->nsockets = 1;
	s->sockets[0] =
		(struct snap_socket){.peer = "10.0.0.5:80", .waits = 1, .wait_ns = 9, .pct = 50};
	expect(s, VERDICT_WARN, "Waiting for a reader",
	       "waits in send until what it sends is taken: 10.0.0.5:80 is slower");
	st->frames[0] = snapshot_symbol(s, "__recv", "libc.so.6");
	expect(s, VERDICT_WARN, "Waiting for a peer", "waits for data from 10.0.0.5:80");
	/* What a file's writes wait for is no reader. */
	st->reason = BLOCKED_OTHER;
	st->frames[0] = snapshot_symbol(s, "write", "libc.so.6");
	s->sockets[0].pct = 0;
	s->nsyscalls = 1;
	s->syscalls[0] = (struct snap_latency){.name = "write", .module = "file", .sum = 5};
	expect(s, VERDICT_GOOD, "Mostly idle", "");
}

static void who_waits_for_a_pipe_to_bring_something_is_told_so(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct snap_wait_stack *st = &s->wait_stacks[0];

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->nsyscalls = s->nwait_stacks = 1;
	s->nsockets = 0;
	s->nblocked = 1;
	s->blocked[0] = (struct snap_blocked){.reason = BLOCKED_OTHER, .pct = 99};
	*st = (struct snap_wait_stack){
		.reason = BLOCKED_OTHER, .ns = s->since_ns / 2, .count = 500, .nframes = 1};
	st->frames[0] = snapshot_symbol(s, "__GI___libc_read", "libc.so.6");
	s->syscalls[0] = (struct snap_latency){.name = "read", .module = "pipe", .sum = 5};
	expect(s, VERDICT_WARN, "Waiting for input",
	       "50 % of a thread's time waits in read for what a pipe brings: who writes it is "
	       "slower");
	/* Notice that is given now and then, and a terminal, are no input that is late. */
	st->count = 1;
	st->ns = 3000000000;
	expect(s, VERDICT_GOOD, "Mostly idle", "waits in read for what it reads; nothing to fix");
	st->count = 500;
	snprintf(s->syscalls[0].module, sizeof(s->syscalls[0].module), "tty");
	expect(s, VERDICT_GOOD, "Mostly idle", "waits in read for what it reads; nothing to fix");
	st->frames[0] = snapshot_symbol(s, "semop", "libc.so.6");
	expect(s, VERDICT_GOOD, "Mostly idle", "waits in semop for a System V semaphore; ");
	st->frames[0] = snapshot_symbol(s, "__GI___wait4", "libc.so.6");
	s->target.children = 1;
	expect(s, VERDICT_WARN, "Mostly idle", "waits in wait4 for a child to end; 0");
}

static void who_sleeps_while_it_serves_is_not_idle(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct snap_wait_stack *st = &s->wait_stacks[0];
	struct snap_latency *l = &s->latency[0];

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->nsockets = 0;
	s->nlatency = s->nwait_stacks = 1;
	*l = (struct snap_latency){.name = "requests to :80",
				   .source = LATENCY_SOCKET,
				   .count = 80,
				   .rate = 8,
				   .mean = 90000000,
				   .p50 = 90000000,
				   .p99 = 99000000,
				   .max = 100000000};
	*st = (struct snap_wait_stack){
		.reason = BLOCKED_SLEEP, .ns = s->since_ns / 2, .nframes = 2};
	st->count = st->ns / 80000000;
	l->count = st->count;
	st->frames[0] = snapshot_symbol(s, "clock_nanosleep", "libc.so.6");
	st->frames[1] = snapshot_symbol(s, "serve", "app");
	expect(s, VERDICT_WARN, "Sleeping in requests",
	       "0.7 requests to :80 are served at a time: 8/s, half of them take 90.0 ms, the "
	       "slowest 1 % 99.0 ms; most of it waits in clock_nanosleep for serve");
	/* Another thread's rounds, which are longer, or fewer, than requests. */
	l->max = 10000000;
	expect(s, VERDICT_GOOD, "Mostly idle", "");
	l->max = 100000000;
	l->count = 4 * st->count;
	expect(s, VERDICT_GOOD, "Mostly idle", "");
}

static void who_waits_for_a_name_server_is_not_idle(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct snap_wait_stack *st = &s->wait_stacks[0];

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->nwait_stacks = s->nsockets = 1;
	s->sockets[0] = (struct snap_socket){.name = "udp 10.0.0.1:4711 192.0.2.1:53",
					     .wait_ns = 5000000000};
	*st = (struct snap_wait_stack){.reason = BLOCKED_NET,
				       .ns = s->since_ns / 2,
				       .count = 2,
				       .max_ns = 5000000000,
				       .nframes = 3};
	st->frames[0] = snapshot_symbol(s, "__poll", "libc.so.6");
	st->frames[1] = snapshot_symbol(s, "send_dg", "libc.so.6");
	st->frames[2] = snapshot_symbol(s, "__res_context_send", "libc.so.6");
	expect(s, VERDICT_WARN, "Waiting for DNS",
	       "50 % of a thread's time waits for a name server, 192.0.2.1:53: 2 waits, longest "
	       "5.00 s; ");
	st->nframes = 1;
	expect(s, VERDICT_GOOD, "Mostly idle", "");
}

static void set_function(struct snapshot *s, uint32_t i, const char *name, const char *module,
			 double self, double total)
{
	struct snap_function *f = &s->functions[i];

	*f = (struct snap_function){.self_pct = self, .recent_pct = self, .total_pct = total};
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->module, sizeof(f->module), "%s", module);
	s->nfunctions = i + 1;
}

static void a_busy_allocator_is_named_with_who_calls_it(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	set_function(s, 0, "build_nodes", "app", 22, 95);
	set_function(s, 1, "malloc", "libc.so.6", 19, 40);
	set_function(s, 2, "_int_free", "libc.so.6", 17, 20);
	set_function(s, 3, "freeReplyObject", "app", 9, 9); /* its own, whatever it begins with */
	s->nstacks = 2;
	s->stacks[0] = (struct snap_stack){.count = 30, .nframes = 4};
	s->stacks[0].frames[0] = snapshot_symbol(s, "_int_free", "libc.so.6");
	s->stacks[0].frames[1] = snapshot_symbol(s, "free", "libc.so.6");
	s->stacks[0].frames[2] = snapshot_symbol(s, "std::vector<int>::~vector (inlined)", "app");
	s->stacks[0].frames[3] = snapshot_symbol(s, "build_nodes", "app");
	s->stacks[1] = (struct snap_stack){.count = 20, .nframes = 2};
	s->stacks[1].frames[0] = snapshot_symbol(s, "malloc", "libc.so.6");
	s->stacks[1].frames[1] = snapshot_symbol(s, "main", "app");
	expect(s, VERDICT_BAD, "CPU-bound",
	       "36 % of samples allocate and free memory (libc.so.6), mostly called by "
	       "build_nodes; ");
	/* One function alone takes more. */
	set_function(s, 0, "build_nodes", "app", 50, 95);
	s->nfunctions = 4;
	expect(s, VERDICT_BAD, "CPU-bound", "50 % of samples in build_nodes (app); ");
	s->stacks[0].nframes = 1;
	s->stacks[0].frames[0] = snapshot_symbol(s, "build_nodes", "app");
	s->stacks[0].frames[s->stacks[0].nframes++] = snapshot_symbol(s, "serve", "app");
	expect(s, VERDICT_BAD, "CPU-bound",
	       "50 % of samples in build_nodes (app), mostly called by serve; ");
	/* That main() calls it says nothing. */
	s->stacks[0].frames[1] = snapshot_symbol(s, "main", "app");
	expect(s, VERDICT_BAD, "CPU-bound", "50 % of samples in build_nodes (app); ");
}

static void who_spins_is_told_so_before_the_queue(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	s->cpu.runq_wait_pct = 200;
	s->proc.user_pct = 190;
	set_function(s, 0, "w", "app", 23, 100);
	set_function(s, 1, "pthread_spin_lock", "libc.so.6", 70, 70);
	s->nstacks = 1;
	s->stacks[0] = (struct snap_stack){.count = 70, .nframes = 2};
	s->stacks[0].frames[0] = snapshot_symbol(s, "pthread_spin_lock", "libc.so.6");
	s->stacks[0].frames[1] = snapshot_symbol(s, "take_ticket", "app");
	expect(s, VERDICT_BAD, "Spinning",
	       "70 % of samples wait for a spinlock (pthread_spin_lock), mostly called by "
	       "take_ticket, and compute");
	set_function(s, 1, "__sched_yield", "libc.so.6", 9, 46);
	expect(s, VERDICT_BAD, "Spinning", "46 % of samples are in sched_yield: ");
	set_function(s, 1, "fn@0x1f780", "libgomp.so.1.0.0", 20, 20);
	set_function(s, 2, "fn@0x1f5e0", "libgomp.so.1.0.0", 15, 15);
	expect(s, VERDICT_BAD, "Spinning", "35 % of samples are in libgomp.so.1.0.0 itself: ");
	set_function(s, 1, "pthread_spin_lock", "libc.so.6", 5, 5);
	expect(s, VERDICT_BAD, "CPU-bound", "23 % of samples in w (app)");
}

static void a_busy_garbage_collector_is_named(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	s->proc.user_pct = 98;
	s->proc.sys_pct = 2;
	s->nthreads = 3;
	s->threads[0] = (struct snap_thread){.comm = "GC Thread#1", .cpu_pct = 48};
	s->threads[1] = (struct snap_thread){.comm = "G1 Conc#0", .cpu_pct = 14};
	s->threads[2] = (struct snap_thread){.comm = "worker", .cpu_pct = 38};
	expect(s, VERDICT_BAD, "Garbage collection",
	       "62 % of its CPU time goes to the garbage collector's threads (GC Thread#1 first, "
	       "with 48 % of a CPU)");
	s->threads[0].cpu_pct = 5;
	s->threads[2].cpu_pct = 81;
	set_function(s, 0, "main.work", "app", 40, 40);
	expect(s, VERDICT_BAD, "CPU-bound", "40 % of samples in main.work");
	set_function(s, 1, "runtime.gcDrain", "app", 4, 31);
	set_function(s, 2, "runtime.gcDrainN", "app", 4, 14);
	expect(s, VERDICT_BAD, "Garbage collection", "45 % of samples are in Go's garbage");
}

static void time_in_the_kernel_is_told_by_its_dearest_calls(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	s->proc.user_pct = 20;
	s->proc.sys_pct = 75;
	set_function(s, 0, "tcp_sendmsg_locked", "[kernel]", 8, 35);
	set_function(s, 1, "__x64_sys_read", "[kernel]", 0, 12);
	set_function(s, 2, "__x64_sys_sendto", "[kernel]", 0, 45);
	set_function(s, 3, "__x64_sys_close", "[kernel]", 0, 2);
	set_function(s, 4, "ksys_read", "[kernel]", 0, 11);
	expect(s, VERDICT_BAD, "CPU-bound",
	       "most of it in the kernel (75 %); 45 % of samples in sendto, 12 % in read; most "
	       "frequent call ");
	/* Entering the kernel is part of the call: libc's function has it, and is the same call. */
	set_function(s, 5, "read", "libc.so.6", 4, 52);
	set_function(s, 6, "write", "app", 4, 60);
	expect(s, VERDICT_BAD, "CPU-bound", "; 52 % of samples in read, 45 % in sendto; ");
}

static void a_spread_profile_is_told_by_its_files(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	set_function(s, 0, "fn@0x4e40", "_json.so", 12, 12);
	set_function(s, 1, "fn@0x5a30", "_json.so", 18, 18);
	set_function(s, 2, "PyDict_GetItem", "python3.11", 15, 15);
	set_function(s, 3, "PyObject_Free", "python3.11", 14, 14);
	set_function(s, 4, "memcpy", "libc.so.6", 9, 9);
	expect(s, VERDICT_BAD, "CPU-bound",
	       "no function dominates; 30 % in _json.so, 29 % in python3.11; first is fn@0x5a30");
	/* All in the program itself: its name stands in the header. */
	for (uint32_t i = 0; i < 5; i++)
		snprintf(s->functions[i].module, sizeof(s->functions[i].module), "app");
	s->functions[4].recent_pct = 19;
	s->functions[0].recent_pct = 19;
	s->functions[2].recent_pct = 19;
	expect(s, VERDICT_BAD, "CPU-bound", "no function dominates; first is ");
}

static void waiting_for_a_disk_names_the_call_and_the_function(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct snap_wait_stack *st = &s->wait_stacks[0];

	sample_snapshot_fill(s, SAMPLE_IDLE, 1);
	s->proc.user_pct = 20;
	s->blocked[s->nblocked++] = (struct snap_blocked){.reason = BLOCKED_IO, .pct = 75};
	s->nwait_stacks = 1;
	*st = (struct snap_wait_stack){.reason = BLOCKED_IO, .ns = 5, .count = 1, .nframes = 3};
	st->frames[0] = snapshot_symbol(s, "fdatasync", "libc.so.6");
	st->frames[1] = snapshot_symbol(s, "fn@0xab050", "libsqlite3.so.0");
	st->frames[2] = snapshot_symbol(s, "sqlite3PagerCommitPhaseOne", "libsqlite3.so.0");
	expect(s, VERDICT_BAD, "I/O-bound",
	       "waits for disk or page faults, most in fdatasync for sqlite3PagerCommitPhaseOne "
	       "(reads ");
	st->frames[0] = st->frames[2];
	st->nframes = 1;
	expect(s, VERDICT_BAD, "I/O-bound", ", most in sqlite3PagerCommitPhaseOne (");
	/* Of a file without any names the place itself. */
	st->frames[0] = st->frames[1];
	expect(s, VERDICT_BAD, "I/O-bound", ", most in fn@0xab050 (");
}

static void an_idle_program_that_leaks_has_something_to_fix(void **state)
{
	struct fixture *f = *state;

	sample_snapshot_fill(f->s, SAMPLE_LEAK, 1);
	expect(f->s, VERDICT_BAD, "Leak suspected",
	       "session_clone keeps 100 % of what it allocates");
	expect(f->s, VERDICT_BAD, "Leak suspected", "; 0.5 % of a CPU used");
	f->s->heap.verdict = HEAP_STEADY;
	expect(f->s, VERDICT_GOOD, "Mostly idle", "waits in epoll_wait for requests");
}

static void parked_threads_of_go_are_not_taken_for_a_lock(void **state)
{
	struct fixture *f = *state;

	sample_snapshot_fill(f->s, SAMPLE_IDLE, 1);
	f->s->locks[f->s->nlocks++] = (struct snap_lock){
		.addr = 0xabc, .pct = 200, .waits = f->s->since_ns / 10000000, .kind = "go park"};
	expect(f->s, VERDICT_GOOD, "Not saturated", "2.0 of Go's threads are parked, 100/s");
}

static void missed_goal_is_said_beside_the_cause(void **state)
{
	struct fixture *f = *state;
	struct verdict v;

	f->s->latency[0].target = 1000;
	f->s->latency[0].met = 0;
	verdict_compute(&v, f->s);
	assert_non_null(strstr(v.also, "p99 of processCommand"));
	assert_string_equal(v.also_view, "latency");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(verdict_names_what_holds_the_target_back),
		TEST(verdict_tells_waiting_for_cpu_and_disk),
		TEST(a_loop_that_was_held_is_not_idle),
		TEST(a_deadlock_is_hidden_by_what_still_runs),
		TEST(asynchronous_io_counts_though_none_is_on_its_way),
		TEST(locks_that_are_no_futex_count_as_network),
		TEST(many_half_idle_threads_are_not_cpu_bound),
		TEST(condvar_waits_of_idle_workers_are_no_lock_problem),
		TEST(a_client_that_waits_for_its_server_is_not_idle),
		TEST(who_waits_for_its_output_to_be_taken_is_not_idle),
		TEST(who_waits_for_a_pipe_to_bring_something_is_told_so),
		TEST(who_sleeps_while_it_serves_is_not_idle),
		TEST(who_waits_for_a_name_server_is_not_idle),
		TEST(who_spins_is_told_so_before_the_queue),
		TEST(a_busy_garbage_collector_is_named),
		TEST(futex_that_wakes_threads_all_the_time_is_named),
		TEST(idle_parent_points_at_its_children),
		TEST(function_without_a_name_is_told_by_what_runs_around_it),
		TEST(a_busy_allocator_is_named_with_who_calls_it),
		TEST(time_in_the_kernel_is_told_by_its_dearest_calls),
		TEST(a_spread_profile_is_told_by_its_files),
		TEST(waiting_for_a_disk_names_the_call_and_the_function),
		TEST(an_idle_program_that_leaks_has_something_to_fix),
		TEST(parked_threads_of_go_are_not_taken_for_a_lock),
		TEST(missed_goal_is_said_beside_the_cause),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
