/* SPDX-License-Identifier: Apache-2.0 */
/* bench_unwind.c: how many stacks of a running process come out whole, and what one costs. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectors/unwind.h"

/*
 * bench_unwind [PID [SECONDS [HZ [STACK_BYTES]]]]. Without a PID it measures tests/targets/deep.
 * The samples are taken first and unwound afterwards, once with everything cold and then warm.
 */
enum {
	THREADS_MAX = 64,
	SAMPLES_MAX = 1500,
	RING_PAGES = 256,
	PASSES = 5,
	TOP = 12,
	IDS = 65536,
};

#ifdef __x86_64__
/* Bits of asm/perf_regs.h in the order in which the kernel writes them, and their DWARF numbers. */
#define REGS_MASK 0xff01ffull
static const uint8_t regs_dwarf[] = {0, 3, 2, 1, 4, 5, 6, 7, 16, 8, 9, 10, 11, 12, 13, 14, 15};
#else
#define REGS_MASK 0x1ffffffffull
static const uint8_t regs_dwarf[] = {0,	 1,  2,	 3,  4,	 5,  6,	 7,  8,	 9,  10,
				     11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
				     22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
#endif
enum { NREGS = sizeof(regs_dwarf) };

struct sample {
	struct unwind_regs regs;
	uint32_t size;
	uint8_t *slice;
};

struct ring {
	int fd;
	struct perf_event_mmap_page *page;
};

struct bench {
	int pid, nrings;
	uint32_t hz, stack_bytes;
	struct ring rings[THREADS_MAX];
	struct sample samples[SAMPLES_MAX];
	uint32_t nsamples, lost;
	uint32_t ends[3];
	uint64_t frames;
	uint32_t self[IDS], total[IDS];
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static long rss_kb(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%*d %ld", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int ring_open(struct bench *b, int tid)
{
	struct perf_event_attr a = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(a),
		.freq = 1,
		.sample_freq = b->hz,
		.sample_type = PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
		.sample_regs_user = REGS_MASK,
		.sample_stack_user = b->stack_bytes,
	};
	struct ring *r = &b->rings[b->nrings];

	r->fd = (int)syscall(SYS_perf_event_open, &a, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	r->page = mmap(NULL, (size_t)(RING_PAGES + 1) * 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
		       r->fd, 0);
	if (r->page == MAP_FAILED) {
		close(r->fd);
		return -errno;
	}
	b->nrings++;
	return 0;
}

static void ring_copy(const struct ring *r, uint64_t at, void *to, size_t n)
{
	const uint64_t size = (uint64_t)RING_PAGES * 4096;
	const char *data = (const char *)r->page + r->page->data_offset;
	size_t first = size - at % size < n ? (size_t)(size - at % size) : n;

	memcpy(to, data + at % size, first);
	memcpy((char *)to + first, data, n - first);
}

/* abi, registers, size, stack, bytes of it that are valid. */
static void sample_add(struct bench *b, const struct ring *r, uint64_t at)
{
	struct sample *s = &b->samples[b->nsamples];
	uint64_t abi, regs[NREGS], size, valid;

	if (b->nsamples == SAMPLES_MAX)
		return;
	ring_copy(r, at, &abi, 8);
	if (abi != PERF_SAMPLE_REGS_ABI_64)
		return;
	ring_copy(r, at + 8, regs, sizeof(regs));
	at += 8 + sizeof(regs);
	ring_copy(r, at, &size, 8);
	if (!size || size > b->stack_bytes)
		return;
	ring_copy(r, at + 8 + size, &valid, 8);
	s->slice = malloc(size);
	if (!s->slice)
		return;
	ring_copy(r, at + 8, s->slice, size);
	s->size = (uint32_t)(valid < size ? valid : size);
	memset(&s->regs, 0, sizeof(s->regs));
	for (int i = 0; i < NREGS; i++)
		s->regs.r[regs_dwarf[i]] = regs[i];
	b->nsamples++;
}

static void ring_drain(struct bench *b, struct ring *r)
{
	uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = r->page->data_tail;

	while (tail < head) {
		struct perf_event_header h;

		ring_copy(r, tail, &h, sizeof(h));
		if (h.type == PERF_RECORD_SAMPLE)
			sample_add(b, r, tail + sizeof(h));
		else if (h.type == PERF_RECORD_LOST)
			b->lost++;
		tail += h.size;
	}
	__atomic_store_n(&r->page->data_tail, tail, __ATOMIC_RELEASE);
}

static int sample_process(struct bench *b, double seconds)
{
	char path[32];
	struct dirent *d;
	DIR *dir;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", b->pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((d = readdir(dir)) && b->nrings < THREADS_MAX)
		if (d->d_name[0] != '.')
			err = ring_open(b, atoi(d->d_name));
	closedir(dir);
	if (!b->nrings)
		return err;
	for (double end = now_us() + seconds * 1e6; now_us() < end;) {
		poll(NULL, 0, 10);
		for (int i = 0; i < b->nrings; i++)
			ring_drain(b, &b->rings[i]);
	}
	for (int i = 0; i < b->nrings; i++) {
		munmap(b->rings[i].page, (size_t)(RING_PAGES + 1) * 4096);
		close(b->rings[i].fd);
	}
	return 0;
}

static double unwind_all(struct bench *b, struct unwinder *u)
{
	uint64_t pcs[UNWIND_MAX_FRAMES];
	double begin = now_us();

	memset(b->ends, 0, sizeof(b->ends));
	b->frames = 0;
	for (uint32_t i = 0; i < b->nsamples; i++) {
		const struct sample *s = &b->samples[i];
		enum unwind_end end;

		b->frames +=
			unwind_stack(u, &s->regs, s->slice, s->size, pcs, UNWIND_MAX_FRAMES, &end);
		b->ends[end]++;
	}
	return (now_us() - begin) / (b->nsamples ? b->nsamples : 1);
}

/* Names for every frame; the time for that alone. */
static double name_all(struct bench *b, struct unwinder *u, struct symbols *s)
{
	double spent = 0;

	memset(b->self, 0, sizeof(b->self));
	memset(b->total, 0, sizeof(b->total));
	for (uint32_t i = 0; i < b->nsamples; i++) {
		const struct sample *p = &b->samples[i];
		uint64_t pcs[UNWIND_MAX_FRAMES];
		uint32_t ids[UNWIND_MAX_FRAMES];
		enum unwind_end end;
		uint32_t n =
			unwind_stack(u, &p->regs, p->slice, p->size, pcs, UNWIND_MAX_FRAMES, &end);
		double begin = now_us();

		for (uint32_t k = 0; k < n; k++) {
			struct symbol y;

			symbols_lookup(s, pcs[k] - (k > 0), &y);
			ids[k] = y.id;
		}
		spent += now_us() - begin;
		for (uint32_t k = 0; k < n; k++) {
			uint32_t seen = 0;

			for (uint32_t j = 0; j < k; j++)
				seen |= ids[j] == ids[k];
			b->self[ids[k]] += !k;
			b->total[ids[k]] += !seen;
		}
	}
	return spent / (b->nsamples ? b->nsamples : 1);
}

static void print_top(struct bench *b, struct symbols *s)
{
	printf("  %6s %6s  function\n", "self%", "total%");
	for (int row = 0; row < TOP; row++) {
		uint32_t best = 0;
		struct symbol y;

		for (uint32_t i = 1; i < symbols_count(s); i++)
			if (b->self[i] > b->self[best])
				best = i;
		if (!b->self[best])
			break;
		symbols_by_id(s, best, &y);
		printf("  %6.2f %6.2f  %s (%s)\n", 100.0 * b->self[best] / b->nsamples,
		       100.0 * b->total[best] / b->nsamples, y.name, y.module);
		b->self[best] = 0;
	}
}

static int deep_start(void)
{
	char self[PATH_MAX], path[PATH_MAX + 32], byte;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fds[2], pid;

	if (n <= 0 || pipe(fds))
		return -1;
	self[n] = '\0';
	for (int up = 0; up < 2; up++)
		*strrchr(self, '/') = '\0';
	snprintf(path, sizeof(path), "%s/targets/deep", self);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 1);
		execl(path, path, NULL);
		_exit(127);
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) != 1)
		fprintf(stderr, "bench_unwind: %s did not start\n", path);
	close(fds[0]);
	return pid;
}

