/* SPDX-License-Identifier: Apache-2.0 */
/* trajectory_ring.c: lock-free buffer of trajectories. */
#include "kernels/trajectory/trajectory_ring.h"

#include <errno.h>

#include "kernels/ordered.h"

uint64_t trajectory_ring_slots(size_t bytes)
{
	return bytes / sizeof(struct trajectory_slot);
}

int trajectory_ring_init(struct trajectory_ring *r, void *storage, size_t bytes)
{
	uint64_t n = trajectory_ring_slots(bytes);

	/* With one slot, "holds its record" and "free for the next" would be the same number. */
	if (!r || !storage || (uintptr_t)storage % 64 || n < 2)
		return -EINVAL;
	r->head = 0;
	r->tail = 0;
	r->slots = storage;
	r->capacity = n;
	for (uint64_t i = 0; i < n; i++)
		r->slots[i].sequence = i;
	return 0;
}

struct trajectory *trajectory_ring_claim(struct trajectory_ring *r, struct trajectory_writer *w)
{
	uint64_t position = ordered_load_64(&r->head);

	for (;;) {
		struct trajectory_slot *slot = &r->slots[position % r->capacity];
		/* Acquire: the reader is done with the record before it is written again. */
		int64_t lead = (int64_t)(ordered_load_64(&slot->sequence) - position);

		if (lead == 0) {
			ordered_store_64(&w->cas_attempts, w->cas_attempts + 1);
			if (ordered_cas_64(&r->head, &position, position + 1)) {
				w->position = position;
				return &slot->record;
			}
			ordered_store_64(&w->cas_failures, w->cas_failures + 1);
		} else if (lead < 0) {
			uint64_t now = ordered_load_64(&r->head);

			/* A position of which others have moved on says nothing about full. */
			if (now == position) {
				ordered_store_64(&w->dropped, w->dropped + 1);
				return NULL;
			}
			position = now;
		} else {
			position = ordered_load_64(&r->head);
		}
	}
}

void trajectory_ring_publish(struct trajectory_ring *r, struct trajectory_writer *w)
{
	struct trajectory_slot *slot = &r->slots[w->position % r->capacity];

	/* Release: the record is whole before the reader sees that it is there. */
	ordered_store_64(&slot->sequence, w->position + 1);
	ordered_store_64(&w->recorded, w->recorded + 1);
}

const struct trajectory *trajectory_ring_peek(struct trajectory_ring *r)
{
	struct trajectory_slot *slot = &r->slots[r->tail % r->capacity];

	/* Acquire: pairs with publish. */
	return ordered_load_64(&slot->sequence) == r->tail + 1 ? &slot->record : NULL;
}

void trajectory_ring_release(struct trajectory_ring *r)
{
	struct trajectory_slot *slot = &r->slots[r->tail % r->capacity];

	/* Release: the record has been read before a writer may claim its slot, one lap on. */
	ordered_store_64(&slot->sequence, r->tail + r->capacity);
	ordered_store_64(&r->tail, r->tail + 1);
}

uint64_t trajectory_ring_used(const struct trajectory_ring *r)
{
	/* tail first: head only grows, so the difference is never negative. */
	uint64_t tail = ordered_load_64(&r->tail);

	return ordered_load_64(&r->head) - tail;
}
