/* SPDX-License-Identifier: Apache-2.0 */
/* test_json.c: what scripts read from --json parses, is complete and is right. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "collectors/export_json.h"
#include "collectors/snapshot_rows.h"
#include "probes/bucket.h"
#include "tests/lib/snapshot_fill.h"

static json_t *parse_with(const struct snapshot *s, const struct json_verdict *verdict,
			  bool histograms)
{
	struct json_text text = {0};
	json_error_t why;
	json_t *root;

	assert_int_equal(export_json(&text, s, verdict, histograms), 0);
	assert_int_equal(text.bytes[text.length - 1], '\n');
	assert_null(memchr(text.bytes, '\n', text.length - 1));
	root = json_loadb(text.bytes, text.length, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		fail_msg("%s near %.40s", why.text,
			 text.bytes + (why.position > 20 ? why.position - 20 : 0));
	json_text_fini(&text);
	return root;
}

static json_t *parse(const struct snapshot *s, bool histograms)
{
	return parse_with(s, NULL, histograms);
}

/* Where a table's rows stand in the object. */
static json_t *rows_of(json_t *root, const struct table *t)
{
	if (t->inside)
		return json_object_get(json_object_get(root, t->inside), t->key);
	if (!strcmp(t->name, "blocked"))
		return json_object_get(json_object_get(root, "blocked"), "rows");
	return json_object_get(root, t->name);
}

static void check_field(json_t *v, const struct field *f, const void *row)
{
	const char *at = (const char *)row + f->offset;
	char one[2] = {*at, 0};

	if (!v)
		fail_msg("%s is missing", f->name);
	switch (f->type) {
	case FIELD_STR:
		assert_string_equal(json_string_value(v), at);
		break;
	case FIELD_CHAR:
		assert_string_equal(json_string_value(v), one);
		break;
	case FIELD_ENUM:
		assert_string_equal(json_string_value(v), f->enum_name(*(const uint32_t *)at));
		break;
	case FIELD_U32:
		assert_int_equal(json_integer_value(v), *(const uint32_t *)at);
		break;
	case FIELD_I32:
		assert_int_equal(json_integer_value(v), *(const int32_t *)at);
		break;
	case FIELD_U64:
	case FIELD_I64:
		assert_true(json_integer_value(v) == *(const int64_t *)at);
		break;
	case FIELD_F64:
		/* cppcheck-suppress invalidPointerCast ; the field is a double */
		assert_true(fabs(json_number_value(v) - *(const double *)at) <= 0.0005);
		break;
	case FIELD_FRAMES: /* their names have a test of their own */
		assert_int_equal(json_array_size(v), *(const uint32_t *)at);
		break;
	}
}

static void every_field_of_every_table_is_exported(void **state)
{
	struct snapshot *s = snapshot_new();
	json_t *root;

	snapshot_fill(s, 3, 1);
	root = parse(s, false);
	assert_string_equal(json_string_value(json_object_get(root, "schema")),
			    "perftop.snapshot/1");
	for (uint32_t i = 0; i < snapshot_ntables; i++) {
		const struct table *t = &snapshot_tables[i];
		json_t *rows = rows_of(root, t);

		for (uint32_t n = 0; n < snapshot_row_count(s, t); n++) {
			const void *row = snapshot_row(s, t, n);
			json_t *object = rows;
			uint32_t first = 0;

			if (!strcmp(t->name, "sections")) {
				object = json_object_get(rows, s->sections[n].name);
				first = 1;
			} else if (t->max > 1) {
				object = json_array_get(rows, n);
			}
			assert_non_null(object);
			for (uint32_t f = first; f < t->nfields; f++)
				check_field(json_object_get(object, t->fields[f].name),
					    &t->fields[f], row);
		}
	}
	json_decref(root);
	snapshot_free(s);
}

static void an_empty_snapshot_is_valid_and_says_null_for_no_engine(void **state)
{
	struct snapshot *s = snapshot_new();
	json_t *root = parse(s, true);

	assert_true(json_is_null(json_object_get(root, "trajectory")));
	assert_true(json_is_null(json_object_get(root, "learning")));
	assert_int_equal(json_array_size(json_object_get(root, "latency")), 0);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(root, "blocked"), "total_ns")),
		0);
	json_decref(root);
	snapshot_free(s);
}

static void blocked_time_by_reason_adds_up(void **state)
{
	struct snapshot *s = snapshot_new();
	json_t *root, *blocked;

	s->nblocked = 2;
	s->blocked[0] = (struct snap_blocked){.reason = BLOCKED_FUTEX, .ns = 70};
	s->blocked[1] = (struct snap_blocked){.reason = BLOCKED_RUNQ, .ns = 5};
	root = parse(s, false);
	blocked = json_object_get(root, "blocked");
	assert_int_equal(json_integer_value(json_object_get(blocked, "total_ns")), 75);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(blocked, "by_reason"), "futex")),
		70);
	json_decref(root);
	snapshot_free(s);
}

