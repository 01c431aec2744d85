/* SPDX-License-Identifier: Apache-2.0 */
/* recorder.h: snapshots written to a file, one transaction a tick. */
#ifndef PERFTOP_RECORDER_H
#define PERFTOP_RECORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "collectors/snapshot.h"

/*
 * The file is an SQLite 3 database in WAL mode with application_id "ptop" (0x70746f70) and
 * user_version 1. It can be read with the sqlite3 shell while it is being written, and explains
 * itself in its table `readme`:
 *
 *   tick(id, seq, time_ns, mono_ns, interval_ns, since_ns, finished, truncated)
 *   one view for each of snapshot_tables (target, latency, functions, threads …) with the columns
 *     tick, i and the row's fields; latency and syscalls have `bins` besides, a histogram as
 *     pairs of LEB128 numbers (bucket minus the bucket before, count)
 *   stacks(tick, i, count, frames): frames is a JSON array of symbol.id, leaf first
 *   symbol(id, name, module), stack_frames(tick, i, count, depth, name, module)
 *   timeline, latest_latency: views to begin with
 *   meta(key, value): what made the file, when and where
 *
 * Texts are stored once in `string`; the views put them back. A new field of a row becomes a new
 * column; a reader ignores columns that it does not know and reads a missing one as 0 or "".
 *
 * When perftop dies, ticks already written stay. When the machine loses power, ticks since the
 * last checkpoint (about every 4 MB of log) may be lost, but the file stays sound.
 */
struct recorder;

/*
 * Create path; an existing file is refused with -EEXIST unless `overwrite`. NULL with *err =
 * -errno and a sentence in why on failure. One thread at a time.
 */
struct recorder *recorder_new(const char *path, bool overwrite, int *err, char *why,
			      size_t why_size);

/*
 * Add one tick: all of it or nothing. On -errno (-ENOSPC, -EIO, -EBUSY …) the tick is lost and
 * the next call tries again with its own. bins must ascend by bucket.
 */
int recorder_write(struct recorder *r, const struct snapshot *s);

/* Fold the log into the file, so that one file remains. */
void recorder_free(struct recorder *r);

#endif
