/* SPDX-License-Identifier: Apache-2.0 */
/* recorder.c: snapshots into SQLite, generated from the row descriptions. */
#include "collectors/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/recorder_schema.h"
#include "collectors/snapshot_rows.h"
#include "collectors/text_ids.h"

enum { SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK, SQL_STRING, SQL_SYMBOL, SQL_STACK, SQL_TICK, SQL_ROWS };

struct recorder {
	sqlite3 *db;
	sqlite3_stmt *sql[SQL_ROWS + RECORDER_MAX_TABLES];
	struct text_ids *strings, *symbols;
	int64_t next_string, next_symbol, next_tick;
	int64_t symbol_ids[SNAP_SYMBOLS]; /* of this tick's symbols, -1 = not yet asked */
	uint8_t *bins;			  /* one row's histogram */
};

static int errno_of(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	default:
		return sqlite3_system_errno(db) ? -sqlite3_system_errno(db) : -EIO;
	}
}

/* Run a prepared statement that returns no rows. */
static int run(struct recorder *r, uint32_t which)
{
	int rc = sqlite3_step(r->sql[which]), err = errno_of(r->db, rc);

	sqlite3_reset(r->sql[which]);
	return err;
}

/* ---- a tick --------------------------------------------------------------------------------- */

static int string_id(struct recorder *r, const char *text, size_t max, int64_t *id)
{
	sqlite3_stmt *st = r->sql[SQL_STRING];
	size_t n = strnlen(text, max);
	int err;

	*id = n ? text_ids_find(r->strings, text, n) : 0;
	if (*id >= 0)
		return 0;
	*id = r->next_string;
	sqlite3_bind_int64(st, 1, *id);
	sqlite3_bind_text(st, 2, text, (int)n, SQLITE_STATIC);
	err = run(r, SQL_STRING);
	if (err)
		return err;
	r->next_string++;
	text_ids_add(r->strings, text, n, *id);
	return 0;
}

static int symbol_id(struct recorder *r, const struct snap_symbol *sym, int64_t *id)
{
	sqlite3_stmt *st = r->sql[SQL_SYMBOL];
	char key[sizeof(*sym) + 1];
	size_t nname = strnlen(sym->name, sizeof(sym->name));
	size_t nmodule = strnlen(sym->module, sizeof(sym->module));
	size_t n = nname + 1 + nmodule;
	int err;

	memcpy(key, sym->name, nname);
	key[nname] = '\0';
	memcpy(key + nname + 1, sym->module, nmodule);
	*id = text_ids_find(r->symbols, key, n);
	if (*id >= 0)
		return 0;
	*id = r->next_symbol;
	sqlite3_bind_int64(st, 1, *id);
	sqlite3_bind_text(st, 2, key, (int)nname, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, key + nname + 1, (int)nmodule, SQLITE_STATIC);
	err = run(r, SQL_SYMBOL);
	if (err)
		return err;
	r->next_symbol++;
	text_ids_add(r->symbols, key, n, *id);
	return 0;
}

