/* SPDX-License-Identifier: Apache-2.0 */
/* heap_inner.h: what the files of libperftop_heap.so share. */
#ifndef PERFTOP_HEAP_INNER_H
#define PERFTOP_HEAP_INNER_H

#include <pthread.h>
#include <stddef.h>

#include "probes/heap.h"
#include "probes/inject_port.h"

#define HEAP_LOCAL	 __attribute__((visibility("hidden")))
#define HEAP_EXPORT	 __attribute__((visibility("default")))
#define HEAP_COLD	 __attribute__((noinline, cold))
#define HEAP_HOT	 __attribute__((aligned(64))) /* a line of the cache */
#define HEAP_TLS	 __attribute__((tls_model("initial-exec")))
#define HEAP_LIKELY(x)	 __builtin_expect(!!(x), 1)
#define HEAP_UNLIKELY(x) __builtin_expect(!!(x), 0)

/*
 * A thread's own, what each call needs first. In memory that the kernel zeroes in a forked child,
 * so that there no thread writes to the parent's shards: without a shard it comes to heap_attach().
 */
struct heap_cell {
	struct heap_shard *shard;
	struct heap_shard *chunks; /* the same, or NULL when sizes come from a call */
	/*
	 * Bytes to be allocated until the one that is sampled, counted down: the allocation that
	 * it falls into takes it below 0 and goes the long way, as all do without a shard.
	 */
	int64_t left;
	uint64_t mean_bytes; /* with which it was drawn */
	uint64_t random;
	uint32_t tid;
	uint64_t stack_low, stack_high; /* known bounds of the thread's stack, or 0 */
} __attribute__((aligned(64)));

/* All process-wide state that a forked child must not inherit (MADV_WIPEONFORK). */
struct heap_inner {
	struct heap_cell cell[HEAP_THREADS];
	uint64_t used[HEAP_THREADS / 64]; /* cells with an owner */
	struct heap_segment_header *segment;
	uint32_t failed;      /* no segment to be had: pass calls on and count nothing */
	pthread_mutex_t lock; /* for making the segment; zero is unlocked */
};

/* What the allocator holds now; -1 when it does not say. */
typedef int heap_tell_fn(struct heap_told *);

/* The allocator underneath. */
struct heap_real {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	void *(*memalign)(size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);
	size_t (*usable_size)(void *);
	heap_tell_fn *tell; /* NULL: it tells nothing */
	uint32_t size_from; /* enum heap_size_from; 0: not resolved yet */
	uint32_t late;	    /* loaded into a running program */
};

enum { HEAP_FILTER_BITS = 16 };

extern HEAP_LOCAL struct heap_real heap_real;
extern HEAP_LOCAL struct heap_inner *heap_inner;
/* How many live samples hash to each: a free that finds 0 has nothing to look up. */
extern HEAP_LOCAL uint8_t heap_filter[1 << HEAP_FILTER_BITS];
extern HEAP_LOCAL __thread struct heap_cell *heap_own;
extern HEAP_LOCAL __thread uint32_t heap_busy; /* in here: neither sample nor attach */
/* Stands in for heap_own while the library itself calls what may allocate. */
extern HEAP_LOCAL struct heap_cell heap_void_cell;

/* ---- heap_port.c ---- */

/* active: 1 while calls reach the library, preloaded or hooked in; no samples are taken else. */
extern struct inject_port perftop_heap_port;
HEAP_LOCAL void *heap_port_original(const char *name); /* or NULL */

/* ---- heap_told.c ---- */

/* For heap_real.tell, once heap_real.malloc is known. */
HEAP_LOCAL heap_tell_fn *heap_told_find(void);
/* heap_real.tell is there, and heap_busy is 1. */
HEAP_LOCAL void heap_told_ask(struct heap_segment_header *seg, uint64_t now);

/* ---- heap_real.c ---- */

