/* SPDX-License-Identifier: Apache-2.0 */
/* io_direct.c: writes and reads blocks past the page cache, a known number, and times each. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096 };

struct times {
	uint64_t sum_ns, max_ns;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int transfer(int fd, char *buf, int n, int writing, struct times *t)
{
	for (int i = 0; i < n; i++) {
		off_t at = (off_t)i * BLOCK;
		uint64_t begin = now_ns(), ns;
		ssize_t done = writing ? pwrite(fd, buf, BLOCK, at) : pread(fd, buf, BLOCK, at);

		if (done != BLOCK)
			return -1;
		ns = now_ns() - begin;
		t->sum_ns += ns;
		if (ns > t->max_ns)
			t->max_ns = ns;
	}
	return 0;
}

/* The file's blocks exist before they are counted. */
static int prepare(const char *path, char *buf, int n)
{
	struct times t = {0};
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), err;

	if (fd < 0)
		return -1;
	err = transfer(fd, buf, n, 1, &t) || fsync(fd) || close(fd);
	return err ? -1 : 0;
}

/* io_direct FILE N: says "ready", waits for a line, does N writes and N reads, says what it saw. */
int main(int argc, char **argv)
{
	struct times w = {0}, r = {0};
	int fd, n = argc > 2 ? atoi(argv[2]) : 0;
	char *buf = aligned_alloc(BLOCK, BLOCK);

	if (!n || !buf)
		return 2;
	memset(buf, 'x', BLOCK);
	if (prepare(argv[1], buf, n))
		return 1;
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0) {
		printf("cannot: %s\n", strerror(errno));
		return 1;
	}
	unlink(argv[1]);
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF || transfer(fd, buf, n, 1, &w) || transfer(fd, buf, n, 0, &r))
		return 1;
	printf("n=%d write_ns=%llu write_max=%llu read_ns=%llu read_max=%llu\n", n,
	       (unsigned long long)w.sum_ns, (unsigned long long)w.max_ns,
	       (unsigned long long)r.sum_ns, (unsigned long long)r.max_ns);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
