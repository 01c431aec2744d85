/* SPDX-License-Identifier: Apache-2.0 */
/* locks.h: the target's futex addresses: who waited there, how long, and whether it is a mutex. */
#ifndef PERFTOP_LOCKS_H
#define PERFTOP_LOCKS_H

#include <stdint.h>
#include <sys/types.h>

#include "collectors/snapshot.h"

struct threads;
struct locks;

/*
 * map_fd: the `locks` map of eBPF, which holds finished waits; borrowed. NULL without memory. When
 * the map is nearly full, addresses that nobody waits at any more are forgotten, so that new ones
 * find a place.
 */
struct locks *locks_new(int map_fd);
void locks_free(struct locks *l);

/*
 * First the finished waits, then, after the threads were read, those that go on: in this order a
 * wait that ends meanwhile is missed for a tick, and never counted twice.
 */
void locks_read_finished(struct locks *l);
void locks_add_waiting(struct locks *l, const struct threads *t);

/* What was read until now counts as old. */
void locks_reset(struct locks *l);

/* Fill s->locks: mutexes first, then by time waited in the last interval. */
void locks_fill(struct locks *l, uint64_t interval_ns, struct snapshot *s);

#endif
