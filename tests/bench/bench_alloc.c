/* SPDX-License-Identifier: Apache-2.0 */
/* bench_alloc.c: what reading an allocator from outside takes, and how near the program's count. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/alloc.h"
#include "collectors/clock.h"
#include "collectors/symbols.h"
#include "tests/lib/known_process.h"

enum { READINGS = 201, BUDGET_NS = 4 * 1000 * 1000 };

static const struct {
	const char *name, *library;
} allocators[] = {
	{"glibc", NULL},
	{"jemalloc", "libjemalloc.so.2"},
	{"mimalloc", "libmimalloc.so.2.0"},
	{"tcmalloc", "libtcmalloc_minimal.so.4"},
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure(const char *shape, const struct known_process *k)
{
	struct symbols *syms = symbols_new(k->pid);
	struct alloc *a = NULL;
	struct alloc_stats st = {.live_bytes = 0};
	uint64_t took[READINGS], first, begin;
	int missed = 0, middle = READINGS / 2, late = READINGS * 9 / 10;

	if (syms && !symbols_refresh(syms))
		a = alloc_new(k->pid, syms);
	if (!a)
		return;
	begin = clock_mono_ns();
	alloc_read(a, begin, BUDGET_NS, &st);
	first = clock_mono_ns() - begin;
	for (int i = 0; i < READINGS; i++) {
		begin = clock_mono_ns();
		missed += alloc_read(a, begin, BUDGET_NS, &st) != 0;
		took[i] = clock_mono_ns() - begin;
	}
	qsort(took, READINGS, sizeof(*took), by_value);
	printf("  %-42s %-16s %6.1f ms %7.1f us %7.1f us %6d %10.4f\n", alloc_name(a), shape,
	       (double)first / 1e6, (double)took[middle] / 1e3, (double)took[late] / 1e3, missed,
	       (double)st.live_bytes / known_told(k, "held"));
	alloc_free(a);
	symbols_free(syms);
}

int main(void)
{
	static const char *const shapes[] = {"steady 256", "fragmented 256", "arenas 256",
					     "churn 64"};

	printf("  %-42s %-16s %9s %10s %10s %6s %10s\n", "allocator", "heap, MiB", "to find",
	       "a reading", "p90", "torn", "live/held");
	for (uint32_t i = 0; i < sizeof(allocators) / sizeof(*allocators); i++)
		for (uint32_t k = 0; k < sizeof(shapes) / sizeof(*shapes); k++) {
			struct known_process process;
			int err;

			if (allocators[i].library)
				setenv("LD_PRELOAD", allocators[i].library, 1);
			err = known_start_program(&process, "alloc_shapes");
			unsetenv("LD_PRELOAD");
			if (!err && !known_tell(&process, shapes[k]))
				measure(shapes[k], &process);
			else
				printf("  %-42s cannot be started\n", allocators[i].name);
			if (!err)
				known_end(&process);
		}
	return 0;
}
