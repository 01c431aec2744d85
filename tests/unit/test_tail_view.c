/* SPDX-License-Identifier: Apache-2.0 */
/* test_tail_view.c: what the screen and the report say about a function's slow calls. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/lib/sample_snapshot.h"
#include "tui/keys.h"
#include "tui/tail_summary.h"
#include "tui/text_report.h"
#include "tui/ui.h"

#define MS 1000000ull

/* UPDATE=1 writes the expected screens anew; look at the difference before committing it. */

static struct snap_tail *add_tail(struct snapshot *s, const char *name, uint64_t ns)
{
	struct snap_tail *t = &s->tails[s->ntails++];

	memset(t, 0, sizeof(*t));
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->time_ns = 1767270000000000000ull + s->ntails * 137 * MS;
	t->ns = ns;
	t->threshold_ns = 8 * MS;
	t->tid = 4711;
	t->cpu_ns = ns;
	t->reason = BLOCKED_OTHER;
	t->frames[t->nframes++] = snapshot_symbol(s, name, "redis-server");
	t->frames[t->nframes++] = snapshot_symbol(s, "processInputBuffer", "redis-server");
	t->frames[t->nframes++] = snapshot_symbol(s, "main", "redis-server");
	return t;
}

static void block(struct snap_tail *t, uint64_t ns, enum blocked_reason reason, const char *what,
		  const char *waker)
{
	t->blocked_ns = t->longest_ns = ns;
	t->cpu_ns -= ns;
	t->reason = reason;
	snprintf(t->what, sizeof(t->what), "%s", what);
	snprintf(t->waker, sizeof(t->waker), "%s", waker);
}

/* Thirty for a lock, eight on the CPU, two queued. */
static void fill(struct snapshot *s)
{
	sample_snapshot_fill(s, SAMPLE_REDIS, 40);
	s->ntails = 0;
	for (uint64_t i = 0; i < 30; i++)
		block(add_tail(s, "processCommand", (20 + i) * MS), (16 + i) * MS, BLOCKED_FUTEX,
		      i % 7 ? "mutex cache_lock held by worker-3/4713"
			    : "mutex cache_lock held by worker-1/4712",
		      "worker-3/4713");
	for (uint64_t i = 0; i < 8; i++)
		add_tail(s, "processCommand", (10 + i) * MS)->minflt = i;
	for (uint64_t i = 0; i < 2; i++) {
		struct snap_tail *t = add_tail(s, "processCommand", 12 * MS);

		t->cpu_ns = 2 * MS;
		t->runq_ns = t->longest_ns = 10 * MS;
		t->reason = BLOCKED_RUNQ;
	}
}

/* Without header, tabs and footer, which are not its matter. */
static char *body_of(const char *text)
{
	const char *from = strstr(text, " \u25b6");
	char *body;

	from = from ? from : strstr(text, " processCommand took");
	assert_non_null(from);
	body = strdup(from);
	body[strlen(body) - 1] = '\0';
	strrchr(body, '\n')[1] = '\0';
	return body;
}

static char *screen(struct ui *ui, int w, int h, bool ascii)
{
	struct surface surface = {.ascii = ascii};
	char *got;

	assert_int_equal(surface_resize(&surface, w, h), 0);
	ui_draw(ui, &surface);
	got = surface_dump(&surface);
	surface_fini(&surface);
	return got;
}

static void assert_same(const char *name, const char *whole)
{
	char path[128], *want = NULL, *got = body_of(whole);
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "tests/screens/%s.txt", name);
	f = fopen(path, getenv("UPDATE") ? "w" : "r");
	if (!f)
		fail_msg("%s is missing; UPDATE=1 writes it", path);
	if (getenv("UPDATE"))
		fputs(got, f);
	else
		assert_true(getdelim(&want, &size, '\0', f) > 0);
	fclose(f);
	if (want && strcmp(want, got) != 0)
		fail_msg("%s differs; got:\n%s", path, got);
	free(want);
	free(got);
}

static struct ui *open_function(const struct snapshot *s)
{
	struct ui *ui = ui_new(1000000000);

