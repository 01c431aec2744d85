/* SPDX-License-Identifier: Apache-2.0 */
/* contend.c: threads that wait for one mutex, beside idle ones on a condition variable. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/*
 * contend SECONDS THREADS HOLD_US [GO]: prints the mutex's address, the waits and the total time
 * that the threads were blocked in them. With GO it begins with a line on its stdin.
 */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t idle_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static volatile int stop;
static uint64_t hold_ns, total_wait_ns, total_locks;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Time so far that this thread was not blocked in: it had a CPU, or waited for one. */
static uint64_t runnable_ns(int schedstat)
{
	unsigned long long delay = 0;
	struct timespec cpu;
	char text[96] = "";

	if (pread(schedstat, text, sizeof(text) - 1, 0) < 0 ||
	    sscanf(text, "%*u %llu", &delay) != 1)
		abort();
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	return delay + (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
}

static void *compete(void *arg)
{
	int schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);

	while (!stop) {
		uint64_t runnable = runnable_ns(schedstat), before = now_ns(), wait;

		pthread_mutex_lock(&mutex);
		wait = now_ns() - before;
		runnable = runnable_ns(schedstat) - runnable;
		total_wait_ns += wait > runnable ? wait - runnable : 0; /* guarded by the mutex */
		total_locks++;
		usleep((useconds_t)(hold_ns / 1000));
		pthread_mutex_unlock(&mutex);
	}
	close(schedstat);
	return NULL;
}

static void *idle_on_cond(void *arg)
{
	pthread_mutex_lock(&idle_mutex);
	while (!stop)
		pthread_cond_wait(&idle, &idle_mutex);
	pthread_mutex_unlock(&idle_mutex);
	return NULL;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 3;
	int n = argc > 2 ? atoi(argv[2]) : 4;
	pthread_t threads[64], waiter;

	hold_ns = (argc > 3 ? strtoull(argv[3], NULL, 10) : 1000) * 1000;
	if (n > 64)
		n = 64;
	printf("mutex %p\n", (void *)&mutex);
	fflush(stdout);
	if (argc > 4)
		getchar();
	for (int i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, compete, NULL);
	pthread_create(&waiter, NULL, idle_on_cond, NULL);
	usleep((useconds_t)(seconds * 1e6));
	stop = 1;
	pthread_cond_broadcast(&idle);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	pthread_join(waiter, NULL);
	printf("locks %llu wait_ns %llu\n", (unsigned long long)total_locks,
	       (unsigned long long)total_wait_ns);
	return 0;
}
