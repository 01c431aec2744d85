/* SPDX-License-Identifier: Apache-2.0 */
/* test_record.c: a recording keeps every value, and no file can harm its reader. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "collectors/recorder.h"
#include "collectors/replay.h"
#include "collectors/snapshot_rows.h"
#include "tests/lib/snapshot_fill.h"

struct fixture {
	char dir[64], path[96], why[SNAP_TEXT];
	struct snapshot *in, *out;
	int err;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	strcpy(x->dir, "/tmp/perftop-test-record.XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->path, sizeof(x->path), "%s/run.ptop", x->dir);
	x->in = snapshot_new();
	x->out = snapshot_new();
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	struct fixture *x = *state;
	char name[128];

	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", x->path, suffixes[i]);
		unlink(name);
	}
	snapshot_free(x->in);
	snapshot_free(x->out);
	assert_int_equal(rmdir(x->dir), 0);
	free(x);
	return 0;
}

static struct recorder *begin(struct fixture *x)
{
	struct recorder *r = recorder_new(x->path, false, &x->err, x->why, sizeof(x->why));

	if (!r)
		fail_msg("%s", x->why);
	return r;
}

static struct replay *open_replay(struct fixture *x)
{
	struct replay *r = replay_open(x->path, &x->err, x->why, sizeof(x->why));

	if (!r)
		fail_msg("%s", x->why);
	return r;
}

static void record_ticks(struct fixture *x, uint32_t n, uint32_t rows)
{
	struct recorder *r = begin(x);

	for (uint32_t i = 0; i < n; i++) {
		snapshot_fill(x->in, rows, i);
		assert_int_equal(recorder_write(r, x->in), 0);
	}
	recorder_free(r);
}

static void sql(struct fixture *x, const char *text)
{
	sqlite3 *db;
	char *why = NULL;

	assert_int_equal(sqlite3_open(x->path, &db), 0);
	if (sqlite3_exec(db, text, NULL, NULL, &why))
		fail_msg("%s: %s", text, why);
	sqlite3_close(db);
}

static void *slurp(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	char *bytes;

	assert_true(fd >= 0 && !fstat(fd, &st));
	*size = (size_t)st.st_size;
	bytes = malloc(*size);
	assert_int_equal(read(fd, bytes, *size), *size);
	close(fd);
	return bytes;
}

static void every_value_survives_recording_and_replay(void **state)
{
	struct fixture *x = *state;
	struct replay *p;

	record_ticks(x, 3, 3);
	p = open_replay(x);
	assert_int_equal(replay_ticks(p), 3);
	for (uint32_t i = 0; i < 3; i++) {
		snapshot_fill(x->in, 3, i);
		assert_int_equal(replay_next(p, x->out), 1);
		snapshot_assert_equal(x->in, x->out);
	}
	assert_int_equal(replay_next(p, x->out), 0);
	replay_free(p);
}

static void a_full_snapshot_survives_too(void **state)
{
	struct fixture *x = *state;
	struct replay *p;

	record_ticks(x, 2, UINT32_MAX);
	p = open_replay(x);
	assert_int_equal(replay_next(p, x->out), 1);
	assert_int_equal(replay_next(p, x->out), 1);
	snapshot_assert_equal(x->in, x->out);
	replay_free(p);
}

static void an_empty_tick_stays_empty(void **state)
{
	struct fixture *x = *state;
	struct recorder *r = begin(x);
	struct replay *p;

	assert_int_equal(recorder_write(r, x->in), 0);
	recorder_free(r);
	p = open_replay(x);
	assert_int_equal(replay_next(p, x->out), 1);
	assert_memory_equal(x->in, x->out, offsetof(struct snapshot, sections));
	replay_free(p);
}

static void seek_goes_to_any_tick_and_no_further(void **state)
{
	struct fixture *x = *state;
	struct replay *p;

	record_ticks(x, 5, 1);
	p = open_replay(x);
	for (int i = 4; i >= 0; i--) {
		assert_int_equal(replay_seek(p, (uint32_t)i), 0);
		assert_int_equal(replay_next(p, x->out), 1);
		assert_int_equal(x->out->seq, i + 1);
	}
	assert_int_equal(replay_seek(p, 5), -ENOENT);
	replay_free(p);
}

static void ticks_written_meanwhile_are_found(void **state)
{
	struct fixture *x = *state;
	struct recorder *r = begin(x);
	struct replay *p;

	snapshot_fill(x->in, 2, 0);
	assert_int_equal(recorder_write(r, x->in), 0);
	p = open_replay(x);
	assert_int_equal(replay_next(p, x->out), 1);
	assert_int_equal(replay_next(p, x->out), 0);
	snapshot_fill(x->in, 2, 1);
	assert_int_equal(recorder_write(r, x->in), 0);
	assert_int_equal(replay_next(p, x->out), 1);
	snapshot_assert_equal(x->in, x->out);
	replay_free(p);
	recorder_free(r);
}

static void replace(struct fixture *x)
{
	struct recorder *r = recorder_new(x->path, true, &x->err, x->why, sizeof(x->why));

	assert_non_null(r);
	recorder_free(r);
}

static void a_killed_recorder_loses_no_tick_that_it_wrote(void **state)
{
	struct fixture *x = *state;
	struct replay *p;
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct recorder *r = begin(x);

		for (uint32_t i = 0; i < 4; i++) {
			snapshot_fill(x->in, 2, i);
			if (recorder_write(r, x->in))
				_exit(1);
		}
		raise(SIGKILL);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	p = open_replay(x);
	assert_int_equal(replay_ticks(p), 4);
	replay_free(p);
	/* What tells that it is a recording may be in the log alone. */
	replace(x);
}