/* Collectors clean their texts; one that forgets must not break the reader of the stream. */
static void hostile_texts_stay_inside_their_string(void **state)
{
	struct snapshot *s = snapshot_new();
	json_t *root;

	s->ncounters = 1;
	strcpy(s->counters[0].name, "a\"b\\c\n\x1b[2J\x7f");
	strcpy(s->counters[0].help, "bad \xff\xc3 utf-8 \xe2\x80\xa6");
	memset(s->counters[0].unit, 'u', sizeof(s->counters[0].unit)); /* no NUL */
	root = parse(s, false);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(root, "counters"), 0), "name")),
			    "a\"b\\c\n\x1b[2J\x7f");
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(root, "counters"), 0), "help")),
			    "bad ?? utf-8 \xe2\x80\xa6");
	json_decref(root);
	snapshot_free(s);
}

static double exported(double v)
{
	struct snapshot *s = snapshot_new();
	json_t *root, *value;
	double got;

	s->proc.user_pct = v;
	root = parse(s, false);
	value = json_object_get(json_object_get(root, "proc"), "user_pct");
	got = json_is_null(value) ? NAN : json_number_value(value);
	json_decref(root);
	snapshot_free(s);
	return got;
}

static void numbers_keep_their_value_in_every_locale(void **state)
{
	static const double values[] = {0,    0.1,     99.95,	    1.0005,	  123456.789,
					-2.5, 1e-7,    0.999999999, 0.9999999999, 1e14,
					1e15, 1.5e300, -3e18};

	setlocale(LC_ALL, "de_DE.UTF-8");
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		double tolerance = fabs(values[i]) < 1 ? 1e-9 : fabs(values[i]) < 1e15 ? 1e-3 : 0;

		if (!tolerance)
			tolerance = fabs(values[i]) * 1e-14;
		if (!(fabs(exported(values[i]) - values[i]) <= tolerance))
			fail_msg("%g was exported as %g", values[i], exported(values[i]));
	}
	assert_true(isnan(exported(NAN)));
	assert_true(isnan(exported(INFINITY)));
	setlocale(LC_ALL, "C");
}

static void histograms_come_only_when_asked_for(void **state)
{
	struct snapshot *s = snapshot_new();
	json_t *root, *row, *pair;

	s->nlatency = 1;
	s->nbins = 2;
	s->bins[0] = (struct snap_bin){bucket_index(100), 7};
	s->bins[1] = (struct snap_bin){bucket_index(5000), 1};
	s->latency[0].bin_count = 9; /* more than there are */
	root = parse(s, false);
	row = json_array_get(json_object_get(root, "latency"), 0);
	assert_null(json_object_get(row, "histogram"));
	json_decref(root);
	root = parse(s, true);
	row = json_array_get(json_object_get(root, "latency"), 0);
	assert_int_equal(json_array_size(json_object_get(row, "histogram")), 2);
	pair = json_array_get(json_object_get(row, "histogram"), 0);
	assert_int_equal(json_integer_value(json_array_get(pair, 0)),
			 bucket_low(bucket_index(100)));
	assert_int_equal(json_integer_value(json_array_get(pair, 1)), 7);
	json_decref(root);
	snapshot_free(s);
}

static void stacks_name_their_frames_leaf_first(void **state)
{
	struct snapshot *s = snapshot_new();
	json_t *root, *frames;

	s->nstacks = 1;
	s->stacks[0].count = 3;
	s->stacks[0].nframes = 3;
	s->stacks[0].frames[0] = snapshot_symbol(s, "leaf", "libx.so");
	s->stacks[0].frames[1] = snapshot_symbol(s, "main", "");
	s->stacks[0].frames[2] = 4000; /* no such symbol */
	root = parse(s, false);
	frames = json_object_get(
		json_array_get(json_object_get(json_object_get(root, "cpu"), "stacks"), 0),
		"frames");
	assert_int_equal(json_array_size(frames), 2);
	assert_string_equal(json_string_value(json_array_get(frames, 0)), "leaf (libx.so)");
	assert_string_equal(json_string_value(json_array_get(frames, 1)), "main");
	json_decref(root);
	snapshot_free(s);
}

static void the_answer_in_words_is_exported(void **state)
{
	static struct snapshot s;
	static const char text[] =
		"\"hot\" takes 98 % of a CPU in 400 µs a call, most of it in what is called by a "
		"function of a name that is so long that the answer does not end on this line, nor "
		"on the next one, and needs all of the room that there is for it, which is more "
		"than other texts have: it goes on until here";
	const struct json_verdict words = {"warn", "CPU-bound", text, "cpu", ""};
	json_t *root = parse_with(&s, &words, false), *verdict = json_object_get(root, "verdict");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(verdict, "mood")), "warn");
	assert_string_equal(json_string_value(json_object_get(verdict, "label")), "CPU-bound");
	assert_string_equal(json_string_value(json_object_get(verdict, "view")), "cpu");
	assert_string_equal(json_string_value(json_object_get(verdict, "also")), "");
	assert_string_equal(json_string_value(json_object_get(verdict, "text")), text);
	json_decref(root);
	root = parse(&s, false);
	assert_true(json_is_null(json_object_get(root, "verdict")));
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_of_every_table_is_exported),
		cmocka_unit_test(an_empty_snapshot_is_valid_and_says_null_for_no_engine),
		cmocka_unit_test(blocked_time_by_reason_adds_up),
		cmocka_unit_test(hostile_texts_stay_inside_their_string),
		cmocka_unit_test(numbers_keep_their_value_in_every_locale),
		cmocka_unit_test(histograms_come_only_when_asked_for),
		cmocka_unit_test(the_answer_in_words_is_exported),
		cmocka_unit_test(stacks_name_their_frames_leaf_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
