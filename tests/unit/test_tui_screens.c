/* SPDX-License-Identifier: Apache-2.0 */
/* test_tui_screens.c: every view at four sizes, compared with screens that were read by a person.
 */
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/sample_snapshot.h"
#include "tui/keys.h"
#include "tui/ui.h"

/* UPDATE=1 writes the expected screens anew; look at the difference before committing it. */

enum { TICKS = 40 };

static const struct {
	int w, h;
} sizes[] = {{60, 12}, {80, 24}, {120, 40}, {200, 60}};
enum { NSIZES = sizeof(sizes) / sizeof(sizes[0]) };

static struct ui *make_ui(enum sample_kind kind, struct snapshot *s)
{
	struct ui *ui = ui_new(1000000000);

	assert_non_null(ui);
	for (uint32_t tick = 1; tick <= TICKS; tick++) {
		sample_snapshot_fill(s, kind, tick);
		ui_snapshot(ui, s);
	}
	return ui;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &size, '\0', f) < 0) {
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Shows the first line that differs. */
static void assert_screen(const char *name, const char *got)
{
	char path[256];
	char *want;

	snprintf(path, sizeof(path), "tests/screens/%s.txt", name);
	if (getenv("UPDATE")) {
		write_file(path, got);
		return;
	}
	want = read_file(path);
	if (!want)
		fail_msg("%s is missing; UPDATE=1 writes it", path);
	if (strcmp(want, got)) {
		size_t line = 1, i = 0;

		while (want[i] == got[i]) {
			line += want[i] == '\n';
			i++;
		}
		while (i && want[i - 1] != '\n')
			i--;
		fail_msg("%s, line %zu:\n want: %.*s\n got:  %.*s", path, line,
			 (int)strcspn(want + i, "\n"), want + i, (int)strcspn(got + i, "\n"),
			 got + i);
	}
	free(want);
}

static void check_view(enum sample_kind kind, int view, const char *keys, const char *suffix,
		       bool ascii)
{
	struct snapshot *s = snapshot_new();
	struct surface sf = {.ascii = ascii};
	struct ui *ui = make_ui(kind, s);
	char name[128];

	ui->view = (uint32_t)view;
	for (int i = 0; i < NSIZES; i++) {
		char *text;

		assert_int_equal(surface_resize(&sf, sizes[i].w, sizes[i].h), 0);
		ui_draw(ui, &sf);
		for (const char *k = i ? "" : keys; *k; k++)
			ui_key(ui, (uint32_t)(unsigned char)*k);
		ui_draw(ui, &sf);
		text = surface_dump(&sf);
		snprintf(name, sizeof(name), "%s_%s%s_%dx%d", views[view].name,
			 sample_kind_name(kind), suffix, sizes[i].w, sizes[i].h);
		assert_screen(name, text);
		free(text);
	}
	surface_fini(&sf);
	ui_free(ui);
	snapshot_free(s);
}

static void user_sees_every_view_of_a_busy_target(void **state)
{
	for (int v = 0; v < NVIEWS; v++)
		check_view(SAMPLE_REDIS, v, "", "", false);
}

static void user_sees_who_holds_the_lock(void **state)
{
	check_view(SAMPLE_LOCKS, VIEW_overview, "", "", false);
	check_view(SAMPLE_LOCKS, VIEW_blocked, "", "", false);
	check_view(SAMPLE_LOCKS, VIEW_blocked, "\r", "_open", false);
}

static void user_sees_what_one_thread_runs_and_waits_for(void **state)
{
	check_view(SAMPLE_REDIS, VIEW_threads, "\r", "_open", false);
	/* The thread that the stacks saw last. */
	check_view(SAMPLE_LOCKS, VIEW_threads, "/4713\r\r", "_open", false);
}

static void user_sees_the_engine(void **state)
{
	check_view(SAMPLE_ENGINE, VIEW_overview, "", "", false);
	check_view(SAMPLE_ENGINE, VIEW_counters, "", "", false);
}

static void user_sees_a_leak_its_site_and_its_stack(void **state)
{
	check_view(SAMPLE_LEAK, VIEW_overview, "", "", false);
	check_view(SAMPLE_LEAK, VIEW_heap, "", "", false);
	check_view(SAMPLE_LEAK, VIEW_heap, "", "_ascii", true);
	check_view(SAMPLE_LEAK, VIEW_heap, "\r", "_open", false);
}

static void user_without_privilege_sees_reason_and_fix(void **state)
{
	check_view(SAMPLE_USER, VIEW_overview, "", "", false);
	check_view(SAMPLE_USER, VIEW_cpu, "", "", false);
	check_view(SAMPLE_USER, VIEW_help, "", "", false);
}

static void user_sees_idle_and_ended_targets_as_such(void **state)
{
	check_view(SAMPLE_IDLE, VIEW_overview, "", "", false);
	check_view(SAMPLE_ENDED, VIEW_overview, "", "", false);
}

static void user_opens_a_histogram_and_a_caller_tree(void **state)
{
	check_view(SAMPLE_REDIS, VIEW_latency, "\r", "_open", false);
	check_view(SAMPLE_REDIS, VIEW_cpu, "\r", "_open", false);
	check_view(SAMPLE_REDIS, VIEW_syscalls, "/write\r\r", "_open", false);
	check_view(SAMPLE_REDIS, VIEW_io, "/je_malloc\r\r", "_open", false);
}

static void user_of_a_plain_terminal_gets_ascii_alone(void **state)
{
	struct snapshot *s = snapshot_new();
	struct surface sf = {.ascii = true};
	struct ui *ui = make_ui(SAMPLE_HOSTILE, s);

	check_view(SAMPLE_REDIS, VIEW_overview, "", "_ascii", true);
	check_view(SAMPLE_REDIS, VIEW_latency, "\r", "_open_ascii", true);
	surface_resize(&sf, 120, 40);
	for (int v = 0; v < NVIEWS; v++) {
		ui->view = (uint32_t)v;
		ui_draw(ui, &sf);
		for (int i = 0; i < sf.w * sf.h; i++)
			assert_in_range(sf.cells[i].ch, ' ', '~');
	}
	surface_fini(&sf);
	ui_free(ui);
	snapshot_free(s);
}

/* Every cell is something a terminal prints, whatever the target calls itself. */
static void assert_clean(const struct surface *sf)
{
	for (int i = 0; i < sf->w * sf->h; i++) {
		uint32_t ch = sf->cells[i].ch;

		assert_true(!ch || (ch >= ' ' && ch < 0x7f) || ch >= 0xa0);
		assert_true(sf->cells[i].style < NSTYLES);
	}
}

static void hostile_target_cannot_break_any_size(void **state)
{
	static const int widths[] = {1, 2, 7, 20, 59, 60, 61, 75, 77, 80, 100, 133, 171, 200, 600};
	static const int heights[] = {1, 2, 5, 11, 12, 13, 17, 20, 24, 40, 100};
	struct snapshot *s = snapshot_new();
	struct ui *ui = make_ui(SAMPLE_HOSTILE, s);
	struct surface sf = {0};

	for (int v = 0; v < NVIEWS; v++)
		for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++)
			for (size_t h = 0; h < sizeof(heights) / sizeof(heights[0]); h++) {
				ui->view = (uint32_t)v;
				assert_int_equal(surface_resize(&sf, widths[w], heights[h]), 0);
				ui_draw(ui, &sf);
				assert_clean(&sf);
				ui_key(ui, KEYC_ENTER);
				ui_key(ui, KEYC_END);
				ui_draw(ui, &sf);
				assert_clean(&sf);
				ui_key(ui, KEYC_ESC);
			}
	surface_fini(&sf);
	ui_free(ui);
	snapshot_free(s);
}

