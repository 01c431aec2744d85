/* SPDX-License-Identifier: Apache-2.0 */
/* segment_find.h: where in a process the segment of its counters is. */
#ifndef PERFTOP_SEGMENT_FIND_H
#define PERFTOP_SEGMENT_FIND_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct segment_place {
	int fd;		  /* open for reading, the caller's to close; -1: read by address */
	uint64_t address; /* in the process, when fd is -1 */
	char path[96];	  /* under /proc, leads to the file while the process has it; or "" */
	dev_t dev;
	ino_t ino;
};

/*
 * The segment that pid made itself: one inherited from its parent is not it. Through /proc/PID/fd,
 * or, if the program closed its descriptors, through its mappings. 0, -ENOENT, -EACCES, -ESRCH.
 */
int segment_find(int pid, struct segment_place *place);

/* Whether the process still has the file. */
int segment_still_there(const struct segment_place *place);

/* Read from the memory of another process: bytes read or -errno. */
ssize_t segment_peek(int pid, uint64_t address, void *buf, size_t size);

#endif
