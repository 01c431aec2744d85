/* SPDX-License-Identifier: Apache-2.0 */
/* test_blocked_rows.c: what stands in the list of the Blocked tab, and what stands there already.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tui/ui.h"
#include "tui/views/blocked_reasons.h"
#include "tui/views/blocked_rows.h"

static struct ui *make_ui(struct snapshot *s)
{
	struct ui *ui = calloc(1, sizeof(*ui));

	assert_non_null(ui);
	ui->shown = s;
	s->nsymbols = 1;
	snprintf(s->symbols[0].name, sizeof(s->symbols[0].name), "worker_main");
	snprintf(s->symbols[0].module, sizeof(s->symbols[0].module), "app");
	s->nwait_stacks = 1;
	s->wait_stacks[0] = (struct snap_wait_stack){
		.reason = BLOCKED_FUTEX, .ns = 1, .nframes = 1, .frames = {0}};
	return ui;
}

struct fixture {
	struct snapshot *s;
	struct grid *g;
	struct ui *ui;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->s = calloc(1, sizeof(*f->s));
	f->g = calloc(1, sizeof(*f->g));
	assert_non_null(f->s);
	assert_non_null(f->g);
	f->ui = make_ui(f->s);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->ui);
	free(f->g);
	free(f->s);
	free(f);
	return 0;
}

static void add(struct snapshot *s, const char *name, const char *site, bool is_mutex)
{
	struct snap_lock *l = &s->locks[s->nlocks++];

	l->addr = 0x1000 + s->nlocks;
	l->is_mutex = is_mutex;
	snprintf(l->name, sizeof(l->name), "%s", name);
	snprintf(l->site, sizeof(l->site), "%s", site);
}

static void an_idle_wait_is_listed_once(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct grid *g = f->g;
	struct ui *ui = f->ui;

	add(s, "", "worker_main", false);	   /* 0: the stack says more */
	add(s, "heap", "worker_main", false);	   /* 1: the heap is no name */
	add(s, "pool.idle", "worker_main", false); /* 2: has a name, which no stack has */
	add(s, "", "accept_loop", false);	   /* 3: no stack of it was taken */
	add(s, "", "worker_main", true);	   /* 4: contention, with its holder */
	grid_init(g, &blocked_rows_model);
	grid_update(g, &blocked_rows_model, ui);
	assert_int_equal(g->n, 4);
	assert_int_equal(g->total, 4);
	for (uint32_t i = 0; i < g->n; i++)
		assert_true(g->order[i].row >= 2);
	/* Only waits on futexes are the same: a stack that sleeps there is another wait. */
	s->wait_stacks[0].reason = BLOCKED_SLEEP;
	grid_update(g, &blocked_rows_model, ui);
	assert_int_equal(g->n, 6);
}

/* The column with the arrow is the one that orders the rows: by kind at first, by share if asked.
 */
static void rows_stand_by_the_marked_column(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = f->s;
	struct grid *g = f->g;
	struct ui *ui = f->ui;

	add(s, "busy", "a", true); /* 0, 1; 2 is the stack */
	add(s, "idle", "b", false);
	s->locks[0].pct = 20;
	s->locks[1].pct = 300;
	s->since_ns = 100;
	s->wait_stacks[0].ns = 50;
	grid_init(g, &blocked_rows_model);
	grid_update(g, &blocked_rows_model, ui);
	assert_string_equal(blocked_rows_model.columns[g->sort].title, "KIND");
	assert_int_equal(g->order[0].row, 0);
	assert_int_equal(g->order[1].row, 1);
	assert_int_equal(g->order[2].row, 2);
	assert_true(grid_key(g, &blocked_rows_model, ui, '<'));
	assert_string_equal(blocked_rows_model.columns[g->sort].title, "SHARE");
	assert_int_equal(g->order[0].row, 1);
	assert_int_equal(g->order[1].row, 2);
	assert_int_equal(g->order[2].row, 0);
}

/* Three threads of a pool, each with a lock of its own, are more than one that waits elsewhere. */
static void waits_of_one_place_count_together(void **state)
{
	struct snapshot *s = ((struct fixture *)*state)->s;
	char words[512];

	add(s, "", "flusher_main", false);
	for (int i = 0; i < 3; i++)
		add(s, "", "worker_main", false);
	for (uint32_t i = 0; i < s->nlocks; i++)
		s->locks[i].pct = i ? 99.9 : 100;
	blocked_reasons_words(s, words, sizeof(words));
	assert_non_null(strstr(words, "4 threads wait for work or an event (most in worker_main)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_idle_wait_is_listed_once, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_stand_by_the_marked_column, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_of_one_place_count_together, setup,
						teardown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
