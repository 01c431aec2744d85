/* SPDX-License-Identifier: Apache-2.0 */
/* test_tui_ui.c: keys, the cursor, pause and history. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/sample_snapshot.h"
#include "tui/keys.h"
#include "tui/ui.h"

struct fixture {
	struct snapshot *s;
	struct ui *ui;
	struct surface sf;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->s = snapshot_new();
	f->ui = ui_new(1000000000);
	surface_resize(&f->sf, 120, 40);
	sample_snapshot_fill(f->s, SAMPLE_REDIS, 1);
	ui_snapshot(f->ui, f->s);
	ui_draw(f->ui, &f->sf);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	surface_fini(&f->sf);
	ui_free(f->ui);
	snapshot_free(f->s);
	free(f);
	return 0;
}

static void type(struct fixture *f, const char *keys)
{
	for (; *keys; keys++)
		ui_key(f->ui, (uint32_t)(unsigned char)*keys);
}

static bool shows(struct fixture *f, const char *text)
{
	char *dump;
	bool found;

	ui_draw(f->ui, &f->sf);
	dump = surface_dump(&f->sf);
	found = strstr(dump, text) != NULL;
	free(dump);
	return found;
}

static void number_and_tab_keys_reach_every_view(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < NVIEWS; i++) {
		ui_key(f->ui, views[i].key);
		assert_int_equal(f->ui->view, i);
	}
	ui_key(f->ui, KEYC_TAB);
	assert_int_equal(f->ui->view, 0);
	ui_key(f->ui, KEYC_BACK_TAB);
	assert_int_equal(f->ui->view, NVIEWS - 1);
}

static void quit_keys_quit_but_not_while_typing_a_filter(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ui_key(f->ui, 'q'), UI_QUIT);
	assert_int_equal(ui_key(f->ui, KEYC_F10), UI_QUIT);
	type(f, "3/");
	assert_int_equal(ui_key(f->ui, 'q'), UI_NONE);
	assert_string_equal(f->ui->states[VIEW_cpu].grid.filter, "q");
	ui_key(f->ui, KEYC_ESC);
	assert_string_equal(f->ui->states[VIEW_cpu].grid.filter, "");
	assert_int_equal(ui_key(f->ui, 'q'), UI_QUIT);
}

static void filter_narrows_as_typed_and_escape_widens(void **state)
{
	struct fixture *f = *state;

	type(f, "3/siph");
	assert_true(shows(f, "siphash"));
	assert_false(shows(f, "dictFind"));
	ui_key(f->ui, KEYC_BACKSPACE);
	type(f, "zzz\r");
	assert_true(shows(f, "no row matches"));
	ui_key(f->ui, KEYC_ESC);
	assert_true(shows(f, "dictFind"));
	assert_int_equal(f->ui->view, VIEW_cpu);
}

static void enter_opens_the_row_under_the_cursor_and_escape_returns(void **state)
{
	struct fixture *f = *state;

	type(f, "2j\r");
	assert_true(f->ui->states[VIEW_latency].open);
	assert_true(shows(f, "p99.9"));
	assert_true(shows(f, "lookupKey"));
	ui_key(f->ui, KEYC_ESC);
	assert_false(f->ui->states[VIEW_latency].open);
	assert_int_equal(f->ui->view, VIEW_latency);
	ui_key(f->ui, KEYC_ESC);
	assert_int_equal(f->ui->view, VIEW_overview);
}

static void enter_on_overview_leads_to_the_cause(void **state)
{
	struct fixture *f = *state;

	ui_key(f->ui, KEYC_ENTER);
	assert_int_equal(f->ui->view, VIEW_cpu);
}

static void what_was_found_is_still_told_when_the_target_has_ended(void **state)
{
	struct fixture *f = *state;
	char label[sizeof(f->ui->verdict.label)];

	type(f, "1");
	snprintf(label, sizeof(label), "until then %.16s", f->ui->verdict.label);
	assert_false(shows(f, "until then"));
	f->s->target.state = TARGET_EXITED;
	for (int i = 0; i < 3; i++) {
		ui_snapshot(f->ui, f->s);
		assert_true(shows(f, label));
		assert_true(shows(f, "Ended"));
	}
}

static void a_function_that_is_counted_alone_says_so(void **state)
{
	struct fixture *f = *state;
	struct snap_latency *l = &f->s->latency[0];

	type(f, "2");
	assert_false(shows(f, "entries only"));
	l->source = LATENCY_UPROBE;
	l->sampled = 0;
	snprintf(l->note, sizeof(l->note), "entries only: it may return twice");
	assert_true(shows(f, "entries only"));
}

static void a_wait_without_a_reason_of_its_own_is_named_by_its_call(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	s->nlocks = s->nsockets = 0;
	s->nwait_stacks = 1;
	s->wait_stacks[0] = (struct snap_wait_stack){
		.reason = BLOCKED_OTHER, .ns = 1000000000, .count = 1, .nframes = 2};
	s->wait_stacks[0].frames[0] = snapshot_symbol(s, "__write", "libc.so.6");
	s->wait_stacks[0].frames[1] = snapshot_symbol(s, "emit", "prog");
	type(f, "5");
	assert_true(shows(f, "~ write"));
	s->wait_stacks[0].frames[0] = snapshot_symbol(s, "mprotect", "libc.so.6");
	assert_true(shows(f, "~ other"));
}

static void a_lock_that_is_no_futex_opens_on_its_own_stacks(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;

	s->nlocks = s->nsockets = 0;
	s->locks[s->nlocks++] = (struct snap_lock){.reason = BLOCKED_NET,
						   .is_mutex = 1,
						   .pct = 500,
						   .waits = 1910,
						   .wait_ns = 39100000000,
						   .kind = "pg lock",
						   .site = "ExecUpdate via XactLockTableWait"};
	s->nwait_stacks = 2;
	for (uint32_t i = 0; i < 2; i++) {
		struct snap_wait_stack *st = &s->wait_stacks[i];

		*st = (struct snap_wait_stack){.reason = i ? BLOCKED_NET : BLOCKED_FUTEX,
					       .ns = i ? 39000000000 : 266000000,
					       .count = 10,
					       .nframes = 3};
		snprintf(st->kind, sizeof(st->kind), i ? "pg lock" : "LWLock");
		st->frames[0] = snapshot_symbol(s, i ? "epoll_wait" : "sem_wait", "libc.so.6");
		st->frames[1] = snapshot_symbol(s, "ProcSleep", "postgres");
		st->frames[2] = snapshot_symbol(s, "ExecUpdate", "postgres");
	}
	type(f, "5\r");
	assert_true(f->ui->states[VIEW_blocked].open);
	assert_true(shows(f, "epoll_wait"));
	assert_true(shows(f, "39.0 s in ~10 waits"));
	/* The semaphore of a lightweight lock on the way to it. */
	assert_false(shows(f, "sem_wait"));
	assert_false(shows(f, "at 0x"));
}

