/* SPDX-License-Identifier: Apache-2.0 */
/* heap_told.c: what the allocator underneath tells of itself, to its own process alone. */
#include <dlfcn.h>

#include "probes/heap_inner.h"

/*
 * A round over jemalloc's arenas or tcmalloc's lists takes some tens of microseconds, with many
 * arenas more: they get one hundredth of a thread's time. Seldom would be too little: a program may
 * take its memory in one burst, and then make no call in which it could be asked.
 */
#define ASK_SHARE    100
#define ASK_MIN_NS   1000000ull
#define ASK_MAX_NS   1000000000ull
#define ASK_FIRST_NS 10000ull /* what the first time is taken to cost at the most */

/* A function of the library whose malloc is in use: another's may be loaded too. */
static void *beside_malloc(const char *name)
{
	void *f = dlsym(RTLD_DEFAULT, name);
	Dl_info one, other;

	if (!f)
		dlerror(); /* the program's next one is not to be about this */
	if (!f || !dladdr(f, &one) || !dladdr((void *)heap_real.malloc, &other) ||
	    one.dli_fbase != other.dli_fbase)
		return NULL;
	return f;
}

/* ---- the allocators -------------------------------------------------------------------------- */

static int (*mallctl)(const char *, void *, size_t *, void *, size_t);
static int (*tc_property)(const char *, size_t *);
static void (*mi_process_info)(size_t *, size_t *, size_t *, size_t *, size_t *, size_t *, size_t *,
			       size_t *);

/* Figures of one allocator are not of one moment: some page of one is not in the other yet. */
static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static int jemalloc_get(const char *name, uint64_t *out)
{
	size_t value = 0, len = sizeof(value);

	if (mallctl(name, &value, &len, NULL, 0))
		return -1;
	*out = value;
	return 0;
}

/* stats.* of jemalloc(3). */
static int ask_jemalloc(struct heap_told *t)
{
	uint64_t epoch = 1, active, metadata, resident;
	unsigned int arenas = 0;
	size_t len = sizeof(arenas);

	/* Its figures stand still until they are asked to be renewed. */
	if (mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) ||
	    jemalloc_get("stats.allocated", &t->live) || jemalloc_get("stats.active", &active) ||
	    jemalloc_get("stats.metadata", &metadata) || jemalloc_get("stats.resident", &resident))
		return -1;
	t->held = less(resident, metadata);
	t->small = less(active, t->live);
	t->whole = less(t->held, active);
	if (!mallctl("arenas.narenas", &arenas, &len, NULL, 0))
		t->arenas = arenas;
	return 0;
}

static int tcmalloc_get(const char *name, uint64_t *out)
{
	size_t value = 0;

	if (!tc_property(name, &value))
		return -1;
	*out = value;
	return 0;
}

/* gperftools/malloc_extension.h: free memory lies in the page heap, or in caches of small pieces */
static int ask_tcmalloc(struct heap_told *t)
{
	uint64_t size, unmapped;

	if (tcmalloc_get("generic.current_allocated_bytes", &t->live) ||
	    tcmalloc_get("generic.heap_size", &size) ||
	    tcmalloc_get("tcmalloc.pageheap_unmapped_bytes", &unmapped) ||
	    tcmalloc_get("tcmalloc.pageheap_free_bytes", &t->whole))
		return -1;
	t->held = less(size, unmapped);
	t->small = less(t->held, t->whole + t->live);
	return 0;
}

/* mimalloc.h: it tells what it has committed, and no more of its present state. */
static int ask_mimalloc(struct heap_told *t)
{
	size_t ignored[7], committed = 0;

	mi_process_info(&ignored[0], &ignored[1], &ignored[2], &ignored[3], &ignored[4], &committed,
			&ignored[5], &ignored[6]);
	t->live = HEAP_NOT_TOLD;
	t->small = t->whole = HEAP_NOT_TOLD;
	t->held = committed;
	return committed ? 0 : -1;
}

heap_tell_fn *heap_told_find(void)
{
	mallctl = (__typeof__(mallctl))beside_malloc("mallctl");
	if (mallctl)
		return ask_jemalloc;
	tc_property = (__typeof__(tc_property))beside_malloc("MallocExtension_GetNumericProperty");
	if (tc_property)
		return ask_tcmalloc;
	mi_process_info = (__typeof__(mi_process_info))beside_malloc("mi_process_info");
	return mi_process_info ? ask_mimalloc : NULL;
}

/* ---- asking ---------------------------------------------------------------------------------- */

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
 * In some of the times the thread loses its CPU, which is no cost, and what it takes until it is
 * asked again would stay unknown: from one time to the next the cost no more than doubles.
 */
static uint64_t pause_after(struct heap_told *to, uint64_t cost_ns)
{
	uint64_t before = heap_read(&to->cost_ns), most = before ? 2 * before : ASK_FIRST_NS;
	uint64_t pause;

	cost_ns = cost_ns < most ? cost_ns : most;
	__atomic_store_n(&to->cost_ns, cost_ns, __ATOMIC_RELAXED);
	pause = cost_ns * ASK_SHARE;
	return pause < ASK_MIN_NS ? ASK_MIN_NS : pause > ASK_MAX_NS ? ASK_MAX_NS : pause;
}

/*
 * From a sampled allocation, whose call of the allocator is over: none of its locks is held by this
 * thread. One thread asks, the others go on.
 */
HEAP_COLD void heap_told_ask(struct heap_segment_header *seg, uint64_t now)
{
	struct heap_told *to = &heap_state_of(seg)->told, t = {0};
	uint64_t last = heap_read(&to->asked_ns);
	int err;

	if (now - last < heap_read(&to->pause_ns) ||
	    !__atomic_compare_exchange_n(&to->asked_ns, &last, now, 0, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;
	err = heap_real.tell(&t);
	__atomic_store_n(&to->pause_ns, pause_after(to, heap_now_ns() - now), __ATOMIC_RELAXED);
	if (err)
		return;
	__atomic_store_n(&to->live, t.live, __ATOMIC_RELAXED);
	__atomic_store_n(&to->held, t.held, __ATOMIC_RELAXED);
	__atomic_store_n(&to->small, t.small, __ATOMIC_RELAXED);
	__atomic_store_n(&to->whole, t.whole, __ATOMIC_RELAXED);
	__atomic_store_n(&to->arenas, t.arenas, __ATOMIC_RELAXED);
	__atomic_store_n(&to->counted, counted(seg), __ATOMIC_RELAXED);
	__atomic_store_n(&to->answered_ns, now, __ATOMIC_RELEASE);
}
