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
 * passed (blocks of any size, of which every second is freed by
 * another thread), large (blocks in mappings of their own), arenas (blocks of several threads),
 *growing (for ever, 4 KiB blocks, MIB a second), churn (threads that replace blocks of any size for
 *ever, so that what lives stays within a hundredth). Prints one line " arena=N live=N free=N
 *mmapped=N held=N": held are the blocks that it has, as malloc_usable_size() has them. Where
 *another allocator is loaded or linked, what that says of itself follows.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, LARGE = 1 << 20, CHURN_BYTES = 8 << 10 };

static void **blocks;
static _Atomic size_t held;
static pthread_barrier_t shaped;
static int staying = 1;

static void *take(size_t bytes)
{
	char *p = malloc(bytes);

	if (!p)
		abort();
	memset(p, 1, bytes);
	held += malloc_usable_size(p);
	return p;
}

static void give(void *p)
{
	held -= malloc_usable_size(p);
	free(p);
}

/* The blocks' addresses lie in a mapping, outside of what is measured. */
static size_t fill(size_t total, size_t bytes)
{
	size_t n = total / bytes;

	blocks = calloc(n + (2 << 20) / sizeof(*blocks), sizeof(*blocks));
	if (!blocks)
		abort();
	held += malloc_usable_size(blocks);
	for (size_t i = 0; i < n; i++)
		blocks[i] = take(bytes);
	return n;
}

static void *thread(void *arg)
{
	size_t n = (size_t)(uintptr_t)arg;
	void **mine = calloc(n, sizeof(*mine));

	held += malloc_usable_size(mine);
	for (size_t i = 0; mine && i < n; i++)
		mine[i] = take(1000);
	for (size_t i = 0; mine && i < n; i += 2)
		give(mine[i]);
	pthread_barrier_wait(&shaped);
	while (staying)
		pause();
	return mine;
}

static void *churn(void *arg)
{
	size_t n = (size_t)(uintptr_t)arg;
	uint64_t random = (uintptr_t)&n;
	void **mine = calloc(n, sizeof(*mine));

	/* A number for the place and one for the size: places of one number would have sizes of it.
	 */
	for (uint64_t i = 0; mine; i++) {
		size_t at;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		at = i < n ? i : (random >> 40) % n;
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		if (mine[at])
			give(mine[at]);
		mine[at] = take(16 + (random >> 33) % (2 * CHURN_BYTES));
		if (i + 1 == n)
			pthread_barrier_wait(&shaped);
	}
	return NULL;
}

static void run_threads(void *(*body)(void *), size_t n)
{
	pthread_t ids[THREADS];

	pthread_barrier_init(&shaped, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&ids[i], NULL, body, (void *)(n / THREADS)))
			abort();
	pthread_barrier_wait(&shaped);
	for (int i = 0; !staying && i < THREADS; i++)
		pthread_join(ids[i], NULL);
}

static void *give_half(void *arg)
{
	for (size_t i = 0; i < (size_t)(uintptr_t)arg; i += 2)
		give(blocks[i]);
	return NULL;
}

/* Mostly small ones, and some of a megabyte. */
static void pass(size_t total)
{
	size_t n = 0, have = 0;
	pthread_t id;

	fill(1, 1);
	for (; have < total; n++) {
		blocks[n] = take(n % 1000 < 2 ? LARGE : 100 + n % 5000);
		have += malloc_usable_size(blocks[n]);
	}
	if (pthread_create(&id, NULL, give_half, (void *)n) || pthread_join(id, NULL))
		abort();
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
			give(blocks[i]);
	} else if (!strcmp(shape, "fragmented")) {
		n = fill(total, 1200);
		for (size_t i = 0; i < n; i += 2)
			give(blocks[i]);
	} else if (!strcmp(shape, "large")) {
		mallopt(M_MMAP_THRESHOLD, LARGE);
		fill(total, LARGE);
	} else if (!strcmp(shape, "passed")) {
		pass(total);
	} else if (!strcmp(shape, "arenas")) {
		run_threads(thread, total / 1000);
	} else if (!strcmp(shape, "ended")) {
		staying = 0;
		run_threads(thread, total / 1000);
	} else if (!strcmp(shape, "churn")) {
		run_threads(churn, total / CHURN_BYTES);
	} else {
		exit(2);
	}
}

/* Linked in, or loaded in front. */
int mallctl(const char *name, void *old, size_t *n, void *new, size_t new_n) __attribute__((weak));
int MallocExtension_GetNumericProperty(const char *name, size_t *value) __attribute__((weak));

static void say_jemalloc(void)
{
	static const char *const names[] = {"allocated", "active", "resident", "metadata"};
	__typeof__(&mallctl) ask = mallctl;
	uint64_t epoch = 1;
	char name[32];

	*(void **)&ask = mallctl ? (void *)mallctl : dlsym(RTLD_DEFAULT, "mallctl");
	if (!ask || ask("epoch", NULL, NULL, &epoch, sizeof(epoch)))
		return;
	for (int i = 0; i < 4; i++) {
		size_t v = 0, n = sizeof(v);

		snprintf(name, sizeof(name), "stats.%s", names[i]);
		ask(name, &v, &n, NULL, 0);
		printf(" %s=%zu", names[i], v);
	}
}

static void say_tcmalloc(void)
{
	static const char *const names[][2] = {
		{"allocated", "generic.current_allocated_bytes"},
		{"heap", "generic.heap_size"},
		{"page_free", "tcmalloc.pageheap_free_bytes"},
		{"unmapped", "tcmalloc.pageheap_unmapped_bytes"},
		{"thread", "tcmalloc.current_total_thread_cache_bytes"},
		{"central", "tcmalloc.central_cache_free_bytes"},
		{"transfer", "tcmalloc.transfer_cache_free_bytes"},
	};
	__typeof__(&MallocExtension_GetNumericProperty) ask = MallocExtension_GetNumericProperty;
	size_t v;

	*(void **)&ask =
		ask ? (void *)ask : dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty");
	for (int i = 0; ask && i < 7; i++)
		if (ask(names[i][1], &v))
			printf(" %s=%zu", names[i][0], v);
}

static void say(void)
{
	struct mallinfo2 m = mallinfo2();

	printf(" arena=%zu live=%zu free=%zu mmapped=%zu held=%zu", m.arena, m.uordblks, m.fordblks,
	       m.hblkhd, held);
	say_jemalloc();
	say_tcmalloc();
	printf("\n");
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