static void a_view_is_found_by_what_its_tab_says(void **state)
{
	(void)state;
	assert_int_equal(view_find("heap"), VIEW_heap);
	assert_int_equal(view_find("memory"), VIEW_heap);
	assert_int_equal(view_find("i/o"), VIEW_io);
	assert_int_equal(view_find("CPU"), VIEW_cpu);
	assert_int_equal(view_find(""), -1);
	assert_int_equal(view_find("mem"), -1);
}

static void the_function_keys_of_process_viewers_filter_too(void **state)
{
	struct fixture *f = *state;

	type(f, "3");
	ui_key(f->ui, KEYC_F1 + 3);
	type(f, "dict");
	assert_true(shows(f, "/dict: 1 of ") || shows(f, "Filter: dict"));
	assert_true(f->ui->filtering);
	ui_key(f->ui, KEYC_ESC);
	assert_false(f->ui->filtering);
	ui_key(f->ui, KEYC_F1 + 2);
	assert_true(f->ui->filtering);
}

static void cursor_follows_its_row_when_the_order_changes(void **state)
{
	struct fixture *f = *state;
	uint32_t row;

	type(f, "3j");
	assert_true(grid_selected(&f->ui->states[VIEW_cpu].grid, &row));
	assert_string_equal(f->s->functions[row].name, "siphash");
	f->s->functions[row].self_pct = 0.1;
	ui_draw(f->ui, &f->sf);
	assert_true(grid_selected(&f->ui->states[VIEW_cpu].grid, &row));
	assert_string_equal(f->s->functions[row].name, "siphash");
	assert_true(f->ui->states[VIEW_cpu].grid.cursor > 5);
}

