/* SPDX-License-Identifier: Apache-2.0 */
/* heap_malloc.c: the functions that stand in front of the allocator's and count. */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probes/heap_inner.h"

/*
 * An allocation adds to its class and takes its bytes off those left until the next sample, so that
 * one subtraction before the call finds it. A sample's own calls are the ones that are timed, so
 * that timing needs no counter; the free of one is found by the filter.
 * C++'s operators new and delete, of any size and alignment, come here through malloc,
 * aligned_alloc and free.
 */

void cfree(void *p);

/* ---- counting ------------------------------------------------------------------------------- */

/* The shard that many threads write. */
static HEAP_COLD void count_shared(uint64_t bytes, int is_free)
{
	struct heap_segment_header *seg = heap_segment();
	unsigned int i = heap_class_of(bytes);
	struct heap_shard *s;

	if (!seg)
		return;
	s = heap_shard_of(seg, HEAP_THREADS);
	if (!heap_class_is_exact(i, heap_real.size_from))
		__atomic_fetch_add(is_free ? &s->free_bytes : &s->alloc_bytes, bytes,
				   __ATOMIC_RELAXED);
	__atomic_fetch_add(is_free ? &s->classes[i].frees : &s->classes[i].allocs, 1,
			   __ATOMIC_RELAXED);
	__atomic_store_n(&heap_state_of(seg)->shared, 1, __ATOMIC_RELEASE);
}

/* taken: what is off the bytes left already. */
static inline void count_alloc(void *p, size_t asked, uint64_t taken)
{
	struct heap_cell *c = heap_own;
	struct heap_shard *s = c->shard;
	uint64_t bytes;
	unsigned int i;

	if (!p)
		return;
	bytes = heap_usable(p, asked);
	if (HEAP_UNLIKELY(!s)) {
		count_shared(bytes, 0);
		return;
	}
	i = heap_class_of(bytes);
	heap_bump(&s->classes[i].allocs, 1);
	if (!heap_class_is_exact(i, heap_real.size_from))
		heap_bump(&s->alloc_bytes, bytes);
	if (HEAP_UNLIKELY(heap_take(&c->left, (int64_t)(bytes - taken))) &&
	    HEAP_UNLIKELY(heap_is_due(c, 0)))
		heap_sample(p, bytes);
}

static inline void count_free(uint64_t bytes)
{
	struct heap_shard *s = heap_own->shard;
	unsigned int i;

	if (HEAP_UNLIKELY(!s)) {
		count_shared(bytes, 1);
		return;
	}
	i = heap_class_of(bytes);
	heap_bump(&s->classes[i].frees, 1);
	if (!heap_class_is_exact(i, heap_real.size_from))
		heap_bump(&s->free_bytes, bytes);
}

/* ---- the short way: a small call of a thread that has a shard, on glibc -----------------------
 */

/*
 * A store whose address comes out of a chunk's header waits for the cache to miss, and then loads
 * behind it wait too: that costs more than all the rest. So the count of an allocation is found by
 * what was asked for, and the header only compared; and that of a free, which nothing else tells,
 * is written after the allocator has had its turn.
 */

/* Of the chunk for n bytes: glibc gives 16 more at times, whole pages if told to map it. */
static inline uint64_t chunk_for(size_t n)
{
	uint64_t chunk = (n + HEAP_CHUNK_HEAD + 15) & ~15ull;

	return chunk < HEAP_CHUNK_LEAST ? HEAP_CHUNK_LEAST : chunk;
}

/* The address of a shard with a small chunk's size in its low bits, in one word: a call saves it.
 */
enum { MARK_FLAGS = 7, MARK_BITS = HEAP_SHARD_ALIGN - 1 };

static inline uintptr_t mark_of(const struct heap_shard *s, uint64_t chunk)
{
	uintptr_t mark = (uintptr_t)s + chunk + MARK_FLAGS;

	__asm__("" : "+r"(mark)); /* or it is kept in its parts */
	return mark;
}

