/* SPDX-License-Identifier: Apache-2.0 */
/* heap_known.c: a program whose allocations are known: it keeps its own account of them. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Commands come on stdin, one a line; each is answered on stdout with one line of truth, in usable
 * bytes. What it needs for its account is static, and nothing but the commands allocates.
 *
 *   run N            N allocations of the plan below: bytes and objects of each site so far
 *   hold N SIZE MS   N objects that live MS milliseconds
 *   realloc N        N rounds of realloc: from NULL, growing, shrinking, to 0, failing
 *   align            every aligned kind, and calloc and reallocarray; all are kept
 *   threads N M      N threads, each with M objects, half of them freed by the next thread
 *   fork N           a child that keeps N objects more, until the next line
 *   big N            N objects of a megabyte, freed at once
 *   close            closes every descriptor above stderr
 *   exec             runs itself anew
 *
 * It ends with its stdin.
 */

enum { CHURN = 1024, CACHE = 20000, MAX_THREADS = 4096, MAX_OBJECTS = 4096 };

struct account {
	uint64_t objects, bytes, live_objects, live_bytes;
};

static struct account churn, cache, leak;
static void *churned[CHURN];
static uint64_t runs;
static volatile uintptr_t sink;
static volatile size_t half = SIZE_MAX / 2; /* volatile: gcc refuses to call with as much */

static uint64_t add(struct account *a, void *p)
{
	uint64_t bytes = malloc_usable_size(p);

	if (!p)
		abort();
	a->objects++;
	a->live_objects++;
	a->bytes += bytes;
	a->live_bytes += bytes;
	return bytes;
}

static void drop(struct account *a, void *p)
{
	a->live_objects--;
	a->live_bytes -= malloc_usable_size(p);
	free(p);
}

/* Sites, which no compiler may merge into one. */
__attribute__((noinline)) void *known_site_churn(size_t n);
__attribute__((noinline)) void *known_site_cache(size_t n);
__attribute__((noinline)) void *known_site_leak(size_t n);

#define SITE(name)                                     \
	__attribute__((noinline)) void *name(size_t n) \
	{                                              \
		void *volatile p = malloc(n);          \
		return p;                              \
	}
SITE(known_site_churn)
SITE(known_site_cache)
SITE(known_site_leak)

/*
 * The plan: a cache of 20,000 objects is filled first and stays. Then of 100 allocations one, of
 * 512 bytes, is leaked; the others have 16 to 271 bytes and are freed after 1,024 more.
 */
static void run(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++, runs++) {
		size_t size = 16 + runs * 2654435761u % 256;
		void **slot = &churned[runs % CHURN];

		if (cache.objects < CACHE) {
			add(&cache, known_site_cache(1000));
			continue;
		}
		if (runs % 100 == 0) {
			void *p = known_site_leak(512);

			add(&leak, p);
			sink = (uintptr_t)p;
			continue;
		}
		if (*slot)
			drop(&churn, *slot);
		*slot = known_site_churn(size);
		add(&churn, *slot);
	}
	printf("run churn=%lu churn_live=%lu cache=%lu leak=%lu leak_objects=%lu live=%lu "
	       "objects=%lu\n",
	       churn.bytes, churn.live_bytes, cache.bytes, leak.bytes, leak.objects,
	       churn.live_bytes + cache.live_bytes + leak.live_bytes,
	       churn.objects + cache.objects + leak.objects);
}

static void *kept[MAX_OBJECTS];

static void hold(uint32_t n, size_t size, uint32_t ms)
{
	struct account a = {0};

	n = n < MAX_OBJECTS ? n : MAX_OBJECTS;
	for (uint32_t i = 0; i < n; i++) {
		kept[i] = malloc(size);
		add(&a, kept[i]);
	}
	usleep(ms * 1000);
	for (uint32_t i = 0; i < n; i++)
		drop(&a, kept[i]);
	printf("hold objects=%lu bytes=%lu\n", a.objects, a.bytes);
}

/* Behind pointers, so that neither gcc nor lint knows what they do. */
static void *(*volatile resize)(void *, size_t) = realloc;
static void *(*volatile resize_array)(void *, size_t, size_t) = reallocarray;
static void *(*volatile zeroed)(size_t, size_t) = calloc;

static void reallocs(uint32_t n)
{
	uint32_t bad = 0;

	for (uint32_t i = 0; i < n; i++) {
		char *p = resize(NULL, 10 + i % 7);

		memset(p, 'x', 10);
		p = resize(p, 100000 + i);
		bad += p[9] != 'x';
		p = resize(p, 3000000);
		bad += p[9] != 'x';
		p = resize(p, 20);
		bad += p[9] != 'x';
		bad += resize(p, half / 2) || p[9] != 'x';
		bad += resize_array(p, half, 4) || errno != ENOMEM;
		p = resize(p, 0);
		bad += p != NULL;
	}
	printf("realloc bad=%u\n", bad);
}

