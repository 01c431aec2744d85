/* SPDX-License-Identifier: Apache-2.0 */
/* tail_words.h: what a thread waited for, in words. */
#ifndef PERFTOP_TAIL_WORDS_H
#define PERFTOP_TAIL_WORDS_H

#include <stddef.h>
#include <sys/types.h>

#include "collectors/snapshot.h"
#include "probes/contract.h"

/*
 * The system call and the file, pipe or socket that it waited on, "read pipe:[4711]"; "" for a
 * wait for a CPU, and for a futex, whose name tail_futex_text gives. Reads /proc/PID/fd: call it
 * soon after the wait, while the descriptor is still what it was. pid 0: do not look.
 */
void tail_wait_text(const struct contract_tail_wait *w, pid_t pid, char *buf, size_t size);

/* "mutex cache_lock held by worker/4711", by what the snapshot's locks say about its address. */
void tail_futex_text(const struct contract_tail_wait *w, const char *owner,
		     const struct snapshot *s, char *buf, size_t size);

/* "comm/tid" of who ended the wait, "timer" or "interrupt"; "" for a wait for a CPU. */
void tail_waker_text(const struct contract_tail_wait *w, char *buf, size_t size);

/* "comm/tid" of a thread that lives; "" when it does not. */
void tail_thread_text(pid_t pid, uint32_t tid, char *buf, size_t size);

#endif
