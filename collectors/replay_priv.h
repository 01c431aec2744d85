/* SPDX-License-Identifier: Apache-2.0 */
/* replay_priv.h: what the files that implement replay.h share. */
#ifndef PERFTOP_REPLAY_PRIV_H
#define PERFTOP_REPLAY_PRIV_H

#include <sqlite3.h>

#include "collectors/recorder_schema.h"
#include "collectors/replay.h"

enum {
	REPLAY_MAX_COLUMNS = 64,
	/* A tick with every array full takes about 2 million steps of SQLite's machine. */
	REPLAY_MAX_STEPS = 20 * 1000 * 1000,
	REPLAY_STEPS_A_CALL = 10000,
	REPLAY_MAX_BYTES = 16 << 20, /* of one value or one row */
	/* Twice the frames of a tick with every array full: 320 stacks of 64. */
	REPLAY_SYMBOL_SLOTS = 65536,
};

/* A query and where its columns go: field index, or one of the others. */
enum { COLUMN_IGNORED = -1, COLUMN_BINS = -2 };
struct replay_query {
	sqlite3_stmt *st; /* NULL when the file has no such table */
	int ncolumns;
	int16_t fields[REPLAY_MAX_COLUMNS];
};

struct replay_symbol {
	int64_t id;
	uint64_t tick; /* 0 = free; of an older tick = free */
	uint32_t index;
};

struct replay {
	sqlite3 *db;
	struct replay_query tick, tables[RECORDER_MAX_TABLES];
	sqlite3_stmt *count, *nth, *symbol;
	int64_t last_id; /* of the tick read last */
	uint64_t reads;
	int64_t steps_left;
	struct replay_symbol symbols[REPLAY_SYMBOL_SLOTS];
};

int replay_errno(int rc); /* of an SQLite result code */

/*
 * The first tick after last_id into a cleared snapshot. Returns 1, 0 at the end, or -errno.
 * replay_rows.c
 */
int replay_load(struct replay *r, struct snapshot *out);

#endif
