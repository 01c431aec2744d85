/* SPDX-License-Identifier: Apache-2.0 */
/* recorder_schema.c: SQL of a recording, generated from the row descriptions. */
#include "collectors/recorder_schema.h"

#include <sqlite3.h>

#include "collectors/snapshot_rows.h"

#define TICK(member, type)                                                \
	{                                                                 \
#member, offsetof(struct snapshot, member), 0, type, NULL \
	}

static const struct field tick_fields[] = {
	TICK(seq, FIELD_U64),	      TICK(time_ns, FIELD_U64),	 TICK(mono_ns, FIELD_U64),
	TICK(interval_ns, FIELD_U64), TICK(since_ns, FIELD_U64), TICK(finished, FIELD_U32),
	TICK(truncated, FIELD_U32),
};

const struct table recorder_tick_table = {
	.name = "tick",
	.max = 1,
	.stride = sizeof(struct snapshot),
	.fields = tick_fields,
	.nfields = sizeof(tick_fields) / sizeof(tick_fields[0]),
};

static const char fixed_sql[] =
	"CREATE TABLE readme(text TEXT);\n"
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;\n"
	"CREATE TABLE string(id INTEGER PRIMARY KEY, text TEXT NOT NULL);\n"
	"INSERT INTO string VALUES(0, '');\n"
	"CREATE TABLE symbol(id INTEGER PRIMARY KEY, name TEXT NOT NULL, module TEXT NOT NULL);\n"
	"CREATE VIEW stack_frames AS SELECT s.tick, s.i, s.count, f.key AS depth, y.name, y.module"
	" FROM stacks s, json_each(s.frames) f JOIN symbol y ON y.id = f.value;\n"
	"CREATE VIEW timeline AS SELECT t.id AS tick,"
	" strftime('%Y-%m-%d %H:%M:%f', t.time_ns / 1e9, 'unixepoch') AS utc,"
	" p.user_pct, p.sys_pct, p.rss_bytes, c.runq_wait_pct, c.samples,"
	" o.self_cpu_pct, o.target_pct_est"
	" FROM tick t LEFT JOIN proc p ON p.tick = t.id LEFT JOIN cpu c ON c.tick = t.id"
	" LEFT JOIN cost o ON o.tick = t.id;\n"
	"CREATE VIEW latest_latency AS SELECT name, module, source, unit, count, rate, p50, p90,"
	" p99, p999, max FROM latency WHERE tick = (SELECT max(id) FROM tick) ORDER BY p99 DESC;\n";

static const char readme_text[] =
	"A perftop recording. Play it: perftop --replay FILE. One row of tick for each interval; "
	"every other view has a column tick, its id, and i, the row's place. Times are integer ns, "
	"sizes bytes, percentages of one CPU; time_ns is since 1970, UTC. An unsigned number above "
	"2^63 shows as negative.\n"
	"Query the views (latency, syscalls, functions, threads, blocked, ...), not the tables "
	"NAME_rows behind them, which hold numbers of the table string in place of texts. "
	"timeline has one line a tick, latest_latency the last tick, stack_frames one line a frame "
	"(depth 0 is the leaf).\n"
	"Counts and quantiles run since attach or reset (tick.since_ns), rates cover the "
	"interval.\n"
	"latency.bins and syscalls.bins are histograms: pairs of LEB128 numbers, how far the "
	"bucket is from the one before (the first from 0), then its count. Buckets 0-63 hold one "
	"value each; above, bucket b holds values from (b - 32e) << e on, e = b / 32 - 1.\n"
	"  sqlite3 FILE 'SELECT * FROM latest_latency'\n"
	"  sqlite3 FILE \"SELECT tick, p50, p99 FROM latency WHERE name = 'processCommand'\"\n";

static void append_column(sqlite3_str *sql, const struct field *f)
{
	sqlite3_str_appendf(sql, ", \"%w\" %s", f->name, f->type == FIELD_F64 ? "REAL" : "INTEGER");
}