	assert_non_null(ui);
	ui_snapshot(ui, s);
	ui_key(ui, '2');
	ui_key(ui, '/');
	for (const char *p = "processCommand"; *p; p++)
		ui_key(ui, (uint32_t)*p);
	ui_key(ui, KEYC_ENTER);
	ui_key(ui, KEYC_ENTER);
	return ui;
}

static void the_answer_stands_above_the_slow_calls(void **state)
{
	static const struct {
		int w, h;
	} sizes[] = {{60, 12}, {80, 24}, {120, 40}, {200, 60}};
	struct snapshot *s = snapshot_new();
	struct ui *ui;
	char name[64];

	fill(s);
	ui = open_function(s);
	for (int i = 0; i < 4; i++) {
		char *got = screen(ui, sizes[i].w, sizes[i].h, false);
		snprintf(name, sizeof(name), "tail_list_%dx%d", sizes[i].w, sizes[i].h);
		assert_same(name, got);
		free(got);
	}
	ui_free(ui);
	snapshot_free(s);
}

static void ascii_terminals_show_it_too(void **state)
{
	struct snapshot *s = snapshot_new();
	struct ui *ui;
	char *got;

	fill(s);
	ui = open_function(s);
	got = screen(ui, 80, 24, true);
	for (const char *p = got; *p; p++)
		assert_true((unsigned char)*p < 0x80);
	assert_non_null(strstr(got, "30 of 40 slow calls"));
	free(got);
	ui_free(ui);
	snapshot_free(s);
}

static void enter_shows_the_stack_of_the_call_under_the_cursor(void **state)
{
	struct snapshot *s = snapshot_new();
	struct ui *ui;
	char *got;

	fill(s);
	ui = open_function(s);
	free(screen(ui, 80, 24, false));
	ui_key(ui, KEYC_DOWN);
	free(screen(ui, 80, 24, false));
	ui_key(ui, KEYC_ENTER);
	got = screen(ui, 80, 24, false);
	assert_same("tail_call_80x24", got);
	free(got);
	ui_key(ui, KEYC_ESC);
	got = screen(ui, 80, 24, false);
	assert_non_null(strstr(got, "LONGEST WAIT"));
	free(got);
	ui_free(ui);
	snapshot_free(s);
}

static void the_call_being_read_stays_while_others_come(void **state)
{
	struct snapshot *s = snapshot_new();
	struct ui *ui;
	char *got;

	fill(s);
	ui = open_function(s);
	free(screen(ui, 80, 24, false));
	ui_key(ui, KEYC_DOWN);
	free(screen(ui, 80, 24, false));
	ui_key(ui, KEYC_ENTER);
	free(screen(ui, 80, 24, false));
	for (uint64_t i = 0; i < 5; i++)
		add_tail(s, "processCommand", (90 + i) * MS);
	s->seq++;
	ui_snapshot(ui, s);
	got = screen(ui, 80, 24, false);
	assert_non_null(strstr(got, "processCommand took 48.0 ms"));
	free(got);
	ui_free(ui);
	snapshot_free(s);
}

/* ---- the sentence --------------------------------------------------------------------------- */

static void assert_says(const struct snapshot *s, const char *want)
{
	struct tail_summary sum;

	assert_true(tail_summarize(s, "f", &sum));
	if (!strstr(sum.text, want))
		fail_msg("'%s' does not say '%s'", sum.text, want);
}

static void the_sentence_names_lock_and_holder(void **state)
{
	struct snapshot *s = snapshot_new();

	for (int i = 0; i < 4; i++)
		block(add_tail(s, "f", 10 * MS), 8 * MS, BLOCKED_FUTEX,
		      "mutex cache_lock held by worker-3/12", "other/13");
	assert_says(s, "4 of 4 slow calls: blocked on mutex cache_lock (held by worker-3), 80 % of "
		       "their time");
	snapshot_free(s);
}

