/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc_shapes.c: brings glibc's heap into a known shape, prints what mallinfo2() says of it, and
 * waits for its input to end.
 *
 *	alloc_shapes [SHAPE [MIB]]
 *
 * Without arguments it says "ready" and reads a line "SHAPE MIB" instead.
 *
 * steady, freed (everything but the last block), fragmented (every second of many small blocks),
 * large (blocks in mappings of their own), arenas (blocks of several threads), growing (for ever,
 * 4 KiB blocks, MIB a second). Prints one line " arena=N live=N free=N mmapped=N".
 */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, LARGE = 1 << 20 };

static void **blocks;
static pthread_barrier_t shaped;

static void *take(size_t bytes)
{
	char *p = malloc(bytes);

	if (!p)
		abort();
	memset(p, 1, bytes);
	return p;
}

/* The blocks' addresses lie in a mapping, outside of what is measured. */
static size_t fill(size_t total, size_t bytes)
{
	size_t n = total / bytes;

	blocks = calloc(n + (2 << 20) / sizeof(*blocks), sizeof(*blocks));
	if (!blocks)
		abort();
	for (size_t i = 0; i < n; i++)
		blocks[i] = take(bytes);
	return n;
}

static void *thread(void *arg)
{
	size_t n = (size_t)(uintptr_t)arg;
	void **mine = calloc(n, sizeof(*mine));

	for (size_t i = 0; mine && i < n; i++)
		mine[i] = take(1000);
	for (size_t i = 0; mine && i < n; i += 2)
		free(mine[i]);
	pthread_barrier_wait(&shaped);
	pause();
	return mine;
}

static void run_threads(size_t total)
{
	pthread_t id;

	pthread_barrier_init(&shaped, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&id, NULL, thread, (void *)(total / THREADS / 1000)))
			abort();
	pthread_barrier_wait(&shaped);
}

static void grow(size_t mib_s)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

	for (;;) {
		for (size_t i = 0; i < mib_s * 256 / 50; i++)
			*(void **)take(4000) = NULL; /* kept by nobody */
		nanosleep(&pause, NULL);
	}
}

static void make(const char *shape, size_t total)
{
	size_t n;

	if (!strcmp(shape, "steady")) {
		fill(total, 3000);
	} else if (!strcmp(shape, "freed")) {
		n = fill(total, 3000);
		for (size_t i = 0; i + 1 < n; i++)
			free(blocks[i]);
	} else if (!strcmp(shape, "fragmented")) {
		n = fill(total, 1200);
		for (size_t i = 0; i < n; i += 2)
			free(blocks[i]);
	} else if (!strcmp(shape, "large")) {
		mallopt(M_MMAP_THRESHOLD, LARGE);
		fill(total, LARGE);
	} else if (!strcmp(shape, "arenas")) {
		run_threads(total);
	} else {
		exit(2);
	}
}

static void say(void)
{
	struct mallinfo2 m = mallinfo2();

	printf(" arena=%zu live=%zu free=%zu mmapped=%zu\n", m.arena, m.uordblks, m.fordblks,
	       m.hblkhd);
}

int main(int argc, char **argv)
{
	static char line[64], in[4096];
	char shape[16] = "steady";
	size_t mib = 32;

	setvbuf(stdout, NULL, _IONBF, 0);
	setvbuf(stdin, in, _IOFBF, sizeof(in));
	if (argc > 1) {
		snprintf(line, sizeof(line), "%s %s", argv[1], argc > 2 ? argv[2] : "32");
	} else {
		printf("ready\n");
		if (!fgets(line, sizeof(line), stdin))
			return 0;
	}
	if (sscanf(line, "%15s %zu", shape, &mib) < 1)
		return 2;
	if (!strcmp(shape, "growing")) {
		printf(" growing=1\n");
		grow(mib);
	}
	make(shape, mib << 20);
	say();
	while (fgets(line, sizeof(line), stdin))
		;
	return 0;
}
