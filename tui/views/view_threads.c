/* SPDX-License-Identifier: Apache-2.0 */
/* view_threads.c: one row for each thread of the target. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/ui.h"
#include "tui/views/process_panel.h"
#include "tui/views/stack_panel.h"
#include "tui/widgets.h"

enum {
	COL_TID,
	COL_COMM,
	COL_STATE,
	COL_CPU,
	COL_RUNQ,
	COL_BLOCKED,
	COL_HISTORY,
	COL_TOP,
	COLUMNS
};

static const struct grid_column columns[COLUMNS] = {
	[COL_TID] = {"TID", 8},
	[COL_COMM] = {"NAME", 16, .text = true},
	[COL_STATE] = {"S", 2, .text = true, .unsorted = true, .drop = 1},
	[COL_CPU] = {"CPU", 7},
	[COL_RUNQ] = {"RUNQ", 7},
	[COL_BLOCKED] = {"BLOCKED", 8},
	[COL_HISTORY] = {"CPU OVER TIME", 20, .unsorted = true, .text = true, .drop = 3},
	[COL_TOP] = {"HOT FUNCTION", 12, .unsorted = true, .text = true, .flex = true, .drop = 2},
};

static uint32_t rows(const void *data)
{
	const struct ui *ui = data;

	return ui->shown->nthreads;
}

static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct ui *ui = data;
	const struct snap_thread *t = &ui->shown->threads[row];

	snprintf(buf, size, "%s %d", t->comm, t->tid);
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct ui *ui = data;
	const struct snap_thread *t = &ui->shown->threads[row];

	switch (col) {
	case COL_TID:
		return -(double)t->tid; /* oldest first */
	case COL_RUNQ:
		return t->runq_pct;
	case COL_BLOCKED:
		return t->blocked_pct;
	default:
		return t->cpu_pct;
	}
}

static void pct_cell(double pct, double warn, double bad, struct grid_cell *out)
{
	char buf[FORMAT_SIZE];

	snprintf(out->text, sizeof(out->text), "%s", format_pct(buf, pct));
	out->style = pct < 0.05	   ? STYLE_DIM
		     : pct >= bad  ? STYLE_BAD
		     : pct >= warn ? STYLE_WARN
				   : STYLE_TEXT;
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct ui *ui = data;
	const struct snap_thread *t = &ui->shown->threads[row];

	switch (col) {
	case COL_TID:
		snprintf(out->text, sizeof(out->text), "%d", t->tid);
		break;
	case COL_COMM:
		snprintf(out->text, sizeof(out->text), "%s", t->comm);
		break;
	case COL_STATE:
		snprintf(out->text, sizeof(out->text), "%c",
			 t->state > ' ' && t->state < 127 ? t->state : '?');
		out->style = t->state == 'R'   ? STYLE_GOOD
			     : t->state == 'D' ? STYLE_WARN
					       : STYLE_DIM;
		break;
	case COL_CPU:
		pct_cell(t->cpu_pct, 60, 90, out);
		break;
	case COL_RUNQ:
		pct_cell(t->runq_pct, 10, 25, out);
		break;
	case COL_BLOCKED:
		pct_cell(t->blocked_pct, INFINITY, INFINITY, out);
		break;
	case COL_HISTORY:
		out->full = 100;
		out->series = history_find(&ui->history, HISTORY_THREAD, "", (uint32_t)t->tid);
		out->style = STYLE_GRAPH;
		break;
	default:
		snprintf(out->text, sizeof(out->text), "%s", t->top[0] ? t->top : "-");
		out->style = t->top[0] ? STYLE_TEXT : STYLE_DIM;
	}
}

static const struct grid_model model = {
	.columns = columns,
	.ncolumns = COLUMNS,
	.sort = COL_CPU,
	.rows = rows,
	.name = name,
	.value = value,
	.cell = cell,
};

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	static const char *const sections[] = {"threads", NULL};
	int used = process_panel_draw(ui->shown, s, r);

	r.y += used;
	r.h -= used;
	view_list(ui, vs, &model, sections, "no thread seen", s, r);
}

/* ---- one thread ------------------------------------------------------------------------------ */

/* Of functions of that name the one that was sampled most: a thread's row has no file. */
static const struct snap_function *function_named(const struct snapshot *sn, const char *name)
{
	const struct snap_function *top = NULL;

	for (uint32_t i = 0; i < sn->nfunctions && name[0]; i++)
		if (!strcmp(sn->functions[i].name, name) &&
		    (!top || sn->functions[i].self > top->self))
			top = &sn->functions[i];
	return top;
}

