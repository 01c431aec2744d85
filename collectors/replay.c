/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c: opening a recording and moving about in it. */
#include "collectors/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/replay_priv.h"
#include "collectors/snapshot_rows.h"

static int on_progress(void *arg)
{
	struct replay *r = arg;

	r->steps_left -= REPLAY_STEPS_A_CALL;
	return r->steps_left < 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* A query that the file cannot answer, because it is older, is left out. */
static int prepare(struct replay *r, const char *sql, sqlite3_stmt **st)
{
	int rc = sqlite3_prepare_v2(r->db, sql, -1, st, NULL);

	return rc == SQLITE_ERROR ? SQLITE_OK : rc;
}

static void name_columns(struct replay_query *q, const struct table *t)
{
	q->ncolumns = sqlite3_column_count(q->st);
	if (q->ncolumns > REPLAY_MAX_COLUMNS)
		q->ncolumns = REPLAY_MAX_COLUMNS;
	for (int c = 0; c < q->ncolumns; c++) {
		const char *name = sqlite3_column_name(q->st, c);

		q->fields[c] = COLUMN_IGNORED;
		if (!name)
			continue;
		if (snapshot_table_has_bins(t) && !strcmp(name, "bins"))
			q->fields[c] = COLUMN_BINS;
		for (uint32_t f = 0; f < t->nfields; f++)
			if (!strcmp(name, t->fields[f].name))
				q->fields[c] = (int16_t)f;
	}
}

static int prepare_table(struct replay *r, const struct table *t, struct replay_query *q)
{
	char sql[160];
	int rc;

	snprintf(sql, sizeof(sql), "SELECT * FROM \"%s\" WHERE tick = ?1 ORDER BY i", t->name);
	rc = prepare(r, sql, &q->st);
	if (q->st)
		name_columns(q, t);
	return rc;
}

static int prepare_all(struct replay *r)
{
	int rc = prepare(r, "SELECT * FROM tick WHERE id > ?1 ORDER BY id LIMIT 1", &r->tick.st);

	if (!rc && !r->tick.st)
		return SQLITE_CORRUPT;
	if (!rc) {
		name_columns(&r->tick, &recorder_tick_table);
		rc = prepare(r, "SELECT count(*) FROM tick", &r->count);
	}
	if (!rc)
		rc = prepare(r, "SELECT id FROM tick ORDER BY id LIMIT 1 OFFSET ?1", &r->nth);
	if (!rc)
		rc = prepare(r, "SELECT name, module FROM symbol WHERE id = ?1", &r->symbol);
	for (uint32_t i = 0; i < snapshot_ntables && i < RECORDER_MAX_TABLES && !rc; i++)
		rc = prepare_table(r, &snapshot_tables[i], &r->tables[i]);
	return rc ? rc : r->count && r->nth ? SQLITE_OK : SQLITE_CORRUPT;
}

static int pragma(struct replay *r, const char *sql, int *value)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(r->db, sql, -1, &st, NULL);

	if (!rc)
		rc = sqlite3_step(st) == SQLITE_ROW ? SQLITE_OK : sqlite3_errcode(r->db);
	if (!rc)
		*value = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return rc;
}

