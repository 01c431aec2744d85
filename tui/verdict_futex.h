/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_futex.h: what threads wait on that may be a lock, or how they are idle. */
#ifndef PERFTOP_VERDICT_FUTEX_H
#define PERFTOP_VERDICT_FUTEX_H

#include <stddef.h>

#include "collectors/snapshot.h"

/*
 * The futex, no mutex, that most threads wait on and are woken from all the time. A semaphore that
 * serves as a lock, as in Python or PostgreSQL, and the condition variable of idle workers look
 * the same from outside.
 */
const struct snap_lock *verdict_futex(const struct snapshot *s);
void verdict_futex_words(const struct snapshot *s, const struct snap_lock *l, char *out,
			 size_t size);

#endif
