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
 * An allocation adds to its class and to the thread's bytes; those bytes decide when to take a
 * sample and when to time a call, so that neither needs a counter of its own, and one comparison
 * before the call finds both. C++'s operators new
 * and delete, of any size and alignment, come here through malloc, aligned_alloc and free.
 */

void cfree(void *p);

/* ---- counting ------------------------------------------------------------------------------- */

/* The shard that many threads write. */
static HEAP_COLD void count_shared(uint64_t bytes, int is_free)
{
	struct heap_segment_header *seg = heap_segment();
	struct heap_shard *s;

	if (!seg)
		return;
	s = heap_shard_of(seg, HEAP_THREADS);
	__atomic_fetch_add(is_free ? &s->free_bytes : &s->alloc_bytes, bytes, __ATOMIC_RELAXED);
	__atomic_fetch_add(&(is_free ? s->frees : s->allocs)[heap_class_of(bytes)], 1,
			   __ATOMIC_RELAXED);
	__atomic_store_n(&heap_state_of(seg)->shared, 1, __ATOMIC_RELEASE);
}

static inline void count_alloc(void *p, size_t asked)
{
	struct heap_shard *s = heap_own->shard;
	uint64_t bytes;

	if (!p)
		return;
	bytes = heap_usable(p, asked);
	if (HEAP_UNLIKELY(!s)) {
		count_shared(bytes, 0);
		return;
	}
	heap_bump(&s->allocs[heap_class_of(bytes)], 1);
	heap_bump(&s->alloc_bytes, bytes);
	if (HEAP_UNLIKELY(heap_read(&s->alloc_bytes) >= heap_own->sample_at))
		heap_sample(p, bytes);
}

static inline void count_free(uint64_t bytes)
{
	struct heap_shard *s = heap_own->shard;

	if (HEAP_UNLIKELY(!s)) {
		count_shared(bytes, 1);
		return;
	}
	heap_bump(&s->frees[heap_class_of(bytes)], 1);
	heap_bump(&s->free_bytes, bytes);
}

/* ---- the short way: a small call of a thread that has a shard, on glibc -----------------------
 */

/*
 * Whether a call for n bytes takes the short way: what it adds, at most n + 24 bytes, leads neither
 * to a sample nor to a timed call. n above half of all memory fails in the allocator, which is
 * looked at behind it.
 */
static inline int is_short(const struct heap_cell *c, size_t n)
{
	return HEAP_LIKELY(c->shard) && HEAP_LIKELY(c->shard->alloc_bytes + n + 32 < c->gate);
}

/* What is not a chunk of up to 1,040 bytes, whose size is its class: larger, mapped, or none. */
static __attribute__((noinline)) void *count_other(void *p)
{
	count_alloc(p, 0);
	return p;
}

/* Counts it and returns it. A chunk that is mapped on its own is at least a page. */
static inline void *count_short(struct heap_shard *s, void *p)
{
	uint64_t size;

	if (HEAP_UNLIKELY(!p))
		return p;
	size = ((const uint64_t *)p)[-1] & ~7ull;
	if (HEAP_UNLIKELY(size > HEAP_CHUNK_SMALL))
		return count_other(p);
	heap_bump(&s->allocs[(size >> 4) - 1], 1);
	heap_bump(&s->alloc_bytes, size - 8);
	return p;
}

/* ---- the long way: first calls, threads without a shard, samples, calls to be timed -----------
 */

/*
 * Of the calls that come to a gate: all large ones, which map or trim, and one small one in 16, for
 * the clock costs more than they do.
 */
static inline int is_timed(struct heap_cell *c, uint64_t bytes)
{
	return bytes >= HEAP_TIMED_BYTES || ++c->turn % HEAP_TIMED_TURNS == 0;
}

/* When the call began, if it is to be timed, else 0. */
static uint64_t begin_alloc(size_t n)
{
	struct heap_shard *s = heap_real_find() ? heap_attach() : NULL;
	struct heap_cell *c = heap_own;
	uint64_t bytes;

	if (!s)
		return 0;
	bytes = heap_read(&s->alloc_bytes);
	if (bytes + n < c->time_at)
		return 0;
	c->time_at = bytes + n + HEAP_TIMED_BYTES;
	heap_gate_set(c);
	return is_timed(c, n) ? heap_now_ns() : 0;
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
	count_alloc(p, n);
	return p;
}

static __attribute__((noinline)) void free_long(void *p)
{
	struct heap_shard *s = heap_real_find() ? heap_attach() : NULL;
	uint64_t bytes, begin = 0, freed;

	if (heap_boot_owns(p)) /* in a forked child, whose filter is empty yet */
		return;
	bytes = heap_usable(p, 0);
	if (s) {
		freed = heap_read(&s->free_bytes) + bytes;
		if (freed >= heap_own->time_free_at) {
			heap_own->time_free_at = freed + HEAP_TIMED_BYTES;
			heap_gate_set(heap_own);
			begin = is_timed(heap_own, bytes) ? heap_now_ns() : 0;
		}
	}
	count_free(bytes);
	heap_real.free(p);
	if (begin)
		heap_timed(begin, HEAP_OP_FREE, bytes);
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
	free_long(p);
}

/* ---- what programs call --------------------------------------------------------------------- */

HEAP_EXPORT void *malloc(size_t n)
{
	const struct heap_cell *c = heap_own_cell();
	struct heap_shard *s = c->shard;

	if (!is_short(c, n))
		return alloc_long(CALL_MALLOC, n, 0);
	return count_short(s, heap_real.malloc(n));
}

HEAP_EXPORT void free(void *p)
{
	const struct heap_cell *c = heap_own_cell();
	struct heap_shard *s = c->shard;
	uint64_t size;

	if (HEAP_UNLIKELY(!p))
		return;
	if (HEAP_UNLIKELY(heap_filter_has(p))) {
		free_known(p);
		return;
	}
	/* The gate first: without a shard it is 0, and behind it this is a chunk of glibc's. */
	if (HEAP_UNLIKELY(!c->gate_free)) {
		free_long(p);
		return;
	}
	size = ((const uint64_t *)p)[-1] & ~7ull;
	if (HEAP_UNLIKELY(size > HEAP_CHUNK_SMALL) ||
	    HEAP_UNLIKELY(s->free_bytes + size >= c->gate_free)) {
		free_long(p);
		return;
	}
	heap_bump(&s->frees[(size >> 4) - 1], 1);
	heap_bump(&s->free_bytes, size - 8);
	heap_real.free(p);
}

HEAP_EXPORT void cfree(void *p)
{
	free(p);
}

HEAP_EXPORT void *calloc(size_t n, size_t size)
{
	const struct heap_cell *c = heap_own_cell();
	struct heap_shard *s = c->shard;
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || !is_short(c, bytes))
		return alloc_long(CALL_CALLOC, size, n);
	return count_short(s, heap_real.calloc(n, size));
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
	if (!is_short(heap_own, n)) {
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
	count_alloc(q, n);
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
		count_alloc(*out, n);
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
