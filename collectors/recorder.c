/* SPDX-License-Identifier: Apache-2.0 */
/* recorder.c: the file of a recording, and its transactions. */
#include "collectors/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/recorder_priv.h"

int recorder_errno(sqlite3 *db, int rc)
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
int recorder_run(struct recorder *r, uint32_t which)
{
	int rc = sqlite3_step(r->sql[which]), err = recorder_errno(r->db, rc);

	sqlite3_reset(r->sql[which]);
	return err;
}

int recorder_write(struct recorder *r, const struct snapshot *s)
{
	int err = recorder_run(r, SQL_BEGIN);

	if (!err)
		err = recorder_write_rows(r, s);
	if (!err)
		err = recorder_run(r, SQL_COMMIT);
	if (!err) {
		r->next_tick++;
		return 0;
	}
	/* Texts written in this transaction are gone with it. */
	if (!sqlite3_get_autocommit(r->db))
		recorder_run(r, SQL_ROLLBACK);
	text_ids_forget(r->strings);
	text_ids_forget(r->symbols);
	return err;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Is this a recording, or empty? Anything else must not be replaced. */
static bool is_recording(const char *path, const struct stat *st)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *sql = NULL;
	bool is = !st->st_size;

	if (is)
		return true;
	/* By SQLite: the number may still be in the log alone, where its writer was killed. */
	if (!sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW, NULL) &&
	    !sqlite3_prepare_v2(db, "PRAGMA application_id", -1, &sql, NULL) &&
	    sqlite3_step(sql) == SQLITE_ROW)
		is = sqlite3_column_int(sql, 0) == RECORDER_APPLICATION_ID;
	sqlite3_finalize(sql);
	sqlite3_close(db);
	return is;
}

static int remove_files(const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	char name[4096];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if ((size_t)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]) >= sizeof(name))
			return -ENAMETOOLONG;
		unlink(name);
	}
	return 0;
}

static int make_room(const char *path, bool overwrite, char *why, size_t why_size)
{
	struct stat st;

	if (lstat(path, &st))
		return 0;
	if (!S_ISREG(st.st_mode) || !is_recording(path, &st)) {
		snprintf(
			why, why_size,
			"%s exists and is no recording, so it is never replaced; name another file",
			path);
		return -EEXIST;
	}
	if (overwrite)
		return remove_files(path);
	snprintf(why, why_size, "%s exists; name another file, or replace it with --force", path);
	return -EEXIST;
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
	*err = recorder_errno(r->db, rc);
	snprintf(why, why_size, "cannot record to %s: %s; name a file on another file system", path,
		 r->db ? sqlite3_errmsg(r->db) : sqlite3_errstr(rc));
	remove_files(path);
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
