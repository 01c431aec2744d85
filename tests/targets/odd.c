/* SPDX-License-Identifier: Apache-2.0 */
/* odd.c: processes that live in ways a watcher gets wrong; odd MODE [N], until it is killed. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void burn(uint64_t ns)
{
	for (uint64_t end = now_ns() + ns; now_ns() < end;)
		;
}

static pthread_t thread(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	if (pthread_create(&t, &attr, fn, arg))
		exit(1);
	pthread_attr_destroy(&attr);
	return t;
}

static void *work_half(void *arg)
{
	for (;;) {
		burn(5000000);
		usleep(5000);
	}
	return NULL;
}

/* The first thread ends, the process does not. */
static void leader(int n)
{
	thread(work_half, NULL);
	pthread_exit(NULL);
}

static void *work_briefly(void *arg)
{
	burn(4000000);
	return NULL;
}

/* A thread for each piece of work: busy nearly all the time, by no thread for long. */
static void churn(int n)
{
	for (;;)
		pthread_join(thread(work_briefly, NULL), NULL);
}

/* Children by vfork, which blocks the parent until the child has let go of its memory. */
static void spawn_sleepers(int n)
{
	const struct timespec t = {.tv_nsec = 50000000};

	for (;;) {
		pid_t pid = vfork();

		if (!pid) {
			/* NOLINTNEXTLINE(clang-analyzer-unix.Vfork): the kernel alone is asked */
			syscall(SYS_nanosleep, &t, NULL);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
}

static void forks(int n)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid) {
			usleep(1000);
			_exit(0);
		}
		if (pid < 0)
			usleep(1000);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	for (;;)
		if (waitpid(-1, NULL, 0) < 0)
			pause();
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *want_held(void *arg)
{
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
	pause();
	return NULL;
}

/* A mutex held for N seconds, wanted by a thread from before any watcher comes. */
static void hold(int n)
{
	pthread_mutex_lock(&held);
	thread(want_held, NULL);
	printf("mutex %p tid %ld\n", (void *)&held, (long)syscall(SYS_gettid));
	fflush(stdout);
	sleep((unsigned int)n);
	pthread_mutex_unlock(&held);
	pause();
}

/* One wait on each of N futex addresses, then for ever on the last, in waits of 20 ms. */
static void futexes(int n)
{
	int *at = calloc((size_t)n + 1, 64);
	struct timespec brief = {.tv_nsec = 50000}, t = {.tv_nsec = 20000000};

	for (int i = 0; i < n; i++)
		syscall(SYS_futex, at + (size_t)i * 16, 0, 0, &brief, NULL, 0);
	printf("last %p\n", (void *)(at + (size_t)n * 16));
	fflush(stdout);
	for (;;)
		syscall(SYS_futex, at + (size_t)n * 16, 0, 0, &t, NULL, 0);
}

static void *sleep_long(void *arg)
{
	pause();
	return NULL;
}

static void *named_busy(void *arg)
{
	syscall(SYS_prctl, 15 /* PR_SET_NAME */, "busy-one");
	return work_half(arg);
}

/* N threads that sleep, then the one that works. */
static void crowd(int n)
{
	for (int i = 0; i < n; i++)
		thread(sleep_long, NULL);
	thread(named_busy, NULL);
	printf("ready\n");
	fflush(stdout);
	pause();
}

static void *brief_sleep(void *arg)
{
	usleep(20000);
	return NULL;
}

/* N threads at a time that come and go. */
static void flock(int n)
{
	pthread_t *t = calloc((size_t)n, sizeof(*t));

	for (;;) {
		for (int i = 0; i < n; i++)
			t[i] = thread(brief_sleep, NULL);
		for (int i = 0; i < n; i++)
			pthread_join(t[i], NULL);
	}
}

static void *map_and_unmap(void *arg)
{
	for (;;) {
		char *p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		for (size_t i = 0; i < 8 << 20; i += 4096)
			p[i] = 1;
		munmap(p, 8 << 20);
	}
	return NULL;
}

/* Threads that wait for the lock of their address space. */
static void maps(int n)
{
	for (int i = 0; i < n; i++)
		thread(map_and_unmap, NULL);
	pause();
}

/* The same program anew, every 20 ms. */
static void exec_loop(int n, char **argv)
{
	usleep(20000);
	execv("/proc/self/exe", argv);
	exit(1);
}

static void calls(int n)
{
	for (;;)
		syscall(SYS_getppid);
}

static void futex_calls(int n)
{
	int word = 1;

	for (;;)
		syscall(SYS_futex, &word, 129 /* WAKE, private */, 1, NULL, NULL, 0);
}

/* Two threads that wake each other as fast as they can. */
static int turn;

static void *ping(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (;;) {
		while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != me)
			syscall(SYS_futex, &turn, 128, !me, NULL, NULL, 0);
		__atomic_store_n(&turn, !me, __ATOMIC_RELEASE);
		syscall(SYS_futex, &turn, 129, 1, NULL, NULL, 0);
	}
	return NULL;
}

static void ping_pong(int n)
{
	thread(ping, (void *)(intptr_t)0);
	thread(ping, (void *)(intptr_t)1);
	pause();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(int);
	} modes[] = {
		{"leader", leader}, {"churn", churn},	    {"vfork", spawn_sleepers},
		{"forks", forks},   {"hold", hold},	    {"futexes", futexes},
		{"crowd", crowd},   {"flock", flock},	    {"maps", maps},
		{"calls", calls},   {"futex", futex_calls}, {"ping", ping_pong},
	};
	int n = argc > 2 ? atoi(argv[2]) : 4;

	if (argc > 1 && !strcmp(argv[1], "exec"))
		exec_loop(n, argv);
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name))
			modes[i].run(n);
	fprintf(stderr, "usage: odd MODE [N]\n");
	return 2;
}
