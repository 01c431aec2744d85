/* SPDX-License-Identifier: Apache-2.0 */
/* contend.c: threads that wait for one mutex, beside idle ones on a condition variable. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* contend SECONDS THREADS HOLD_US: prints the mutex's address, the waits and their total time. */
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

static void *compete(void *arg)
{
	while (!stop) {
		uint64_t before = now_ns(), got;

		pthread_mutex_lock(&mutex);
		got = now_ns();
		total_wait_ns += got - before; /* guarded by the mutex itself */
		total_locks++;
		usleep((useconds_t)(hold_ns / 1000));
		pthread_mutex_unlock(&mutex);
	}
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
