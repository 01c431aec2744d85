/* SPDX-License-Identifier: Apache-2.0 */
/* recorder_rows.c: one tick into SQLite, by the row descriptions. */
#include <stdio.h>
#include <string.h>

#include "collectors/recorder_priv.h"
#include "collectors/snapshot_rows.h"

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
	err = recorder_run(r, SQL_STRING);
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
	err = recorder_run(r, SQL_SYMBOL);
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

/* Frames as a JSON array of symbol ids, kept as a string: the same stack comes again and again. */
static int frames_id(struct recorder *r, const struct snapshot *s, const uint32_t *frames,
		     uint32_t nframes, int64_t *id)
{
	char text[RECORDER_FRAMES_BYTES];
	size_t n = 0;

	text[n++] = '[';
	for (uint32_t i = 0; i < nframes && i < SNAP_FRAMES; i++) {
		uint32_t sym = frames[i];
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

static int bind_field(struct recorder *r, sqlite3_stmt *st, int column, const struct snapshot *s,
		      const struct field *f, const char *row)
{
	const void *at = row + f->offset;
	const uint32_t *words;
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
		sqlite3_bind_int(st, column, *(const unsigned char *)at);
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
	case FIELD_FRAMES:
		words = at;
		err = frames_id(r, s, words + 1, words[0], &id);
		if (err)
			return err;
		sqlite3_bind_int64(st, column, id);
		break;
	}
	return 0;
}

static int write_tick_row(struct recorder *r, const struct snapshot *s)
{
	const struct table *t = &recorder_tick_table;

	sqlite3_bind_int64(r->sql[SQL_TICK], 1, r->next_tick);
	for (uint32_t f = 0; f < t->nfields; f++)
		bind_field(r, r->sql[SQL_TICK], (int)f + 2, s, &t->fields[f], (const char *)s);
	return recorder_run(r, SQL_TICK);
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
			err = bind_field(r, st, (int)f + 3, s, &t->fields[f], row);
			if (err)
				return err;
		}
		if (snapshot_table_has_bins(t))
			bind_bins(r, st, (int)t->nfields + 3, s, (const void *)row);
		err = recorder_run(r, SQL_ROWS + which);
		if (err)
			return err;
	}
	return 0;
}

int recorder_write_rows(struct recorder *r, const struct snapshot *s)
{
	int err = write_tick_row(r, s);

	memset(r->symbol_ids, 0xff, sizeof(r->symbol_ids));
	for (uint32_t i = 0; i < snapshot_ntables && !err; i++)
		err = write_table(r, s, i);
	return err;
}
