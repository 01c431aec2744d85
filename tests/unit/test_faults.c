/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_faults.c: targets that live oddly are neither lost nor lied about.
 * Long because every odd way to live is a case, over one fixture.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "collectors/clock.h"
#include "collectors/latency.h"
#include "collectors/locks.h"
#include "collectors/procfs.h"
#include "collectors/session.h"
#include "collectors/threads.h"
#include "probes/contract.h"

enum { PATIENCE = 200 }; /* ticks, for what comes as soon as the machine lets it */

struct fixture {
	struct session *se;
	pid_t child;
	int ready; /* the child writes here */
	char dir[32];
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.ready = -1;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[64];

	session_free(f->se);
	if (f->child > 0) {
		kill(f->child, SIGKILL);
		waitpid(f->child, NULL, 0);
	}
	if (f->ready >= 0)
		close(f->ready);
	if (f->dir[0]) {
		snprintf(path, sizeof(path), "%s/a", f->dir);
		unlink(path);
		snprintf(path, sizeof(path), "%s/b", f->dir);
		unlink(path);
		rmdir(f->dir);
	}
	return 0;
}

/* ---- children ------------------------------------------------------------------------------- */

static void burn(uint64_t ns)
{
	for (uint64_t end = clock_mono_ns() + ns; clock_mono_ns() < end;)
		;
}

static void *work(void *arg)
{
	for (;;) {
		burn(1000000);
		usleep(1000);
	}
	return NULL;
}

static void *work_briefly(void *arg)
{
	burn(2000000);
	return NULL;
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *want_mutex(void *arg)
{
	pthread_mutex_lock(&mutex);
	return wait_for_ever(NULL);
}

static pthread_t thread(void *(*fn)(void *))
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	if (pthread_create(&t, &attr, fn, NULL))
		_exit(1);
	pthread_attr_destroy(&attr);
	return t;
}

static void say(int fd, int32_t value)
{
	if (write(fd, &value, sizeof(value)) != sizeof(value))
		_exit(1);
}

static void be_two_threads(int fd)
{
	thread(wait_for_ever);
	say(fd, 0);
	wait_for_ever(NULL);
}

static void lose_the_first_thread(int fd)
{
	thread(work);
	say(fd, 0);
	pthread_exit(NULL);
}

static void work_in_brief_threads(int fd)
{
	say(fd, 0);
	for (;;)
		pthread_join(thread(work_briefly), NULL);
}

static void be_a_crowd(int fd)
{
	for (int i = 0; i < SNAP_THREADS + 40; i++)
		thread(wait_for_ever);
	thread(work);
	say(fd, 0);
	wait_for_ever(NULL);
}

static void compute(int fd)
{
	say(fd, 0);
	for (;;)
		burn(1000000);
}