static void align(void)
{
	struct account a = {0};
	void *p = NULL;
	uint32_t bad = 0;

	for (size_t to = 16; to <= 65536; to *= 2) {
		bad += posix_memalign(&p, to, to + 5) || (uintptr_t)p % to;
		add(&a, p);
		p = aligned_alloc(to, to * 3);
		bad += (uintptr_t)p % to != 0;
		add(&a, p);
		p = memalign(to, 100);
		bad += (uintptr_t)p % to != 0;
		add(&a, p);
	}
	bad += posix_memalign(&p, 3, 5) != EINVAL;
	add(&a, valloc(77));
	add(&a, pvalloc(77));
	p = calloc(33, 77);
	for (int i = 0; i < 33 * 77; i++)
		bad += ((char *)p)[i] != 0;
	add(&a, p);
	bad += zeroed(half, 4) != NULL;
	add(&a, reallocarray(NULL, 11, 22));
	add(&a, malloc(0));
	add(&a, strdup("by libc itself"));
	free(NULL);
	printf("align bad=%u objects=%lu bytes=%lu\n", bad, a.live_objects, a.live_bytes);
}

/* ---- threads -------------------------------------------------------------------------------- */

static struct job {
	pthread_t thread;
	uint32_t objects;
	void *passed; /* a chain through the first word, for the next thread to free */
	struct job *from;
	pthread_barrier_t *barrier;
} jobs[MAX_THREADS];

static void *job_run(void *arg)
{
	struct job *j = arg;

	for (uint32_t i = 0; i < j->objects; i++) {
		void **p = malloc(16 + i % 500);

		if (i % 2) {
			*p = j->passed;
			j->passed = p;
		} else {
			free(p);
		}
	}
	pthread_barrier_wait(j->barrier);
	for (void **p = j->from->passed, *next; p; p = next) {
		next = *p;
		free(p);
	}
	return NULL;
}

static void threads(uint32_t n, uint32_t objects)
{
	pthread_barrier_t barrier;
	pthread_attr_t attr;

	n = n < MAX_THREADS ? n : MAX_THREADS;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_barrier_init(&barrier, NULL, n);
	for (uint32_t i = 0; i < n; i++) {
		jobs[i] = (struct job){
			.objects = objects, .from = &jobs[(i + 1) % n], .barrier = &barrier};
		if (pthread_create(&jobs[i].thread, &attr, job_run, &jobs[i]))
			abort();
	}
	for (uint32_t i = 0; i < n; i++)
		pthread_join(jobs[i].thread, NULL);
	printf("threads objects=%lu\n", (uint64_t)n * objects);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void forks(uint32_t n)
{
	struct account a = {0};
	char line[16];
	pid_t pid = fork();

	if (pid)
		return;
	for (uint32_t i = 0; i < n; i++)
		add(&a, malloc(200));
	/* The parent's memory is freed here, and the parent's own stays. */
	if (churned[0])
		drop(&a, churned[0]);
	printf("fork pid=%d objects=%lu bytes=%ld\n", getpid(), a.objects, (long)a.live_bytes);
	if (read(0, line, sizeof(line)) < 0)
		_exit(1);
	_exit(0);
}

static void big(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		void *volatile p = malloc(1 << 20);

		free(p);
	}
	printf("big objects=%u\n", n);
}

int main(int argc, char **argv)
{
	static char line[256], buffers[2][4096];
	uint32_t n, m, k;

	setvbuf(stdin, buffers[0], _IONBF, sizeof(buffers[0]));
	setvbuf(stdout, buffers[1], _IOLBF, sizeof(buffers[1]));
	printf("ready pid=%d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "run %u", &n) == 1)
			run(n);
		else if (sscanf(line, "hold %u %u %u", &n, &m, &k) == 3)
			hold(n, m, k);
		else if (sscanf(line, "realloc %u", &n) == 1)
			reallocs(n);
		else if (!strncmp(line, "align", 5))
			align();
		else if (sscanf(line, "threads %u %u", &n, &m) == 2)
			threads(n, m);
		else if (sscanf(line, "fork %u", &n) == 1)
			forks(n);
		else if (sscanf(line, "big %u", &n) == 1)
			big(n);
		else if (!strncmp(line, "close", 5))
			printf("close %d\n", close_range(3, ~0u, 0));
		else if (!strncmp(line, "exec", 4))
			execv("/proc/self/exe", argv);
		else
			printf("unknown\n");
	}
	return 0;
}
