/* SPDX-License-Identifier: Apache-2.0 */
/* tail_reasons.c: calls that are slow for one known reason each, and say what they paid for it. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * Told on stdin, one line each: compute MS, sleep MS, lock MS, pipe MS, fault PAGES, nested MS,
 * fast COUNT. Answered on stdout with what the call itself measured: ns= cpu_ns= minflt= tid= of
 * the caller, other= of the thread that lets it wait, lock= the address of its mutex. With an
 * argument it does what it likes.
 */
#define PUBLIC __attribute__((noinline, noipa, used))
PUBLIC void tail_compute(uint32_t ms);
PUBLIC void tail_sleep(uint32_t ms);
PUBLIC void tail_lock(uint32_t ms);
PUBLIC void tail_pipe(uint32_t ms);
PUBLIC void tail_fault(uint32_t pages);
PUBLIC void tail_nested(uint32_t ms);
PUBLIC void tail_fast(uint32_t i);

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static int data_pipe[2], order_pipe[2], held_pipe[2];
static int helper_tid;

static uint64_t clock_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_ms(uint32_t ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

/* Holds the mutex, or feeds the pipe, as it is ordered: 'l' or 'p' and milliseconds. */
static void *helper(void *arg)
{
	uint32_t order[2];

	pthread_setname_np(pthread_self(), "worker-3");
	helper_tid = (int)syscall(SYS_gettid);
	while (read(order_pipe[0], order, sizeof(order)) == sizeof(order)) {
		if (order[0] == 'l')
			pthread_mutex_lock(&cache_lock);
		if (write(held_pipe[1], "h", 1) != 1)
			break;
		sleep_ms(order[1]);
		if (order[0] == 'l')
			pthread_mutex_unlock(&cache_lock);
		else if (write(data_pipe[1], "d", 1) != 1)
			break;
	}
	return NULL;
}

static void order(uint32_t what, uint32_t ms)
{
	uint32_t text[2] = {what, ms};
	char c;

	if (write(order_pipe[1], text, sizeof(text)) != sizeof(text) ||
	    read(held_pipe[0], &c, 1) != 1)
		exit(1);
}

PUBLIC void tail_compute(uint32_t ms)
{
	uint64_t end = clock_of(CLOCK_THREAD_CPUTIME_ID) + ms * 1000000ull;

	while (clock_of(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

PUBLIC void tail_sleep(uint32_t ms)
{
	sleep_ms(ms);
	__asm__ volatile("");
}

PUBLIC void tail_lock(uint32_t ms)
{
	pthread_mutex_lock(&cache_lock);
	pthread_mutex_unlock(&cache_lock);
	__asm__ volatile("");
}

PUBLIC void tail_pipe(uint32_t ms)
{
	char c;

	if (read(data_pipe[0], &c, 1) != 1)
		exit(1);
	__asm__ volatile("");
}

PUBLIC void tail_fault(uint32_t pages)
{
	size_t size = (size_t)pages * 4096;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(1);
	/* Huge pages would make one fault of 512. */
	madvise(p, size, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	munmap(p, size);
}

/* Computes itself, then calls one that sleeps: both are slow, for different shares. */
PUBLIC void tail_nested(uint32_t ms)
{
	tail_compute(ms);
	tail_sleep(ms);
	__asm__ volatile("");
}

PUBLIC void tail_fast(uint32_t i)
{
	__asm__ volatile("" ::"r"(i));
}

static void run(void (*fn)(uint32_t), uint32_t arg)
{
	uint64_t ns, cpu;
	struct rusage a, b;

	getrusage(RUSAGE_THREAD, &a);
	cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
	ns = clock_of(CLOCK_MONOTONIC);
	fn(arg);
	ns = clock_of(CLOCK_MONOTONIC) - ns;
	cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
	getrusage(RUSAGE_THREAD, &b);
	printf("done ns=%llu cpu_ns=%llu minflt=%ld tid=%d other=%d lock=%llu\n",
	       (unsigned long long)ns, (unsigned long long)cpu, b.ru_minflt - a.ru_minflt, getpid(),
	       helper_tid, (unsigned long long)(uintptr_t)&cache_lock);
}

static void obey(const char *what, uint32_t n)
{
	if (!strcmp(what, "compute")) {
		run(tail_compute, n);
	} else if (!strcmp(what, "sleep")) {
		run(tail_sleep, n);
	} else if (!strcmp(what, "lock")) {
		order('l', n);
		run(tail_lock, n);
	} else if (!strcmp(what, "pipe")) {
		order('p', n);
		run(tail_pipe, n);
	} else if (!strcmp(what, "fault")) {
		run(tail_fault, n);
	} else if (!strcmp(what, "nested")) {
		run(tail_nested, n);
	} else if (!strcmp(what, "fast")) {
		uint64_t ns = clock_of(CLOCK_MONOTONIC);

		for (uint32_t i = 0; i < n; i++)
			tail_fast(i);
		ns = clock_of(CLOCK_MONOTONIC) - ns;
		printf("done ns=%g\n", (double)ns / n);
	} else {
		printf("unknown\n");
	}
}

/* Some of them at random, for ever: for a look at the screen. */
static void wander(void)
{
	static const char *const some[] = {"compute", "sleep", "lock", "lock",
					   "lock",    "pipe",  "fault"};

	for (;;) {
		obey(some[rand() % 7], 2 + (uint32_t)rand() % 5 * 2);
		obey("fast", 1000);
		sleep_ms(20);
	}
}

int main(int argc, char **argv)
{
	char line[128], what[32];
	pthread_t thread;
	uint32_t n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pipe(data_pipe) || pipe(order_pipe) || pipe(held_pipe) ||
	    pthread_create(&thread, NULL, helper, NULL))
		return 1;
	order('x', 0);
	if (read(data_pipe[0], line, 1) != 1)
		return 1;
	printf("ready pid=%d\n", getpid());
	if (argc > 1)
		wander();
	while (fgets(line, sizeof(line), stdin))
		if (sscanf(line, "%31s %u", what, &n) == 2)
			obey(what, n);
	return 0;
}
