/* SPDX-License-Identifier: Apache-2.0 */
/* storm_events.c: one kind of event as fast as it goes, with its own count of them. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * storm_events KIND [FILE]: prints "count cpu_ns" every 50 ms, until it is killed. FILE is what
 * KIND io reads, past the page cache.
 */

enum { BLOCK = 4096, PAGES = 64, DEPTH = 200, LINE_NS = 50000000 };

static atomic_ullong events;
static atomic_int turn;
static const char *path;

static void count(unsigned int n)
{
	atomic_fetch_add_explicit(&events, n, memory_order_relaxed);
}

/* What probes are put on; not static, and not folded into its callers. */
int storm_call(int n);
__attribute__((noinline)) int storm_call(int n)
{
	__asm__ volatile("" : "+r"(n));
	return n + 1;
}

int storm_deep(int n);
__attribute__((noinline)) int storm_deep(int n)
{
	volatile char room[64];

	room[0] = (char)n;
	if (n)
		return storm_deep(n - 1) + room[0];
	for (int i = 0; i < 100000; i++)
		room[i % 64] = (char)i;
	count(1);
	return room[1];
}

static void *calls(void *arg)
{
	for (int n = 0;; count(1))
		n = storm_call(n);
	return arg;
}

static void *deep(void *arg)
{
	for (;;)
		storm_deep(DEPTH);
	return arg;
}

static void *syscalls(void *arg)
{
	for (;; count(1))
		syscall(SYS_getppid);
	return arg;
}

static void *ping(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (;; count(1)) {
		while (atomic_load(&turn) != me)
			syscall(SYS_futex, &turn, 128 /* WAIT, private */, !me, NULL, NULL, 0);
		atomic_store(&turn, !me);
		syscall(SYS_futex, &turn, 129 /* WAKE, private */, 1, NULL, NULL, 0);
	}
	return arg;
}

static void *faults(void *arg)
{
	for (;; count(PAGES)) {
		char *p = mmap(NULL, PAGES * BLOCK, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (int i = 0; p != MAP_FAILED && i < PAGES; i++)
			p[i * BLOCK] = 1;
		munmap(p, PAGES * BLOCK);
	}
	return arg;
}

static void *reads(void *arg)
{
	char *buf = aligned_alloc(BLOCK, BLOCK);
	int fd = open(path, O_RDONLY | O_DIRECT);

	for (off_t at = 0; buf && fd >= 0; at = (at + BLOCK) % (PAGES * BLOCK)) {
		if (pread(fd, buf, BLOCK, at) != BLOCK)
			break;
		count(1);
	}
	fprintf(stderr, "storm_events: %s cannot be read past the page cache\n", path);
	exit(1);
	return arg;
}

static void *mallocs(void *arg)
{
	uint64_t random = (uintptr_t)arg + 1;
	void *window[1000] = {NULL};

	for (;; count(1)) {
		void **slot;

		random = random * 6364136223846793005ull + 1;
		slot = &window[(random >> 33) % 1000];
		free(*slot);
		*slot = malloc(16 + (random >> 44) % 1024);
	}
	return arg;
}

static void say(void)
{
	const struct timespec pause = {.tv_nsec = LINE_NS};
	struct timespec cpu;

	for (;;) {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
		printf("%llu %lld\n", (unsigned long long)atomic_load(&events),
		       cpu.tv_sec * 1000000000ll + cpu.tv_nsec);
		nanosleep(&pause, NULL);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *kind;
		void *(*run)(void *);
		int threads;
	} kinds[] = {
		{"calls", calls, 1},	 {"deep", deep, 2},	{"syscalls", syscalls, 1},
		{"ping", ping, 2},	 {"faults", faults, 1}, {"io", reads, 1},
		{"mallocs", mallocs, 2},
	};
	pthread_t t;

	path = argc > 2 ? argv[2] : "";
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc > 1 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(argv[1], kinds[i].kind))
			continue;
		for (int n = 0; n < kinds[i].threads; n++)
			if (pthread_create(&t, NULL, kinds[i].run, (void *)(intptr_t)n))
				return 1;
		say();
	}
	fprintf(stderr, "usage: storm_events KIND [FILE]\n");
	return 2;
}
