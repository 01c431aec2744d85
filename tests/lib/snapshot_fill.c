/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_fill.c: see snapshot_fill.h. */
#include "tests/lib/snapshot_fill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collectors/snapshot_rows.h"
#include "probes/bucket.h"

enum { FILL_BINS = 40, FILL_FRAMES = 12 };

static void fill_frames(struct snapshot *s, uint32_t *row, uint32_t n, uint64_t seed)
{
	row[0] = n;
	for (uint32_t f = 0; f < n; f++) {
		char name[64];

		snprintf(name, sizeof(name), "frame_%llu", (unsigned long long)(seed + f) % 40);
		row[1 + f] = snapshot_symbol(s, name, "module.so");
	}
}

static void fill_field(struct snapshot *s, char *row, const struct field *f, uint32_t i, uint64_t v)
{
	char *at = row + f->offset;
	uint32_t names = 1;

	switch (f->type) {
	case FIELD_STR:
		snprintf(at, f->size, "%s%llu", f->size > 16 ? f->name : "", (unsigned long long)v);
		break;
	case FIELD_CHAR:
		*at = (char)('A' + v % 26);
		break;
	case FIELD_U32:
		*(uint32_t *)at = (uint32_t)v | 0x80000000u;
		break;
	case FIELD_I32:
		*(int32_t *)at = -(int32_t)v - 1;
		break;
	case FIELD_U64:
		*(uint64_t *)at = v << 20 | 1;
		break;
	case FIELD_I64:
		*(int64_t *)at = -(int64_t)(v << 20) - 1;
		break;
	case FIELD_F64:
		/* cppcheck-suppress invalidPointerCast ; the field is a double */
		*(double *)at = (double)v + 0.25;
		break;
	case FIELD_ENUM:
		while (f->enum_name(names)[0] != '?')
			names++;
		*(uint32_t *)at = names < 2 ? 0 : 1 + i % (names - 1);
		break;
	case FIELD_FRAMES:
		/* cppcheck-suppress invalidPointerCast ; the field is words */
		fill_frames(s, (uint32_t *)at, FILL_FRAMES, v);
		break;
	}
}

static void fill_bins(struct snapshot *s, struct snap_latency *row)
{
	row->bin_first = s->nbins;
	for (uint32_t i = 0; i < FILL_BINS; i++)
		s->bins[s->nbins++] =
			(struct snap_bin){i * (BUCKET_COUNT - 1) / (FILL_BINS - 1), 1u << i % 32};
	row->bin_count = FILL_BINS;
}

void snapshot_fill(struct snapshot *s, uint32_t rows, uint64_t seed)
{
	uint64_t v = seed * 1000000;

	snapshot_clear(s);
	s->seq = seed + 1;
	s->time_ns = 1700000000000000000u + seed * 1000000000u;
	s->mono_ns = (seed + 1) * 1000000000u;
	s->interval_ns = 999999999;
	s->since_ns = seed * 1000000000u + 7;
	s->truncated = 3;
	for (uint32_t t = 0; t < snapshot_ntables; t++) {
		const struct table *table = &snapshot_tables[t];
		uint32_t n = rows < table->max ? rows : table->max;

		if (table->count_offset)
			*(uint32_t *)((char *)s + table->count_offset) = n;
		for (uint32_t i = 0; i < n; i++) {
			char *row = (char *)s + table->rows_offset + i * table->stride;

			for (uint32_t f = 0; f < table->nfields; f++)
				fill_field(s, row, &table->fields[f], i, ++v);
			if (snapshot_table_has_bins(table) && s->nbins + FILL_BINS <= SNAP_BINS)
				fill_bins(s, (void *)row);
		}
	}
}

static bool frames_equal(const struct snapshot *s, const uint32_t *x, const struct snapshot *t,
			 const uint32_t *y)
{
	if (x[0] != y[0])
		return false;
	for (uint32_t f = 1; f <= x[0]; f++)
		if (strcmp(s->symbols[x[f]].name, t->symbols[y[f]].name) ||
		    strcmp(s->symbols[x[f]].module, t->symbols[y[f]].module))
			return false;
	return true;
}

static bool field_equal(const struct field *f, const struct snapshot *s, const char *a,
			const struct snapshot *t, const char *b)
{
	switch (f->type) {
	case FIELD_STR:
		return !strcmp(a + f->offset, b + f->offset);
	case FIELD_CHAR:
		return a[f->offset] == b[f->offset];
	case FIELD_U32:
	case FIELD_I32:
	case FIELD_ENUM:
		return !memcmp(a + f->offset, b + f->offset, sizeof(uint32_t));
	case FIELD_FRAMES:
		return frames_equal(s, (const void *)(a + f->offset), t,
				    (const void *)(b + f->offset));
	default:
		return !memcmp(a + f->offset, b + f->offset, sizeof(uint64_t));
	}
}

static void assert_bins_equal(const struct snapshot *a, const struct snap_latency *x,
			      const struct snapshot *b, const struct snap_latency *y)
{
	uint32_t n, m;
	const struct snap_bin *p = snapshot_row_bins(a, x, &n), *q = snapshot_row_bins(b, y, &m);

	assert_int_equal(n, m);
	assert_memory_equal(p, q, n * sizeof(*p));
}

void snapshot_assert_equal(const struct snapshot *a, const struct snapshot *b)
{
	assert_memory_equal(a, b, offsetof(struct snapshot, replaying));
	assert_int_equal(a->finished, b->finished);
	assert_int_equal(a->truncated, b->truncated);
	for (uint32_t t = 0; t < snapshot_ntables; t++) {
		const struct table *table = &snapshot_tables[t];

		if (snapshot_row_count(a, table) != snapshot_row_count(b, table))
			fail_msg("%s: %u rows and %u", table->name, snapshot_row_count(a, table),
				 snapshot_row_count(b, table));
		for (uint32_t i = 0; i < snapshot_row_count(a, table); i++) {
			const void *x = snapshot_row(a, table, i), *y = snapshot_row(b, table, i);

			for (uint32_t f = 0; f < table->nfields; f++)
				if (!field_equal(&table->fields[f], a, x, b, y))
					fail_msg("%s[%u].%s differs", table->name, i,
						 table->fields[f].name);
			if (snapshot_table_has_bins(table))
				assert_bins_equal(a, x, b, y);
		}
	}
}