static uint8_t *put_leb128(uint8_t *p, uint32_t v)
{
	for (; v > 0x7f; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static void bind_bins(struct recorder *r, sqlite3_stmt *st, int column, const struct snapshot *s,
		      const struct snap_latency *row)
{
	uint32_t n, before = 0;
	const struct snap_bin *bins = snapshot_row_bins(s, row, &n);
	uint8_t *p = r->bins;

	for (uint32_t i = 0; i < n; i++) {
		p = put_leb128(p, bins[i].bucket - before);
		p = put_leb128(p, bins[i].count);
		before = bins[i].bucket;
	}
	if (n)
		sqlite3_bind_blob(st, column, r->bins, (int)(p - r->bins), SQLITE_STATIC);
	else
		sqlite3_bind_null(st, column);
}

static int bind_field(struct recorder *r, sqlite3_stmt *st, int column, const struct field *f,
		      const char *row)
{
	const char *at = row + f->offset;
	int64_t id;
	int err;

	switch (f->type) {
	case FIELD_STR:
		err = string_id(r, at, f->size, &id);
		if (err)
			return err;
		sqlite3_bind_int64(st, column, id);
		break;
	case FIELD_CHAR:
		sqlite3_bind_int(st, column, (unsigned char)*at);
		break;
	case FIELD_U32:
	case FIELD_ENUM:
		sqlite3_bind_int64(st, column, *(const uint32_t *)at);
		break;
	case FIELD_I32:
		sqlite3_bind_int(st, column, *(const int32_t *)at);
		break;
	case FIELD_U64:
	case FIELD_I64:
		sqlite3_bind_int64(st, column, *(const int64_t *)at);
		break;
	case FIELD_F64:
		sqlite3_bind_double(st, column, *(const double *)at);
		break;
	}
	return 0;
}

static int write_tick_row(struct recorder *r, const struct snapshot *s)
{
	const struct table *t = &recorder_tick_table;

	sqlite3_bind_int64(r->sql[SQL_TICK], 1, r->next_tick);
	for (uint32_t f = 0; f < t->nfields; f++)
		bind_field(r, r->sql[SQL_TICK], (int)f + 2, &t->fields[f], (const char *)s);
	return run(r, SQL_TICK);
}

static int write_table(struct recorder *r, const struct snapshot *s, uint32_t which)
{
	const struct table *t = &snapshot_tables[which];
	uint32_t n = snapshot_row_count(s, t);
	sqlite3_stmt *st = r->sql[SQL_ROWS + which];

	sqlite3_bind_int64(st, 1, r->next_tick);
	for (uint32_t i = 0; i < n; i++) {
		const char *row = snapshot_row(s, t, i);
		int err;

		sqlite3_bind_int64(st, 2, i);
		for (uint32_t f = 0; f < t->nfields; f++) {
			err = bind_field(r, st, (int)f + 3, &t->fields[f], row);
			if (err)
				return err;
		}
		if (snapshot_table_has_bins(t))
			bind_bins(r, st, (int)t->nfields + 3, s, (const void *)row);
		err = run(r, SQL_ROWS + which);
		if (err)
			return err;
	}
	return 0;
}

/* Frames as a JSON array of symbol ids, kept as a string: the same stack comes again and again. */
static int frames_id(struct recorder *r, const struct snapshot *s, const struct snap_stack *stack,
		     int64_t *id)
{
	char text[RECORDER_FRAMES_BYTES];
	size_t n = 0;

	text[n++] = '[';
	for (uint32_t i = 0; i < stack->nframes && i < SNAP_FRAMES; i++) {
		uint32_t sym = stack->frames[i];
		int err;

		if (sym >= s->nsymbols || sym >= SNAP_SYMBOLS)
			continue;
		if (r->symbol_ids[sym] < 0) {
			err = symbol_id(r, &s->symbols[sym], &r->symbol_ids[sym]);
			if (err)
				return err;
		}
		n += (size_t)snprintf(text + n, sizeof(text) - n, n > 1 ? ",%lld" : "%lld",
				      (long long)r->symbol_ids[sym]);
	}
	text[n++] = ']';
	return string_id(r, text, n, id);
}

static int write_stacks(struct recorder *r, const struct snapshot *s)
{
	sqlite3_stmt *st = r->sql[SQL_STACK];

	memset(r->symbol_ids, 0xff, sizeof(r->symbol_ids));
	for (uint32_t i = 0; i < s->nstacks && i < SNAP_STACKS; i++) {
		int64_t frames;
		int err = frames_id(r, s, &s->stacks[i], &frames);

		if (err)
			return err;
		sqlite3_bind_int64(st, 1, r->next_tick);
		sqlite3_bind_int64(st, 2, i);
		sqlite3_bind_int64(st, 3, (int64_t)s->stacks[i].count);
		sqlite3_bind_int64(st, 4, frames);
		err = run(r, SQL_STACK);
		if (err)
			return err;
	}
	return 0;
}

int recorder_write(struct recorder *r, const struct snapshot *s)
{
	int err = run(r, SQL_BEGIN);

	if (!err)
		err = write_tick_row(r, s);
	for (uint32_t i = 0; i < snapshot_ntables && !err; i++)
		err = write_table(r, s, i);
	if (!err)
		err = write_stacks(r, s);
	if (!err)
		err = run(r, SQL_COMMIT);
	if (!err) {
		r->next_tick++;
		return 0;
	}
	/* Texts written in this transaction are gone with it. */
	if (!sqlite3_get_autocommit(r->db))
		run(r, SQL_ROLLBACK);
	text_ids_forget(r->strings);
	text_ids_forget(r->symbols);
	return err;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* The file's first bytes tell a recording from anything else that must not be overwritten. */
static int make_room(const char *path, bool overwrite, char *why, size_t why_size)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	char name[4096];
	struct stat st;

	if (lstat(path, &st))
		return 0;
	if (!overwrite) {
		snprintf(why, why_size, "%s exists; name another file, or replace it with --force",
			 path);
		return -EEXIST;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, why_size,
			 "%s is no ordinary file, so it is not replaced; name "
			 "another file",
			 path);
		return -EEXIST;
	}
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if ((size_t)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]) >= sizeof(name))
			return -ENAMETOOLONG;
		unlink(name);
	}
	return 0;
}

