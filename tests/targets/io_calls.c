/* SPDX-License-Identifier: Apache-2.0 */
/* io_calls.c: system calls on every kind of file, as many as it is told; and what one costs. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/*
 * Commands come on stdin, one a line; each is answered on stdout with one line.
 *
 *   kinds N   N of each: write and read of a file, a socket, a pipe, an eventfd, a terminal;
 *             read of a timerfd, of /dev/zero, and of a descriptor that is not open
 *   threads T N   T threads at once, each with N reads of /dev/zero and N / 100 sleeps of 1 ms
 *   cost N    CPU ns of one pread of a file, over N
 *
 * It ends with its stdin.
 */

struct fds {
	int file, sockets[2], pipe[2], event, timer, terminal[2], zero;
};

static int open_all(struct fds *f, const char *path)
{
	const struct itimerspec soon = {.it_value.tv_nsec = 1, .it_interval.tv_nsec = 1};

	f->file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	f->event = eventfd(0, 0);
	f->timer = timerfd_create(CLOCK_MONOTONIC, 0);
	f->zero = open("/dev/zero", O_RDONLY);
	if (f->file < 0 || f->event < 0 || f->timer < 0 || f->zero < 0)
		return -1;
	timerfd_settime(f->timer, 0, &soon, NULL);
	unlink(path);
	return socketpair(AF_UNIX, SOCK_STREAM, 0, f->sockets) || pipe(f->pipe) ||
	       openpty(&f->terminal[0], &f->terminal[1], NULL, NULL, NULL);
}

static long pass(int to, int from, size_t n)
{
	uint64_t buf = 10; /* a new line, so that a terminal hands it on */

	return (write(to, &buf, n) == (ssize_t)n) + (read(from, &buf, n) == (ssize_t)n);
}

static long kinds(const struct fds *f, long n)
{
	uint64_t ticks;
	char byte;
	long done = 0;

	for (long i = 0; i < n; i++) {
		lseek(f->file, 0, SEEK_SET);
		done += pass(f->file, f->file, 1) + pass(f->sockets[0], f->sockets[1], 1) +
			pass(f->pipe[1], f->pipe[0], 1) + pass(f->event, f->event, 8) +
			pass(f->terminal[0], f->terminal[1], 1);
		done += read(f->timer, &ticks, 8) + read(f->zero, &byte, 1) + read(-1, &byte, 1);
	}
	return done;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cost(const struct fds *f, long n)
{
	uint64_t begin;
	char byte = 0;

	if (pwrite(f->file, &byte, 1, 0) != 1)
		return 0;
	begin = cpu_ns();
	for (long i = 0; i < n; i++)
		if (pread(f->file, &byte, 1, 0) < 0)
			return 0;
	return (double)(cpu_ns() - begin) / (double)n;
}

static uint32_t sleeps_ns[1 << 16];
static atomic_uint nsleeps;

static void sleep_1ms(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	struct timespec begin, end;
	unsigned at;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	nanosleep(&ms, NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	at = atomic_fetch_add(&nsleeps, 1);
	if (at < sizeof(sleeps_ns) / sizeof(sleeps_ns[0]))
		sleeps_ns[at] = (uint32_t)((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec -
					   begin.tv_nsec);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

struct crowd {
	const struct fds *f;
	long n;
};

static void *crowd_member(void *arg)
{
	const struct crowd *c = arg;
	char byte;

	for (long i = 0; i < c->n; i++) {
		if (read(c->f->zero, &byte, 1) != 1)
			return NULL;
		if (i % 100 == 99)
			sleep_1ms();
	}
	return arg;
}

/* Reads that all of them made; 0 when one failed. */
static long threads(const struct fds *f, int t, long n)
{
	struct crowd c = {.f = f, .n = n};
	pthread_t ids[256];
	long done = 0;
	void *ok;

	if (t > (int)(sizeof(ids) / sizeof(ids[0])))
		return 0;
	for (int i = 0; i < t; i++)
		if (pthread_create(&ids[i], NULL, crowd_member, &c))
			return 0;
	for (int i = 0; i < t; i++)
		if (!pthread_join(ids[i], &ok) && ok)
			done += n;
	return done;
}

int main(int argc, char **argv)
{
	char line[64], *rest;
	struct fds f;
	long t;

	if (argc < 2 || open_all(&f, argv[1])) {
		fprintf(stderr, "usage: io_calls FILE\n");
		return 2;
	}
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "kinds ", 6)) {
			printf("done=%ld\n", kinds(&f, atol(line + 6)));
		} else if (!strncmp(line, "threads ", 8)) {
			t = strtol(line + 8, &rest, 10);
			printf("done=%ld", threads(&f, (int)t, atol(rest)));
			qsort(sleeps_ns, nsleeps, sizeof(sleeps_ns[0]), compare);
			printf(" sleep_p50=%u\n", sleeps_ns[nsleeps / 2]);
		} else if (!strncmp(line, "cost ", 5)) {
			printf("ns=%.1f\n", cost(&f, atol(line + 5)));
		}
		fflush(stdout);
	}
	return 0;
}
