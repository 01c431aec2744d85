/* SPDX-License-Identifier: Apache-2.0 */
/* test_tui_widgets.c: numbers, bars, sparklines, the histogram plot, themes, the caller tree. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <limits.h>
#include <unistd.h>
#include <cmocka.h>

#include "probes/bucket.h"
#include "tests/lib/sample_snapshot.h"
#include "tui/format.h"
#include "tui/hist_plot.h"
#include "tui/theme.h"
#include "tui/views/caller_tree.h"
#include "tui/widgets.h"

static void numbers_have_three_digits_and_the_right_unit(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} times[] = {{0, "-"},
		     {1, "1 ns"},
		     {999, "999 ns"},
		     {1000, "1.00 µs"},
		     {12345, "12.3 µs"},
		     {999499, "999 µs"},
		     {999500, "1.00 ms"},
		     {99950000, "100 ms"},
		     {1500000000, "1.50 s"},
		     {1100000000000, "1100 s"}};
	char b[FORMAT_SIZE];

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		assert_string_equal(format_ns(b, times[i].ns), times[i].text);
	assert_string_equal(format_bytes(b, 1023), "1.00 KiB");
	assert_string_equal(format_bytes(b, 1536), "1.50 KiB");
	assert_string_equal(format_bytes(b, 3ull << 30), "3.00 GiB");
	assert_string_equal(format_rate(b, 1234), "1.23k/s");
	assert_string_equal(format_rate(b, 0.25), "0.25/s");
	assert_string_equal(format_count(b, 17), "17");
	assert_string_equal(format_pct(b, 99.96), "100 %");
	assert_string_equal(format_pct(b, NAN), "0.0 %");
	assert_string_equal(format_age(b, 3661000000000ull), "1 h 01 m");
}

static void no_number_overruns_its_buffer(void **state)
{
	static const double odd[] = {INFINITY, -INFINITY, NAN, 1e300, -1e300, 1e-300, 999.5, -0.0};
	struct {
		char text[FORMAT_SIZE];
		char guard[8];
	} b;

	memset(b.guard, 'x', sizeof(b.guard));
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		format_rate(b.text, odd[i]);
		format_pct(b.text, odd[i]);
		format_value(b.text, odd[i], "a unit longer than the buffer");
	}
	format_ns(b.text, UINT64_MAX);
	format_bytes(b.text, UINT64_MAX);
	format_age(b.text, UINT64_MAX);
	assert_memory_equal(b.guard, "xxxxxxxx", 8);
}

static char *row_text(const struct surface *s)
{
	char *t = surface_dump(s);

	t[strcspn(t, "\n")] = '\0';
	return t;
}

static void assert_row(struct surface *s, const char *want)
{
	char *got = row_text(s);

	assert_string_equal(got, want);
	free(got);
	surface_clear(s);
}

static void long_and_wide_names_keep_their_ends(void **state)
{
	struct surface s = {0};

	surface_resize(&s, 20, 1);
	assert_int_equal(surface_name(&s, 0, 0, 9, STYLE_TEXT, "abcdefghijklmnop"), 9);
	assert_row(&s, "abcd…mnop");
	/* Each of these takes two columns. */
	assert_int_equal(text_width("日本語"), 6);
	assert_int_equal(surface_text(&s, 0, 0, 5, STYLE_TEXT, "日本語"), 4);
	assert_row(&s, "日本");
	surface_text(&s, 0, 0, 6, STYLE_TEXT, "日本語");
	surface_put(&s, 1, 0, 'x', STYLE_TEXT);
	assert_row(&s, " x本語");
	surface_text_right(&s, 0, 0, 6, STYLE_TEXT, "42");
	assert_row(&s, "    42");
	surface_text(&s, 0, 0, 20, STYLE_TEXT, "a\033[2Jb\xff\xc3");
	assert_row(&s, "a?[2Jb??");
	surface_fini(&s);
}

static void bars_and_stacks_fill_in_proportion(void **state)
{
	const struct widget_part parts[] = {
		{"a", 'A', STYLE_TEXT, 75}, {"b", 'B', STYLE_TEXT, 24}, {"c", 'C', STYLE_TEXT, 1}};
	struct surface s = {.mono = true};

	surface_resize(&s, 12, 1);
	widget_bar(&s, 0, 0, 8, 0.5, STYLE_TEXT);
	assert_row(&s, "████");
	widget_bar(&s, 0, 0, 8, 1.0 / 64, STYLE_TEXT);
	assert_row(&s, "▏");
	widget_bar(&s, 0, 0, 8, 1e9, STYLE_TEXT);
	assert_row(&s, "████████");
	widget_bar(&s, 0, 0, 8, NAN, STYLE_TEXT);
	assert_row(&s, "");
	widget_stack(&s, 0, 0, 12, parts, 3);
	assert_row(&s, "AAAAAAAAABBC");
	widget_stack(&s, 0, 0, 2, parts, 3);
	assert_row(&s, "AB");
	surface_fini(&s);
}

