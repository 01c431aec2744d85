/* SPDX-License-Identifier: Apache-2.0 */
/* test_calls.c: the library that times calls in a process, in this one. */
/* Long because one segment stands for all ways of calling: each is counted in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <execinfo.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectors/calls_priv.h"
#include "collectors/clock.h"
#include "collectors/latency.h"

#ifdef __x86_64__

enum { STUB_DEEP, STUB_JUMP, STUB_FIRST, STUB_SECOND, STUB_AGAIN, STUB_ANY, STUB_WALK, STUB_SPIN };
enum { THREADS = 80, ROUNDS = 2000, DEPTH = 90000 };

static struct calls_port *port;
static struct calls here; /* the reader's part of it */

typedef long fn(long);

/* The function's stub, from now on counting from zero. */
static void *hook(int stub, void *f)
{
	((uint64_t *)port->originals)[stub] = (uintptr_t)f;
	((uint8_t *)port->gates)[stub] = 1;
	return (void *)(port->stubs + (uint64_t)stub * CALLS_STUB_BYTES);
}

static struct latency_sum sum_of(int stub)
{
	struct latency_sum sum = {0};

	calls_add_sum(&here, (uint32_t)stub, &sum);
	assert_int_equal(sum.calls, calls_count(&here, (uint32_t)stub));
	return sum;
}

static void assert_counted(int stub, uint64_t calls, uint64_t timed)
{
	struct latency_sum sum = sum_of(stub);

	assert_int_equal(sum.calls, calls);
	assert_int_equal(sum.count, timed);
}

static int setup(void **state)
{
	char path[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	void *so;

	assert_true(n > 0);
	path[n] = '\0';
	for (int i = 0; i < 3; i++) { /* BUILD/tests/unit/test_calls */
		slash = strrchr(path, '/');
		*slash = '\0';
	}
	strcat(path, "/libperftop_calls.so");
	so = dlopen(path, RTLD_NOW);
	if (!so)
		fail_msg("%s", dlerror());
	port = dlsym(so, CALLS_PORT_SYMBOL);
	assert_non_null(port);
	assert_int_equal(port->error, 0);
	here.segment = (struct calls_segment *)port->segment;
	return 0;
}

/* Counts of each test begin at zero. */
static int begin(void **state)
{
	struct calls_segment *s = here.segment;

	s->epoch++;
	s->untimed = 0;
	for (uint32_t i = 0; i < CALLS_SHARDS; i++)
		for (uint32_t k = 0; k < CALLS_STUBS; k++)
			if (s->used[i][k / 64] >> (k % 64) & 1)
				memset(&((struct calls_shard *)((char *)s + CALLS_SHARDS_OFFSET) +
					 i)
						->hists[k],
				       0, sizeof(struct calls_hist));
	memset(s->used, 0, sizeof(s->used));
	s->ns_per_tick = 1ull << 32; /* one a tick */
	s->until_ticks = UINT64_MAX;
	return 0;
}

/* ---- the ways of calling -------------------------------------------------------------------- */

static fn *volatile deep_stub;
static __attribute__((noinline)) long deep(long n)
{
	return n ? deep_stub(n - 1) + 1 : 0;
}

static void test_recursion(void **state)
{
	deep_stub = hook(STUB_DEEP, deep);
	assert_int_equal(deep_stub(1000), 1000);
	assert_counted(STUB_DEEP, 1001, 1001);
	assert_int_equal(calls_untimed(&here), 0);
}

/* More calls under way than the table holds: all return, and are counted. */
static void *recurse_deeply(void *arg)
{
	deep_stub = hook(STUB_DEEP, deep);
	assert_int_equal(deep_stub(DEPTH), DEPTH);
	return NULL;
}

static void test_table_full(void **state)
{
	struct latency_sum sum;
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 20);
	assert_int_equal(pthread_create(&id, &attr, recurse_deeply, NULL), 0);
	pthread_join(id, NULL);
	pthread_attr_destroy(&attr);
	sum = sum_of(STUB_DEEP);
	assert_int_equal(sum.calls, DEPTH + 1);
	assert_true(calls_untimed(&here) > 0);
	assert_int_equal(sum.count + calls_untimed(&here), DEPTH + 1);
	/* Nothing of it is left. */
	begin(NULL);
	assert_int_equal(deep_stub(1000), 1000);
	assert_counted(STUB_DEEP, 1001, 1001);
}

static fn *volatile jump_stub;
static jmp_buf back;
static __attribute__((noinline)) long jump(long n)
{
	if (!n)
		longjmp(back, 1);
	return jump_stub(n - 1) + 1;
}

