/* SPDX-License-Identifier: Apache-2.0 */
/* fault_known.c: touches fresh pages at two places, three to one, and says how many it took. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, BATCH = 64 };

static long faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt + u.ru_majflt;
}

static void touch(volatile char *at, int pages)
{
	for (int i = 0; i < pages; i++)
		at[(size_t)i * PAGE] = 1;
}

__attribute__((noinline)) static void touch_many(volatile char *at)
{
	touch(at, 3 * BATCH);
}

__attribute__((noinline)) static void touch_few(volatile char *at)
{
	touch(at + (size_t)3 * BATCH * PAGE, BATCH);
}

static void round_trip(void)
{
	size_t size = (size_t)4 * BATCH * PAGE;
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		exit(1);
	madvise(at, size, MADV_NOHUGEPAGE);
	touch_many(at);
	touch_few(at);
	munmap(at, size);
}

/* Touches so many pages of a file that is not in memory, one by one. */
static void read_cold(const char *file, int pages)
{
	size_t size = (size_t)pages * PAGE;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	volatile char *at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ||
	    madvise((void *)at, size, MADV_RANDOM))
		exit(1);
	for (int i = 0; i < pages; i++)
		(void)at[(size_t)i * PAGE];
	close(fd);
}

/*
 * fault_known ROUNDS [FILE]: waits for a line, does them, or touches as many pages of the file,
 * prints "pages faults", waits for the end.
 */
int main(int argc, char **argv)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int rounds = argc > 1 ? atoi(argv[1]) : 1000;
	long before;

	/* Every page of the program itself is touched beforehand. */
	round_trip();
	nanosleep(&pause, NULL);
	puts("ready");
	fflush(stdout);
	faults(); /* its own pages too */
	if (getchar() == EOF)
		return 1;
	before = faults();
	if (argc > 2)
		read_cold(argv[2], rounds);
	for (int i = 0; i < rounds && argc == 2; i++) {
		round_trip();
		nanosleep(&pause, NULL);
	}
	printf("pages=%d faults=%ld\n", rounds * 4 * BATCH, faults() - before);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