static void sparkline_is_newest_at_the_right_with_gaps(void **state)
{
	struct series v = {.v = {0, 50, NAN, 100}, .head = 4, .n = 4};
	struct surface s = {0};

	surface_resize(&s, 6, 1);
	widget_spark(&s, 0, 0, 6, &v, 0, STYLE_TEXT);
	assert_row(&s, "  ▁▄ ▇");
	widget_spark(&s, 0, 0, 6, &v, 1000, STYLE_TEXT);
	assert_row(&s, "  ▁▁ ▂");
	widget_spark(&s, 0, 0, 6, NULL, 0, STYLE_TEXT);
	assert_row(&s, "");
	surface_fini(&s);
}

static uint32_t column_char(const struct surface *s, int x, int y)
{
	return s->cells[y * s->w + x].ch;
}

/* One bin at 1 µs and one at 1 ms: the axis runs between, marks lie where their values do. */
static void histogram_marks_stand_at_their_values(void **state)
{
	const struct snap_bin bins[] = {{bucket_index(1000), 100}, {bucket_index(1000000), 5}};
	const struct hist_mark marks[] = {{"p50", 1000, STYLE_MARK_P50},
					  {"p99", 31623, STYLE_MARK_P99},
					  {"max", 1000000, STYLE_MARK_MAX}};
	const struct hist_plot p = {
		.bins = bins, .nbins = 2, .marks = marks, .nmarks = 3, .unit = "ns"};
	struct surface s = {0};
	char *text;

	surface_resize(&s, 101, 20);
	hist_plot_draw(&s, (struct rect){0, 0, 101, 20}, &p);
	assert_int_equal(hist_plot_column(&p, 101, 1000), 0);
	/* Halfway between in logarithms, 31.6 µs, is halfway on the screen. */
	assert_in_range(hist_plot_column(&p, 101, 31623), 49, 51);
	assert_in_range(hist_plot_column(&p, 101, 1000000), 99, 100);
	for (int i = 0; i < 3; i++)
		assert_int_equal(column_char(&s, hist_plot_column(&p, 101, marks[i].value), 10),
				 0x2502);
	text = surface_dump(&s);
	assert_non_null(strstr(text, "p50 1.00 µs"));
	assert_non_null(strstr(text, "p99 31.6 µs"));
	assert_non_null(strstr(text, "max 1.00 ms"));
	assert_non_null(strstr(text, "10 µs"));
	free(text);
	surface_fini(&s);
}

static void histogram_survives_every_size_and_odd_bins(void **state)
{
	const struct snap_bin bins[] = {
		{0, 1}, {BUCKET_COUNT - 1, UINT32_MAX}, {UINT32_MAX - 1, 7}};
	const struct hist_mark marks[] = {{"p50", UINT64_MAX, STYLE_MARK_P50},
					  {"p99", 0, STYLE_MARK_P99}};
	struct hist_plot p = {.bins = bins, .nbins = 3, .marks = marks, .nmarks = 2, .unit = "ns"};
	struct surface s = {0};

	assert_int_equal(HIST_PLOT_MAX_BUCKET, BUCKET_COUNT - 1);
	for (uint32_t nbins = 0; nbins <= 3; nbins++)
		for (int w = 1; w < 700; w += 23)
			for (int h = 1; h < 40; h += 3) {
				p.nbins = nbins;
				surface_resize(&s, w, h);
				hist_plot_draw(&s, (struct rect){0, 0, w, h}, &p);
			}
	surface_fini(&s);
}

static void assert_same_theme(const struct theme *a, const struct theme *b)
{
	for (int i = 0; i < NSTYLES; i++) {
		assert_int_equal(a->styles[i].fg.rgb, b->styles[i].fg.rgb);
		assert_int_equal(a->styles[i].bg.rgb, b->styles[i].bg.rgb);
		assert_int_equal(a->styles[i].fg.index, b->styles[i].fg.index);
		assert_int_equal(a->styles[i].bg.index, b->styles[i].bg.index);
		assert_int_equal(a->styles[i].attrs, b->styles[i].attrs);
	}
}

