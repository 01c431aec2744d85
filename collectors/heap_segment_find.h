/* SPDX-License-Identifier: Apache-2.0 */
/* heap_segment_find.h: where under /proc the segment of a process's heap sampler is. */
#ifndef PERFTOP_HEAP_SEGMENT_FIND_H
#define PERFTOP_HEAP_SEGMENT_FIND_H

#include <stdbool.h>
#include <sys/types.h>

struct heap_place {
	int fd;	       /* open for reading and writing, the caller's to close */
	char path[96]; /* under /proc, leads to the file while the process has it */
	dev_t dev;
	ino_t ino;
};

/*
 * The segment that pid made itself: one inherited from its parent is not it. Through /proc/PID/fd,
 * or, if the program closed its descriptors, through its mappings. 0, -ENOENT, -EACCES, -ESRCH.
 */
int heap_segment_find(int pid, struct heap_place *place);

/* Whether the process still has the file. */
bool heap_segment_still_there(const struct heap_place *place);

#endif
