/* SPDX-License-Identifier: Apache-2.0 */
/* find_process.h: a process by its name. */
#ifndef PERFTOP_FIND_PROCESS_H
#define PERFTOP_FIND_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { FIND_PROCESS_MAX = 64 };

struct found_process {
	pid_t pid, parent;
	char command[96]; /* its command line, cleaned and cut */
};

/*
 * User processes whose comm, executable's file name or argv[0]'s file name is `name`, which
 * may be a glob(7); perftop itself apart. Fills up to FIND_PROCESS_MAX of `out`, by pid; returns
 * how many there are, or -errno when /proc cannot be read.
 */
int find_process(const char *name, struct found_process *out);

#endif