static void wait_for_vfork(int fd)
{
	say(fd, 0);
	for (;;) {
		pid_t pid = vfork();

		if (!pid) {
			struct timespec t = {.tv_nsec = 20000000};

			syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
}

static void nothing(int sig)
{
}

/* Held since before anyone looks; let go of at a signal. */
static void hold_a_mutex(int fd)
{
	sigset_t usr1, before;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &before);
	signal(SIGUSR1, nothing);
	pthread_mutex_lock(&mutex);
	thread(want_mutex);
	usleep(50000);
	say(fd, (int32_t)syscall(SYS_gettid));
	sigsuspend(&before);
	pthread_mutex_unlock(&mutex);
	wait_for_ever(NULL);
}

static void spawn(struct fixture *f, void (*fn)(int), int32_t *said)
{
	int fds[2];
	int32_t value;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	f->child = fork();
	assert_true(f->child >= 0);
	if (!f->child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(fds[1]);
		_exit(0);
	}
	close(fds[1]);
	f->ready = fds[0];
	assert_int_equal(read(f->ready, &value, sizeof(value)), sizeof(value));
	if (said)
		*said = value;
}

static void watch(struct fixture *f)
{
	struct session_config cfg = {
		.pid = f->child, .interval_ns = 60000000, .offcpu = true, .syscalls = SYSCALL_OFF};
	char why[256];
	int err;

	f->se = session_new(&cfg, &err, why, sizeof(why));
	if (!f->se)
		fail_msg("%s", why);
	assert_int_equal(session_start(f->se), 0);
}

static const struct snapshot *next(struct fixture *f)
{
	for (int i = 0; i < 1000; i++) {
		struct pollfd p = {.fd = session_eventfd(f->se), .events = POLLIN};
		const struct snapshot *s;

		poll(&p, 1, 100);
		s = session_snapshot(f->se);
		if (s)
			return s;
	}
	fail_msg("no snapshot came");
	return NULL;
}

static uint64_t blocked_ns(const struct snapshot *s, uint32_t reason)
{
	for (uint32_t i = 0; i < s->nblocked; i++)
		if (s->blocked[i].reason == reason)
			return s->blocked[i].ns;
	return 0;
}

/* Off-CPU time needs eBPF: where it is asked for, a test without it fails. */
static void need_bpf(void)
{
	if (geteuid() && !getenv("PERFTOP_REQUIRE_BPF"))
		skip();
}

/* ---- processes ------------------------------------------------------------------------------ */

static void a_thread_is_refused_and_its_process_named(void **state)
{
	struct fixture *f = *state;
	struct session_config cfg = {.interval_ns = 1000000000};
	char why[256], want[32], path[32];
	int err = 0;

	spawn(f, be_two_threads, NULL);
	/* Its tid follows: nothing else of the test forks meanwhile, or the loop finds it. */
	for (cfg.pid = f->child + 1; cfg.pid < f->child + 1000; cfg.pid++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d", f->child, cfg.pid);
		if (!access(path, F_OK))
			break;
	}
	assert_null(session_new(&cfg, &err, why, sizeof(why)));
	assert_int_equal(err, -EINVAL);
	snprintf(want, sizeof(want), "-p %d", f->child);
	assert_non_null(strstr(why, want));
}

static void a_process_whose_first_thread_ended_goes_on(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s = NULL;

	spawn(f, lose_the_first_thread, NULL);
	usleep(50000);
	watch(f);
	next(f);
	for (int i = 0; i < PATIENCE && !(s && s->proc.user_pct + s->proc.sys_pct > 0); i++)
		s = next(f);
	assert_int_equal(s->finished, 0);
	assert_int_equal(s->target.state, TARGET_RUNNING);
	assert_true(s->proc.user_pct + s->proc.sys_pct > 0);
	assert_true(s->proc.rss_bytes > 0);
	for (uint32_t i = 0; i < s->nthreads; i++)
		if (s->threads[i].tid == f->child) {
			assert_int_equal(s->threads[i].state, 'Z');
			assert_true(s->threads[i].blocked_pct == 0);
		}
}

static void a_renamed_program_has_not_execed(void **state)
{
	struct fixture *f = *state;
	char a[64], b[64], cmd[128];

	strcpy(f->dir, "/tmp/perftop-test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(a, sizeof(a), "%s/a", f->dir);
	snprintf(b, sizeof(b), "%s/b", f->dir);
	snprintf(cmd, sizeof(cmd), "cp /bin/sleep %s", a);
	assert_int_equal(system(cmd), 0);
	f->child = fork();
	if (!f->child) {
		execl(a, a, "100", (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 200; i++) {
		char exe[64] = "";

		if (procfs_link(f->child, "exe", exe, sizeof(exe)) > 0 && !strcmp(exe, a))
			break;
		usleep(5000);
	}
	watch(f);
	next(f);
	assert_int_equal(rename(a, b), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(next(f)->nevents, 0);
	assert_int_equal(unlink(b), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(next(f)->nevents, 0);
}

/* CPU time by the target's own clock, of which a tick has seen no less and no more. */
struct bounds {
	uint64_t low_ns, high_ns;
};

/*
 * The CPU time of some ticks together, by the snapshots. False when one of them was missed, which a
 * later one took the place of.
 */
static bool sum_ticks(struct fixture *f, clockid_t clock, double *seen_ns, struct bounds *truth)
{
	uint64_t seq, begin[2], end[2] = {0, 0};
	const struct snapshot *s;

	next(f); /* attached by now */
	begin[0] = clock_ns(clock);
	seq = next(f)->seq;
	s = next(f);
	begin[1] = clock_ns(clock);
	*seen_ns = 0;
	for (int i = 0; i < 15; i++) {
		if (s->seq != ++seq)
			return false;
		end[0] = end[1];
		end[1] = clock_ns(clock);
		s = next(f);
		*seen_ns += (s->proc.user_pct + s->proc.sys_pct) / 100 * (double)s->interval_ns;
	}
	/* The tick came after the call that gave the one before it, and before its own returned. */
	truth->low_ns = end[0] - begin[1];
	truth->high_ns = clock_ns(clock) - begin[0];
	return s->seq == seq + 1;
}

static void the_cpu_of_threads_that_are_gone_is_counted(void **state)
{
	struct fixture *f = *state;
	struct bounds truth;
	clockid_t clock;
	double seen_ns;
	int tries = 0;

	spawn(f, work_in_brief_threads, NULL);
	assert_int_equal(clock_getcpuclockid(f->child, &clock), 0);
	watch(f);
	while (!sum_ticks(f, clock, &seen_ns, &truth))
		assert_true(++tries < 20);
	assert_true(seen_ns > 0.95 * (double)truth.low_ns - 10000000);
	assert_true(seen_ns < 1.05 * (double)truth.high_ns + 10000000);
}

static void the_busy_thread_is_shown_among_a_thousand_idle_ones(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s;
	int ticks = 0;

	spawn(f, be_a_crowd, NULL);
	watch(f);
	next(f);
	do
		s = next(f);
	while (!(s->threads[0].cpu_pct > 0) && ++ticks < PATIENCE);
	assert_int_equal(s->nthreads, SNAP_THREADS);
	assert_true(s->truncated > 0);
	assert_true(s->threads[0].cpu_pct > 0);
	assert_true(s->threads[0].cpu_pct > s->threads[1].cpu_pct);
}

/* ---- waits ---------------------------------------------------------------------------------- */

static void a_stop_is_no_page_fault(void **state)
{
	enum { STOP_NS = 300000000 };
	struct fixture *f = *state;
	const struct snapshot *s = NULL;

	need_bpf();
	spawn(f, compute, NULL);
	watch(f);
	s = next(f);
	kill(f->child, SIGSTOP);
	for (int i = 0; i < PATIENCE && blocked_ns(s, BLOCKED_OTHER) <= STOP_NS; i++)
		s = next(f);
	assert_true(blocked_ns(s, BLOCKED_OTHER) > STOP_NS);
	kill(f->child, SIGCONT);
	for (int i = 0; i < 3; i++)
		s = next(f);
	/* Its own pages it may wait for. */
	assert_true(blocked_ns(s, BLOCKED_PAGE_FAULT) < STOP_NS / 2);
	assert_true(blocked_ns(s, BLOCKED_OTHER) > STOP_NS);
}

static void waiting_for_a_vforked_child_is_no_io(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s = NULL;
	int ticks = 0;

	need_bpf();
	spawn(f, wait_for_vfork, NULL);
	watch(f);
	do
		s = next(f);
	while (blocked_ns(s, BLOCKED_OTHER) <= 100000000 && ++ticks < PATIENCE);
	assert_true(blocked_ns(s, BLOCKED_OTHER) > 10 * blocked_ns(s, BLOCKED_IO));
	assert_true(blocked_ns(s, BLOCKED_OTHER) > 100000000);
}

static void grows(const struct snapshot *s, uint64_t *lock_ns, uint64_t *futex_ns)
{
	assert_true(blocked_ns(s, BLOCKED_FUTEX) >= *futex_ns);
	*futex_ns = blocked_ns(s, BLOCKED_FUTEX);
	if (!s->nlocks)
		return;
	assert_true(s->locks[0].wait_ns >= *lock_ns);
	*lock_ns = s->locks[0].wait_ns;
}

static void a_wait_from_before_the_attach_stays_when_it_ends(void **state)
{
	struct fixture *f = *state;
	const struct snapshot *s = NULL;
	uint64_t futex_ns = 0, lock_ns = 0;
	int32_t holder;
	bool known = false;

	need_bpf();
	spawn(f, hold_a_mutex, &holder);
	watch(f);
	for (int i = 0; i < PATIENCE && !(known && lock_ns > 100000000); i++) {
		s = next(f);
		grows(s, &lock_ns, &futex_ns);
		known |= s->nlocks && s->locks[0].is_mutex && s->locks[0].owner_tid == holder;
	}
	assert_true(known);
	assert_true(lock_ns > 100000000);
	kill(f->child, SIGUSR1);
	for (int i = 0; i < PATIENCE && s->locks[0].pct > 0; i++) {
		s = next(f);
		grows(s, &lock_ns, &futex_ns);
		assert_int_equal(s->nlocks, 1);
	}
	for (int i = 0; i < 4; i++) {
		s = next(f);
		grows(s, &lock_ns, &futex_ns);
		assert_int_equal(s->nlocks, 1);
		assert_true(s->locks[0].pct == 0);
	}
}

static void a_holder_in_a_container_is_believed(void **state)
{
	struct contract_thread rows[2] = {
		{.at_ns = 2000, .tid = 7001, .ns_tid = 8},
		{.at_ns = 2000,
		 .tid = 7002,
		 .ns_tid = 9,
		 .state = 1,
		 .wait = WAIT_FUTEX,
		 .off_ns = 1000,
		 .lock = 0x1000,
		 .lock_owner = 8},
	};
	struct threads t = {.now = rows, .n = 2, .now_ns = 2000, .weight = 1};
	struct locks *l = locks_new(-1);
	struct snapshot *s = snapshot_new();

	locks_read_finished(l);
	locks_add_waiting(l, &t);
	locks_fill(l, 1000, s);
	assert_int_equal(s->nlocks, 1);
	assert_int_equal(s->locks[0].is_mutex, 1);
	assert_int_equal(s->locks[0].owner_tid, 7001);
	assert_int_equal(s->locks[0].wait_ns, 1000);
	assert_int_equal(s->locks[0].waits, 1);
	/* Over, and not in the map yet: what was shown does not fall. */
	rows[1].off_ns = 0;
	snapshot_clear(s);
	locks_read_finished(l);
	locks_add_waiting(l, &t);
	locks_fill(l, 1000, s);
	assert_int_equal(s->locks[0].wait_ns, 1000);
	assert_true(s->locks[0].pct == 0);
	snapshot_free(s);
	locks_free(l);
}

static void only_a_mutex_names_its_holder(void **state)
{
	uint32_t held[5] = {2, 0, 4242, 1, 0}, pi[5] = {4242 | 1u << 31, 0, 4242, 1, 32};
	uint32_t released[5] = {0, 0, 0, 0, 0}, other[5] = {1, 0, 4242, 1, 0};
	uint32_t garbage[5] = {2, 0, 4242, 0, 0x7fff1234};

	assert_int_equal(contract_mutex_owner(held), 4242);
	assert_int_equal(contract_mutex_owner(pi), 4242);
	assert_int_equal(contract_mutex_owner(released), 0);
	assert_int_equal(contract_mutex_owner(other), 0);
	assert_int_equal(contract_mutex_owner(garbage), 0);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static void counts_beyond_32_bits_leave_the_median_where_it_is(void **state)
{
	uint64_t *bins = calloc(BUCKET_COUNT, sizeof(*bins));
	struct latency_source_now now = {.count = 9000000001, .max = 5000000, .bins = bins};
	struct latency_track track = {0};
	struct snapshot *s = snapshot_new();
	struct snap_latency *row = &s->latency[0];

	s->nlatency = 1;
	bins[bucket_index(100)] = 9000000000;
	bins[bucket_index(5000000)] = 1;
	assert_int_equal(latency_track_update(&track, &now, 1000000000, s, row), 0);
	assert_in_range(row->p50, 98, 102);
	assert_in_range(row->p999, 98, 102);
	assert_int_equal(row->sampled, 9000000001);
	/* The shape stays: the many are many, and the one is there. */
	assert_int_equal(row->bin_count, 2);
	assert_true(s->bins[0].count > 1000000000);
	assert_true(s->bins[1].count >= 1);
	latency_track_fini(&track);
	snapshot_free(s);
	free(bins);
}

static void a_source_that_falls_gives_no_absurd_rate(void **state)
{
	uint64_t *bins = calloc(BUCKET_COUNT, sizeof(*bins));
	struct latency_source_now now = {.count = 100, .sum = 1000, .max = 10, .bins = bins};
	struct latency_track track = {0};
	struct snapshot *s = snapshot_new();

	s->nlatency = 1;
	bins[10] = 100;
	latency_track_update(&track, &now, 1000000000, s, s->latency);
	snapshot_clear(s);
	s->nlatency = 1;
	now.count = 40;
	now.sum = 400;
	bins[10] = 40;
	latency_track_update(&track, &now, 1000000000, s, s->latency);
	assert_true(s->latency[0].rate == 0);
	assert_int_equal(s->latency[0].recent_p50, 0);
	latency_track_fini(&track);
	snapshot_free(s);
	free(bins);
}

static void what_was_counted_before_makes_no_first_rate(void **state)
{
	uint64_t *bins = calloc(BUCKET_COUNT, sizeof(*bins));
	struct latency_source_now now = {.count = 1000000, .sum = 1, .max = 10, .bins = bins};
	struct latency_track track = {0};
	struct snapshot *s = snapshot_new();

	s->nlatency = 1;
	bins[10] = 1000000;
	latency_track_begin(&track, &now);
	now.count = bins[10] = 1000005;
	latency_track_update(&track, &now, 1000000000, s, s->latency);
	assert_true(s->latency[0].rate == 5);
	assert_int_equal(s->latency[0].count, 1000005);
	latency_track_fini(&track);
	snapshot_free(s);
	free(bins);
}

static void gaps_in_cpu_numbers_leave_room_for_the_last(void **state)
{
	assert_int_equal(procfs_parse_cpu_ids("0-1\n"), 2);
	assert_int_equal(procfs_parse_cpu_ids("0\n"), 1);
	assert_int_equal(procfs_parse_cpu_ids("0,2-3,8-11\n"), 12);
	assert_int_equal(procfs_parse_cpu_ids("0-3,64\n"), 65);
	assert_int_equal(procfs_parse_cpu_ids(""), 0);
	assert_int_equal(procfs_parse_cpu_ids("0-\n"), 0);
	assert_int_equal(procfs_count_cpus("0\n"), 1);
	assert_int_equal(procfs_count_cpus("0,2-3,8-11\n"), 7);
	assert_int_equal(procfs_count_cpus("3-1\n"), 0);
	assert_int_equal(procfs_count_cpus("0-99999999999\n"), 0);
	assert_int_equal(procfs_count_cpus(""), 0);
	assert_true(procfs_cpu_ids() >= (uint32_t)sysconf(_SC_NPROCESSORS_ONLN));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_thread_is_refused_and_its_process_named),
		T(a_process_whose_first_thread_ended_goes_on),
		T(a_renamed_program_has_not_execed),
		T(the_cpu_of_threads_that_are_gone_is_counted),
		T(the_busy_thread_is_shown_among_a_thousand_idle_ones),
		T(a_stop_is_no_page_fault),
		T(waiting_for_a_vforked_child_is_no_io),
		T(a_wait_from_before_the_attach_stays_when_it_ends),
		T(a_holder_in_a_container_is_believed),
		T(only_a_mutex_names_its_holder),
		T(counts_beyond_32_bits_leave_the_median_where_it_is),
		T(a_source_that_falls_gives_no_absurd_rate),
		T(what_was_counted_before_makes_no_first_rate),
		T(gaps_in_cpu_numbers_leave_room_for_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