static inline uint64_t chunk_marked(uintptr_t mark)
{
	return (mark & MARK_BITS) - MARK_FLAGS;
}

/* Whether that is the size in the header, whatever its three flags. */
static inline int is_marked(uintptr_t mark, const void *p)
{
	return !((mark - ((const uint64_t *)p)[-1]) & (MARK_BITS & ~MARK_FLAGS));
}

/* Of the mark's class: (chunk >> 4) - 1, of 16 bytes each. */
static inline struct heap_count *count_marked(uintptr_t mark)
{
	return (void *)(mark - MARK_FLAGS - 16 + offsetof(struct heap_shard, classes));
}

/* A chunk of another size than was expected, or none. */
static __attribute__((noinline)) void *count_other(uintptr_t mark, void *p)
{
	count_alloc(p, 0, chunk_marked(mark) - HEAP_CHUNK_HEAD);
	return p;
}

/* Counts it and returns it. */
static inline void *count_short(uintptr_t mark, void *p)
{
	if (HEAP_UNLIKELY(!p) || HEAP_UNLIKELY(!is_marked(mark, p)))
		return count_other(mark, p);
	heap_bump(&count_marked(mark)->allocs, 1);
	return p;
}

/* ---- the long way: first calls, threads without a shard, samples, calls to be timed -----------
 */

/* Whether a call for n bytes needs neither attaching nor timing. */
static inline int is_plain(const struct heap_cell *c, size_t n)
{
	return n < HEAP_TIMED_BYTES && (int64_t)n < c->left;
}

/*
 * When the call began, if it is to be timed, else 0. All large ones are, which map or trim; of
 * small ones those that are sampled, for the clock costs more than they do.
 */
static uint64_t begin_alloc(size_t n)
{
	if (!heap_real_find() || !heap_attach())
		return 0;
	return n >= HEAP_TIMED_BYTES || heap_is_due(heap_own, n) ? heap_now_ns() : 0;
}

enum call { CALL_MALLOC, CALL_CALLOC, CALL_ALIGNED, CALL_MEMALIGN, CALL_VALLOC, CALL_PVALLOC };

static void *call_real(enum call call, size_t a, size_t b)
{
	switch (call) {
	case CALL_MALLOC:
		return heap_real.malloc(a);
	case CALL_CALLOC:
		return heap_real.calloc(b, a);
	case CALL_ALIGNED:
		return heap_real.aligned_alloc ? heap_real.aligned_alloc(b, a) : NULL;
	case CALL_MEMALIGN:
		return heap_real.memalign ? heap_real.memalign(b, a) : NULL;
	case CALL_VALLOC:
		return heap_real.valloc ? heap_real.valloc(a) : NULL;
	default:
		return heap_real.pvalloc ? heap_real.pvalloc(a) : NULL;
	}
}

/* a: bytes; b: alignment, or the number of times a. */
static HEAP_COLD void *alloc_long(enum call call, size_t a, size_t b)
{
	size_t n = a;
	uint64_t begin;
	void *p;

	if (call == CALL_CALLOC && __builtin_mul_overflow(a, b, &n))
		n = SIZE_MAX / 2;
	if (!heap_real_find() && !heap_real.malloc)
		return heap_boot_alloc(call == CALL_CALLOC || call == CALL_MALLOC ? 16
				       : call >= CALL_VALLOC			  ? 4096
										  : b,
				       n);
	begin = begin_alloc(n);
	p = call_real(call, a, b);
	if (begin)
		heap_timed(begin, HEAP_OP_ALLOC, n);
	count_alloc(p, n, 0);
	return p;
}

/* Too little was left for a small chunk. Cells that nobody owns only ever go down. */
static HEAP_COLD void *alloc_gate(enum call call, size_t a, size_t b)
{
	size_t n = call == CALL_CALLOC ? a * b : a;
	struct heap_cell *c = heap_own;

	if (c->shard)
		heap_take(&c->left, -(int64_t)(chunk_for(n) - HEAP_CHUNK_HEAD));
	return alloc_long(call, a, b);
}