static void pipes_and_sockets_of_one_kind_are_one_reason(void **state)
{
	struct snapshot *s = snapshot_new();

	block(add_tail(s, "f", 10 * MS), 9 * MS, BLOCKED_OTHER, "read pipe:[11]", "feeder/9");
	block(add_tail(s, "f", 10 * MS), 9 * MS, BLOCKED_OTHER, "read pipe:[12]", "feeder/10");
	assert_says(s, "2 of 2 slow calls: waiting in read pipe (woken by feeder), 90 %");
	snapshot_free(s);
}

static void page_faults_are_told_from_computing(void **state)
{
	struct snapshot *s = snapshot_new();

	add_tail(s, "f", 3 * MS)->minflt = 2000;
	assert_says(s, "1 of 1 slow call: in page faults, 2.00k a call");
	snapshot_clear(s);
	add_tail(s, "f", 3 * MS)->minflt = 2;
	assert_says(s, "on the CPU themselves, 100 %");
	snapshot_free(s);
}

static void a_few_long_calls_outweigh_many_short_ones(void **state)
{
	struct snapshot *s = snapshot_new();

	for (int i = 0; i < 50; i++) {
		struct snap_tail *t = add_tail(s, "f", MS / 10);

		t->runq_ns = t->ns;
		t->cpu_ns = 0;
	}
	for (int i = 0; i < 5; i++)
		add_tail(s, "f", 20 * MS);
	assert_says(
		s,
		"5 of 55 slow calls: on the CPU themselves, 100 % of their time and 95 % of all");
	assert_says(s, "; 50 waiting for a CPU that others had");
	snapshot_free(s);
}

static void a_function_without_slow_calls_says_nothing(void **state)
{
	struct snapshot *s = snapshot_new();
	struct tail_summary sum;

	add_tail(s, "g", MS);
	assert_false(tail_summarize(s, "f", &sum));
	snapshot_free(s);
}

static void the_report_gives_the_answer_and_the_slowest(void **state)
{
	struct snapshot *s = snapshot_new();
	struct text_report report = {.ascii = false};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	fill(s);
	text_report_write(&report, s, out);
	fclose(out);
	assert_non_null(strstr(text, "slow      30 of 40 slow calls: blocked on mutex cache_lock"));
	assert_non_null(strstr(text, "slow      49.0 ms: on the CPU 4.00 ms"));
	free(text);
	snapshot_free(s);
}

static void strange_rows_do_no_harm(void **state)
{
	struct snapshot *s = snapshot_new();
	struct ui *ui;

	fill(s);
	for (uint32_t i = 0; i < s->ntails; i++) {
		s->tails[i].nframes = UINT32_MAX;
		s->tails[i].reason = UINT32_MAX;
		s->tails[i].frames[0] = UINT32_MAX;
		s->tails[i].cpu_ns = UINT64_MAX;
		s->tails[i].time_ns = UINT64_MAX;
		s->tails[i].ns = i % 2 ? 0 : UINT64_MAX;
	}
	ui = open_function(s);
	for (int h = 1; h < 60; h += 7) {
		free(screen(ui, 60 + h, h, false));
		ui_key(ui, KEYC_ENTER);
		free(screen(ui, 60 + h, h, false));
		ui_key(ui, KEYC_ESC);
	}
	ui_free(ui);
	snapshot_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_stands_above_the_slow_calls),
		cmocka_unit_test(ascii_terminals_show_it_too),
		cmocka_unit_test(enter_shows_the_stack_of_the_call_under_the_cursor),
		cmocka_unit_test(the_call_being_read_stays_while_others_come),
		cmocka_unit_test(the_sentence_names_lock_and_holder),
		cmocka_unit_test(pipes_and_sockets_of_one_kind_are_one_reason),
		cmocka_unit_test(page_faults_are_told_from_computing),
		cmocka_unit_test(a_few_long_calls_outweigh_many_short_ones),
		cmocka_unit_test(a_function_without_slow_calls_says_nothing),
		cmocka_unit_test(the_report_gives_the_answer_and_the_slowest),
		cmocka_unit_test(strange_rows_do_no_harm),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
