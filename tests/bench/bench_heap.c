/* SPDX-License-Identifier: Apache-2.0 */
/* bench_heap.c: what the heap sampler costs a program, beside glibc alone and beside heaptrack. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>
#include <signal.h>

#include "collectors/clock.h"
#include "collectors/heap_sites.h"

/*
 * Each load runs plain, with the sampler and its reader, and with heaptrack, in turns. The figure
 * is the CPU time of the process alone, the least of the rounds: what heaptrack's own interpreter
 * takes beside it is not counted, and its file goes to /dev/null.
 */
enum { ROUNDS = 5, READ_MS = 100 };

static const char *heaptracks[] = {
	"/usr/lib/heaptrack/libheaptrack_preload.so",
	"/usr/lib64/heaptrack/libheaptrack_preload.so",
	"/usr/local/lib/heaptrack/libheaptrack_preload.so",
};

struct load {
	const char *name;
	const char *argv[8];
	uint64_t pairs; /* 0: not known, whole time is compared */
	const char *env;
};

#define PYTHON "d={}\nfor i in range(150000):\n d[i%5000]=[str(i)*9,(i,i+1),{'a':i}]\n"

/* So many that the 10 ms in which the library starts are less than a nanosecond of each. */
static struct load loads[] = {
	{"pair of 64 bytes", {"heap_storm", "pair", "20000000"}, 20000000, NULL},
	{"mixed, 1,000 live", {"heap_storm", "mixed", "20000000"}, 20000000, NULL},
	{"mixed, 4 threads", {"heap_storm", "mixed", "5000000", "4"}, 20000000, NULL},
	{"python3, all by malloc", {"/usr/bin/python3", "-c", PYTHON}, 0, "PYTHONMALLOC=malloc"},
};

enum side { PLAIN, SAMPLE, HEAPTRACK, SIDES };

static char folder[PATH_MAX];

static void exec_load(const struct load *l, enum side side, const char *heaptrack)
{
	char path[PATH_MAX + 64], lib[PATH_MAX + 64];
	int null = open("/dev/null", O_WRONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, 1);
	dup2(null, 2);
	snprintf(lib, sizeof(lib), "%s/libperftop_heap.so", folder);
	snprintf(path, sizeof(path), "%s/tests/targets/%s", folder, l->argv[0]);
	if (l->env)
		putenv((char *)(uintptr_t)l->env);
	if (side != PLAIN)
		setenv("LD_PRELOAD", side == SAMPLE ? lib : heaptrack, 1);
	if (side == HEAPTRACK)
		setenv("DUMP_HEAPTRACK_OUTPUT", "/dev/null", 1);
	execv(l->argv[0][0] == '/' ? l->argv[0] : path, (char **)(uintptr_t)l->argv);
	_exit(127);
}

struct reader {
	struct heap_segment *segment;
	struct heap_stacks stacks;
	struct heap_sites *sites;
};

static void reader_open(struct reader *r, pid_t pid)
{
	char why[256];
	int err;

	for (int i = 0; i < 200 && !r->segment; i++) {
		r->segment = heap_segment_attach(pid, &err, why, sizeof(why));
		if (!r->segment)
			usleep(1000);
	}
	if (!r->segment) {
		fprintf(stderr, "bench_heap: %s\n", why);
		exit(1);
	}
	r->stacks.syms = symbols_new(pid);
	r->stacks.unwinder = unwind_new(r->stacks.syms);
	r->stacks.segment = r->segment;
	r->sites = heap_sites_new(heap_stack_ids, &r->stacks);
}

static void reader_close(struct reader *r)
{
	heap_sites_free(r->sites);
	unwind_free(r->stacks.unwinder);
	symbols_free(r->stacks.syms);
	heap_segment_free(r->segment);
}

/* CPU ns of one run; samples taken are added up. */
static double run(const struct load *l, enum side side, const char *heaptrack, uint64_t *samples)
{
	struct reader r = {0};
	struct rusage used;
	int status;
	pid_t pid = fork();

	if (!pid)
		exec_load(l, side, heaptrack);
	if (side == SAMPLE)
		reader_open(&r, pid);
	while (!wait4(pid, &status, side == SAMPLE ? WNOHANG : 0, &used)) {
		symbols_refresh(r.stacks.syms);
		heap_sites_update(r.sites, r.segment, clock_mono_ns());
		usleep(READ_MS * 1000);
	}
	if (side == SAMPLE) {
		heap_sites_update(r.sites, r.segment, clock_mono_ns());
		heap_segment_refresh(r.segment);
		*samples += heap_segment_totals(r.segment)->samples;
		reader_close(&r);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "bench_heap: %s ended with status %d\n", l->argv[0], status);
		exit(1);
	}
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e9 +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e3;
}

static const char *verdict(int pass)
{
	return pass ? "PASS" : "MISSED";
}

static void bench(const struct load *l, const char *heaptrack)
{
	double best[SIDES] = {1e18, 1e18, 1e18}, slower, theirs;
	uint64_t samples = 0;

	for (int round = 0; round < ROUNDS; round++) {
		for (int side = 0; side < SIDES; side++) {
			double ns;

			if (side == HEAPTRACK && (!heaptrack || round))
				continue;
			ns = run(l, side, heaptrack, &samples);
			best[side] = ns < best[side] ? ns : best[side];
		}
	}
	slower = best[SAMPLE] / best[PLAIN] - 1;
	theirs = best[HEAPTRACK] / best[PLAIN] - 1;
	printf("%-24s", l->name);
	if (l->pairs)
		printf(" %8.2f %8.2f", best[PLAIN] / l->pairs, best[SAMPLE] / l->pairs);
	else
		printf(" %7.0fM %7.0fM", best[PLAIN] / 1e6, best[SAMPLE] / 1e6);
	if (!heaptrack)
		printf(" %8s", "n/a");
	else if (l->pairs)
		printf(" %8.1f", best[HEAPTRACK] / l->pairs);
	else
		printf(" %7.0fM", best[HEAPTRACK] / 1e6);
	printf("  %5.1f %%", 100 * slower);
	if (l->pairs)
		printf("  added %.2f ns, target 5 %s", (best[SAMPLE] - best[PLAIN]) / l->pairs,
		       verdict(best[SAMPLE] - best[PLAIN] <= 5 * (double)l->pairs));
	if (heaptrack)
		printf("  1/%.0f of heaptrack, target 1/10 %s", theirs / slower,
		       verdict(slower * 10 <= theirs));
	printf("  %llu samples\n", (unsigned long long)samples / ROUNDS);
}

int main(void)
{
	ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	const char *heaptrack = NULL;

	if (n <= 0)
		return 1;
	for (int up = 0; up < 3; up++)
		*strrchr(folder, '/') = '\0';
	for (size_t i = 0; i < sizeof(heaptracks) / sizeof(heaptracks[0]); i++)
		if (!access(heaptracks[i], R_OK))
			heaptrack = heaptracks[i];
	if (!heaptrack)
		printf("heaptrack is not installed: its side is not available\n");
	printf("%-24s %8s %8s %8s  slower   CPU ns a pair, or ms\n", "heap sampler", "plain",
	       "sample", "heaptrack");
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		if (loads[i].argv[0][0] != '/' || !access(loads[i].argv[0], X_OK))
			bench(&loads[i], heaptrack);
	return 0;
}
