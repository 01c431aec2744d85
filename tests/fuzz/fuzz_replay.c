/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_replay.c: a hostile recording.
 *
 * The input is a whole database, or edits of a sound one: after a first byte below 'A', groups of
 * five bytes, a 32-bit place and what to xor there. After 'Q' it is SQL that is run on a sound one
 * first, as someone with the sqlite3 shell could.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/export_json.h"
#include "collectors/recorder.h"
#include "collectors/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_TICKS = 2, FUZZ_SQL_BYTES = 4096, FUZZ_SQL_STEPS = 200000 };

static void fill(struct snapshot *s, uint64_t tick)
{
	snapshot_clear(s);
	s->seq = tick;
	s->mono_ns = tick * 1000000000u;
	s->nlatency = s->nfunctions = s->nthreads = s->nalerts = s->nstacks = 2;
	s->nbins = 4;
	for (uint32_t i = 0; i < 4; i++)
		s->bins[i] = (struct snap_bin){100 + i, 5};
	for (uint32_t i = 0; i < 2; i++) {
		snprintf(s->latency[i].name, SNAP_NAME, "function%u", i);
		s->latency[i].bin_first = 2 * i;
		s->latency[i].bin_count = 2;
		snprintf(s->functions[i].name, SNAP_NAME, "function%u", i);
		s->threads[i].tid = (int32_t)i + 1;
		s->stacks[i].nframes = 2;
		s->stacks[i].frames[0] = snapshot_symbol(s, s->latency[i].name, "module");
		s->stacks[i].frames[1] = snapshot_symbol(s, "main", "module");
	}
	snapshot_set_section(s, "cpu", SECTION_DEGRADED, "reason", "fix");
}

/* The bytes of a sound recording. */
static uint8_t *record(size_t *size)
{
	char dir[] = "/tmp/perftop-fuzz.XXXXXX", path[64], why[SNAP_TEXT];
	struct snapshot *s = snapshot_new();
	struct recorder *r;
	uint8_t *bytes = NULL;
	struct stat st;
	int fd, err;

	if (!s || !mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/x", dir);
	r = recorder_new(path, false, &err, why, sizeof(why));
	for (uint64_t tick = 1; r && tick <= FUZZ_TICKS; tick++) {
		fill(s, tick);
		if (recorder_write(r, s))
			abort();
	}
	recorder_free(r);
	snapshot_free(s);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		abort();
	bytes = malloc((size_t)st.st_size);
	if (!bytes || read(fd, bytes, (size_t)st.st_size) != st.st_size)
		abort();
	*size = (size_t)st.st_size;
	close(fd);
	unlink(path);
	rmdir(dir);
	return bytes;
}

static int count_down(void *left)
{
	return --*(int *)left < 0;
}

/* Run SQL on a copy in memory and take its bytes. */
static uint8_t *edit_by_sql(const uint8_t *sound, size_t *size, const uint8_t *text, size_t n)
{
	char sql[FUZZ_SQL_BYTES];
	int left = FUZZ_SQL_STEPS / 1000;
	sqlite3_int64 out = 0;
	uint8_t *copy, *bytes;
	sqlite3 *db;

	n = n < sizeof(sql) - 1 ? n : sizeof(sql) - 1;
	memcpy(sql, text, n);
	sql[n] = '\0';
	if (sqlite3_open(":memory:", &db))
		abort();
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1 << 20);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_progress_handler(db, 1000, count_down, &left);
	copy = sqlite3_malloc64(*size);
	memcpy(copy, sound, *size);
	sqlite3_deserialize(db, "main", copy, (sqlite3_int64)*size, (sqlite3_int64)*size,
			    SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE);
	sqlite3_exec(db, sql, NULL, NULL, NULL);
	copy = sqlite3_serialize(db, "main", &out, 0);
	bytes = malloc(out > 0 ? (size_t)out : 1);
	if (copy && out > 0)
		memcpy(bytes, copy, (size_t)out);
	*size = copy && out > 0 ? (size_t)out : 0;
	sqlite3_free(copy);
	sqlite3_close(db);
	return bytes;
}

static void edit(uint8_t *bytes, size_t size, const uint8_t *data, size_t n)
{
	for (; n >= 5; data += 5, n -= 5) {
		uint32_t at;

		memcpy(&at, data, sizeof(at));
		bytes[at % size] ^= data[4];
	}
}

/* What a view or a script would do with it; everything must be in bounds and printable. */
static void use(const struct snapshot *s)
{
	static struct json_text json;

	if (export_json(&json, s, NULL, true))
		abort();
	for (size_t i = 0; i + 1 < json.length; i++)
		if ((unsigned char)json.bytes[i] < 0x20 || json.bytes[i] == 0x7f)
			abort();
}

static void play(const uint8_t *bytes, size_t size)
{
	static struct snapshot *s;
	char why[SNAP_TEXT] = "";
	struct replay *r;
	int err = 0;

	if (!s)
		s = snapshot_new();
	r = replay_open_bytes(bytes, size, &err, why, sizeof(why));
	if (!r) {
		if (err >= 0 || !why[0])
			abort();
		return;
	}
	for (int i = 0; i < 4 && replay_next(r, s) > 0; i++)
		use(s);
	replay_seek(r, 1);
	replay_next(r, s);
	replay_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *sound;
	static size_t sound_size;
	uint8_t *copy;
	size_t n;

	if (!sound)
		sound = record(&sound_size);
	n = sound_size;
	if (!size || data[0] == 'S') {
		play(data, size);
		return 0;
	}
	if (data[0] == 'Q') {
		copy = edit_by_sql(sound, &n, data + 1, size - 1);
	} else {
		copy = malloc(n);
		memcpy(copy, sound, n);
		edit(copy, n, data + 1, size - 1);
	}
	play(copy, n);
	free(copy);
	return 0;
}
