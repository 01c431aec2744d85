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

enum { FILL_BINS = 40, FILL_STACKS = 5, FILL_FRAMES = 12 };

static void fill_field(char *row, const struct field *f, uint32_t i, uint64_t v)
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

static void fill_stacks(struct snapshot *s, uint64_t seed)
{
	char name[SNAP_NAME];

	s->nstacks = FILL_STACKS;
	for (uint32_t i = 0; i < FILL_STACKS; i++) {
		s->stacks[i].count = seed + 100 - i;
		s->stacks[i].nframes = FILL_FRAMES;
		for (uint32_t f = 0; f < FILL_FRAMES; f++) {
			snprintf(name, sizeof(name), "function %llu, %u",
				 (unsigned long long)seed % 3, (i + f) % (FILL_FRAMES + 2));
			s->stacks[i].frames[f] = snapshot_symbol(s, name, "module.so");
		}
	}
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
				fill_field(row, &table->fields[f], i, ++v);
			if (snapshot_table_has_bins(table) && s->nbins + FILL_BINS <= SNAP_BINS)
				fill_bins(s, (void *)row);
		}
	}
	fill_stacks(s, seed);
}

static bool field_equal(const struct field *f, const char *a, const char *b)
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

static void assert_stacks_equal(const struct snapshot *a, const struct snapshot *b)
{
	assert_int_equal(a->nstacks, b->nstacks);
	for (uint32_t i = 0; i < a->nstacks; i++) {
		const struct snap_stack *x = &a->stacks[i], *y = &b->stacks[i];

		assert_int_equal(x->count, y->count);
		assert_int_equal(x->nframes, y->nframes);
		for (uint32_t f = 0; f < x->nframes; f++) {
			assert_string_equal(a->symbols[x->frames[f]].name,
					    b->symbols[y->frames[f]].name);
			assert_string_equal(a->symbols[x->frames[f]].module,
					    b->symbols[y->frames[f]].module);
		}
	}
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
				if (!field_equal(&table->fields[f], x, y))
					fail_msg("%s[%u].%s differs", table->name, i,
						 table->fields[f].name);
			if (snapshot_table_has_bins(table))
				assert_bins_equal(a, x, b, y);
		}
	}
	assert_stacks_equal(a, b);
}
