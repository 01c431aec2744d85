/* SPDX-License-Identifier: Apache-2.0 */
/* storm_process.c: a process whose program, children, threads and mappings change all the time. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * storm_process MODE N [FILE]: waits for a line or the end of stdin, does N of them, says how many
 * there were, and sleeps until it is killed.
 *
 *   execs    execve of itself
 *   forks    children that live for a millisecond
 *   crowd    threads at once, as many as the machine allows
 *   flow     threads in all, a hundred at a time
 *   maps     mappings of FILE
 *   work     works until it is killed
 */

enum { AT_ONCE = 100, STACK_BYTES = 16384 };

static void pause_ns(long ns)
{
	const struct timespec t = {.tv_nsec = ns};

	nanosleep(&t, NULL);
}

static void *stay(void *arg)
{
	pause();
	return arg;
}

static void *visit(void *arg)
{
	syscall(SYS_getppid);
	return arg;
}

static int spawn(void *(*fn)(void *), pthread_t *t)
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setguardsize(&attr, 0); /* half the mappings, of which there are 65,530 */
	err = pthread_create(t, &attr, fn, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

static int execs(int n, char **argv)
{
	char left[16];

	pause_ns(5000000);
	if (!n)
		return atoi(argv[3]);
	snprintf(left, sizeof(left), "%d", n - 1);
	execl("/proc/self/exe", argv[0], "execs", left, argv[3] ? argv[3] : argv[2], NULL);
	return 0;
}

static int forks(int n, char **argv)
{
	int done = 0;

	for (int alive = 0; done < n || alive;) {
		pid_t pid = done < n && alive < AT_ONCE ? fork() : -1;

		if (!pid) {
			pause_ns(1000000);
			_exit(0);
		}
		done += pid > 0;
		alive += pid > 0;
		if (pid < 0 && wait(NULL) > 0)
			alive--;
	}
	return done;
}

static int crowd(int n, char **argv)
{
	int done = 0;
	pthread_t t;

	while (done < n && !spawn(stay, &t))
		done++;
	return done;
}

static int flow(int n, char **argv)
{
	pthread_t t[AT_ONCE];
	int done = 0;

	while (done < n) {
		int alive = 0;

		while (alive < AT_ONCE && !spawn(visit, &t[alive]))
			alive++;
		done += alive;
		while (alive)
			pthread_join(t[--alive], NULL);
	}
	return done;
}

/* Every second page of the file is skipped, so that no two mappings are merged. */
static int maps(int n, char **argv)
{
	int fd = open(argv[3] ? argv[3] : "", O_RDONLY), done = 0;

	for (; fd >= 0 && done < n; done++) {
		if (mmap(NULL, 4096, PROT_READ | (done & 1 ? PROT_EXEC : 0), MAP_PRIVATE, fd,
			 (off_t)(done * 2 % 512) * 4096) == MAP_FAILED)
			break;
		if (done % 100 == 0)
			pause_ns(5000000);
	}
	return done;
}

/* Another name in each build of it, so that a stale symbol shows: see STORM_WORK. */
#ifndef STORM_WORK
#define STORM_WORK storm_work
#endif
volatile uint64_t storm_sink;
void STORM_WORK(void);
__attribute__((noinline)) void STORM_WORK(void)
{
	for (int i = 0; i < 1000000; i++)
		storm_sink += (uint64_t)i;
}

static int work(int n, char **argv)
{
	puts("works");
	for (;;)
		STORM_WORK();
	return n;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int, char **);
	} modes[] = {
		{"execs", execs}, {"forks", forks}, {"crowd", crowd},
		{"flow", flow},	  {"maps", maps},   {"work", work},
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (char c = 0; c != '\n' && read(0, &c, 1) == 1;)
		;
	for (size_t i = 0; argc > 2 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name)) {
			printf("done %d\n", modes[i].run(atoi(argv[2]), argv));
			for (;;)
				pause();
		}
	fprintf(stderr, "usage: storm_process MODE N [FILE]\n");
	return 2;
}
