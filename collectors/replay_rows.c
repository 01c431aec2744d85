/* SPDX-License-Identifier: Apache-2.0 */
/* replay_rows.c: one tick of a recording into a snapshot, by the row descriptions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/replay_priv.h"
#include "probes/bucket.h"

int replay_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_IOERR:
		return -EIO;
	default:
		return -EBADMSG;
	}
}

/* ---- fields --------------------------------------------------------------------------------- */

static uint32_t load_enum(sqlite3_stmt *st, int column, const struct field *f)
{
	const char *text;

	if (sqlite3_column_type(st, column) != SQLITE_TEXT)
		return (uint32_t)sqlite3_column_int64(st, column);
	text = (const char *)sqlite3_column_text(st, column);
	for (uint32_t v = 0; text && f->enum_name(v)[0] != '?'; v++)
		if (!strcmp(text, f->enum_name(v)))
			return v;
	return 0;
}

/* Index in out->symbols of a symbol of the file; 0 or -errno, -ENOENT when there is none. */
static int load_symbol(struct replay *r, int64_t id, struct snapshot *out, uint32_t *index)
{
	uint32_t i = (uint32_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 40) % REPLAY_SYMBOL_SLOTS;
	struct replay_symbol *slot;
	int rc, err = -ENOENT;

	/* At least half of the slots are free. */
	while (r->symbols[i].tick == r->reads && r->symbols[i].id != id)
		i = (i + 1) % REPLAY_SYMBOL_SLOTS;
	slot = &r->symbols[i];
	if (slot->tick == r->reads) {
		*index = slot->index;
		return 0;
	}
	sqlite3_bind_int64(r->symbol, 1, id);
	rc = sqlite3_step(r->symbol);
	if (rc == SQLITE_ROW) {
		char name[SNAP_NAME], module[sizeof(out->symbols[0].module)];
		const char *text = (const char *)sqlite3_column_text(r->symbol, 0);

		snapshot_string(name, sizeof(name), text ? text : "");
		text = (const char *)sqlite3_column_text(r->symbol, 1);
		snapshot_string(module, sizeof(module), text ? text : "");
		*index = snapshot_add_symbol(out, name, module);
		*slot = (struct replay_symbol){id, r->reads, *index};
		err = 0;
	} else if (rc != SQLITE_DONE) {
		err = replay_errno(rc);
	}
	sqlite3_reset(r->symbol);
	return err;
}

/* "[12,7]": symbol ids, leaf first. What does not parse ends the stack there. */
static int load_frames(struct replay *r, const char *text, struct snapshot *out, uint32_t *nframes,
		       uint32_t max)
{
	uint32_t *frames = nframes + 1;

	if (!text || *text != '[')
		return 0;
	while (*nframes < max && (*text == '[' || *text == ',')) {
		char *end;
		long long id = strtoll(text + 1, &end, 10);
		int err;

		if (end == text + 1)
			return 0;
		text = end;
		err = load_symbol(r, id, out, &frames[*nframes]);
		if (err && err != -ENOENT)
			return err;
		if (!err)
			++*nframes;
	}
	return 0;
}

static int load_field(struct replay *r, sqlite3_stmt *st, int column, struct snapshot *out,
		      const struct field *f, char *row)
{
	void *at = row + f->offset;
	const char *text;

	switch (f->type) {
	case FIELD_STR:
		text = (const char *)sqlite3_column_text(st, column);
		snapshot_string(at, f->size, text ? text : "");
		break;
	case FIELD_CHAR:
		text = (const char *)sqlite3_column_text(st, column);
		*(char *)at = text && text[0] >= ' ' && text[0] <= '~' ? text[0] : '\0';
		break;
	case FIELD_ENUM:
		*(uint32_t *)at = load_enum(st, column, f);
		break;
	case FIELD_U32:
	case FIELD_I32:
		*(uint32_t *)at = (uint32_t)sqlite3_column_int64(st, column);
		break;
	case FIELD_U64:
	case FIELD_I64:
		*(int64_t *)at = sqlite3_column_int64(st, column);
		break;
	case FIELD_F64:
		*(double *)at = sqlite3_column_double(st, column);
		break;
	case FIELD_FRAMES:
		if (r->symbol)
			return load_frames(r, (const char *)sqlite3_column_text(st, column), out,
					   at, f->size);
		break;
	}
	return 0;
}