static __attribute__((noinline)) void *malloc_large(size_t n)
{
	void *p;

	if (HEAP_UNLIKELY(!is_plain(heap_own, n)))
		return alloc_long(CALL_MALLOC, n, 0);
	p = heap_real.malloc(n);
	count_alloc(p, n, 0);
	return p;
}

static __attribute__((noinline)) void free_long(void *p, int is_sample)
{
	struct heap_shard *s = heap_real_find() ? heap_attach() : NULL;
	uint64_t bytes, begin = 0;

	if (heap_boot_owns(p)) /* in a forked child, whose filter is empty yet */
		return;
	bytes = heap_usable(p, 0);
	if (s && (is_sample || bytes >= HEAP_TIMED_BYTES))
		begin = heap_now_ns();
	count_free(bytes);
	heap_real.free(p);
	if (begin)
		heap_timed(begin, HEAP_OP_FREE, bytes);
}

/* Not a small chunk, but one of glibc's, in a thread that has a shard. */
static __attribute__((noinline)) void free_large(void *p)
{
	uint64_t bytes = heap_chunk_usable(p);

	if (bytes >= HEAP_TIMED_BYTES) {
		free_long(p, 0);
		return;
	}
	heap_real.free(p);
	count_free(bytes);
}

/* A pointer that the filter knows: a sample, memory of the first calls, or neither. */
static HEAP_COLD void free_known(void *p)
{
	int64_t place;
	int saved_errno = errno;

	if (heap_boot_owns(p))
		return;
	place = heap_hold(p);
	if (place >= 0)
		heap_let_go(place);
	if (heap_real.tell)
		heap_sample_told();
	errno = saved_errno;
	free_long(p, place >= 0);
}

static HEAP_COLD void free_gate(void *p)
{
	if (!p)
		return;
	if (heap_filter_has(p))
		free_known(p);
	else
		free_long(p, 0);
}

/* ---- what programs call --------------------------------------------------------------------- */

HEAP_EXPORT HEAP_HOT void *malloc(size_t n)
{
	/* Of its chunk, beyond the least: what is below that too is out of range. */
	uint64_t more = (n - (HEAP_CHUNK_LEAST - HEAP_CHUNK_HEAD - 15)) & ~15ull;
	struct heap_cell *c = heap_own_cell();
	uint64_t chunk;
	uintptr_t mark;

	if (HEAP_UNLIKELY(more > HEAP_CHUNK_SMALL - HEAP_CHUNK_LEAST)) {
		if (n > HEAP_CHUNK_LEAST - HEAP_CHUNK_HEAD)
			return malloc_large(n);
		more = 0;
	}
	chunk = more + HEAP_CHUNK_LEAST;
	mark = mark_of(c->shard, chunk);
	if (HEAP_UNLIKELY(heap_take(&c->left, (int64_t)chunk - HEAP_CHUNK_HEAD)))
		return alloc_gate(CALL_MALLOC, n, 0);
	return count_short(mark, heap_real.malloc(n));
}

HEAP_EXPORT HEAP_HOT void free(void *p)
{
	struct heap_shard *s = heap_own_cell()->chunks;
	uint64_t chunk;
	uintptr_t mark;

	/* First, for behind it this is a chunk of glibc's: the filter knows NULL too. */
	if (HEAP_UNLIKELY(!s) || HEAP_UNLIKELY(heap_filter_has(p))) {
		free_gate(p);
		return;
	}
	chunk = ((const uint64_t *)p)[-1] & ~7ull;
	if (HEAP_UNLIKELY(chunk > HEAP_CHUNK_SMALL)) {
		free_large(p);
		return;
	}
	mark = mark_of(s, chunk);
	heap_real.free(p);
	heap_bump(&count_marked(mark)->frees, 1);
}

