/* SPDX-License-Identifier: Apache-2.0 */
/* test_snapshot.c: snapshots copy what they hold, clean their strings, and describe every field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collectors/snapshot.h"
#include "probes/bucket.h"

static void clean(const char *in, const char *want)
{
	char out[64];

	snapshot_string(out, sizeof(out), in);
	assert_string_equal(out, want);
}

static void hostile_names_cannot_drive_the_terminal(void **state)
{
	clean("plain", "plain");
	clean("\x1b[2Jgone", "?[2Jgone");
	clean("a\tb\nc\x7f", "a?b?c?");
	clean("\xc2\x9b"
	      "31m",
	      "??31m"); /* CSI as C1 */
	clean("caf\xc3\xa9", "caf\xc3\xa9");
	clean("\xff\xfe", "??");
	clean("\xc0\xaf", "??");      /* overlong */
	clean("\xed\xa0\x80", "???"); /* surrogate */
	clean("\xe2\x80\xae"
	      "txt",
	      "???txt"); /* right-to-left override */
	clean("\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa5");
	clean("\xf4\x90\x80\x80", "????"); /* past U+10FFFF */
}

static void a_long_name_is_cut_between_characters(void **state)
{
	char out[6];

	snapshot_string(out, sizeof(out), "abc\xc3\xa9\xc3\xa9");
	assert_string_equal(out, "abc\xc3\xa9");
	snapshot_string(out, sizeof(out), "abcd\xc3\xa9");
	assert_string_equal(out, "abcd");
	snapshot_string(out, 1, "x");
	assert_string_equal(out, "");
	snapshot_string(out, sizeof(out), NULL);
	assert_string_equal(out, "");
}

static void copying_brings_all_and_clearing_leaves_nothing(void **state)
{
	struct snapshot *a = snapshot_new(), *b = snapshot_new();

	assert_non_null(a);
	assert_non_null(b);
	a->seq = 7;
	a->nlatency = 2;
	strcpy(a->latency[1].name, "second");
	a->nbins = 3;
	a->bins[2].count = 9;
	a->nthreads = SNAP_THREADS;
	a->threads[SNAP_THREADS - 1].tid = 42;
	snapshot_copy(b, a);
	assert_int_equal(b->seq, 7);
	assert_string_equal(b->latency[1].name, "second");
	assert_int_equal(b->bins[2].count, 9);
	assert_int_equal(b->threads[SNAP_THREADS - 1].tid, 42);
	snapshot_clear(b);
	assert_int_equal(b->seq, 0);
	assert_int_equal(b->nlatency, 0);
	assert_string_equal(b->latency[1].name, "");
	assert_int_equal(b->threads[SNAP_THREADS - 1].tid, 0);
	snapshot_free(a);
	snapshot_free(b);
}

static void quantiles_are_those_of_the_sorted_values(void **state)
{
	struct snap_bin bins[100];

	/* 1..100, one each: below 64 exact, above within a bucket. */
	for (uint32_t i = 0; i < 100; i++)
		bins[i] = (struct snap_bin){bucket_index(i + 1), 1};
	assert_int_equal(snapshot_quantile(bins, 100, 100, 0.50), 50);
	assert_int_equal(snapshot_quantile(bins, 100, 100, 0.01), 1);
	assert_in_range(snapshot_quantile(bins, 100, 100, 0.99), 98, 100);
	assert_in_range(snapshot_quantile(bins, 100, 100, 1.0), 99, 101);
	assert_int_equal(snapshot_quantile(bins, 100, 100, 0), 1);
	assert_int_equal(snapshot_quantile(bins, 0, 0, 0.5), 0);
	bins[0].count = UINT32_MAX;
	assert_int_equal(snapshot_quantile(bins, 1, UINT32_MAX, 0.999), 1);
}

static void every_field_lies_inside_its_row_and_has_its_own_name(void **state)
{
	for (uint32_t t = 0; t < snapshot_ntables; t++) {
		const struct table *tab = &snapshot_tables[t];

		assert_true(tab->rows_offset + tab->stride * tab->max <= sizeof(struct snapshot));
		assert_ptr_equal(snapshot_table(tab->name), tab);
		for (uint32_t i = 0; i < tab->nfields; i++) {
			const struct field *f = &tab->fields[i];
			size_t size = f->type == FIELD_STR    ? f->size
				      : f->type == FIELD_CHAR ? 1
				      : f->type == FIELD_U64 || f->type == FIELD_I64 ||
						      f->type == FIELD_F64
					      ? 8
					      : 4;

			assert_true(f->offset + size <= tab->stride);
			for (uint32_t k = 0; k < i; k++) {
				const struct field *g = &tab->fields[k];

				assert_string_not_equal(f->name, g->name);
				assert_true(f->offset != g->offset);
			}
		}
	}
	assert_null(snapshot_table("no such table"));
}

static void symbols_past_the_limit_share_one_place(void **state)
{
	struct snapshot *s = snapshot_new();
	char name[16];

	for (uint32_t i = 0; i < SNAP_SYMBOLS + 10; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(snapshot_symbol(s, name, "m"),
				 i < SNAP_SYMBOLS - 1 ? i : SNAP_SYMBOLS - 1);
	}
	assert_int_equal(snapshot_symbol(s, "f3", "m"), 3);
	assert_int_equal(s->nsymbols, SNAP_SYMBOLS);
	snapshot_free(s);
}

static void sections_past_the_limit_are_refused(void **state)
{
	struct snapshot *s = snapshot_new();
	char name[16];

	for (uint32_t i = 0; i < SNAP_SECTIONS; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_non_null(snapshot_section(s, name));
	}
	assert_null(snapshot_section(s, "one more"));
	snapshot_set_section(s, "s1", SECTION_LIVE, "why\x1b", NULL);
	assert_string_equal(snapshot_section(s, "s1")->reason, "why?");
	snapshot_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_names_cannot_drive_the_terminal),
		cmocka_unit_test(a_long_name_is_cut_between_characters),
		cmocka_unit_test(copying_brings_all_and_clearing_leaves_nothing),
		cmocka_unit_test(quantiles_are_those_of_the_sorted_values),
		cmocka_unit_test(every_field_lies_inside_its_row_and_has_its_own_name),
		cmocka_unit_test(symbols_past_the_limit_share_one_place),
		cmocka_unit_test(sections_past_the_limit_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