static bool get_leb128(const uint8_t **p, const uint8_t *end, uint32_t *v)
{
	*v = 0;
	for (uint32_t shift = 0; *p < end && shift < 35; shift += 7) {
		uint8_t byte = *(*p)++;

		if (shift == 28 && byte > 0x0f)
			return false;
		*v |= (uint32_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/* A histogram is taken whole or not at all. */
static void load_bins(sqlite3_stmt *st, int column, struct snapshot *out, struct snap_latency *row)
{
	const uint8_t *p = sqlite3_column_blob(st, column);
	const uint8_t *end = p ? p + sqlite3_column_bytes(st, column) : NULL;
	uint32_t n = out->nbins, bucket = 0, step, count;

	while (p < end) {
		if (!get_leb128(&p, end, &step) || !get_leb128(&p, end, &count) ||
		    step >= BUCKET_COUNT - bucket || (!step && n > out->nbins))
			return;
		if (n == SNAP_BINS) {
			out->truncated++;
			return;
		}
		bucket += step;
		out->bins[n++] = (struct snap_bin){bucket, count};
	}
	row->bin_first = out->nbins;
	row->bin_count = n - out->nbins;
	out->nbins = n;
}

static int load_row(struct replay *r, const struct replay_query *q, const struct table *t,
		    struct snapshot *out, char *row)
{
	int err = 0;

	for (int c = 0; c < q->ncolumns && !err; c++) {
		if (q->fields[c] >= 0)
			err = load_field(r, q->st, c, out, &t->fields[q->fields[c]], row);
		else if (q->fields[c] == COLUMN_BINS)
			load_bins(q->st, c, out, (void *)row);
	}
	return err;
}

/* ---- a tick --------------------------------------------------------------------------------- */

static int load_table(struct replay *r, const struct table *t, struct replay_query *q,
		      struct snapshot *out)
{
	uint32_t n = 0;
	int rc = SQLITE_DONE, err = 0;

	if (!q->st)
		return 0;
	sqlite3_bind_int64(q->st, 1, r->last_id);
	while (!err && (rc = sqlite3_step(q->st)) == SQLITE_ROW) {
		if (n == t->max) {
			out->truncated++;
			continue;
		}
		err = load_row(r, q, t, out, (char *)out + t->rows_offset + n * t->stride);
		n++;
	}
	sqlite3_reset(q->st);
	if (t->count_offset)
		*(uint32_t *)((char *)out + t->count_offset) = n;
	if (err)
		return err;
	return rc == SQLITE_DONE ? 0 : replay_errno(rc);
}

/* The scalars of the first tick after last_id. Returns 1, 0 at the end, or -errno. */
static int load_tick(struct replay *r, struct snapshot *out)
{
	int rc, more = 0;

	sqlite3_bind_int64(r->tick.st, 1, r->last_id);
	rc = sqlite3_step(r->tick.st);
	if (rc == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(r->tick.st, 0);

		/* A file whose ids do not ascend would have no end. */
		more = id > r->last_id ? 1 : -EBADMSG;
		r->last_id = id;
		load_row(r, &r->tick, &recorder_tick_table, out, (char *)out);
	} else if (rc != SQLITE_DONE) {
		more = replay_errno(rc);
	}
	sqlite3_reset(r->tick.st);
	return more;
}

int replay_load(struct replay *r, struct snapshot *out)
{
	int more, err = 0;

	r->reads++;
	more = load_tick(r, out);
	if (more <= 0)
		return more;
	for (uint32_t i = 0; i < snapshot_ntables && !err; i++)
		err = load_table(r, &snapshot_tables[i], &r->tables[i], out);
	return err ? err : 1;
}