HEAP_EXPORT void cfree(void *p)
{
	free(p);
}

HEAP_EXPORT void *calloc(size_t n, size_t size)
{
	struct heap_cell *c = heap_own_cell();
	uint64_t chunk;
	uintptr_t mark;
	size_t bytes;

	if (HEAP_UNLIKELY(__builtin_mul_overflow(n, size, &bytes)))
		return alloc_long(CALL_CALLOC, size, n);
	chunk = chunk_for(bytes);
	if (HEAP_UNLIKELY(chunk > HEAP_CHUNK_SMALL))
		return alloc_long(CALL_CALLOC, size, n);
	mark = mark_of(c->shard, chunk);
	if (HEAP_UNLIKELY(heap_take(&c->left, (int64_t)chunk - HEAP_CHUNK_HEAD)))
		return alloc_gate(CALL_CALLOC, size, n);
	return count_short(mark, heap_real.calloc(n, size));
}

static void *move_from_boot(void *p, size_t n)
{
	size_t had = heap_boot_size(p);
	void *q = malloc(n);

	if (q)
		memcpy(q, p, had < n ? had : n);
	return q;
}

/*
 * The old memory is taken out of the table before the call, since another thread may have its
 * address right after; and counted as freed behind it, since the call may fail.
 */
HEAP_EXPORT void *realloc(void *p, size_t n)
{
	uint64_t had, begin = 0;
	int64_t place = -1;
	void *q;

	if (!p)
		return malloc(n);
	if (HEAP_UNLIKELY(heap_filter_has(p))) {
		if (heap_boot_owns(p))
			return move_from_boot(p, n);
		place = heap_hold(p);
	}
	if (!is_plain(heap_own, n)) {
		begin = begin_alloc(n);
		if (heap_boot_owns(p))
			return move_from_boot(p, n);
	}
	had = heap_usable(p, 0);
	q = heap_real.realloc(p, n);
	if (begin)
		heap_timed(begin, HEAP_OP_REALLOC, n);
	if ((!q && n) || (q == p && n && heap_usable(q, n) == had)) {
		if (place >= 0)
			heap_unhold(place);
		return q;
	}
	if (place >= 0)
		heap_let_go(place);
	count_free(had);
	count_alloc(q, n, 0);
	return q;
}

HEAP_EXPORT void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

HEAP_EXPORT void *memalign(size_t align, size_t n)
{
	return alloc_long(CALL_MEMALIGN, n, align);
}

HEAP_EXPORT void *aligned_alloc(size_t align, size_t n)
{
	return alloc_long(CALL_ALIGNED, n, align);
}

HEAP_EXPORT void *valloc(size_t n)
{
	return alloc_long(CALL_VALLOC, n, 0);
}

HEAP_EXPORT void *pvalloc(size_t n)
{
	return alloc_long(CALL_PVALLOC, n, 0);
}

HEAP_EXPORT int posix_memalign(void **out, size_t align, size_t n)
{
	uint64_t begin;
	void *p;
	int err;

	if (!heap_real_find() && !heap_real.malloc) {
		p = heap_boot_alloc(align, n);
		if (p)
			*out = p;
		return p ? 0 : ENOMEM;
	}
	if (!heap_real.posix_memalign)
		return ENOMEM;
	begin = begin_alloc(n);
	err = heap_real.posix_memalign(out, align, n);
	if (begin)
		heap_timed(begin, HEAP_OP_ALLOC, n);
	if (!err)
		count_alloc(*out, n, 0);
	return err;
}

/* Memory of the first calls has no header that the allocator would know. */
HEAP_EXPORT size_t malloc_usable_size(void *p)
{
	if (!p)
		return 0;
	if (heap_boot_owns(p))
		return heap_boot_size(p);
	heap_real_find();
	return heap_real.usable_size ? heap_real.usable_size(p) : 0;
}