/* As sqlite.org/security.html advises for files from elsewhere. */
static void harden(struct replay *r)
{
	sqlite3_db_config(r->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(r->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(r->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_limit(r->db, SQLITE_LIMIT_LENGTH, REPLAY_MAX_BYTES);
	sqlite3_limit(r->db, SQLITE_LIMIT_SQL_LENGTH, 100000);
	sqlite3_limit(r->db, SQLITE_LIMIT_COLUMN, 200);
	sqlite3_limit(r->db, SQLITE_LIMIT_EXPR_DEPTH, 50);
	sqlite3_limit(r->db, SQLITE_LIMIT_COMPOUND_SELECT, 10);
	sqlite3_limit(r->db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_progress_handler(r->db, REPLAY_STEPS_A_CALL, on_progress, r);
	sqlite3_exec(r->db, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;", NULL, NULL, NULL);
}

/* Is this a recording, and one that we can read? */
static int check(struct replay *r, const char *path, char *why, size_t why_size)
{
	int id = 0, version = 0, rc;

	r->steps_left = REPLAY_MAX_STEPS;
	harden(r);
	rc = pragma(r, "PRAGMA application_id", &id);
	if (!rc)
		rc = pragma(r, "PRAGMA user_version", &version);
	if (!rc && id != RECORDER_APPLICATION_ID) {
		snprintf(why, why_size, "%s is no perftop recording; make one with perftop -o FILE",
			 path);
		return -EBADMSG;
	}
	if (!rc && version > RECORDER_VERSION) {
		snprintf(why, why_size,
			 "%s has recording version %d, this perftop reads up to %d; update perftop",
			 path, version, RECORDER_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (!rc)
		rc = prepare_all(r);
	if (rc == SQLITE_NOTADB) {
		snprintf(why, why_size, "%s is no perftop recording; make one with perftop -o FILE",
			 path);
		return -EBADMSG;
	}
	if (rc) {
		snprintf(why, why_size,
			 "%s is cut off or damaged (%s); 'sqlite3 FILE .recover' may save a part",
			 path, sqlite3_errmsg(r->db));
		return replay_errno(rc);
	}
	if (!replay_ticks(r)) {
		snprintf(why, why_size, "%s holds no tick; record for longer than one interval",
			 path);
		return -ENODATA;
	}
	return 0;
}

/*
 * SQLite reads a last page that is cut off as if it ended in zeros. The header knows better
 * (sqlite.org/fileformat.html, 1.3): page size at 16, pages at 28, valid when 24 and 92 agree.
 */
static int check_size(const uint8_t *header, uint64_t size, const char *path, char *why,
		      size_t why_size)
{
	uint64_t page = (uint64_t)header[16] << 8 | header[17], pages = 0, want;

	for (int i = 28; i < 32; i++)
		pages = pages << 8 | header[i];
	if (page == 1)
		page = 65536;
	want = page * pages;
	if (memcmp(header, "SQLite format 3", 16) != 0 ||
	    memcmp(header + 24, header + 92, 4) != 0 || want <= size)
		return 0;
	snprintf(why, why_size,
		 "%s is cut off: %llu of %llu bytes; 'sqlite3 FILE .recover' may save a part", path,
		 (unsigned long long)size, (unsigned long long)want);
	return -EBADMSG;
}

/* While there is a log beside the file, what the header says may not be there yet. */
static int check_file(int fd, const char *path, char *why, size_t why_size)
{
	char *log = sqlite3_mprintf("%s-wal", path);
	uint8_t header[100];
	struct stat st;
	int err = 0;

	if (log && access(log, F_OK) && !fstat(fd, &st) &&
	    pread(fd, header, sizeof(header), 0) == (ssize_t)sizeof(header))
		err = check_size(header, (uint64_t)st.st_size, path, why, why_size);
	sqlite3_free(log);
	return err;
}

static struct replay *fail(struct replay *r, int *err, int value)
{
	*err = value;
	replay_free(r);
	return NULL;
}

/* Reading a write-ahead log makes files beside it: where that is not allowed, do without. */
static int open_file(struct replay *r, const char *path)
{
	int version = 0, rc;
	char *uri;

	rc = sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (!rc)
		rc = pragma(r, "PRAGMA user_version", &version);
	if (rc != SQLITE_CANTOPEN && rc != SQLITE_READONLY)
		return SQLITE_OK; /* other trouble is found again, and named, by check() */
	sqlite3_close(r->db);
	r->db = NULL;
	uri = sqlite3_mprintf("%s", "file:");
	for (const char *p = path; *p && uri; p++) {
		char *more = strchr("%?#", *p) ? sqlite3_mprintf("%s%%%02x", uri, *p)
					       : sqlite3_mprintf("%s%c", uri, *p);

		sqlite3_free(uri);
		uri = more;
	}
	if (uri) {
		char *more = sqlite3_mprintf("%s?immutable=1", uri);

		sqlite3_free(uri);
		uri = more;
	}
	if (!uri)
		return SQLITE_NOMEM;
	rc = sqlite3_open_v2(uri, &r->db,
			     SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
	sqlite3_free(uri);
	return rc;
}

struct replay *replay_open(const char *path, int *err, char *why, size_t why_size)
{
	struct replay *r;
	int fd, rc;

	/* Where the kernel's own words are the best ones. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		*err = -errno;
		snprintf(why, why_size, "cannot read %s: %s; make one with perftop -o FILE", path,
			 strerror(-*err));
		return NULL;
	}
	*err = check_file(fd, path, why, why_size);
	close(fd);
	if (*err)
		return NULL;
	snprintf(why, why_size, "out of memory");
	r = calloc(1, sizeof(*r));
	if (!r)
		return fail(NULL, err, -ENOMEM);
	r->last_id = INT64_MIN;
	rc = open_file(r, path);
	if (rc) {
		snprintf(why, why_size, "cannot read %s: %s", path, sqlite3_errstr(rc));
		return fail(r, err, replay_errno(rc));
	}
	*err = check(r, path, why, why_size);
	return *err ? fail(r, err, *err) : r;
}

struct replay *replay_open_bytes(const void *bytes, size_t size, int *err, char *why,
				 size_t why_size)
{
	struct replay *r = calloc(1, sizeof(*r));
	unsigned char *copy = sqlite3_malloc64(size ? size : 1);
	int rc;

	snprintf(why, why_size, "out of memory");
	if (!r || !copy) {
		sqlite3_free(copy);
		return fail(r, err, -ENOMEM);
	}
	memcpy(copy, bytes, size);
	if (size >= 100 && check_size(copy, size, "the recording", why, why_size)) {
		sqlite3_free(copy);
		return fail(r, err, -EBADMSG);
	}
	r->last_id = INT64_MIN;
	rc = sqlite3_open_v2(":memory:", &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc) {
		sqlite3_free(copy);
		return fail(r, err, replay_errno(rc));
	}
	/* Frees the copy, also when it fails. */
	rc = sqlite3_deserialize(r->db, "main", copy, (sqlite3_int64)size, (sqlite3_int64)size,
				 SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY);
	if (rc) {
		snprintf(why, why_size, "the bytes are no database");
		return fail(r, err, replay_errno(rc));
	}
	*err = check(r, "the recording", why, why_size);
	return *err ? fail(r, err, *err) : r;
}

void replay_free(struct replay *r)
{
	if (!r)
		return;
	sqlite3_finalize(r->tick.st);
	for (uint32_t i = 0; i < RECORDER_MAX_TABLES; i++)
		sqlite3_finalize(r->tables[i].st);
	sqlite3_finalize(r->count);
	sqlite3_finalize(r->nth);
	sqlite3_finalize(r->symbol);
	sqlite3_close(r->db);
	free(r);
}

/* ---- reading -------------------------------------------------------------------------------- */

int replay_next(struct replay *r, struct snapshot *out)
{
	int64_t before = r->last_id;
	int more;

	snapshot_clear(out);
	r->steps_left = REPLAY_MAX_STEPS;
	more = replay_load(r, out);
	if (more >= 0)
		return more;
	snapshot_clear(out);
	if (more == -EBUSY)
		r->last_id = before;
	return more;
}

uint32_t replay_ticks(struct replay *r)
{
	int64_t n = 0;

	r->steps_left = REPLAY_MAX_STEPS;
	if (sqlite3_step(r->count) == SQLITE_ROW)
		n = sqlite3_column_int64(r->count, 0);
	sqlite3_reset(r->count);
	return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

int replay_seek(struct replay *r, uint32_t n)
{
	int err = -ENOENT, rc;

	r->steps_left = REPLAY_MAX_STEPS;
	sqlite3_bind_int64(r->nth, 1, n);
	rc = sqlite3_step(r->nth);
	if (rc == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(r->nth, 0);

		r->last_id = id == INT64_MIN ? id : id - 1;
		err = 0;
	} else if (rc != SQLITE_DONE) {
		err = replay_errno(rc);
	}
	sqlite3_reset(r->nth);
	return err;
}