static void test_longjmp(void **state)
{
	static volatile int landed;

	jump_stub = hook(STUB_JUMP, jump);
	deep_stub = hook(STUB_DEEP, deep);
	landed = 0;
	for (volatile int i = 0; i < 1000; i++) {
		if (!setjmp(back))
			jump_stub(i % 10);
		else
			landed++;
		/* On the same words of the stack that the jumps left behind. */
		assert_int_equal(deep_stub(5), 5);
	}
	assert_int_equal(landed, 1000);
	assert_counted(STUB_JUMP, 5500, 0);
	assert_counted(STUB_DEEP, 6000, 6000);
	assert_int_equal(calls_untimed(&here), 0);
}

/* Jumps, as the compiler makes of calls in the last place. */
static fn *volatile first_stub, *volatile second_stub, *volatile again_stub;
static __attribute__((noinline)) long second(long n)
{
	return n + 7;
}
static __attribute__((noinline, optimize("O2"))) long first(long n)
{
	return second_stub(n + 1);
}
static __attribute__((noinline, optimize("O2"))) long again(long n)
{
	return n ? again_stub(n - 1) : 5;
}

static void test_tail_calls(void **state)
{
	first_stub = hook(STUB_FIRST, first);
	second_stub = hook(STUB_SECOND, second);
	again_stub = hook(STUB_AGAIN, again);
	for (long i = 0; i < 1000; i++)
		assert_int_equal(first_stub(i), i + 8);
	assert_counted(STUB_FIRST, 1000, 1000);
	assert_counted(STUB_SECOND, 1000, 1000);
	assert_int_equal(again_stub(1000), 5);
	assert_counted(STUB_AGAIN, 1001, 1001 - calls_untimed(&here));
	assert_int_equal(deep_stub(3), 3);
}

static __attribute__((noinline)) double add_all(int n, ...)
{
	double sum = 0;
	va_list ap;

	va_start(ap, n);
	for (int i = 0; i < n; i++) {
		sum += va_arg(ap, int);
		sum += va_arg(ap, double);
	}
	va_end(ap);
	return sum;
}

struct large {
	long v[12];
};
static __attribute__((noinline)) struct large times(struct large a, long k)
{
	for (int i = 0; i < 12; i++)
		a.v[i] *= k;
	return a;
}
static __attribute__((noinline)) long double product(long double a, long double b)
{
	return a * b;
}
static __attribute__((noinline)) __int128 thrice(__int128 a)
{
	return a * 3;
}
struct two {
	double a, b;
};
static __attribute__((noinline)) struct two both(double a)
{
	return (struct two){a, a * 2};
}
typedef double vec4 __attribute__((vector_size(16)));
static __attribute__((noinline)) vec4 swap(vec4 a)
{
	return (vec4){a[1], a[0]};
}

static void test_arguments_and_results(void **state)
{
	struct large a = {{0}};
	struct two t;
	vec4 v;

	assert_true(((double (*)(int, ...))hook(STUB_ANY, add_all))(9, 1, .5, 2, .5, 3, .5, 4, .5,
								    5, .5, 6, .5, 7, .5, 8, .5, 9,
								    .5) == 49.5);
	for (int i = 0; i < 12; i++)
		a.v[i] = i;
	a = ((struct large(*)(struct large, long))hook(STUB_ANY, times))(a, 3);
	for (int i = 0; i < 12; i++)
		assert_int_equal(a.v[i], 3 * i);
	assert_true(((long double (*)(long double, long double))hook(STUB_ANY, product))(
			    1.5L, 0x1p-70L) == 1.5L * 0x1p-70L);
	assert_true(((__int128 (*)(__int128))hook(STUB_ANY, thrice))((__int128)1 << 100) ==
		    (__int128)3 << 100);
	t = ((struct two(*)(double))hook(STUB_ANY, both))(4);
	assert_true(t.a == 4 && t.b == 8);
	v = ((vec4(*)(vec4))hook(STUB_ANY, swap))((vec4){1, 2});
	assert_true(v[0] == 2 && v[1] == 1);
	assert_counted(STUB_ANY, 6, 6);
}

/* ---- threads, signals, children ------------------------------------------------------------- */

static void *work(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		if (deep_stub(3) != 3)
			abort();
	return NULL;
}

/* More at a time than there are shards of one's own, and more in all. */
static void test_threads(void **state)
{
	pthread_t id[THREADS];

	deep_stub = hook(STUB_DEEP, deep);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&id[i], NULL, work, NULL), 0);
		for (int i = 0; i < THREADS; i++)
			pthread_join(id[i], NULL);
	}
	assert_counted(STUB_DEEP, 3ull * THREADS * ROUNDS * 4, 3ull * THREADS * ROUNDS * 4);
}

