/* SPDX-License-Identifier: Apache-2.0 */
/* export_json.c: JSON by a streaming writer, generated from the row descriptions. */
#include "collectors/export_json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/snapshot_rows.h"
#include "probes/bucket.h"

/* ---- text ----------------------------------------------------------------------------------- */

void json_text_fini(struct json_text *out)
{
	free(out->bytes);
	*out = (struct json_text){0};
}

/* Room for n more bytes; NULL when there is no memory. */
static char *reserve(struct json_text *out, size_t n)
{
	if (out->capacity - out->length < n) {
		size_t capacity = out->capacity ? out->capacity : 16384;
		char *p;

		while (capacity - out->length < n)
			capacity *= 2;
		p = realloc(out->bytes, capacity);
		if (!p) {
			out->failed = true;
			return NULL;
		}
		out->bytes = p;
		out->capacity = capacity;
	}
	return out->bytes + out->length;
}

static void put(struct json_text *out, const char *s, size_t n)
{
	char *p = reserve(out, n);

	if (!p)
		return;
	memcpy(p, s, n);
	out->length += n;
}

static void put_char(struct json_text *out, char c)
{
	put(out, &c, 1);
}

static void put_u64(struct json_text *out, uint64_t v)
{
	char buf[20], *p = buf + sizeof(buf);

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	put(out, p, (size_t)(buf + sizeof(buf) - p));
}

static void put_i64(struct json_text *out, int64_t v)
{
	if (v < 0)
		put_char(out, '-');
	put_u64(out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

/* Beyond what fits in integers: printf, whose decimal point follows the locale. */
static void put_huge(struct json_text *out, double v)
{
	char buf[32];
	int n = snprintf(buf, sizeof(buf), "%.15e", v);

	for (int i = 0; i < n; i++)
		if (!strchr("0123456789+-e", buf[i]))
			buf[i] = '.';
	put(out, buf, (size_t)n);
}

static void put_f64(struct json_text *out, double v)
{
	uint64_t scale = fabs(v) < 1 ? 1000000000 : 1000, scaled, fraction;

	if (!isfinite(v)) {
		put(out, "null", 4);
		return;
	}
	if (fabs(v) >= 1e15) {
		put_huge(out, v);
		return;
	}
	scaled = (uint64_t)(fabs(v) * (double)scale + 0.5);
	if (v < 0 && scaled)
		put_char(out, '-');
	put_u64(out, scaled / scale);
	fraction = scaled % scale;
	if (!fraction)
		return;
	put_char(out, '.');
	for (; fraction; fraction %= scale) {
		fraction *= 10; /* below 10^10: the scale is 10^9 at most */
		put_char(out, (char)('0' + fraction / scale));
	}
}

static bool plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* s is cleaned already where it is not plain ASCII. */
static void put_escaped(struct json_text *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t from = i;
		char hex[8];

		while (i < n && (plain((unsigned char)s[i]) || (unsigned char)s[i] >= 0x80))
			i++;
		put(out, s + from, i - from);
		if (i == n)
			return;
		if (s[i] == '"' || s[i] == '\\') {
			put_char(out, '\\');
			put_char(out, s[i]);
		} else {
			snprintf(hex, sizeof(hex), "\\u%04x", (unsigned char)s[i]);
			put(out, hex, 6);
		}
		i++;
	}
}

/* Without the quotes; s ends at a NUL or at size. */
static void put_words(struct json_text *out, const char *s, size_t size)
{
	char raw[SNAP_TEXT + 1], clean[SNAP_TEXT + 1];
	size_t n = strnlen(s, size);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] >= 0x80) {
			n = n < SNAP_TEXT ? n : SNAP_TEXT;
			memcpy(raw, s, n);
			raw[n] = '\0';
			snapshot_string(clean, sizeof(clean), raw);
			put_escaped(out, clean, strlen(clean));
			return;
		}
	put_escaped(out, s, n);
}

static void put_string(struct json_text *out, const char *s, size_t size)
{
	put_char(out, '"');
	put_words(out, s, size);
	put_char(out, '"');
}