static void what_is_no_recording_is_never_replaced(void **state)
{
	struct fixture *x = *state;
	FILE *f = fopen(x->path, "w+");
	sqlite3 *db;

	fputs("some text", f);
	fflush(f);
	assert_null(recorder_new(x->path, true, &x->err, x->why, sizeof(x->why)));
	assert_int_equal(x->err, -EEXIST);
	assert_non_null(strstr(x->why, "no recording"));
	rewind(f);
	assert_int_equal(fgetc(f), 's');
	fclose(f);
	assert_int_equal(truncate(x->path, 0), 0);
	assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(a)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_null(recorder_new(x->path, true, &x->err, x->why, sizeof(x->why)));
	assert_int_equal(truncate(x->path, 0), 0); /* as mktemp(1) leaves one */
	replace(x);
}

static void an_existing_file_is_kept_unless_told(void **state)
{
	struct fixture *x = *state;
	struct recorder *r;

	record_ticks(x, 1, 1);
	r = recorder_new(x->path, false, &x->err, x->why, sizeof(x->why));
	assert_null(r);
	assert_int_equal(x->err, -EEXIST);
	assert_non_null(strstr(x->why, "--force"));
	replace(x);
	assert_null(recorder_new(x->dir, true, &x->err, x->why, sizeof(x->why)));
	assert_int_equal(x->err, -EEXIST);
	assert_null(recorder_new("/nonexistent/x", false, &x->err, x->why, sizeof(x->why)));
	assert_int_equal(x->err, -ENOENT);
}

/* A limit on the size of files stands for a full disk; SIGXFSZ is the only difference. */
static void a_full_disk_loses_ticks_and_says_so_and_then_goes_on(void **state)
{
	struct fixture *x = *state;
	struct recorder *r = begin(x);
	struct rlimit was, now;
	struct replay *p;
	uint32_t written = 0, lost = 0;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	now = was;
	now.rlim_cur = 2 << 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
	for (uint32_t i = 0; i < 200 && lost < 3; i++) {
		int err;

		snapshot_fill(x->in, 100, i);
		err = recorder_write(r, x->in);
		assert_true(err <= 0);
		written += !err;
		lost += !!err;
	}
	setrlimit(RLIMIT_FSIZE, &was);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(lost, 3);
	snapshot_fill(x->in, 100, 1000);
	assert_int_equal(recorder_write(r, x->in), 0);
	recorder_free(r);
	p = open_replay(x);
	assert_int_equal(replay_ticks(p), written + 1);
	assert_int_equal(replay_seek(p, written), 0);
	assert_int_equal(replay_next(p, x->out), 1);
	snapshot_assert_equal(x->in, x->out);
	replay_free(p);
}

