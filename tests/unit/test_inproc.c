/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_inproc.c: what a program counts is what its watcher reads.
 * Long because every way a program starts, forks and ends is a case, over one reader.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "collectors/segment.h"
#include "probes/perftop.h"

enum { THREADS = 16, ADDS = 20000, ROUNDS = 500 };

static struct segment *attach(pid_t pid)
{
	char why[256] = "";
	int err = 0;
	struct segment *s = segment_attach(pid, &err, why, sizeof(why));

	if (!s)
		print_error("attach to %d: %d, %s\n", (int)pid, err, why);
	assert_non_null(s);
	return s;
}

static const struct segment_metric *find(const struct segment *s, const char *name)
{
	for (uint32_t i = 0; i < segment_count(s); i++)
		if (!strcmp(segment_metric(s, i)->name, name))
			return segment_metric(s, i);
	print_error("no metric %s\n", name);
	fail();
	return NULL;
}

static void start_threads(pthread_t *ids, int n, void *(*run)(void *), void *arg)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, run, arg), 0);
}

static void join_threads(pthread_t *ids, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(pthread_join(ids[i], NULL), 0);
}

/* ---- sums --------------------------------------------------------------------------------- */

static void *add_and_record(void *arg)
{
	struct perftop_counter c = perftop_counter("sums.counter", "", "");
	struct perftop_counter other = perftop_counter("sums.other", "", "");
	struct perftop_hist h = perftop_hist("sums.hist", "ns", "");

	for (uint64_t i = 0; i < ADDS; i++) {
		perftop_add(c, 1);
		perftop_add_both(c, 2, other, 5);
		perftop_record(h, i * 1000);
	}
	return NULL;
}

static void counts_of_all_threads_are_exact(void **state)
{
	pthread_t ids[THREADS];
	const struct segment_metric *m;
	struct segment *s;
	uint64_t bins = 0;

	start_threads(ids, THREADS, add_and_record, NULL);
	add_and_record(NULL);
	join_threads(ids, THREADS);
	s = attach(getpid());
	assert_int_equal(find(s, "sums.counter")->value, 3 * ADDS * (THREADS + 1));
	assert_int_equal(find(s, "sums.other")->value, 5 * ADDS * (THREADS + 1));
	m = find(s, "sums.hist");
	assert_int_equal(m->count, ADDS * (THREADS + 1));
	assert_int_equal(m->sum, 1000ull * ADDS * (ADDS - 1) / 2 * (THREADS + 1));
	assert_int_equal(m->max, (ADDS - 1) * 1000);
	assert_string_equal(m->unit, "ns");
	for (unsigned int i = 0; i < BUCKET_COUNT; i++)
		bins += m->bins[i];
	assert_int_equal(bins, m->count);
	assert_int_equal(m->bins[0], THREADS + 1);
	segment_free(s);
}

static void a_name_registered_again_is_the_same_metric(void **state)
{
	struct perftop_counter a = perftop_counter("same.name", "B", "first");
	struct perftop_counter b = perftop_counter("same.name", "", "second");
	struct perftop_gauge g = perftop_gauge("same.name", "", "another kind");
	struct segment *s;

	assert_int_equal(a.slot, b.slot);
	assert_int_not_equal(a.slot, g.slot);
	s = attach(getpid());
	assert_string_equal(find(s, "same.name")->help, "first");
	segment_free(s);
}

static void a_gauge_shows_the_last_write_and_its_changes(void **state)
{
	struct perftop_gauge g = perftop_gauge("gauge.level", "", "");
	struct segment *s = attach(getpid());

	perftop_set(g, -5);
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(find(s, "gauge.level")->value, -5);
	perftop_gauge_add(g, 12);
	perftop_gauge_add(g, -1);
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(find(s, "gauge.level")->value, 6);
	segment_free(s);
}

static void a_zeroed_handle_counts_nowhere(void **state)
{
	struct perftop_counter c = {0};
	struct perftop_hist h = {0};
	struct perftop_gauge g = {0};
	struct segment *s;

	perftop_inc(c);
	perftop_record(h, 1);
	perftop_set(g, 1);
	s = attach(getpid());
	for (uint32_t i = 0; i < segment_count(s); i++)
		assert_true(segment_metric(s, i)->name[0]);
	segment_free(s);
}

