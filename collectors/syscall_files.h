/* SPDX-License-Identifier: Apache-2.0 */
/* syscall_files.h: which file a system call is mostly waited in for. */
#ifndef PERFTOP_SYSCALL_FILES_H
#define PERFTOP_SYSCALL_FILES_H

#include <stdint.h>

#include "collectors/snapshot.h"

enum { SYSCALL_FILES = 64, SYSCALL_FILES_THREADS = 32 };

/*
 * A few threads are looked at each tick, in /proc: where one sleeps in a call on a file counts for
 * that file. It costs the target nothing, and sees files by the time that is spent on them.
 */
struct syscall_files {
	struct {
		uint32_t nr, seen; /* seen 0: free */
		char file[sizeof(((struct snap_latency *)0)->file)];
	} v[SYSCALL_FILES];
	uint32_t next; /* thread to begin with at the next tick */
};

/* Look at up to SYSCALL_FILES_THREADS of the snapshot's threads. */
void syscall_files_look(struct syscall_files *f, const struct snapshot *s);
/* The row of call nr gets the file that was seen most, if any. */
void syscall_files_fill(const struct syscall_files *f, uint32_t nr, struct snap_latency *row);
void syscall_files_reset(struct syscall_files *f);

#endif
