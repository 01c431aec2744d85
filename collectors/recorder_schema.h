/* SPDX-License-Identifier: Apache-2.0 */
/* recorder_schema.h: what the recorder and the replay share about the file's tables. */
#ifndef PERFTOP_RECORDER_SCHEMA_H
#define PERFTOP_RECORDER_SCHEMA_H

#include "collectors/snapshot.h"

struct sqlite3;

enum {
	RECORDER_APPLICATION_ID = 0x70746f70, /* "ptop" */
	RECORDER_VERSION = 1,		      /* PRAGMA user_version */
	RECORDER_MAX_TABLES = 48,
	/* Five bytes for each of two u32 as LEB128. */
	RECORDER_BIN_BYTES = 10,
	/* "[" and up to 20 digits with a comma for each frame, and "]". */
	RECORDER_FRAMES_BYTES = 2 + 21 * SNAP_FRAMES,
};

/* The scalars of a snapshot that are columns of the table tick. */
extern const struct table recorder_tick_table;

/* Tables and views of an empty file. Returns an SQLite result code. */
int recorder_schema_create(struct sqlite3 *db);

/* INSERT INTO "NAME_rows" with one ? a column; from sqlite3_malloc, NULL without memory. */
char *recorder_schema_insert(const struct table *t);

#endif