static void report(struct bench *b)
{
	long rss = rss_kb();
	double begin = now_us(), open_us, cold, warm = 1e9, cold_names, warm_names;
	struct symbols *s = symbols_new(b->pid);
	struct unwinder *u = s ? unwind_new(s) : NULL;
	uint32_t nmodules;

	if (!u || symbols_refresh(s)) {
		fprintf(stderr, "bench_unwind: cannot read the maps of %d\n", b->pid);
		exit(1);
	}
	open_us = now_us() - begin;
	cold = unwind_all(b, u);
	for (int i = 0; i < PASSES; i++) {
		double t = unwind_all(b, u);

		warm = t < warm ? t : warm;
	}
	cold_names = name_all(b, u, s);
	warm_names = name_all(b, u, s);
	symbols_modules(s, &nmodules);
	printf("pid %d: %u samples (%u lost), %d threads, %u modules, %u bytes of stack\n", b->pid,
	       b->nsamples, b->lost, b->nrings, nmodules, b->stack_bytes);
	printf("complete %.1f%% truncated %.1f%% failed %.1f%%, mean depth %.1f, by frame pointer "
	       "%llu frames\n",
	       100.0 * b->ends[0] / b->nsamples, 100.0 * b->ends[1] / b->nsamples,
	       100.0 * b->ends[2] / b->nsamples, (double)b->frames / b->nsamples,
	       (unsigned long long)unwind_stats(u)->fp_frames);
	printf("open %.0f us; unwind cold %.2f warm %.2f us/sample; names cold %.2f warm %.2f "
	       "us/sample; memory +%ld KB\n",
	       open_us, cold, warm, cold_names, warm_names, rss_kb() - rss);
	print_top(b, s);
	unwind_free(u);
	symbols_free(s);
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	int own = argc < 2, err;

	if (!b)
		return 1;
	b->pid = own ? deep_start() : atoi(argv[1]);
	b->hz = argc > 3 ? (uint32_t)atoi(argv[3]) : 499;
	b->stack_bytes = argc > 4 ? (uint32_t)atoi(argv[4]) & ~7u : 16384;
	err = sample_process(b, argc > 2 ? atof(argv[2]) : 2.0);
	if (err)
		fprintf(stderr, "bench_unwind: cannot sample %d: %s\n", b->pid, strerror(-err));
	else if (!b->nsamples)
		fprintf(stderr, "bench_unwind: %d did not run\n", b->pid);
	else
		report(b);
	if (own && b->pid > 0) {
		kill(b->pid, SIGKILL);
		waitpid(b->pid, NULL, 0);
	}
	for (uint32_t i = 0; i < b->nsamples; i++)
		free(b->samples[i].slice);
	free(b);
	return err != 0;
}