static volatile sig_atomic_t signals, shortest;
static void on_signal(int sig)
{
	void *frames[64];
	int n = backtrace(frames, 64);

	shortest = n < shortest ? n : shortest;
	signals++;
	if (deep_stub(2) != 2)
		abort();
}

/* Wherever the signal comes, the handler's calls are counted, and it sees who called. */
static void test_signals(void **state)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, was;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	struct itimerspec spec = {{0, 50000}, {0, 50000}}, off = {{0}};
	uint64_t calls = 0, until = clock_mono_ns() + 400000000;
	void *frames[64];
	timer_t timer;
	int here_depth = backtrace(frames, 64);

	deep_stub = hook(STUB_DEEP, deep);
	signals = 0;
	shortest = 1000;
	sigaction(SIGUSR2, &sa, &was);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	timer_settime(timer, 0, &spec, NULL);
	while (clock_mono_ns() < until)
		for (int i = 0; i < 1000; i++, calls += 3)
			if (deep_stub(2) != 2)
				fail();
	timer_settime(timer, 0, &off, NULL);
	timer_delete(timer);
	sigaction(SIGUSR2, &was, NULL);
	assert_true(signals > 10);
	/* The handler and its trampoline are above what stands here. */
	assert_true(shortest >= here_depth + 2);
	assert_counted(STUB_DEEP, calls + 3ull * (uint64_t)signals,
		       calls + 3ull * (uint64_t)signals);
}

static fn *volatile walk_stub;
static void *walked[64];
static __attribute__((noinline)) long walk(long n)
{
	return n ? walk_stub(n - 1) + 1 : backtrace(walked, 64);
}

static void test_backtrace(void **state)
{
	int bare = backtrace(walked, 64), n;

	walk_stub = hook(STUB_WALK, walk);
	n = (int)walk_stub(5) - 5;
	/* Each of the six, and each time the library between. */
	assert_int_equal(n, bare + 12);
}

static fn *volatile split_stub;
static pid_t child;
static __attribute__((noinline)) long split(long n)
{
	long r = n ? split_stub(n - 1) + 1 : (child = fork(), 0);

	return r;
}

