/* SPDX-License-Identifier: Apache-2.0 */
/* replay.h: snapshots read back from a recording. */
#ifndef PERFTOP_REPLAY_H
#define PERFTOP_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "collectors/snapshot.h"

/*
 * The file is untrusted: columns that are not known are ignored, missing ones read as 0 or "",
 * counts are clamped to the snapshot's arrays (the rest goes to `truncated`), texts are cleaned,
 * histograms and stacks that do not parse are left out, and SQL hidden in the file is cut off
 * after a bounded amount of work. A recording that is still being written can be replayed; ticks
 * that come meanwhile are found.
 */
struct replay;

/*
 * NULL with *err = -errno and a sentence in why: -ENOENT, -EACCES, -EBADMSG (not a recording, or
 * damaged), -EPROTONOSUPPORT (made by a newer perftop), -ENODATA (no tick in it).
 */
struct replay *replay_open(const char *path, int *err, char *why, size_t why_size);
/* The same from the bytes of a file, which are copied. */
struct replay *replay_open_bytes(const void *bytes, size_t size, int *err, char *why,
				 size_t why_size);
void replay_free(struct replay *r);

/* The next tick into out, which is cleared first: 1, or 0 at the end, or -errno. */
int replay_next(struct replay *r, struct snapshot *out);

/* How many ticks the file holds now; 0 when it cannot be read. */
uint32_t replay_ticks(struct replay *r);

/* Make tick n, from 0, the next. 0, or -ENOENT past the end. */
int replay_seek(struct replay *r, uint32_t n);

#endif