static void a_recording_by_an_older_or_newer_perftop_is_read(void **state)
{
	struct fixture *x = *state;
	struct replay *p;

	record_ticks(x, 1, 2);
	sql(x, "DROP VIEW proc; CREATE VIEW proc AS SELECT tick, i, 42 AS rss_bytes, 'x' AS later"
	       " FROM proc_rows; DROP VIEW threads; DROP VIEW stacks");
	p = open_replay(x);
	assert_int_equal(replay_next(p, x->out), 1);
	assert_int_equal(x->out->proc.rss_bytes, 42);
	assert_int_equal(x->out->proc.fds, 0);
	assert_int_equal(x->out->nthreads, 0);
	assert_int_equal(x->out->nlatency, 2);
	replay_free(p);
	sql(x, "PRAGMA user_version = 99");
	assert_null(replay_open(x->path, &x->err, x->why, sizeof(x->why)));
	assert_int_equal(x->err, -EPROTONOSUPPORT);
}

static void hostile_rows_are_clamped_and_cleaned(void **state)
{
	struct fixture *x = *state;
	struct replay *p;

	record_ticks(x, 1, 2);
	sql(x, "WITH RECURSIVE n(v) AS (SELECT 100 UNION ALL SELECT v + 1 FROM n WHERE v < 3000)"
	       " INSERT INTO alerts_rows(tick, i) SELECT 1, v FROM n;"
	       "UPDATE latency_rows SET bins = x'ffffffffff' WHERE i = 0;"
	       "UPDATE latency_rows SET bins = x'00ff' WHERE i = 1;"
	       "UPDATE string SET text = char(27) || '[2J' || char(10);"
	       "UPDATE stacks_rows SET frames = 1 WHERE i = 0;"
	       "INSERT INTO string VALUES(-7, '[99999999999999999999,1,-1,1');"
	       "UPDATE stacks_rows SET frames = -7 WHERE i = 1;"
	       "UPDATE threads_rows SET state = 7; UPDATE target_rows SET state = 4000000000;"
	       "UPDATE proc_rows SET user_pct = 'much', rss_bytes = x'00';");
	p = open_replay(x);
	assert_int_equal(replay_next(p, x->out), 1);
	assert_int_equal(x->out->nalerts, SNAP_ALERTS);
	assert_true(x->out->truncated > 2800);
	assert_int_equal(x->out->latency[0].bin_count, 0);
	assert_int_equal(x->out->latency[1].bin_count, 0);
	assert_string_equal(x->out->latency[0].name, "?[2J?");
	assert_true(x->out->stacks[0].nframes <= SNAP_FRAMES);
	assert_int_equal(x->out->stacks[1].nframes, 2);
	assert_int_equal(x->out->threads[0].state, 0);
	assert_true(x->out->proc.user_pct == 0);
	replay_free(p);
}

static void sql_hidden_in_a_file_is_cut_off(void **state)
{
	struct fixture *x = *state;
	struct replay *p;

	record_ticks(x, 2, 1);
	sql(x, "DROP VIEW proc; CREATE VIEW proc AS WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL"
	       " SELECT v + 1 FROM n) SELECT 1 AS tick, sum(v) AS i FROM n");
	p = open_replay(x);
	assert_true(replay_next(p, x->out) < 0);
	replay_free(p);
}

static void ticks_that_never_end_are_noticed(void **state)
{
	struct fixture *x = *state;
	struct replay *p;
	int more = 1;

	record_ticks(x, 2, 1);
	sql(x, "ALTER TABLE tick RENAME TO t; CREATE VIEW tick AS"
	       " SELECT abs(random() % 1000) AS id, 1 AS seq FROM t");
	p = open_replay(x);
	for (int i = 0; i < 1000 && more > 0; i++)
		more = replay_next(p, x->out);
	assert_true(more <= 0);
	replay_free(p);
}

