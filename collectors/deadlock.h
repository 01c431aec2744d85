/* SPDX-License-Identifier: Apache-2.0 */
/* deadlock.h: threads that wait for each other, for good. */
#ifndef PERFTOP_DEADLOCK_H
#define PERFTOP_DEADLOCK_H

#include "collectors/snapshot.h"

struct deadlock;
struct locks;
struct threads;

/* NULL without memory. */
struct deadlock *deadlock_new(void);
void deadlock_free(struct deadlock *d);

/*
 * Fills s->deadlock from the threads just read, if there is one. Nothing is guessed:
 *  "cycle"       threads in a circle, each waiting for a mutex that the next one holds;
 *  "self"        a thread waiting for a mutex that it holds itself;
 *  "orphan"      a mutex whose holder is no thread of the process (any more);
 *  "standstill"  every thread of a process waits on a futex, without a timeout, that no other
 *                process can reach: nothing but a signal can wake it. Known of any language's
 * locks, and without eBPF. The first three are read from glibc's mutexes. Each has to be the same,
 * with no thread of it having run meanwhile, in two readings. locks, whose rows must be in s
 * already, may be NULL.
 */
void deadlock_fill(struct deadlock *d, const struct threads *t, struct locks *locks,
		   struct snapshot *s);

/*
 * One line of /proc/PID/task/TID/syscall: whether the thread waits on a futex without a timeout.
 * Then *addr is 0 if only its own process can wake it, else the address that others might share.
 */
bool deadlock_waits_untimed(const char *line, uint64_t *addr);

#endif
