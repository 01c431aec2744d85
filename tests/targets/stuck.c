/* SPDX-License-Identifier: Apache-2.0 */
/* stuck.c: threads that wait for each other for good, and some that only seem to. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* stuck MODE SECONDS: prints "ready PID", and ends by itself. */
static pthread_mutex_t left = PTHREAD_MUTEX_INITIALIZER, right = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both_have_one;
static sem_t never;
static double seconds;

static void *take_left_then_right(void *arg)
{
	pthread_mutex_lock(&left);
	pthread_barrier_wait(&both_have_one);
	pthread_mutex_lock(&right);
	return NULL;
}

static void *take_right_then_left(void *arg)
{
	pthread_mutex_lock(&right);
	pthread_barrier_wait(&both_have_one);
	pthread_mutex_lock(&left);
	return NULL;
}

static void *wait_behind(void *arg)
{
	pthread_mutex_lock(&left);
	return NULL;
}

static void *take_left_twice(void *arg)
{
	pthread_mutex_lock(&left);
	pthread_mutex_lock(&left);
	return NULL;
}

static void *end_with_left(void *arg)
{
	pthread_mutex_lock(&left);
	return NULL;
}

static void *hold_left_long(void *arg)
{
	pthread_mutex_lock(&left);
	pthread_barrier_wait(&both_have_one);
	for (;;)
		sleep(1);
	return NULL;
}

static void *wait_with_timeout(void *arg)
{
	for (;;) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_sec += 60;
		while (sem_timedwait(&never, &t) && errno == EINTR)
			;
	}
	return NULL;
}

static void *wait_for_ever(void *arg)
{
	while (sem_wait(arg))
		;
	return NULL;
}

static void start(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, arg))
		exit(1);
	pthread_detach(t);
}

static void end_later(const char *mode)
{
	/* By a child: a timer's thread or a sleeping main thread would be one that goes on. */
	pid_t parent = getpid();

	if (fork())
		return;
	usleep((useconds_t)(seconds * 1e6));
	if (getppid() == parent)
		kill(parent, 9);
	_exit(0);
}

static void wait_long(void)
{
	for (;;)
		sleep(1);
}

static void run(const char *mode)
{
	if (!strcmp(mode, "cycle")) {
		start(take_left_then_right, NULL);
		start(take_right_then_left, NULL);
		usleep(100000);
		start(wait_behind, NULL);
		wait_long();
	} else if (!strcmp(mode, "self")) {
		start(take_left_twice, NULL);
		wait_long();
	} else if (!strcmp(mode, "orphan")) {
		start(end_with_left, NULL);
		usleep(100000);
		start(wait_behind, NULL);
		wait_long();
	} else if (!strcmp(mode, "standstill")) {
		start(wait_for_ever, &never);
		wait_for_ever(&never);
	} else if (!strcmp(mode, "shared")) { /* another process can post it */
		sem_t *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		sem_init(s, 1, 0);
		start(wait_for_ever, s);
		wait_for_ever(s);
	} else if (!strcmp(mode, "timed")) {
		start(wait_for_ever, &never);
		wait_with_timeout(NULL);
	} else if (!strcmp(mode, "slow")) { /* held long, by one who sleeps */
		start(hold_left_long, NULL);
		pthread_barrier_wait(&both_have_one);
		start(wait_behind, NULL);
		wait_long();
	}
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	seconds = atof(argv[2]);
	sem_init(&never, 0, 0);
	pthread_barrier_init(&both_have_one, NULL, 2);
	end_later(argv[1]);
	printf("ready %d\n", getpid());
	fflush(stdout);
	run(argv[1]);
	return 2;
}