static void damage_is_reported_and_never_crashes(void **state)
{
	struct fixture *x = *state;
	size_t size;
	unsigned char *bytes;
	uint32_t seed = 1;

	record_ticks(x, 2, 2);
	bytes = slurp(x->path, &size);
	for (size_t cut = 0; cut < size; cut += 1 + size / 50) {
		struct replay *p = replay_open_bytes(bytes, cut, &x->err, x->why, sizeof(x->why));
		int more = p ? 1 : x->err;

		while (more > 0)
			more = replay_next(p, x->out);
		if (more == 0)
			fail_msg("%zu of %zu bytes pass for whole", cut, size);
		replay_free(p);
	}
	for (int round = 0; round < 200; round++) {
		unsigned char *bad = malloc(size);
		struct replay *p;

		memcpy(bad, bytes, size);
		for (int i = 0; i < 20; i++) {
			seed = seed * 1103515245u + 12345u;
			bad[100 + (seed >> 4) % (size - 100)] ^=
				(unsigned char)(1 + (seed >> 24) % 255);
		}
		p = replay_open_bytes(bad, size, &x->err, x->why, sizeof(x->why));
		for (int i = 0; p && i < 3 && replay_next(p, x->out) > 0; i++)
			;
		replay_free(p);
		free(bad);
	}
	free(bytes);
}

static void what_is_no_recording_is_refused_in_words(void **state)
{
	struct fixture *x = *state;

	assert_null(replay_open("/etc/passwd", &x->err, x->why, sizeof(x->why)));
	assert_int_equal(x->err, -EBADMSG);
	assert_non_null(strstr(x->why, "no perftop recording"));
	assert_null(replay_open("/nonexistent", &x->err, x->why, sizeof(x->why)));
	assert_int_equal(x->err, -ENOENT);
	assert_null(replay_open("/tmp", &x->err, x->why, sizeof(x->why)));
	assert_true(x->err < 0);
	sql(x, "CREATE TABLE t(a)");
	assert_null(replay_open(x->path, &x->err, x->why, sizeof(x->why)));
	assert_int_equal(x->err, -EBADMSG);
	recorder_free(NULL);
	replay_free(NULL);
}

static int one_number(void *out, int n, char **values, char **names)
{
	*(long long *)out = values[0] ? atoll(values[0]) : -1;
	return 0;
}

static void people_can_query_the_file_with_sqlite3(void **state)
{
	static const char *const queries[] = {
		"SELECT p99 FROM latest_latency LIMIT 1",
		"SELECT count(*) FROM blocked WHERE reason IN ('io', 'page_fault', 'sleep')",
		"SELECT count(*) FROM stack_frames WHERE tick = 2 AND name LIKE 'frame%'",
		"SELECT count(*) FROM timeline WHERE utc LIKE '2023-11-14 22:13:%'",
		"SELECT length(text) FROM readme",
		"SELECT count(*) FROM meta WHERE value = 'perftop.recording/1'",
	};
	static const long long at_least[] = {1, 3, 36, 2, 500, 1};
	struct fixture *x = *state;
	sqlite3 *db;

	record_ticks(x, 2, 3);
	assert_int_equal(sqlite3_open(x->path, &db), 0);
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		long long value = -1;
		char *why = NULL;

		if (sqlite3_exec(db, queries[i], one_number, &value, &why))
			fail_msg("%s: %s", queries[i], why);
		if (value < at_least[i])
			fail_msg("%s gives %lld", queries[i], value);
	}
	sqlite3_close(db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_value_survives_recording_and_replay),
		TEST(a_full_snapshot_survives_too),
		TEST(an_empty_tick_stays_empty),
		TEST(seek_goes_to_any_tick_and_no_further),
		TEST(ticks_written_meanwhile_are_found),
		TEST(a_killed_recorder_loses_no_tick_that_it_wrote),
		TEST(an_existing_file_is_kept_unless_told),
		TEST(what_is_no_recording_is_never_replaced),
		TEST(a_full_disk_loses_ticks_and_says_so_and_then_goes_on),
		TEST(a_recording_by_an_older_or_newer_perftop_is_read),
		TEST(hostile_rows_are_clamped_and_cleaned),
		TEST(sql_hidden_in_a_file_is_cut_off),
		TEST(ticks_that_never_end_are_noticed),
		TEST(damage_is_reported_and_never_crashes),
		TEST(what_is_no_recording_is_refused_in_words),
		TEST(people_can_query_the_file_with_sqlite3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
