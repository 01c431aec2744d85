/* SPDX-License-Identifier: Apache-2.0 */
/* heap_table.c: where samples are that live, and how their free finds them. */
#include "probes/heap_inner.h"

/*
 * Two lines of the table can have a pointer. The first is one of few, so that the table stays small
 * and in the cache while few samples live.
 */
enum { FEW = 64, LINES = 2 };

static uint32_t lines_used = 1; /* 2 once a first line was full */

static uint64_t *line_of(struct heap_segment_header *seg, const void *p, uint32_t i)
{
	uint64_t h = ((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15ull >> 32;

	h = i ? FEW + h % (HEAP_TABLE / HEAP_WAYS - FEW) : h % FEW;
	return heap_table_of(seg) + h * HEAP_WAYS;
}

int64_t heap_table_insert(struct heap_segment_header *seg, const void *p)
{
	for (uint32_t i = 0; i < LINES; i++) {
		uint64_t *line = line_of(seg, p, i), none;

		if (i)
			__atomic_store_n(&lines_used, LINES, __ATOMIC_RELAXED);
		for (int way = 0; way < HEAP_WAYS; way++) {
			none = 0;
			if (!heap_read(&line[way]) &&
			    __atomic_compare_exchange_n(&line[way], &none, (uintptr_t)p | HEAP_HELD,
							0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
				return line - heap_table_of(seg) + way;
		}
	}
	return -1;
}

void heap_filter_add(const void *p)
{
	uint8_t *f = heap_filter_of(p), old = __atomic_load_n(f, __ATOMIC_RELAXED);

	while (old != UINT8_MAX && !__atomic_compare_exchange_n(f, &old, old + 1, 0,
								__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Once at its most it stays there: it does not know any more how many there are. */
void heap_filter_remove(const void *p)
{
	uint8_t *f = heap_filter_of(p), old = __atomic_load_n(f, __ATOMIC_RELAXED);

	while (old != UINT8_MAX && old &&
	       !__atomic_compare_exchange_n(f, &old, old - 1, 0, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

HEAP_COLD int64_t heap_hold(const void *p)
{
	struct heap_segment_header *seg = heap_segment();

	for (uint32_t i = 0; seg && i < __atomic_load_n(&lines_used, __ATOMIC_RELAXED); i++) {
		uint64_t *line = line_of(seg, p, i);

		for (int way = 0; way < HEAP_WAYS; way++) {
			if (heap_read(&line[way]) != (uintptr_t)p)
				continue;
			__atomic_store_n(&line[way], (uintptr_t)p | HEAP_HELD, __ATOMIC_RELAXED);
			return line - heap_table_of(seg) + way;
		}
	}
	return -1;
}

void heap_unhold(int64_t place)
{
	uint64_t *slot = heap_table_of(heap_segment()) + place;

	__atomic_store_n(slot, heap_read(slot) & ~HEAP_HELD, __ATOMIC_RELEASE);
}