/*
 * Find the allocator. 0 while it is looked for, by this thread or another: then it is called
 * straight if heap_real.malloc is set, and heap_boot_alloc() stands in for it if not.
 */
HEAP_LOCAL int heap_real_find(void);
/* What may only be asked of the loader at a quiet moment; 0 when loaded late. */
HEAP_LOCAL int heap_real_prepare(void);
HEAP_LOCAL void *heap_boot_alloc(size_t align, size_t bytes);
HEAP_LOCAL int heap_boot_owns(const void *p);
HEAP_LOCAL size_t heap_boot_size(const void *p);
HEAP_LOCAL void heap_boot_mark(void); /* in the filter; NULL too, which is not the allocator's */
HEAP_LOCAL void heap_real_name(char *name, size_t size);

/* ---- heap_map.c ---- */

/* This thread's shard, given out now if it has none; NULL: count in the shared one. */
HEAP_LOCAL struct heap_shard *heap_attach(void);
HEAP_LOCAL struct heap_segment_header *heap_segment_make(struct heap_inner *in);

/* ---- heap_draw.c ---- */

HEAP_LOCAL uint64_t heap_now_ns(void);
/* Where the thread's next sample is, from here. */
HEAP_LOCAL void heap_sample_draw(struct heap_cell *c);
/* The ring was full: half as many from now on. Once for each time that the reader emptied it. */
HEAP_LOCAL void heap_boost_for_ring(struct heap_state *st, uint64_t tail);
/*
 * Up with a table that fills, and with samples that come fast unless a mean is asked for; down
 * again when ring and table have had room for a while.
 */
HEAP_LOCAL void heap_boost_adjust(struct heap_state *st, uint64_t mean_wanted,
				  uint64_t waiting_bytes, uint64_t now);

/* ---- heap_sample.c ---- */

/* Called when an allocation took left below 0. */
HEAP_LOCAL void heap_sample(void *p, uint64_t bytes);
/* heap_real.tell is there, and no call of the allocator is under way in this thread. */
HEAP_LOCAL void heap_sample_told(void);
/* A call of the allocator that began at begin_ns has returned. */
HEAP_LOCAL void heap_timed(uint64_t begin_ns, enum heap_op op, uint64_t bytes);

HEAP_LOCAL void heap_let_go(int64_t place); /* it was freed */

/* ---- heap_table.c ---- */

#define HEAP_HELD 1ull /* in a table's pointer: its free, or its birth, is under way */

/* A place for the pointer, held; -1 when there is none. */
HEAP_LOCAL int64_t heap_table_insert(struct heap_segment_header *seg, const void *p);
/* The place in the table of a sampled pointer, taken out of the reach of others; -1 if not one. */
HEAP_LOCAL int64_t heap_hold(const void *p);
HEAP_LOCAL void heap_unhold(int64_t place); /* it lives on */
HEAP_LOCAL void heap_filter_add(const void *p);
HEAP_LOCAL void heap_filter_remove(const void *p);

/* ---- places in the segment ---- */

static inline struct heap_control *heap_control_of(struct heap_segment_header *seg)
{
	return (void *)((char *)seg + HEAP_CONTROL_OFFSET);
}

static inline struct heap_state *heap_state_of(struct heap_segment_header *seg)
{
	return (void *)((char *)seg + HEAP_STATE_OFFSET);
}

static inline struct heap_shard *heap_shard_of(struct heap_segment_header *seg, uint32_t i)
{
	return (void *)((char *)seg + HEAP_SHARDS_OFFSET + i * HEAP_SHARD_BYTES);
}

static inline uint64_t *heap_table_of(struct heap_segment_header *seg)
{
	return (void *)((char *)seg + HEAP_TABLE_OFFSET);
}

static inline struct heap_info *heap_infos_of(struct heap_segment_header *seg)
{
	return (void *)((char *)seg + HEAP_INFOS_OFFSET);
}