/* A child returns through the calls that its parent began, and counts nothing. */
static void test_fork(void **state)
{
	int status;
	long r;

	split_stub = hook(STUB_DEEP, split);
	deep_stub = hook(STUB_SECOND, deep);
	r = split_stub(4);
	if (!child)
		_exit(r == 4 && deep_stub(9) == 9 ? 7 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_counted(STUB_DEEP, 5, 5);
	assert_counted(STUB_SECOND, 0, 0);
}

/* ---- what is counted ------------------------------------------------------------------------ */

static __attribute__((noinline)) long spin(long ticks)
{
	uint64_t begin = __builtin_ia32_rdtsc(), now;

	do
		now = __builtin_ia32_rdtsc();
	while (now - begin < (uint64_t)ticks);
	return (long)(now - begin);
}

static uint64_t quantile(const struct latency_sum *s, double q)
{
	uint64_t seen = 0;

	for (uint32_t i = 0; i < s->nbins; i++) {
		seen += s->bins[i];
		if ((double)seen >= q * (double)s->count)
			return bucket_mid(i);
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

/* In ticks, by what the function measured itself: a busy machine lengthens both. */
static void test_times(void **state)
{
	static const double quantiles[] = {0.1, 0.5, 0.8, 0.95};
	fn *volatile spin_stub = hook(STUB_SPIN, spin);
	struct latency_sum sum;
	long own[1000];
	uint64_t total = 0;

	for (int i = 0; i < 1000; i++) {
		own[i] = spin_stub(i % 10 ? 20000 : 400000);
		total += (uint64_t)own[i];
	}
	qsort(own, 1000, sizeof(own[0]), compare);
	sum = sum_of(STUB_SPIN);
	for (int i = 0; i < 4; i++) {
		double want = (double)own[(int)(quantiles[i] * 1000) - 1];

		assert_in_range(quantile(&sum, quantiles[i]), want * 63 / 64,
				want * 65 / 64 + 1000);
	}
	assert_true(sum.sum >= total);
	assert_true(sum.max >= (uint64_t)own[999]);
}

static void test_price(void **state)
{
	double call_ns, floor_ns;

	calls_price(&here, &call_ns, &floor_ns);
	assert_true(floor_ns > 0 && call_ns > floor_ns && call_ns < 2000);
}

/* A gate that is closed, a reader that is gone, and a call of an earlier reader's time. */
static void test_gates(void **state)
{
	uint8_t *gates = (uint8_t *)port->gates;

	deep_stub = hook(STUB_DEEP, deep);
	gates[STUB_DEEP] = 0;
	assert_int_equal(deep_stub(10), 10);
	assert_counted(STUB_DEEP, 0, 0);
	gates[STUB_DEEP] = 1;
	here.segment->until_ticks = 1;
	assert_int_equal(deep_stub(0), 0);
	assert_int_equal(gates[STUB_DEEP], 0);
	assert_counted(STUB_DEEP, 1, 1);
}

static fn *volatile late_stub;
static __attribute__((noinline)) long late(long n)
{
	here.segment->epoch++;
	return n;
}

static void test_epochs(void **state)
{
	late_stub = hook(STUB_ANY, late);
	assert_int_equal(late_stub(3), 3);
	assert_counted(STUB_ANY, 1, 0);
}

/* ---- led there from outside ----------------------------------------------------------------- */

/* One stub leads to it, whose number is returned. */
static int lead(struct calls *c, const char *name, uint8_t *gates)
{
	char why[INJECT_WHY];
	int f;

	if (calls_open(c, why, sizeof(why)))
		fail_msg("%s", why);
	f = calls_add(c, (uintptr_t)dlsym(RTLD_DEFAULT, name), &name, 1);
	assert_int_equal(calls_add(c, (uintptr_t)dlsym(RTLD_DEFAULT, name), &name, 1), f);
	assert_int_equal(calls_patch(c, why, sizeof(why)), 0);
	assert_true(calls_words(c, (uint32_t)f) > 0);
	gates[calls_stub(c, (uint32_t)f)] = 1;
	assert_int_equal(calls_gates(c, gates), 0);
	return calls_stub(c, (uint32_t)f);
}

/* This process as the other one: its own GOT. */
static void test_words(void **state)
{
	struct calls *c = calls_new(getpid(), NULL, true);
	uint8_t gates[CALLS_STUBS] = {0};
	pid_t parent = getppid();
	uint32_t stub;

	assert_non_null(c);
	stub = (uint32_t)lead(c, "getppid", gates);
	assert_false(calls_tick(c, 1000000000));
	for (int i = 0; i < 1000; i++)
		assert_int_equal(getppid(), parent);
	assert_int_equal(calls_count(c, stub), 1000);
	calls_free(c);
	assert_int_equal(getppid(), parent);
	assert_int_equal(((uint8_t *)port->gates)[stub], 0);
	/* Again: by the same stub, from zero. */
	c = calls_new(getpid(), NULL, true);
	assert_int_equal(lead(c, "getppid", gates), stub);
	assert_int_equal(getppid(), parent);
	assert_int_equal(calls_count(c, stub), 1);
	calls_free(c);
}

/* What no word leads to takes no stub from what one does. */
static void test_many_functions(void **state)
{
	static const char *const none[] = {"no_such_function"};
	struct calls *c = calls_new(getpid(), NULL, true);
	uint8_t gates[CALLS_STUBS] = {0};
	char why[INJECT_WHY];
	pid_t parent = getppid();
	uint32_t stub;

	assert_non_null(c);
	if (calls_open(c, why, sizeof(why)))
		fail_msg("%s", why);
	for (uint64_t i = 0; i < 2 * CALLS_STUBS; i++)
		assert_int_equal(calls_add(c, 0x1000 + i, none, 1), i);
	stub = (uint32_t)lead(c, "getppid", gates);
	assert_int_equal(calls_refused(c), 0);
	assert_int_equal(calls_words(c, 0), 0);
	assert_int_equal(getppid(), parent);
	assert_int_equal(calls_count(c, stub), 1);
	calls_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_recursion, begin),
		cmocka_unit_test_setup(test_table_full, begin),
		cmocka_unit_test_setup(test_longjmp, begin),
		cmocka_unit_test_setup(test_tail_calls, begin),
		cmocka_unit_test_setup(test_arguments_and_results, begin),
		cmocka_unit_test_setup(test_threads, begin),
		cmocka_unit_test_setup(test_signals, begin),
		cmocka_unit_test_setup(test_backtrace, begin),
		cmocka_unit_test_setup(test_fork, begin),
		cmocka_unit_test_setup(test_times, begin),
		cmocka_unit_test_setup(test_price, begin),
		cmocka_unit_test_setup(test_gates, begin),
		cmocka_unit_test_setup(test_epochs, begin),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_many_functions),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}

#else

int main(void)
{
	return 0;
}

#endif
