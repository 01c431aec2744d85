/* SPDX-License-Identifier: Apache-2.0 */
/* heap_sample.c: takes samples into the ring and the table, and finds them again at their free. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "probes/heap_inner.h"

enum {
	READER_GONE_S = 10,
	STACK_RESERVED = 128 << 20, /* the kernel keeps so much below the main stack free */
};

extern void *__libc_stack_end __attribute__((weak));

/* ---- the ring ------------------------------------------------------------------------------- */

static struct heap_record *record_at(struct heap_segment_header *seg, uint64_t position)
{
	return (void *)((char *)seg + HEAP_RING_OFFSET + position % HEAP_RING_BYTES);
}

/*
 * Before the first write. Of a page that the reader has made already, a read maps those around it
 * too, and a write only that one.
 */
static void touch(const volatile char *memory, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += 4096)
		(void)memory[i];
	(void)memory[bytes - 1];
}

/* What has room for bytes, whole; NULL when the ring is full. */
static struct heap_record *ring_reserve(struct heap_segment_header *seg, uint64_t bytes,
					uint64_t *position)
{
	struct heap_state *st = heap_state_of(seg);
	uint64_t head = heap_read(&st->head), tail, left, skip;
	struct heap_record *r;

	do {
		/* Pairs with the reader's release: it has done with what it gave back. */
		tail = __atomic_load_n(&heap_control_of(seg)->tail, __ATOMIC_ACQUIRE);
		left = HEAP_RING_BYTES - head % HEAP_RING_BYTES;
		skip = left < bytes ? left : 0;
		if (head + skip + bytes - tail > HEAP_RING_BYTES) {
			heap_boost_for_ring(st, tail);
			return NULL;
		}
	} while (!__atomic_compare_exchange_n(&st->head, &head, head + skip + bytes, 0,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	if (skip) {
		r = record_at(seg, head);
		r->total_bytes = (uint32_t)skip;
		r->kind = HEAP_RECORD_SKIP;
		__atomic_store_n(&r->seal, seg->cookie ^ head, __ATOMIC_RELEASE);
	}
	*position = head + skip;
	r = record_at(seg, head + skip);
	if (head + skip < HEAP_RING_BYTES)
		touch((const void *)r, bytes);
	r->total_bytes = (uint32_t)bytes;
	return r;
}

static int ring_has_room(struct heap_segment_header *seg, uint64_t bytes)
{
	uint64_t tail = heap_read(&heap_control_of(seg)->tail);

	if (heap_read(&heap_state_of(seg)->head) + bytes - tail <= HEAP_RING_BYTES)
		return 1;
	heap_boost_for_ring(heap_state_of(seg), tail);
	return 0;
}

static void ring_commit(struct heap_segment_header *seg, struct heap_record *r, uint64_t position)
{
	__atomic_store_n(&r->seal, seg->cookie ^ position, __ATOMIC_RELEASE);
}

/* Someone reads, or may yet come: what happens before the first reader waits for it. */
static int is_read(struct heap_segment_header *seg, uint64_t now)
{
	const struct heap_control *control = heap_control_of(seg);
	uint64_t last = heap_read(&control->reader_ns);

	return __atomic_load_n(&perftop_heap_port.active, __ATOMIC_RELAXED) &&
	       !heap_read(&control->stop) &&
	       (!last || now - last < READER_GONE_S * 1000000000ull || last > now);
}

/* ---- stacks --------------------------------------------------------------------------------- */

/*
 * Bounds of this thread's stack, asked for once: up to there it can be read. The answer allocates,
 * so those calls go to a cell that nobody counts.
 */
static void find_stack(struct heap_cell *c)
{
	struct heap_cell *own = heap_own;
	pthread_attr_t attr;
	void *low = NULL;
	size_t size = 0;

	if (c->tid == (uint32_t)getpid()) {
		/* Asking would read /proc/self/maps. */
		if (&__libc_stack_end && __libc_stack_end) {
			c->stack_high = (uintptr_t)__libc_stack_end;
			c->stack_low = c->stack_high - STACK_RESERVED;
		}
		return;
	}
	heap_own = &heap_void_cell;
	if (!pthread_getattr_np(pthread_self(), &attr)) {
		pthread_attr_getstack(&attr, &low, &size);
		pthread_attr_destroy(&attr);
	}
	heap_own = own;
	c->stack_low = (uintptr_t)low;
	c->stack_high = (uintptr_t)low + size;
}

/* On a stack that is not the thread's (a coroutine, a signal stack) this page alone is sure. */
static uint64_t slice_bytes(struct heap_cell *c, uint64_t sp, uint64_t most)
{
	uint64_t top = (sp | 4095) + 1;

	if (!c->stack_high)
		find_stack(c);
	if (sp >= c->stack_low && sp < c->stack_high)
		top = c->stack_high;
	return (top - sp < most ? top - sp : most) & ~7ull;
}

/* Registers in DWARF order, of those that callees save. */
static inline __attribute__((always_inline)) uint64_t capture(uint64_t *r)
{
#if defined(__x86_64__)
	__asm__ volatile("movq %%rbx, 24(%0)\n\tmovq %%rbp, 48(%0)\n\tmovq %%rsp, 56(%0)\n\t"
			 "movq %%r12, 96(%0)\n\tmovq %%r13, 104(%0)\n\tmovq %%r14, 112(%0)\n\t"
			 "movq %%r15, 120(%0)\n\tleaq 0(%%rip), %%rax\n\tmovq %%rax, 128(%0)"
			 :
			 : "r"(r)
			 : "rax", "memory");
	return r[7];
#elif defined(__aarch64__)
	__asm__ volatile("stp x19, x20, [%0, #152]\n\tstp x21, x22, [%0, #168]\n\t"
			 "stp x23, x24, [%0, #184]\n\tstp x25, x26, [%0, #200]\n\t"
			 "stp x27, x28, [%0, #216]\n\tstp x29, x30, [%0, #232]\n\t"
			 "mov x9, sp\n\tadr x10, .\n\tstp x9, x10, [%0, #248]"
			 :
			 : "r"(r)
			 : "x9", "x10", "memory");
	return r[31];
#else
	(void)r;
	return 0;
#endif
}

static inline __attribute__((always_inline)) uint64_t stack_pointer(void)
{
	uint64_t sp = 0;

#if defined(__x86_64__)
	__asm__("movq %%rsp, %0" : "=r"(sp));
#elif defined(__aarch64__)
	__asm__("mov %0, sp" : "=r"(sp));
#endif
	return sp;
}

/*
 * Past the cache: what is only for the reader would push out of it what the program needs, and to
 * fetch that again takes longer than the copy. Bytes are a multiple of 8, and to of 64.
 */
static inline __attribute__((always_inline)) void copy_past_cache(void *to, const void *from,
								  uint64_t bytes)
{
	uint64_t done = 0;

#if defined(__SSE2__)
	for (; done + 64 <= bytes; done += 64) {
		const __m128i *in = (const void *)((const char *)from + done);
		__m128i *out = (void *)((char *)to + done);
		__m128i a = _mm_loadu_si128(in), b = _mm_loadu_si128(in + 1);
		__m128i c = _mm_loadu_si128(in + 2), d = _mm_loadu_si128(in + 3);

		_mm_stream_si128(out, a);
		_mm_stream_si128(out + 1, b);
		_mm_stream_si128(out + 2, c);
		_mm_stream_si128(out + 3, d);
	}
	_mm_sfence(); /* they are in no order with the seal, by themselves */
#endif
	memcpy((char *)to + done, (const char *)from + done, bytes - done);
}

/* Registers and stack from here into a record that has room for so many bytes of stack. */
static inline __attribute__((always_inline)) void add_stack(struct heap_record *r, uint64_t bytes)
{
	uint64_t sp = capture(r->regs);

	r->slice_bytes = 0;
	if (!sp) /* a machine that we cannot unwind */
		return;
	r->slice_bytes = (uint32_t)bytes;
	copy_past_cache(r + 1, (const void *)(uintptr_t)sp, bytes);
}

static uint64_t record_bytes(uint64_t slice)
{
	const uint64_t mask = HEAP_RECORD_ALIGN - 1;

	return (sizeof(struct heap_record) + slice + mask) & ~mask;
}

static uint64_t slice_wanted(struct heap_segment_header *seg)
{
	uint64_t n = heap_read(&heap_control_of(seg)->slice_bytes);

	n = n ? n : HEAP_DEFAULT_SLICE_BYTES;
	return (n < HEAP_SLICE_MAX ? n : HEAP_SLICE_MAX) & ~(uint64_t)(HEAP_RECORD_ALIGN - 1);
}

/* The record goes first: when another sample gets the place, the reader knows of this free. */
HEAP_COLD void heap_let_go(int64_t place)
{
	struct heap_segment_header *seg = heap_segment();
	const struct heap_info *info = heap_infos_of(seg) + place;
	struct heap_state *st = heap_state_of(seg);
	uint64_t *slot = heap_table_of(seg) + place, position, now = heap_now_ns();
	struct heap_record *r = NULL;

	heap_filter_remove((const void *)(uintptr_t)(*slot & ~HEAP_HELD));
	__atomic_fetch_sub(&st->table_used, 1, __ATOMIC_RELAXED);
	if (is_read(seg, now))
		r = ring_reserve(seg, HEAP_RECORD_SHORT, &position);
	if (r) {
		r->kind = HEAP_RECORD_FREE;
		r->time_ns = now;
		r->id = info->id;
		r->bytes = info->bytes;
		r->mean_bytes = info->mean_bytes;
		r->duration_ns = now - info->time_ns;
		r->index = (uint32_t)place;
		r->tid = 0;
		r->op = HEAP_OP_FREE;
		r->slice_bytes = 0;
		ring_commit(seg, r, position);
	} else {
		__atomic_fetch_add(&st->lost_frees, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(slot, 0, __ATOMIC_RELEASE);
}

/* ---- samples -------------------------------------------------------------------------------- */

/* bytes / (1 - exp(-bytes / mean)), to some percent: for the account of what was dropped. */
static uint64_t stands_for(uint64_t bytes, uint64_t mean)
{
	double x = (double)bytes / (double)mean;

	return x < 2 ? (uint64_t)((double)mean * (1 + x / 2 + x * x / 12)) : bytes + mean / 8;
}

/* Before the first reader there is nobody to lose it. */
static void drop_sample(struct heap_segment_header *seg, uint64_t bytes, uint64_t mean)
{
	struct heap_state *st = heap_state_of(seg);

	if (!heap_read(&heap_control_of(seg)->reader_ns)) {
		__atomic_fetch_add(&st->unread, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_fetch_add(&st->dropped, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&st->dropped_bytes, stands_for(bytes, mean), __ATOMIC_RELAXED);
}

static inline __attribute__((always_inline)) void take_sample(struct heap_segment_header *seg,
							      void *p, uint64_t bytes)
{
	struct heap_state *st = heap_state_of(seg);
	struct heap_cell *c = heap_own;
	uint64_t slice = slice_bytes(c, stack_pointer(), slice_wanted(seg)), now, position, id;
	struct heap_record *r;
	struct heap_info *info;
	int64_t place;

	/* In a storm the ring is full most of the time: that has to be cheap. */
	if (!ring_has_room(seg, record_bytes(slice))) {
		drop_sample(seg, bytes, c->mean_bytes);
		return;
	}
	now = heap_now_ns();
	if (!is_read(seg, now)) {
		__atomic_fetch_add(&st->unread, 1, __ATOMIC_RELAXED);
		return;
	}
	heap_boost_adjust(st, heap_read(&heap_control_of(seg)->mean_bytes),
			  heap_read(&st->head) - heap_read(&heap_control_of(seg)->tail), now);
	place = heap_table_insert(seg, p);
	if (place < 0) {
		drop_sample(seg, bytes, c->mean_bytes);
		return;
	}
	r = ring_reserve(seg, record_bytes(slice), &position);
	if (!r) {
		__atomic_store_n(heap_table_of(seg) + place, 0, __ATOMIC_RELEASE);
		drop_sample(seg, bytes, c->mean_bytes);
		return;
	}
	id = __atomic_add_fetch(&st->next_id, 1, __ATOMIC_RELAXED);
	info = heap_infos_of(seg) + place;
	touch((const void *)info, sizeof(*info));
	*info = (struct heap_info){id, bytes, now, c->mean_bytes};
	r->kind = HEAP_RECORD_ALLOC;
	r->time_ns = now;
	r->id = id;
	r->bytes = bytes;
	r->mean_bytes = c->mean_bytes;
	r->duration_ns = 0;
	r->index = (uint32_t)place;
	r->tid = c->tid;
	r->op = HEAP_OP_ALLOC;
	__atomic_fetch_add(&st->samples, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&st->table_used, 1, __ATOMIC_RELAXED);
	heap_filter_add(p);
	/* Last, for a locked instruction behind it would wait for the copy. */
	add_stack(r, slice);
	ring_commit(seg, r, position);
	heap_unhold(place);
}

HEAP_COLD void heap_sample(void *p, uint64_t bytes)
{
	struct heap_segment_header *seg = heap_segment();
	int saved_errno = errno;

	/* Within ourselves, or a signal handler came in between: the next one then. */
	if (heap_busy || !seg)
		return;
	heap_busy = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	take_sample(seg, p, bytes);
	heap_sample_draw(heap_own);
	if (heap_real.tell)
		heap_told_ask(seg, heap_now_ns());
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	heap_busy = 0;
	errno = saved_errno;
}

HEAP_COLD void heap_sample_told(void)
{
	struct heap_segment_header *seg = heap_segment();

	if (heap_busy || !seg)
		return;
	heap_busy = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	heap_told_ask(seg, heap_now_ns());
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	heap_busy = 0;
}

/* ---- pauses --------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void post_pause(struct heap_segment_header *seg,
							     uint64_t now, uint64_t duration_ns,
							     enum heap_op op, uint64_t bytes)
{
	uint64_t slice = 0, position;
	struct heap_record *r = NULL;

	if (heap_own->shard && is_read(seg, now)) {
		slice = slice_bytes(heap_own, stack_pointer(), slice_wanted(seg));
		r = ring_reserve(seg, record_bytes(slice), &position);
	}
	if (!r) {
		__atomic_fetch_add(&heap_state_of(seg)->lost_pauses, 1, __ATOMIC_RELAXED);
		return;
	}
	r->kind = HEAP_RECORD_PAUSE;
	r->time_ns = now;
	r->id = 0;
	r->bytes = bytes;
	r->mean_bytes = 0;
	r->duration_ns = duration_ns;
	r->index = 0;
	r->tid = heap_own->tid;
	r->op = op;
	add_stack(r, slice);
	ring_commit(seg, r, position);
}

HEAP_COLD void heap_timed(uint64_t begin_ns, enum heap_op op, uint64_t bytes)
{
	struct heap_segment_header *seg = heap_segment();
	uint64_t now = heap_now_ns(), ns = now - begin_ns, limit, max;
	struct heap_state *st;
	int saved_errno = errno;

	if (heap_busy || !seg)
		return;
	heap_busy = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	st = heap_state_of(seg);
	__atomic_fetch_add((uint64_t *)((char *)seg + HEAP_PAUSES_OFFSET) + bucket_index(ns), 1,
			   __ATOMIC_RELAXED);
	__atomic_fetch_add(&st->timed, 1, __ATOMIC_RELAXED);
	max = heap_read(&st->pause_max_ns);
	while (ns > max && !__atomic_compare_exchange_n(&st->pause_max_ns, &max, ns, 0,
							__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	limit = heap_read(&heap_control_of(seg)->pause_ns);
	if (ns >= (limit ? limit : HEAP_DEFAULT_PAUSE_NS)) {
		__atomic_fetch_add(&st->pauses, 1, __ATOMIC_RELAXED);
		post_pause(seg, now, ns, op, bytes);
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	heap_busy = 0;
	errno = saved_errno;
}