static int create_file(const char *path, char *why, size_t why_size)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0) {
		int err = -errno;

		snprintf(why, why_size,
			 "cannot create %s: %s; name a file in a directory that you "
			 "can write to",
			 path, strerror(-err));
		return err;
	}
	close(fd);
	return 0;
}

static int prepare(struct recorder *r)
{
	static const char *const fixed[] = {
		[SQL_BEGIN] = "BEGIN IMMEDIATE",
		[SQL_COMMIT] = "COMMIT",
		[SQL_ROLLBACK] = "ROLLBACK",
		[SQL_STRING] = "INSERT INTO string VALUES(?,?)",
		[SQL_SYMBOL] = "INSERT INTO symbol VALUES(?,?,?)",
		[SQL_STACK] = "INSERT INTO stacks_rows VALUES(?,?,?,?)",
	};

	for (uint32_t i = 0; i < SQL_ROWS + snapshot_ntables; i++) {
		char *text = NULL;
		int rc;

		if (i == SQL_TICK)
			text = recorder_schema_insert(&recorder_tick_table);
		else if (i >= SQL_ROWS)
			text = recorder_schema_insert(&snapshot_tables[i - SQL_ROWS]);
		if (i >= SQL_TICK && !text)
			return SQLITE_NOMEM;
		rc = sqlite3_prepare_v3(r->db, text ? text : fixed[i], -1,
					SQLITE_PREPARE_PERSISTENT, &r->sql[i], NULL);
		sqlite3_free(text);
		if (rc)
			return rc;
	}
	return SQLITE_OK;
}

static int write_meta(struct recorder *r)
{
	struct utsname u = {.nodename = ""};
	char *sql;
	int rc;

	uname(&u);
	sql = sqlite3_mprintf("INSERT INTO meta VALUES('schema', 'perftop.recording/%d'),"
			      "('created_ns', %lld), ('host', %Q), ('kernel', %Q), ('machine', %Q),"
			      "('cpus', %ld)",
			      RECORDER_VERSION, (long long)clock_real_ns(), u.nodename, u.release,
			      u.machine, sysconf(_SC_NPROCESSORS_ONLN));
	if (!sql)
		return SQLITE_NOMEM;
	rc = sqlite3_exec(r->db, sql, NULL, NULL, NULL);
	sqlite3_free(sql);
	return rc;
}

static int open_database(struct recorder *r, const char *path)
{
	int rc = sqlite3_open_v2(path, &r->db,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
				 NULL);

	if (!rc)
		rc = sqlite3_busy_timeout(r->db, 100);
	/* A tick touches a page of each table: small pages write half as much to the log. */
	if (!rc)
		rc = sqlite3_exec(r->db,
				  "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL;"
				  "PRAGMA synchronous = NORMAL;"
				  "PRAGMA cache_size = -512; PRAGMA wal_autocheckpoint = 4096; "
				  "PRAGMA journal_size_limit = 4194304;",
				  NULL, NULL, NULL);
	if (!rc)
		rc = recorder_schema_create(r->db);
	if (!rc)
		rc = write_meta(r);
	return rc ? rc : prepare(r);
}

struct recorder *recorder_new(const char *path, bool overwrite, int *err, char *why,
			      size_t why_size)
{
	struct recorder *r;
	int rc;

	snprintf(why, why_size, "out of memory");
	*err = make_room(path, overwrite, why, why_size);
	if (*err)
		return NULL;
	*err = -ENOMEM;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->next_string = r->next_symbol = r->next_tick = 1;
	r->strings = text_ids_new();
	r->symbols = text_ids_new();
	r->bins = malloc((size_t)SNAP_BINS * RECORDER_BIN_BYTES);
	if (!r->strings || !r->symbols || !r->bins || snapshot_ntables > RECORDER_MAX_TABLES)
		goto fail;
	*err = create_file(path, why, why_size);
	if (*err)
		goto fail;
	rc = open_database(r, path);
	if (!rc)
		return r;
	*err = errno_of(r->db, rc);
	snprintf(why, why_size, "cannot record to %s: %s; name a file on another file system", path,
		 r->db ? sqlite3_errmsg(r->db) : sqlite3_errstr(rc));
	make_room(path, true, (char[1]){0}, 0);
fail:
	recorder_free(r);
	return NULL;
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < sizeof(r->sql) / sizeof(r->sql[0]); i++)
		sqlite3_finalize(r->sql[i]);
	/* Fails while someone reads the file; then the log stays beside it, and that is fine. */
	if (r->db)
		sqlite3_exec(r->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	sqlite3_close(r->db);
	text_ids_free(r->strings);
	text_ids_free(r->symbols);
	free(r->bins);
	free(r);
}