/* What it computes, with the callers of that in whatever thread; rows used. */
static int draw_running(const struct snapshot *sn, const struct snap_thread *t, struct surface *s,
			struct rect r)
{
	const struct snap_function *f = function_named(sn, t->top);
	struct caller_line lines[CALLER_LINES];
	uint32_t n = 0;

	widget_rule(s, r.x, r.y, r.w, "runs most, with its callers in all threads");
	if (f && sn->cpu.samples)
		n = caller_tree_build(sn, f->name, f->module, lines, CALLER_LINES);
	if (!n) {
		surface_text(s, r.x, r.y + 1, r.w, t->top[0] ? STYLE_TEXT : STYLE_DIM,
			     t->top[0] ? t->top : "not sampled: it has not used a CPU");
		return 2;
	}
	stack_panel_callers(sn, lines, n, 0, s, (struct rect){r.x, r.y + 1, r.w, r.h - 1});
	return 1 + ((int)n < r.h - 1 ? (int)n : r.h - 1);
}

static int draw_wait_stack(const struct snapshot *sn, const struct snap_wait_stack *st,
			   struct surface *s, struct rect r)
{
	char ns[FORMAT_SIZE], n[FORMAT_SIZE];

	surface_printf(s, r.x, r.y, r.w, STYLE_STRONG, "for %s, %s in %s waits%s%s",
		       st->kind[0] ? st->kind : blocked_reason_name(st->reason),
		       format_ns(ns, st->ns), format_count(n, (double)st->count),
		       st->waker[0] ? ", woken by " : "", st->waker);
	return 2 + stack_panel_wait(sn, st, s, (struct rect){r.x, r.y + 1, r.w, r.h - 1}, 0);
}

static void draw_waiting(const struct snapshot *sn, const struct snap_thread *t, struct surface *s,
			 struct rect r)
{
	bool own = false;
	int end = r.y + r.h;

	for (uint32_t i = 0; i < sn->nwait_stacks && !own; i++)
		own = sn->wait_stacks[i].tid == t->tid;
	/* Of many threads in one place the last alone is known. */
	widget_rule(s, r.x, r.y++, r.w,
		    !sn->nwait_stacks ? "waits"
		    : own ? "waits: stacks that it was the last in, times of all threads"
			  : "waits: its own are not known, others came after it; of all threads");
	for (uint32_t i = 0; i < sn->nwait_stacks && r.y + 1 < end; i++) {
		if (own && sn->wait_stacks[i].tid != t->tid)
			continue;
		r.h = end - r.y;
		r.y += draw_wait_stack(sn, &sn->wait_stacks[i], s, r);
	}
	if (!sn->nwait_stacks && r.y < end)
		surface_text(s, r.x, r.y, r.w, STYLE_DIM,
			     "no stack was seen to wait; Help says what is measured");
}

static void detail(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	char cpu[FORMAT_SIZE], runq[FORMAT_SIZE], blocked[FORMAT_SIZE];
	const struct snap_thread *t;
	uint32_t row;
	int used;

	vs->scroll_max = 0;
	if (!view_open_row(ui, vs, &model, &row)) {
		view_empty(s, r, "this thread has ended; Esc goes back");
		return;
	}
	t = &sn->threads[row];
	surface_printf(s, r.x, r.y, r.w, STYLE_TITLE, "%s  thread %d", t->comm, t->tid);
	surface_printf(s, r.x, r.y + 1, r.w, STYLE_LABEL,
		       "CPU %s  ·  run queue %s  ·  blocked %s  ·  state %c",
		       format_pct(cpu, t->cpu_pct), format_pct(runq, t->runq_pct),
		       format_pct(blocked, t->blocked_pct), t->state > ' ' ? t->state : '?');
	r.y += 3;
	r.h -= 3;
	if (r.h >= 20) {
		widget_rule(s, r.x, r.y, r.w, "CPU, one column a tick");
		widget_graph(s, (struct rect){r.x, r.y + 1, r.w, 4},
			     history_find(&ui->history, HISTORY_THREAD, "", (uint32_t)t->tid),
			     STYLE_GRAPH);
		r.y += 6;
		r.h -= 6;
	}
	used = draw_running(sn, t, s, (struct rect){r.x, r.y, r.w, r.h / 2});
	r.y += used + 1;
	r.h -= used + 1;
	if (r.h >= 2)
		draw_waiting(sn, t, s, r);
}

const struct view_ops view_ops_threads = {.draw = draw, .model = &model, .detail = detail};