/* The column as a user reads it: texts, names of enums and characters in place of numbers. */
static void append_view_column(sqlite3_str *sql, const struct field *f)
{
	switch (f->type) {
	case FIELD_STR:
	case FIELD_FRAMES:
		sqlite3_str_appendf(sql, ", (SELECT text FROM string WHERE id = r.\"%w\")",
				    f->name);
		break;
	case FIELD_CHAR:
		sqlite3_str_appendf(sql, ", char(r.\"%w\")", f->name);
		break;
	case FIELD_ENUM:
		sqlite3_str_appendf(sql, ", CASE r.\"%w\"", f->name);
		for (uint32_t v = 0; f->enum_name(v)[0] != '?'; v++)
			sqlite3_str_appendf(sql, " WHEN %u THEN '%q'", v, f->enum_name(v));
		sqlite3_str_appendf(sql, " ELSE r.\"%w\" END", f->name);
		break;
	default:
		sqlite3_str_appendf(sql, ", r.\"%w\"", f->name);
	}
	sqlite3_str_appendf(sql, " AS \"%w\"", f->name);
}

static void append_table(sqlite3_str *sql, const struct table *t)
{
	bool bins = snapshot_table_has_bins(t);

	sqlite3_str_appendf(sql, "CREATE TABLE \"%w_rows\"(tick INTEGER, i INTEGER", t->name);
	for (uint32_t i = 0; i < t->nfields; i++)
		append_column(sql, &t->fields[i]);
	sqlite3_str_appendf(sql, "%s, PRIMARY KEY(tick, i)) WITHOUT ROWID;\n",
			    bins ? ", bins BLOB" : "");
	sqlite3_str_appendf(sql, "CREATE VIEW \"%w\" AS SELECT r.tick, r.i", t->name);
	for (uint32_t i = 0; i < t->nfields; i++)
		append_view_column(sql, &t->fields[i]);
	sqlite3_str_appendf(sql, "%s FROM \"%w_rows\" r;\n", bins ? ", r.bins" : "", t->name);
}

int recorder_schema_create(sqlite3 *db)
{
	sqlite3_str *sql = sqlite3_str_new(db);
	char *text;
	int rc;

	sqlite3_str_appendf(sql, "BEGIN;\nPRAGMA application_id = %d;\nPRAGMA user_version = %d;\n",
			    RECORDER_APPLICATION_ID, RECORDER_VERSION);
	sqlite3_str_appendall(sql, "CREATE TABLE tick(id INTEGER PRIMARY KEY");
	for (uint32_t i = 0; i < recorder_tick_table.nfields; i++)
		append_column(sql, &recorder_tick_table.fields[i]);
	sqlite3_str_appendall(sql, ");\n");
	for (uint32_t i = 0; i < snapshot_ntables; i++)
		append_table(sql, &snapshot_tables[i]);
	sqlite3_str_appendall(sql, fixed_sql);
	sqlite3_str_appendf(sql, "INSERT INTO readme VALUES(%Q);\nCOMMIT;\n", readme_text);
	text = sqlite3_str_finish(sql);
	if (!text)
		return SQLITE_NOMEM;
	rc = sqlite3_exec(db, text, NULL, NULL, NULL);
	sqlite3_free(text);
	return rc;
}

char *recorder_schema_insert(const struct table *t)
{
	sqlite3_str *sql = sqlite3_str_new(NULL);
	uint32_t n = t->nfields + (t == &recorder_tick_table ? 0 : 1);

	if (snapshot_table_has_bins(t))
		n++;
	sqlite3_str_appendf(sql, "INSERT INTO \"%w%s\" VALUES(?", t->name,
			    t == &recorder_tick_table ? "" : "_rows");
	for (uint32_t i = 0; i < n; i++)
		sqlite3_str_appendall(sql, ",?");
	sqlite3_str_appendall(sql, ")");
	return sqlite3_str_finish(sql);
}
