/* SPDX-License-Identifier: Apache-2.0 */
/* view_threads.c: one row for each thread of the target. */
#include <math.h>
#include <stdio.h>

#include "tui/format.h"
#include "tui/ui.h"
#include "tui/views/process_panel.h"

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

const struct view_ops view_ops_threads = {.draw = draw, .model = &model};