static void a_scope_records_the_time_to_the_end_of_its_block(void **state)
{
	struct perftop_hist h = perftop_hist("scope.sleep", "ns", "");
	struct timespec two_ms = {0, 2000000};
	uint64_t before = perftop_now_ns(), all;
	const struct segment_metric *m;
	struct segment *s;

	{
		PERFTOP_SCOPE(h);
		nanosleep(&two_ms, NULL);
	}
	all = perftop_now_ns() - before;
	s = attach(getpid());
	m = find(s, "scope.sleep");
	assert_int_equal(m->count, 1);
	/* Calibration is good to 0.01 %. */
	assert_in_range(m->sum, 2000000 - 2000, all + all / 1000);
	segment_free(s);
}

static void a_scope_that_times_one_in_some_counts_every_call(void **state)
{
	struct perftop_hist h = perftop_hist("scope.sampled", "ns", "");
	struct timespec brief = {0, 50000};
	const struct segment_metric *m;
	struct segment *s = attach(getpid());
	uint64_t bins = 0;

	for (int i = 0; i < 200; i++) {
		PERFTOP_SCOPE_ONE_IN(61, h);
		nanosleep(&brief, NULL);
	}
	assert_int_equal(segment_refresh(s), 0);
	m = find(s, "scope.sampled");
	assert_int_equal(m->count, 200);
	assert_int_equal(m->timed, 4); /* calls 0, 61, 122 and 183 */
	/* The others have the time of the last of them. */
	assert_in_range(m->sum, 200 * 50000ull * 999 / 1000, 200 * m->max);
	for (unsigned int i = 0; i < BUCKET_COUNT; i++)
		bins += m->bins[i];
	assert_int_equal(bins, 200);
	for (int i = 0; i < 10; i++) { /* longer calls of the same histogram: each is timed */
		PERFTOP_SCOPE_ONE_IN(1, h);
	}
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(find(s, "scope.sampled")->count, 210);
	assert_int_equal(find(s, "scope.sampled")->timed, 14);
	segment_free(s);
}

static void a_histogram_without_such_scopes_has_timed_all(void **state)
{
	struct perftop_hist h = perftop_hist("scope.each", "ns", "");
	struct segment *s = attach(getpid());

	for (int i = 0; i < 5; i++) {
		PERFTOP_SCOPE(h);
	}
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(find(s, "scope.each")->count, 5);
	assert_int_equal(find(s, "scope.each")->timed, 5);
	segment_free(s);
}

/* ---- the watcher and threads that end ------------------------------------------------------ */

static int stop;

static void *churn(void *arg)
{
	struct perftop_counter c = perftop_counter("race.counter", "", "");
	struct perftop_hist h = perftop_hist("race.hist", "ns", "");

	for (uint64_t i = 0; i < ROUNDS; i++) {
		perftop_inc(c);
		perftop_record(h, i * 77);
	}
	return NULL;
}

static void threads_that_come_and_go_lose_no_count(void **state)
{
	enum { AT_ONCE = 50, ALL = 5000 };
	pthread_t ids[AT_ONCE];
	struct segment *s;
	uint32_t live;
	int64_t before;
	uint64_t count;

	churn(NULL);
	s = attach(getpid());
	live = segment_threads(s);
	before = find(s, "race.counter")->value;
	count = find(s, "race.hist")->count;
	for (int i = 0; i < ALL / AT_ONCE; i++) {
		start_threads(ids, AT_ONCE, churn, NULL);
		join_threads(ids, AT_ONCE);
	}
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(find(s, "race.counter")->value - before, ALL * ROUNDS);
	assert_int_equal(find(s, "race.hist")->count - count, ALL * ROUNDS);
	assert_int_equal(segment_threads(s), live);
	segment_free(s);
}

