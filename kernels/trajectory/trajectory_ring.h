/* SPDX-License-Identifier: Apache-2.0 */
/* trajectory_ring.h: lock-free buffer of trajectories, many writers and one draining reader. */
#ifndef KERNELS_TRAJECTORY_RING_H
#define KERNELS_TRAJECTORY_RING_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/trajectory/trajectory.h"

/*
 * A bounded queue whose slots carry sequence numbers (D. Vyukov's bounded MPMC queue), with the
 * records in the slots: a writer claims a slot, fills it in place, and publishes it.
 *
 * Progress. Writers are lock-free: a CAS fails only because another writer's succeeded, and none
 * ever waits for a writer or for the reader. When the slot to claim still holds a record of the
 * lap before, the buffer is full: the new trajectory is dropped and counted. The reader is
 * wait-free. A writer that is suspended between claim and publish holds back the records behind
 * its own, and in the end the buffer fills; it blocks nobody. (ck_ring's enqueue_mp would make
 * every later writer spin for it, and copies each record once more.)
 *
 * Memory is the caller's, fixed: 5,824 bytes a slot. Positions are 64-bit and never wrap.
 */
struct trajectory_slot {
	uint64_t sequence; /* = position: free for it; position + 1: holds its record */
	uint64_t pad[7];
	struct trajectory record;
} __attribute__((aligned(64)));

struct trajectory_ring {
	uint64_t head; /* next position to claim; writers race for it */
	char pad0[56];
	uint64_t tail; /* next position to read; the reader's alone */
	char pad1[56];
	struct trajectory_slot *slots;
	uint64_t capacity;
};

/* One a writer thread: its own counts, read by others as plain 64-bit words. */
struct trajectory_writer {
	uint64_t recorded, dropped;
	uint64_t cas_attempts, cas_failures; /* contention is failures / attempts */
	uint64_t position;		     /* of the slot under way */
	char pad[24];
};

/* How many slots fit into memory of that size. */
uint64_t trajectory_ring_slots(size_t bytes);
/*
 * The storage is the caller's, 64-byte aligned, and outlives the ring; its pages are touched as
 * they are first used. -EINVAL when it is misaligned or holds fewer than two slots.
 */
int trajectory_ring_init(struct trajectory_ring *r, void *storage, size_t bytes);

/*
 * A slot to fill, or NULL and counted as dropped when the buffer is full. Every slot claimed must
 * be published, soon, by the same writer; one at a time.
 */
struct trajectory *trajectory_ring_claim(struct trajectory_ring *r, struct trajectory_writer *w);
void trajectory_ring_publish(struct trajectory_ring *r, struct trajectory_writer *w);

/* The oldest record, in place, or NULL when none is ready; release it before the next peek. */
const struct trajectory *trajectory_ring_peek(struct trajectory_ring *r);
void trajectory_ring_release(struct trajectory_ring *r);

/* Claimed and not yet released. Exact when nothing moves; any thread may ask. */
uint64_t trajectory_ring_used(const struct trajectory_ring *r);

#endif