static void shipped_themes_are_sound_and_dark_is_the_default(void **state)
{
	static const char *const names[] = {"dark", "light", "mono", "solarized", "contrast"};
	struct theme built_in, t;
	char why[256] = "", path[64];

	theme_init(&built_in);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "themes/%s.theme", names[i]);
		if (theme_load(&t, path, why, sizeof(why)))
			fail_msg("%s", why);
		if (!i)
			assert_same_theme(&t, &built_in);
	}
}

static void broken_theme_is_named_by_line_and_replaced(void **state)
{
	static const char *const broken[] = {
		"bad = #12345", "nosuch = #123456", "bad #123456",	"bad = red",
		"bad =",	"bad = 256",	    "bad = #123456 on", "text = default blinking"};
	struct theme t, built_in;
	char why[256], text[128];

	theme_init(&built_in);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		theme_init(&t);
		snprintf(text, sizeof(text), "# comment\n\n%s\n", broken[i]);
		assert_int_equal(theme_parse(&t, text, strlen(text), why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, "line 3"));
	}
	assert_int_equal(theme_load(&t, "no-such-theme", why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "no-such-theme"));
	assert_same_theme(&t, &built_in);
	assert_int_equal(theme_parse(&t, "bad = #00ff00 on 17 bold", 24, why, sizeof(why)), 0);
	assert_int_equal(t.styles[STYLE_BAD].fg.rgb, 0x00ff00);
	assert_int_equal(t.styles[STYLE_BAD].bg.index, 17);
	assert_int_equal(t.styles[STYLE_BAD].attrs, THEME_BOLD);
}

static void colours_map_to_what_the_terminal_has(void **state)
{
	const struct theme_color red = {0xff0000, -1}, index = {THEME_DEFAULT, 200},
				 none = {THEME_DEFAULT, -1}, grey = {0x808080, -1};

	assert_int_equal(theme_index(&red, 256), 196);
	assert_int_equal(theme_index(&red, 16), 9);
	assert_int_equal(theme_index(&red, 8), 1);
	assert_int_equal(theme_index(&red, 0), -1);
	assert_int_equal(theme_index(&index, 256), 200);
	assert_in_range(theme_index(&index, 8), 0, 7);
	assert_int_equal(theme_index(&none, 256), -1);
	assert_int_equal(theme_index(&grey, 256), 244);
}

static void caller_tree_adds_up_and_orders_by_samples(void **state)
{
	struct snapshot *s = snapshot_new();
	struct caller_line lines[CALLER_LINES];
	uint32_t n;

	sample_snapshot_fill(s, SAMPLE_REDIS, 1);
	n = caller_tree_build(s, "dictFind", "redis-server", lines, CALLER_LINES);
	assert_in_range(n, 10, CALLER_LINES);
	assert_string_equal(s->symbols[lines[0].symbol].name, "dictFind");
	assert_int_equal(lines[0].count,
			 s->stacks[0].count + s->stacks[1].count + s->stacks[2].count);
	assert_string_equal(s->symbols[lines[1].symbol].name, "lookupKey");
	assert_int_equal(lines[1].count, s->stacks[0].count + s->stacks[1].count);
	assert_int_equal(caller_tree_build(s, "dictFind", "redis-server", lines, 3), 3);
	assert_int_equal(caller_tree_build(s, "nothing", "", lines, CALLER_LINES), 0);
	snapshot_free(s);
}

/* From the build folder as from the root: the themes lie at the root. */
static void go_to_root(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	while (access("themes/dark.theme", F_OK) && strrchr(path, '/')) {
		*strrchr(path, '/') = '\0';
		if (chdir(path[0] ? path : "/"))
			return;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_three_digits_and_the_right_unit),
		cmocka_unit_test(no_number_overruns_its_buffer),
		cmocka_unit_test(long_and_wide_names_keep_their_ends),
		cmocka_unit_test(bars_and_stacks_fill_in_proportion),
		cmocka_unit_test(sparkline_is_newest_at_the_right_with_gaps),
		cmocka_unit_test(histogram_marks_stand_at_their_values),
		cmocka_unit_test(histogram_survives_every_size_and_odd_bins),
		cmocka_unit_test(shipped_themes_are_sound_and_dark_is_the_default),
		cmocka_unit_test(broken_theme_is_named_by_line_and_replaced),
		cmocka_unit_test(colours_map_to_what_the_terminal_has),
		cmocka_unit_test(caller_tree_adds_up_and_orders_by_samples),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	go_to_root();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
