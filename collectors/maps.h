/* SPDX-License-Identifier: Apache-2.0 */
/* maps.h: reading /proc/PID/maps, of which a target can make as much as it likes. */
#ifndef PERFTOP_MAPS_H
#define PERFTOP_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct maps_line {
	uint64_t start, end, offset, inode;
	uint32_t major, minor; /* of the device */
	bool exec, shared;     /* shared: with other processes */
	bool deleted;	       /* the path is no more, or leads to another file */
	const char *path;      /* without " (deleted)"; "" for anonymous memory */
};

/* Called for each sound line, in address order; the line is valid during the call. */
typedef void maps_line_fn(void *ctx, const struct maps_line *line);

/*
 * Parse the whole lines in text, which is written to, and return the bytes they took: the rest is
 * the beginning of a line that goes on. Lines that do not read as the kernel writes them are left
 * out.
 */
size_t maps_parse(char *text, size_t n, maps_line_fn *fn, void *ctx);

/* Parse /proc/PID/maps. 0, or -errno: -EACCES, -ESRCH. */
int maps_read(int pid, maps_line_fn *fn, void *ctx);

#endif