static void cursor_stays_inside_when_rows_vanish(void **state)
{
	struct fixture *f = *state;

	type(f, "3G");
	f->s->nfunctions = 2;
	ui_draw(f->ui, &f->sf);
	assert_true(f->ui->states[VIEW_cpu].grid.cursor < 2);
	f->s->nfunctions = 0;
	ui_draw(f->ui, &f->sf);
	type(f, "jkgG\r");
	assert_false(f->ui->states[VIEW_cpu].open);
}

static void sort_keys_walk_the_columns_and_r_reverses(void **state)
{
	struct fixture *f = *state;
	struct grid *g = &f->ui->states[VIEW_cpu].grid;
	uint32_t first, row;

	type(f, "3");
	ui_draw(f->ui, &f->sf);
	assert_true(grid_selected(g, &first));
	type(f, ">");
	assert_true(grid_selected(g, &row));
	assert_string_equal(f->s->functions[row].name, "aeMain");
	type(f, "<r");
	assert_true(grid_selected(g, &row));
	assert_string_equal(f->s->functions[row].name, "aeMain");
	type(f, "r");
	assert_true(grid_selected(g, &row));
	assert_int_equal(row, first);
}

static void the_column_that_orders_a_list_is_always_shown(void **state)
{
	struct fixture *f = *state;

	for (int w = UI_MIN_W; w <= 200; w++) {
		surface_resize(&f->sf, w, 24);
		type(f, "4");
		assert_true(shows(f, "TOTAL▼"));
		type(f, "2");
		assert_true(shows(f, "P99▼"));
		/* From P99 on: P99.9, MAX, NOW99. */
		type(f, ">>>");
		assert_true(shows(f, "NOW99▼"));
		type(f, "<<<");
	}
}

static void a_small_screen_says_how_to_leave(void **state)
{
	struct fixture *f = *state;

	surface_resize(&f->sf, 80, 24);
	for (uint32_t i = 0; i < NVIEWS; i++) {
		ui_key(f->ui, views[i].key);
		assert_true(shows(f, "q quit"));
	}
}

static void pause_freezes_the_screen_and_space_goes_on(void **state)
{
	struct fixture *f = *state;
	struct snapshot *next = snapshot_new();

	type(f, " ");
	assert_true(shows(f, "PAUSED"));
	sample_snapshot_fill(next, SAMPLE_LOCKS, 2);
	ui_snapshot(f->ui, next);
	assert_true(shows(f, "redis-server"));
	assert_false(shows(f, "imageserver"));
	type(f, " ");
	assert_true(shows(f, "imageserver"));
	snapshot_free(next);
}

static void interval_and_reset_keys_ask_the_session(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ui_key(f->ui, '+'), UI_INTERVAL);
	assert_int_equal(f->ui->interval_ns, 2000000000);
	assert_int_equal(ui_key(f->ui, '-'), UI_INTERVAL);
	assert_int_equal(f->ui->interval_ns, 1000000000);
	for (int i = 0; i < 20; i++)
		ui_key(f->ui, '-');
	assert_int_equal(f->ui->interval_ns, 100000000);
	assert_int_equal(ui_key(f->ui, 'z'), UI_RESET);
	assert_int_equal(ui_key(f->ui, KEYC_REDRAW), UI_REDRAW);
}

