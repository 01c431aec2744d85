/* SPDX-License-Identifier: Apache-2.0 */
/* locks.h: the target's futex addresses: who waited there, how long, and whether it is a mutex. */
#ifndef PERFTOP_LOCKS_H
#define PERFTOP_LOCKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/snapshot.h"

struct locks;
struct symbols;
struct threads;

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
/* The waits that go on will not be counted from their beginning again: a window is over. */
void locks_carry(struct locks *l);

/* Where an address was waited for: as in struct wait_site, "" for none. Strings that stay. */
struct lock_site {
	const char *kind, *site, *via;
	bool condvar;
	double ns;
};

/* One more stack of a lock (contract_lock_key). The place with the most time is shown. */
void locks_note_site(struct locks *l, uint64_t key, const struct lock_site *site);

/* Symbols of a process; NULL when it has none to read. */
typedef struct symbols *locks_symbols_fn(void *arg, pid_t pid);
/* Give names to new addresses, a few a tick; after locks_add_waiting(). symbols may be NULL. */
void locks_name_some(struct locks *l, locks_symbols_fn *symbols, void *arg,
		     const struct threads *t);

/* Its waits were seen in pthread_mutex_lock and the like. */
bool locks_is_pthread(struct locks *l, uint64_t key);

/* What was read until now counts as old. */
void locks_reset(struct locks *l);

/* Fill s->locks: mutexes first, then by time waited in the last interval. */
void locks_fill(struct locks *l, uint64_t interval_ns, struct snapshot *s);

#endif
