/* SPDX-License-Identifier: Apache-2.0 */
/* guarded.c: three threads queue for a mutex in a function that exists only inlined. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { THREADS = 3, HELD_US = 2000 };

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile unsigned long updates;

/* As C++'s library has it around the lock itself. */
static inline __attribute__((always_inline)) void __gthread_mutex_lock(pthread_mutex_t *m)
{
	pthread_mutex_lock(m);
}

static inline __attribute__((always_inline)) void update_registry(void)
{
	__gthread_mutex_lock(&registry_lock);
	updates++;
	usleep(HELD_US);
	pthread_mutex_unlock(&registry_lock);
}

static void *work(void *arg)
{
	for (;;)
		update_registry();
	return arg;
}

int main(void)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, NULL))
			return 1;
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
