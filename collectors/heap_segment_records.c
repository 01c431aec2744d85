/* SPDX-License-Identifier: Apache-2.0 */
/* heap_segment_records.c: drains the ring of a heap's segment, and judges each record. */
#include <string.h>

#include "collectors/clock.h"
#include "collectors/heap_segment_priv.h"

/* A copy of the record's header, judged: the original may change between two looks. */
static int check_record(struct heap_segment *s, const struct heap_record *r, uint64_t at,
			uint64_t waiting)
{
	if (r->total_bytes < HEAP_RECORD_ALIGN || r->total_bytes % HEAP_RECORD_ALIGN ||
	    r->total_bytes > HEAP_RING_BYTES - at || r->total_bytes > waiting)
		return heap_segment_corrupt(s, "a record of %u bytes", r->total_bytes);
	if (r->kind == HEAP_RECORD_SKIP)
		return 0;
	if (r->kind < HEAP_RECORD_ALLOC || r->kind > HEAP_RECORD_PAUSE)
		return heap_segment_corrupt(s, "a record of kind %u", r->kind);
	if (r->index >= HEAP_TABLE)
		return heap_segment_corrupt(s, "a sample at place %u", r->index);
	if (r->kind == HEAP_RECORD_FREE)
		return r->total_bytes < HEAP_RECORD_SHORT ? heap_segment_corrupt(s, "a short free")
							  : 0;
	if (r->total_bytes < sizeof(*r) || r->slice_bytes > r->total_bytes - sizeof(*r) ||
	    r->slice_bytes > HEAP_SLICE_MAX)
		return heap_segment_corrupt(s, "a slice of %u bytes in %u", r->slice_bytes,
					    r->total_bytes);
	if (r->kind == HEAP_RECORD_ALLOC && (!r->mean_bytes || !r->id))
		return heap_segment_corrupt(s, "a sample without a mean or an id");
	return 0;
}

static void hand_over(struct heap_segment *s, const struct heap_record *r, uint64_t at,
		      heap_event_fn *fn, void *arg)
{
	struct heap_event e = {
		.kind = r->kind,
		.op = r->op,
		.time_ns = r->time_ns,
		.id = r->id,
		.bytes = r->bytes,
		.mean_bytes = r->mean_bytes,
		.duration_ns = r->duration_ns,
		.index = r->index,
		.tid = r->tid,
		.slice = s->slice,
	};

	_Static_assert((int)UNWIND_REGS == (int)HEAP_REGS, "registers as the unwinder has them");
	if (r->kind != HEAP_RECORD_FREE) {
		memcpy(e.regs.r, r->regs, sizeof(e.regs.r));
		memcpy(s->slice, s->base + HEAP_RING_OFFSET + at + sizeof(*r), r->slice_bytes);
		e.slice_bytes = r->slice_bytes;
	}
	fn(arg, &e);
}

/*
 * A record that was begun is not finished yet. A thread that died in it would keep all others
 * waiting: after two seconds they are given up.
 */
static void wait_for_record(struct heap_segment *s, uint64_t head)
{
	uint64_t now = clock_mono_ns();

	if (!s->stuck_ns) {
		s->stuck_ns = now;
	} else if (now - s->stuck_ns > 2000000000u) {
		s->stuck_ns = 0;
		s->lost++;
		s->tail = head;
	}
}

int64_t heap_segment_drain(struct heap_segment *s, heap_event_fn *fn, void *arg)
{
	struct heap_control *control = heap_segment_control(s);
	uint64_t head = __atomic_load_n(&heap_segment_state(s)->head, __ATOMIC_ACQUIRE);
	int64_t n = 0;
	int err = 0;

	__atomic_store_n(&control->reader_ns, clock_mono_ns(), __ATOMIC_RELAXED);
	if (heap_segment_load(&control->tail) != s->tail) {
		/* Another reader took some: what it took is lost to us. */
		s->tail = heap_segment_load(&control->tail);
		s->lost++;
	}
	if (head - s->tail > HEAP_RING_BYTES || head % HEAP_RECORD_ALIGN ||
	    s->tail % HEAP_RECORD_ALIGN)
		return heap_segment_corrupt(s, "its ring goes from %llu to %llu",
					    (unsigned long long)s->tail, (unsigned long long)head);
	while (s->tail != head && !err) {
		uint64_t at = s->tail % HEAP_RING_BYTES;
		const struct heap_record *live = (const void *)(s->base + HEAP_RING_OFFSET + at);
		size_t most = HEAP_RING_BYTES - at;
		struct heap_record r = {0};

		/* Pairs with the writer's release: what it sealed is whole. */
		if (__atomic_load_n(&live->seal, __ATOMIC_ACQUIRE) != (s->head.cookie ^ s->tail)) {
			wait_for_record(s, head);
			break;
		}
		memcpy(&r, live, most < sizeof(r) ? most : sizeof(r));
		err = check_record(s, &r, at, head - s->tail);
		if (err)
			break;
		s->stuck_ns = 0;
		if (r.kind != HEAP_RECORD_SKIP) {
			hand_over(s, &r, at, fn, arg);
			n++;
		}
		s->tail += r.total_bytes;
		__atomic_store_n(&control->tail, s->tail, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&control->tail, s->tail, __ATOMIC_RELEASE);
	return err ? err : n;
}
