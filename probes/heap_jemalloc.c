/* SPDX-License-Identifier: Apache-2.0 */
/* heap_jemalloc.c: jemalloc's account of itself, which it gives to its own process alone. */
#include <dlfcn.h>

#include "probes/heap_inner.h"

/* A round over all arenas takes it some tens of microseconds. */
#define ASK_NS 1000000000ull

void *heap_jemalloc_find(void)
{
	void *ask = dlsym(RTLD_DEFAULT, "mallctl");
	Dl_info one, other;

	if (!ask)
		dlerror(); /* the program's next one is not to be about this */
	/* Another jemalloc may be loaded, and serve somebody else. */
	if (!ask || !dladdr(ask, &one) || !dladdr((void *)heap_real.malloc, &other) ||
	    one.dli_fbase != other.dli_fbase)
		return NULL;
	return ask;
}

static int get(const char *name, uint64_t *out)
{
	size_t value = 0, len = sizeof(value);

	if (heap_real.mallctl(name, &value, &len, NULL, 0))
		return -1;
	__atomic_store_n(out, value, __ATOMIC_RELAXED);
	return 0;
}

/* Of this moment, by our own account: what comes and goes until the next time can be added. */
static uint64_t counted(struct heap_segment_header *seg)
{
	const struct heap_state *st = heap_state_of(seg);
	uint32_t n = __atomic_load_n(&st->shards, __ATOMIC_ACQUIRE);
	uint64_t sum = 0;

	/* The last one has many writers, and may never have been touched. */
	if (__atomic_load_n(&st->shared, __ATOMIC_ACQUIRE))
		sum = heap_read(&heap_shard_of(seg, HEAP_THREADS)->alloc_bytes) -
		      heap_read(&heap_shard_of(seg, HEAP_THREADS)->free_bytes);
	for (uint32_t i = 0; i < n; i++)
		sum += heap_read(&heap_shard_of(seg, i)->alloc_bytes) -
		       heap_read(&heap_shard_of(seg, i)->free_bytes);
	return sum;
}

/*
 * From a sampled allocation, whose jemalloc call is over: none of its locks is held by this thread.
 * One thread asks, the others go on.
 */
HEAP_COLD void heap_jemalloc_ask(struct heap_segment_header *seg, uint64_t now)
{
	struct heap_jemalloc *j = &heap_state_of(seg)->jemalloc;
	uint64_t last = heap_read(&j->asked_ns), epoch = 1;
	unsigned int arenas = 0;
	size_t len = sizeof(arenas);

	if (now - last < ASK_NS || !__atomic_compare_exchange_n(&j->asked_ns, &last, now, 0,
								__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	/* Its figures stand still until they are asked to be renewed. */
	if (heap_real.mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) ||
	    get("stats.allocated", &j->allocated) || get("stats.active", &j->active) ||
	    get("stats.metadata", &j->metadata) || get("stats.resident", &j->resident) ||
	    get("stats.retained", &j->retained))
		return;
	__atomic_store_n(&j->counted, counted(seg), __ATOMIC_RELAXED);
	if (!heap_real.mallctl("arenas.narenas", &arenas, &len, NULL, 0))
		__atomic_store_n(&j->arenas, arenas, __ATOMIC_RELAXED);
	__atomic_store_n(&j->answered_ns, now, __ATOMIC_RELEASE);
}
