/* SPDX-License-Identifier: Apache-2.0 */
/* lock_layout.h: what glibc's locks hold, read from the target's memory. */
#ifndef PERFTOP_LOCK_LAYOUT_H
#define PERFTOP_LOCK_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	LOCK_KIND_ROBUST = 0x10, /* of a mutex: the kernel unlocks it when its holder ends */
	RWLOCK_FIRST = 8,	 /* a rwlock sleeps on either of two words, of which this is one */
	COND_FIRST = 40,	 /* so does a condition variable (struct __pthread_cond_s) */
	LOCK_OTHER_WORD = 4,	 /* from there to the other */
};

/* A futex operation by which a mutex is waited for; a plain one has no timeout. */
bool lock_layout_mutex_op(uint32_t op);

/*
 * Holder, as the target counts threads, of the mutex at addr that another thread waits for; 0 when
 * it is no such thing. kind may be NULL.
 */
uint32_t lock_layout_mutex(pid_t pid, uint64_t addr, uint32_t *kind);

/* Whether a rwlock begins at addr (struct_rwlock.h); *writer holds it for writing, 0 = readers do.
 */
bool lock_layout_rwlock(pid_t pid, uint64_t addr, uint32_t *writer);

#endif