static inline struct heap_segment_header *heap_segment(void)
{
	struct heap_inner *in = heap_inner;

	return in ? __atomic_load_n(&in->segment, __ATOMIC_ACQUIRE) : NULL;
}

/* ---- the fast path ---- */

enum {
	HEAP_CHUNK_LEAST = 32,
	HEAP_CHUNK_SMALL = 1040, /* up to here the size of a chunk is its class: (size >> 4) - 1 */
	HEAP_CHUNK_HEAD = 8,	 /* of a chunk, bytes that are not usable */
	HEAP_SHARD_ALIGN = 4096,
};

static inline struct heap_cell *heap_own_cell(void)
{
#if defined(__x86_64__) && !defined(__clang_analyzer__)
	struct heap_cell *c;

	/* What gcc makes of heap_own is one addition more. */
	__asm__("movq heap_own@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(c));
	return c;
#else
	return heap_own;
#endif
}

/*
 * Add to a count of which this thread is the only writer. One instruction, so that a signal
 * handler that allocates cannot come between its load and its store.
 */
static inline void heap_bump(uint64_t *count, uint64_t n)
{
#if defined(__x86_64__)
	__asm__("addq %1, %0" : "+m"(*count) : "er"(n) : "cc");
#else
	__atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
#endif
}

static inline uint64_t heap_read(const uint64_t *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

/* Take n off what is left, in one instruction too; whether there was less. */
static inline int heap_take(int64_t *left, int64_t n)
{
#if defined(__x86_64__)
	int less;

	__asm__("subq %2, %1" : "=@ccl"(less), "+m"(*left) : "er"(n) : "cc");
	return less;
#else
	int64_t now = __atomic_load_n(left, __ATOMIC_RELAXED) - n;

	__atomic_store_n(left, now, __ATOMIC_RELAXED);
	return now < 0;
#endif
}

#define HEAP_FAR (1ll << 61) /* more bytes than will be allocated */

/* What left is too low by, where sizes come from a call: there all calls go the long way. */
static inline int64_t heap_hidden(void)
{
	return heap_real.size_from == HEAP_SIZE_CHUNK ? 0 : HEAP_FAR;
}

/* Whether the sampled byte will be in an allocation of n bytes; of 0, was in the last one. */
static inline int heap_is_due(const struct heap_cell *c, uint64_t n)
{
	return c->left + heap_hidden() < (int64_t)n;
}

/*
 * One place for each 512 bytes, so that the filter of a heap of megabytes stays in the first level
 * of the cache: at the default mean one free in 1,000 finds a neighbour's sample. Arenas lie upon
 * each other in it, for what they have in it comes to the same anywhere.
 */
static inline uint8_t *heap_filter_of(const void *p)
{
	return &heap_filter[((uintptr_t)p >> 9) & ((1 << HEAP_FILTER_BITS) - 1)];
}

static inline int heap_filter_has(const void *p)
{
#if defined(__x86_64__)
	int has;

	/* As of an atomic load gcc makes two instructions. */
	__asm__ volatile("cmpb $0, %1" : "=@ccne"(has) : "m"(*heap_filter_of(p)));
	return has;
#else
	return __atomic_load_n(heap_filter_of(p), __ATOMIC_RELAXED) != 0;
#endif
}

/* malloc.c of glibc: the word before the memory is the chunk's size, three bits of it flags. */
static inline uint64_t heap_chunk_usable(const void *p)
{
	uint64_t size = ((const uint64_t *)p)[-1];

	return (size & ~7ull) - 8 - ((size & 2) << 2);
}

static inline uint64_t heap_usable(void *p, uint64_t asked)
{
	if (HEAP_LIKELY(heap_real.size_from == HEAP_SIZE_CHUNK))
		return heap_chunk_usable(p);
	return heap_real.size_from == HEAP_SIZE_CALL ? heap_real.usable_size(p) : asked;
}

#endif
