/* SPDX-License-Identifier: Apache-2.0 */
/* told_locks.h: locks that are no futex, told by the stacks that wait for them. */
#ifndef PERFTOP_TOLD_LOCKS_H
#define PERFTOP_TOLD_LOCKS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/snapshot.h"

struct wait_stacks;

/*
 * Adds to s->locks a database's locks and those on files, which are waited for in a poll, a sleep
 * or a system call of their own. Of the latter, /proc/locks tells the file and who holds it. Times
 * are estimates, as those of the stacks are.
 */
void told_locks_fill(struct wait_stacks *w, uint64_t interval_ns, struct snapshot *s);

/*
 * Who holds the file lock that pid waits for, by the text of /proc/locks; 0 if that does not tell.
 * inode: its file's.
 */
pid_t told_locks_holder(const char *text, pid_t pid, uint64_t *inode);

#endif