static void *churn_threads(void *arg)
{
	uint64_t *started = arg;
	pthread_t id;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (pthread_create(&id, NULL, churn, NULL))
			continue;
		pthread_join(id, NULL);
		__atomic_fetch_add(started, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void no_count_falls_while_threads_end(void **state)
{
	uint64_t started[2] = {0, 0}, count = 0, sum = 0;
	pthread_t ids[2];
	uint64_t records;
	int64_t value = 0, adds;
	struct segment *s;

	churn(NULL);
	s = attach(getpid());
	adds = find(s, "race.counter")->value;
	records = find(s, "race.hist")->count;
	stop = 0;
	start_threads(&ids[0], 1, churn_threads, &started[0]);
	start_threads(&ids[1], 1, churn_threads, &started[1]);
	for (int i = 0; i < 2000 || __atomic_load_n(&started[0], __ATOMIC_RELAXED) < 500; i++) {
		const struct segment_metric *c, *h;

		assert_int_equal(segment_refresh(s), 0);
		c = find(s, "race.counter");
		h = find(s, "race.hist");
		assert_true(c->value >= value);
		assert_true(h->count >= count && h->sum >= sum);
		value = c->value;
		count = h->count;
		sum = h->sum;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	join_threads(ids, 2);
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(find(s, "race.counter")->value - adds, ROUNDS * (started[0] + started[1]));
	assert_int_equal(find(s, "race.hist")->count - records, ROUNDS * (started[0] + started[1]));
	segment_free(s);
}

/* ---- limits --------------------------------------------------------------------------------- */

static pthread_barrier_t all_counted;

static void *count_and_stay(void *arg)
{
	struct perftop_counter c = perftop_counter("many.counter", "", "");
	struct perftop_hist h = perftop_hist("many.hist", "ns", "");
	struct perftop_gauge g = perftop_gauge("many.gauge", "", "");

	for (int i = 0; i < 10; i++) {
		perftop_inc(c);
		perftop_record(h, 100);
		perftop_gauge_add(g, 1);
	}
	pthread_barrier_wait(&all_counted);
	pthread_barrier_wait(&all_counted);
	return NULL;
}

static void more_threads_than_shards_are_counted_and_said(void **state)
{
	enum { MANY = PERFTOP_MAX_THREADS + 40 };
	pthread_t *ids = calloc(MANY, sizeof(*ids));
	struct segment *s;
	pthread_attr_t attr;
	uint32_t live;

	perftop_counter("many.counter", "", "");
	s = attach(getpid());
	live = segment_threads(s);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	pthread_barrier_init(&all_counted, NULL, MANY + 1);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(pthread_create(&ids[i], &attr, count_and_stay, NULL), 0);
	pthread_barrier_wait(&all_counted);
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(find(s, "many.counter")->value, 10 * MANY);
	assert_int_equal(find(s, "many.hist")->count, 10 * MANY);
	assert_int_equal(find(s, "many.gauge")->value, 10 * MANY);
	assert_int_equal(segment_threads(s), PERFTOP_MAX_THREADS);
	assert_int_equal(segment_refused_threads(s), MANY + live - PERFTOP_MAX_THREADS);
	pthread_barrier_wait(&all_counted);
	join_threads(ids, MANY);
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(segment_threads(s), live);
	pthread_barrier_destroy(&all_counted);
	pthread_attr_destroy(&attr);
	segment_free(s);
	free(ids);
}

static void refuse_metrics(void)
{
	struct perftop_counter c = perftop_counter("limit.first", "", "");
	struct segment *s;
	char name[32];
	uint32_t n;

	perftop_inc(c); /* a child's segment begins with its first use */
	s = attach(getpid());
	n = segment_count(s);
	for (uint32_t i = 0; i < PERFTOP_MAX_METRICS + 5; i++) {
		snprintf(name, sizeof(name), "limit.%u", i);
		c = perftop_counter(name, "", "");
		perftop_add(c, i);
	}
	assert_int_equal(c.slot, 0);
	assert_int_equal(segment_refresh(s), 0);
	assert_int_equal(segment_count(s), PERFTOP_MAX_METRICS);
	assert_int_equal(segment_refused_metrics(s), n + 5);
	assert_int_equal(find(s, "limit.900")->value, 900);
	segment_free(s);
}

/* ---- fork --------------------------------------------------------------------------------- */

/* Run f in a forked child; its assertions fail the child, and so the test. */
static void in_child(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		alarm(60);
		setenv("CMOCKA_TEST_ABORT", "1", 1); /* not on into the parent's tests */
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void past_the_last_metric_registration_is_refused_and_said(void **state)
{
	in_child(refuse_metrics); /* so that the tests after this one find room */
}

static void count_in_child(void)
{
	struct perftop_counter c = perftop_counter("fork.counter", "", "");
	struct segment *s;

	perftop_add(c, 1000);
	s = attach(getpid());
	if (find(s, "fork.counter")->value != 1000 || find(s, "sums.counter")->value)
		_exit(3);
	segment_free(s);
}

static void a_forked_child_has_counters_of_its_own(void **state)
{
	struct perftop_counter c = perftop_counter("fork.counter", "", "");
	struct segment *s;

	perftop_add(c, 7);
	in_child(count_in_child);
	s = attach(getpid());
	assert_int_equal(find(s, "fork.counter")->value, 7);
	segment_free(s);
}

static void a_child_that_counts_nothing_has_no_segment(void **state)
{
	char why[128];
	int to[2], status, err = 0;
	char c;
	pid_t pid;

	assert_int_equal(pipe(to), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(to[1]);
		_exit(read(to[0], &c, 1) != 0);
	}
	/* The parent's is open there too, and must not be taken for the child's. */
	assert_null(segment_attach(pid, &err, why, sizeof(why)));
	close(to[0]);
	close(to[1]);
	waitpid(pid, &status, 0);
	assert_int_equal(err, -ENOENT);
}

static void a_vforked_child_and_exec_leave_the_counters_alone(void **state)
{
	struct perftop_counter c = perftop_counter("vfork.counter", "", "");
	struct segment *s;
	int status;
	pid_t pid;

	perftop_inc(c);
	pid = vfork();
	if (!pid) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	perftop_inc(c);
	s = attach(getpid());
	assert_int_equal(find(s, "vfork.counter")->value, 2);
	segment_free(s);
}

/* ---- the program is not affected ------------------------------------------------------------ */

static void count_without_segment(void)
{
	struct rlimit none = {0, 0};
	struct perftop_counter c;
	struct perftop_hist h;
	char why[128];
	int err = 0;

	if (setrlimit(RLIMIT_FSIZE, &none)) /* ftruncate would raise SIGXFSZ */
		_exit(3);
	errno = 77;
	c = perftop_counter("sink.counter", "", "");
	h = perftop_hist("sink.hist", "ns", "");
	perftop_inc(c);
	perftop_record(h, 5);
	if (errno != 77)
		_exit(4);
	if (segment_attach(getpid(), &err, why, sizeof(why)) || err != -ENOENT)
		_exit(5);
}

static void a_program_that_may_not_make_the_segment_runs_on(void **state)
{
	in_child(count_without_segment);
}

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
static struct perftop_counter signalled;
static struct perftop_hist signalled_hist;
static volatile uint64_t handled; /* written by the handler alone */

static void on_signal(int sig)
{
	perftop_inc(signalled);
	perftop_record(signalled_hist, 1);
	handled = handled + 1;
}

static void a_signal_handler_interrupts_an_add_and_nothing_is_lost(void **state)
{
	struct itimerval every = {{0, 50}, {0, 50}}, off = {{0, 0}, {0, 0}};
	struct sigaction act = {.sa_handler = on_signal}, old;
	const uint64_t loops = 20000000;
	struct segment *s;

	signalled = perftop_counter("signal.counter", "", "");
	signalled_hist = perftop_hist("signal.hist", "", "");
	sigaction(SIGALRM, &act, &old);
	setitimer(ITIMER_REAL, &every, NULL);
	for (uint64_t i = 0; i < loops; i++) {
		perftop_inc(signalled);
		perftop_record(signalled_hist, 1);
	}
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	s = attach(getpid());
	assert_true(handled > 0);
	assert_int_equal(find(s, "signal.counter")->value, loops + handled);
	assert_int_equal(find(s, "signal.hist")->count, loops + handled);
	assert_int_equal(find(s, "signal.hist")->sum, loops + handled);
	segment_free(s);
}
#endif

/* ---- building and markers ------------------------------------------------------------------- */

static int evaluated;

static int evaluate(void)
{
	return ++evaluated;
}

static void a_marker_costs_its_arguments_nothing_until_attached(void **state)
{
	volatile unsigned short *on = (void *)(uintptr_t)PERFTOP_USDT_PTR(perftop_test, marker);

	for (int i = 0; i < 3; i++) {
		*on = i == 1; /* what the kernel does when a tracer attaches and leaves */
		PERFTOP_USDT(perftop_test, marker, evaluate(), i, 1, 2, 3, 4);
	}
	assert_int_equal(evaluated, 1);
}

static void a_scope_with_markers_records_attached_or_not(void **state)
{
	struct perftop_hist h = perftop_hist("usdt.scope", "ns", "");
	volatile unsigned short *on = (void *)(uintptr_t)PERFTOP_USDT_PTR(perftop_test, run__end);
	struct segment *s;

	for (int i = 0; i < 4; i++) {
		PERFTOP_SCOPE_USDT(perftop_test, run, h);
		*on = i & 1;
	}
	s = attach(getpid());
	assert_int_equal(find(s, "usdt.scope")->count, 4);
	segment_free(s);
}

static const char sample[] = "#include \"probes/perftop.h\"\n"
			     "int main(void) {\n"
			     "  struct perftop_counter c = perftop_counter(\"a\", \"b\", \"c\");\n"
			     "  struct perftop_gauge g = perftop_gauge(\"a\", \"b\", \"c\");\n"
			     "  struct perftop_hist h = perftop_hist(\"a\", \"b\", \"c\");\n"
			     "  PERFTOP_SCOPE(h);\n"
			     "  PERFTOP_SCOPE_ONE_IN(61, h);\n"
			     "  PERFTOP_SCOPE_USDT(some, scope, h);\n"
			     "  PERFTOP_USDT(some, marker);\n"
			     "  PERFTOP_USDT(some, other, 1, 2, 3);\n"
			     "  perftop_inc(c); perftop_set(g, 1); perftop_gauge_add(g, 1);\n"
			     "  perftop_record(h, perftop_now_ns());\n"
			     "  return 0;\n"
			     "}\n";

static void compile_sample(const char *command)
{
	FILE *to = popen(command, "w");

	assert_non_null(to);
	fputs(sample, to);
	if (pclose(to)) {
		print_error("%s\n", command);
		fail();
	}
}

#define WARNINGS "-Wall -Wextra -Wshadow -Werror -I. -o /dev/null"

static void a_program_builds_without_the_library_when_disabled(void **state)
{
	compile_sample("cc -std=c11 -D_GNU_SOURCE -DPERFTOP_DISABLED " WARNINGS " -x c -");
	compile_sample("cc -std=c99 -DPERFTOP_DISABLED " WARNINGS " -x c -");
}

static void a_program_builds_as_strict_c_and_as_cxx(void **state)
{
	compile_sample("cc -std=c11 -D_GNU_SOURCE -O1 -c " WARNINGS " -x c -");
	compile_sample("cc -std=c11 -Wpedantic -O1 -c " WARNINGS " -x c -");
	compile_sample("cc -std=c99 -O1 -c " WARNINGS " -x c -");
	if (system("command -v g++ >/dev/null")) {
		print_message("no g++ here: C++ is not checked\n");
		return;
	}
	compile_sample("g++ -std=c++17 -O1 -c " WARNINGS " -x c++ -");
	compile_sample("g++ -std=c++17 -DPERFTOP_DISABLED " WARNINGS " -x c++ -");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_of_all_threads_are_exact),
		cmocka_unit_test(a_name_registered_again_is_the_same_metric),
		cmocka_unit_test(a_gauge_shows_the_last_write_and_its_changes),
		cmocka_unit_test(a_zeroed_handle_counts_nowhere),
		cmocka_unit_test(a_scope_records_the_time_to_the_end_of_its_block),
		cmocka_unit_test(a_scope_that_times_one_in_some_counts_every_call),
		cmocka_unit_test(a_histogram_without_such_scopes_has_timed_all),
		cmocka_unit_test(threads_that_come_and_go_lose_no_count),
		cmocka_unit_test(no_count_falls_while_threads_end),
		cmocka_unit_test(more_threads_than_shards_are_counted_and_said),
		cmocka_unit_test(past_the_last_metric_registration_is_refused_and_said),
		cmocka_unit_test(a_forked_child_has_counters_of_its_own),
		cmocka_unit_test(a_child_that_counts_nothing_has_no_segment),
		cmocka_unit_test(a_vforked_child_and_exec_leave_the_counters_alone),
		cmocka_unit_test(a_program_that_may_not_make_the_segment_runs_on),
		cmocka_unit_test(a_marker_costs_its_arguments_nothing_until_attached),
		cmocka_unit_test(a_scope_with_markers_records_attached_or_not),
		cmocka_unit_test(a_program_builds_without_the_library_when_disabled),
		cmocka_unit_test(a_program_builds_as_strict_c_and_as_cxx),
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
		cmocka_unit_test(a_signal_handler_interrupts_an_add_and_nothing_is_lost),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