/* A comma where one is due, and the member's name. Names are plain C identifiers. */
static void put_key(struct json_text *out, const char *name)
{
	char last = out->length ? out->bytes[out->length - 1] : '{';

	if (last != '{' && last != '[')
		put_char(out, ',');
	put_char(out, '"');
	put(out, name, strlen(name));
	put(out, "\":", 2);
}

static void put_comma(struct json_text *out)
{
	if (out->length && out->bytes[out->length - 1] != '[')
		put_char(out, ',');
}

static void put_member(struct json_text *out, const char *name, uint64_t v)
{
	put_key(out, name);
	put_u64(out, v);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void put_frames(struct json_text *out, const struct snapshot *s, const uint32_t *frames,
		       uint32_t n)
{
	put_char(out, '[');
	for (uint32_t f = 0; f < n; f++) {
		const struct snap_symbol *sym;

		if (frames[f] >= s->nsymbols || frames[f] >= SNAP_SYMBOLS)
			continue;
		sym = &s->symbols[frames[f]];
		put_comma(out);
		put_char(out, '"');
		put_words(out, sym->name, sizeof(sym->name));
		if (sym->module[0]) {
			put(out, " (", 2);
			put_words(out, sym->module, sizeof(sym->module));
			put_char(out, ')');
		}
		put_char(out, '"');
	}
	put_char(out, ']');
}

static void put_field(struct json_text *out, const struct snapshot *s, const struct field *f,
		      const char *row)
{
	const void *at = row + f->offset;
	const uint32_t *words;
	const char *name;

	put_key(out, f->name);
	switch (f->type) {
	case FIELD_STR:
		put_string(out, at, f->size);
		break;
	case FIELD_CHAR:
		put_string(out, at, 1);
		break;
	case FIELD_U32:
		put_u64(out, *(const uint32_t *)at);
		break;
	case FIELD_I32:
		put_i64(out, *(const int32_t *)at);
		break;
	case FIELD_U64:
		put_u64(out, *(const uint64_t *)at);
		break;
	case FIELD_I64:
		put_i64(out, *(const int64_t *)at);
		break;
	case FIELD_F64:
		put_f64(out, *(const double *)at);
		break;
	case FIELD_ENUM:
		name = f->enum_name(*(const uint32_t *)at);
		put_string(out, name, strlen(name));
		break;
	case FIELD_FRAMES:
		words = at;
		put_frames(out, s, words + 1, words[0] < f->size ? words[0] : f->size);
		break;
	}
}

static void put_histogram(struct json_text *out, const struct snapshot *s,
			  const struct snap_latency *row)
{
	uint32_t n;
	const struct snap_bin *bins = snapshot_row_bins(s, row, &n);

	put_key(out, "histogram");
	put_char(out, '[');
	for (uint32_t i = 0; i < n; i++) {
		put_comma(out);
		put_char(out, '[');
		put_u64(out, bucket_low(bins[i].bucket));
		put_char(out, ',');
		put_u64(out, bins[i].count);
		put_char(out, ']');
	}
	put_char(out, ']');
}

static void put_fields(struct json_text *out, const struct snapshot *s, const struct table *t,
		       const void *row, uint32_t first)
{
	for (uint32_t i = first; i < t->nfields; i++)
		put_field(out, s, &t->fields[i], row);
}

static void put_rows(struct json_text *out, const struct snapshot *s, const struct table *t,
		     const char *key, bool histograms)
{
	put_key(out, key);
	put_char(out, '[');
	for (uint32_t i = 0; i < snapshot_row_count(s, t); i++) {
		put_comma(out);
		put_char(out, '{');
		put_fields(out, s, t, snapshot_row(s, t, i), 0);
		if (histograms && snapshot_table_has_bins(t))
			put_histogram(out, s, snapshot_row(s, t, i));
		put_char(out, '}');
	}
	put_char(out, ']');
}

/* ---- the tables that do not stand alone ----------------------------------------------------- */

/* {NAME: {the other fields}}: the name is the row's first field. */
static void put_sections(struct json_text *out, const struct snapshot *s, const struct table *t)
{
	put_key(out, t->name);
	put_char(out, '{');
	for (uint32_t i = 0; i < snapshot_row_count(s, t); i++) {
		const struct snap_section *sec = snapshot_row(s, t, i);

		if (i)
			put_char(out, ',');
		put_string(out, sec->name, sizeof(sec->name));
		put(out, ":{", 2);
		put_fields(out, s, t, sec, 1);
		put_char(out, '}');
	}
	put_char(out, '}');
}

static void put_inner(struct json_text *out, const struct snapshot *s, const struct table *outer);

static void put_single(struct json_text *out, const struct snapshot *s, const struct table *t)
{
	put_key(out, t->inside ? t->key : t->name);
	if (!snapshot_row_count(s, t)) {
		put(out, "null", 4);
		return;
	}
	put_char(out, '{');
	put_fields(out, s, t, snapshot_row(s, t, 0), 0);
	put_inner(out, s, t);
	put_char(out, '}');
}

/* The tables whose place is inside this one. */
static void put_inner(struct json_text *out, const struct snapshot *s, const struct table *outer)
{
	for (uint32_t i = 0; i < snapshot_ntables; i++) {
		const struct table *t = &snapshot_tables[i];

		if (!t->inside || strcmp(t->inside, outer->name))
			continue;
		if (t->max == 1)
			put_single(out, s, t);
		else
			put_rows(out, s, t, t->key, false);
	}
}

static void put_blocked(struct json_text *out, const struct snapshot *s, const struct table *t)
{
	uint32_t n = snapshot_row_count(s, t);
	uint64_t total_ns = 0;

	for (uint32_t i = 0; i < n; i++)
		total_ns += s->blocked[i].ns;
	put_key(out, t->name);
	put_char(out, '{');
	put_member(out, "total_ns", total_ns);
	put_key(out, "by_reason");
	put_char(out, '{');
	for (uint32_t i = 0; i < n; i++)
		put_member(out, blocked_reason_name(s->blocked[i].reason), s->blocked[i].ns);
	put_char(out, '}');
	put_rows(out, s, t, "rows", false);
	put_inner(out, s, t);
	put_char(out, '}');
}

static bool is(const struct table *t, const char *name)
{
	return !strcmp(t->name, name);
}

/* Of any length: it is made of strings of the snapshot, which are clean. */
static void put_text(struct json_text *out, const char *name, const char *text)
{
	put_key(out, name);
	put_char(out, '"');
	put_escaped(out, text, strlen(text));
	put_char(out, '"');
}

static void put_verdict(struct json_text *out, const struct json_verdict *v)
{
	put_key(out, "verdict");
	if (!v) {
		put(out, "null", 4);
		return;
	}
	put(out, "{\"mood\":", 8);
	put_string(out, v->mood, strlen(v->mood));
	put_text(out, "label", v->label);
	put_text(out, "text", v->text);
	put_text(out, "view", v->view);
	put_text(out, "also", v->also);
	put_char(out, '}');
}

int export_json(struct json_text *out, const struct snapshot *s, const struct json_verdict *verdict,
		bool histograms)
{
	out->length = 0;
	out->failed = false;
	put(out, "{\"schema\":\"perftop.snapshot/1\"", 30);
	put_member(out, "seq", s->seq);
	put_member(out, "time_ns", s->time_ns);
	put_member(out, "interval_ns", s->interval_ns);
	put_member(out, "since_ns", s->since_ns);
	put_member(out, "truncated", s->truncated);
	put_key(out, "finished");
	put(out, s->finished ? "true" : "false", s->finished ? 4 : 5);
	put_verdict(out, verdict);
	for (uint32_t i = 0; i < snapshot_ntables; i++) {
		const struct table *t = &snapshot_tables[i];

		if (t->inside)
			continue;
		if (is(t, "sections"))
			put_sections(out, s, t);
		else if (is(t, "blocked"))
			put_blocked(out, s, t);
		else if (t->max == 1)
			put_single(out, s, t);
		else
			put_rows(out, s, t, t->name, histograms);
	}
	put(out, "}\n", 2);
	return out->failed ? -ENOMEM : 0;
}
