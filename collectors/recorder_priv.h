/* SPDX-License-Identifier: Apache-2.0 */
/* recorder_priv.h: what the files that implement recorder.h share. */
#ifndef PERFTOP_RECORDER_PRIV_H
#define PERFTOP_RECORDER_PRIV_H

#include <sqlite3.h>

#include "collectors/recorder.h"
#include "collectors/recorder_schema.h"
#include "collectors/text_ids.h"

enum { SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK, SQL_STRING, SQL_SYMBOL, SQL_TICK, SQL_ROWS };

struct recorder {
	sqlite3 *db;
	sqlite3_stmt *sql[SQL_ROWS + RECORDER_MAX_TABLES];
	struct text_ids *strings, *symbols;
	int64_t next_string, next_symbol, next_tick;
	int64_t symbol_ids[SNAP_SYMBOLS]; /* of this tick's symbols, -1 = not yet asked */
	uint8_t *bins;			  /* one row's histogram */
};

int recorder_errno(sqlite3 *db, int rc); /* of an SQLite result code */
int recorder_run(struct recorder *r, uint32_t which);

/* Every row of a tick, inside a transaction. 0 or -errno. recorder_rows.c */
int recorder_write_rows(struct recorder *r, const struct snapshot *s);

#endif