static void empty_snapshot_shows_no_number_as_measured(void **state)
{
	struct snapshot *s = snapshot_new();
	struct surface sf = {0};
	struct ui *ui = ui_new(1000000000);
	char *text;

	surface_resize(&sf, 80, 24);
	ui_draw(ui, &sf);
	text = surface_dump(&sf);
	assert_non_null(strstr(text, "waiting for the first numbers"));
	free(text);
	ui_snapshot(ui, s);
	for (int v = 0; v < NVIEWS; v++) {
		ui->view = (uint32_t)v;
		ui_draw(ui, &sf);
		assert_clean(&sf);
	}
	ui->view = VIEW_cpu;
	ui_draw(ui, &sf);
	text = surface_dump(&sf);
	assert_non_null(strstr(text, "cpu not measured"));
	free(text);
	surface_fini(&sf);
	ui_free(ui);
	snapshot_free(s);
}

/* From the build folder as from the root: the screens lie at the root. */
static void go_to_root(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	while (access("tests/screens", F_OK) && strrchr(path, '/')) {
		*strrchr(path, '/') = '\0';
		if (chdir(path[0] ? path : "/"))
			return;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(user_sees_every_view_of_a_busy_target),
		cmocka_unit_test(user_sees_who_holds_the_lock),
		cmocka_unit_test(user_sees_what_one_thread_runs_and_waits_for),
		cmocka_unit_test(user_sees_the_engine),
		cmocka_unit_test(user_sees_a_leak_its_site_and_its_stack),
		cmocka_unit_test(user_without_privilege_sees_reason_and_fix),
		cmocka_unit_test(user_sees_idle_and_ended_targets_as_such),
		cmocka_unit_test(user_opens_a_histogram_and_a_caller_tree),
		cmocka_unit_test(user_of_a_plain_terminal_gets_ascii_alone),
		cmocka_unit_test(hostile_target_cannot_break_any_size),
		cmocka_unit_test(empty_snapshot_shows_no_number_as_measured),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	go_to_root();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