static void help_returns_to_the_view_it_came_from(void **state)
{
	struct fixture *f = *state;

	type(f, "5?");
	assert_int_equal(f->ui->view, VIEW_help);
	ui_key(f->ui, KEYC_ESC);
	assert_int_equal(f->ui->view, VIEW_blocked);
}

static void every_key_in_every_view_is_survived(void **state)
{
	struct fixture *f = *state;

	for (uint32_t v = 0; v < NVIEWS; v++)
		for (uint32_t key = 1; key < 0x110000 + 64; key = key == 255 ? 0x110000 : key + 1) {
			f->ui->view = v;
			f->ui->filtering = false;
			ui_key(f->ui, key);
			ui_draw(f->ui, &f->sf);
		}
	assert_true(f->ui->view < NVIEWS);
}

static void sparklines_keep_gaps_and_bound_their_memory(void **state)
{
	struct fixture *f = *state;
	struct history h = {0};
	const struct series *v;

	for (int i = 0; i < 3 * HISTORY_SERIES; i++) {
		f->s->ncounters = 1;
		snprintf(f->s->counters[0].name, SNAP_NAME, "c%d", i);
		f->s->counters[0].rate = i;
		history_add(&h, f->s);
	}
	assert_true(h.n <= HISTORY_SERIES);
	assert_null(history_find(&h, HISTORY_COUNTER, "c0", 0));
	v = history_find(&h, HISTORY_COUNTER, f->s->counters[0].name, 0);
	assert_non_null(v);
	assert_true(series_at(v, 0) == 3 * HISTORY_SERIES - 1);
	f->s->ncounters = 0;
	history_add(&h, f->s);
	history_add(&h, f->s);
	f->s->ncounters = 1;
	history_add(&h, f->s);
	assert_true(isnan(series_at(v, 1)) && isnan(series_at(v, 2)) && !isnan(series_at(v, 3)));
	/* A disk's reads are not its writes. */
	v = history_find(&h, HISTORY_BLOCK, f->s->block[0].name, history_class(&f->s->block[0]));
	assert_non_null(v);
	assert_true(series_at(v, 0) == (float)f->s->block[0].recent_p99);
	history_fini(&h);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(number_and_tab_keys_reach_every_view),
		TEST(quit_keys_quit_but_not_while_typing_a_filter),
		TEST(filter_narrows_as_typed_and_escape_widens),
		TEST(enter_opens_the_row_under_the_cursor_and_escape_returns),
		TEST(enter_on_overview_leads_to_the_cause),
		TEST(what_was_found_is_still_told_when_the_target_has_ended),
		TEST(a_function_that_is_counted_alone_says_so),
		TEST(a_wait_without_a_reason_of_its_own_is_named_by_its_call),
		TEST(a_lock_that_is_no_futex_opens_on_its_own_stacks),
		TEST(a_view_is_found_by_what_its_tab_says),
		TEST(the_function_keys_of_process_viewers_filter_too),
		TEST(cursor_follows_its_row_when_the_order_changes),
		TEST(cursor_stays_inside_when_rows_vanish),
		TEST(sort_keys_walk_the_columns_and_r_reverses),
		TEST(the_column_that_orders_a_list_is_always_shown),
		TEST(a_small_screen_says_how_to_leave),
		TEST(pause_freezes_the_screen_and_space_goes_on),
		TEST(interval_and_reset_keys_ask_the_session),
		TEST(help_returns_to_the_view_it_came_from),
		TEST(every_key_in_every_view_is_survived),
		TEST(sparklines_keep_gaps_and_bound_their_memory),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
