/* SPDX-License-Identifier: Apache-2.0 */
/* inject_so.c: a library to be hooked into a running process, that counts calls and no more. */
#include <stdatomic.h>
#include <stdlib.h>

#include "probes/inject_port.h"

/* Read from outside by the tests. */
struct inject_so_counts {
	_Atomic uint64_t mallocs, frees, callocs, reallocs, bytes, inits;
};
extern struct inject_so_counts inject_so_counts;
struct inject_so_counts inject_so_counts;

extern struct inject_port perftop_heap_port;

enum { ROW_MALLOC, ROW_FREE, ROW_CALLOC, ROW_REALLOC };

void *perftop_heap_hook_malloc(size_t n);
void perftop_heap_hook_free(void *p);
void *perftop_heap_hook_calloc(size_t n, size_t each);
void *perftop_heap_hook_realloc(void *p, size_t n);
int perftop_heap_inject(void);

#define ORIGINAL(row, type) ((type)perftop_heap_port.hooks[row].original)

static void count(_Atomic uint64_t *c, uint64_t n)
{
	if (perftop_heap_port.active)
		atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

void *perftop_heap_hook_malloc(size_t n)
{
	count(&inject_so_counts.mallocs, 1);
	count(&inject_so_counts.bytes, n);
	return ORIGINAL(ROW_MALLOC, void *(*)(size_t))(n);
}

void perftop_heap_hook_free(void *p)
{
	count(&inject_so_counts.frees, p != NULL);
	ORIGINAL(ROW_FREE, void (*)(void *))(p);
}

void *perftop_heap_hook_calloc(size_t n, size_t each)
{
	count(&inject_so_counts.callocs, 1);
	return ORIGINAL(ROW_CALLOC, void *(*)(size_t, size_t))(n, each);
}

void *perftop_heap_hook_realloc(void *p, size_t n)
{
	count(&inject_so_counts.reallocs, 1);
	return ORIGINAL(ROW_REALLOC, void *(*)(void *, size_t))(p, n);
}

int perftop_heap_inject(void)
{
	volatile double x[64];

	/* Use what has to be put back. */
	for (int i = 0; i < 64; i++)
		x[i] = (double)i * 1.5;
	inject_so_counts.inits += x[2] == 3.0;
	perftop_heap_port.error = 0;
	return 0;
}

struct inject_port perftop_heap_port = {
	.version = INJECT_PORT_VERSION,
	.size = sizeof(struct inject_port),
	.nhooks = 4,
	.hooks =
		{
			[ROW_MALLOC] = {.name = "malloc", .hook = (void *)perftop_heap_hook_malloc},
			[ROW_FREE] = {.name = "free", .hook = (void *)perftop_heap_hook_free},
			[ROW_CALLOC] = {.name = "calloc", .hook = (void *)perftop_heap_hook_calloc},
			[ROW_REALLOC] = {.name = "realloc",
					 .hook = (void *)perftop_heap_hook_realloc},
		},
};
