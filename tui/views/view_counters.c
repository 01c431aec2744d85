/* SPDX-License-Identifier: Apache-2.0 */
/* view_counters.c: what the program counts itself: kernels, trajectories, counters, gauges. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/ui.h"
#include "tui/views/engine_panel.h"
#include "tui/widgets.h"

enum { COL_NAME, COL_VALUE, COL_RATE, COL_HISTORY, COL_HELP, COLUMNS };

static const struct grid_column columns[COLUMNS] = {
	[COL_NAME] = {"COUNTER", 24, .text = true, .flex = true},
	[COL_VALUE] = {"VALUE", 12},
	[COL_RATE] = {"RATE", 8},
	[COL_HISTORY] = {"LAST MINUTES", 20, .unsorted = true, .text = true, .drop = 1},
	[COL_HELP] = {"MEANING", 24, .unsorted = true, .text = true, .flex = true, .drop = 2},
};

static uint32_t rows(const void *data)
{
	const struct ui *ui = data;

	return ui->shown->ncounters;
}

static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct ui *ui = data;

	snprintf(buf, size, "%s", ui->shown->counters[row].name);
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct ui *ui = data;
	const struct snap_counter *c = &ui->shown->counters[row];

	return col == COL_RATE ? c->rate : (double)c->value;
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct ui *ui = data;
	const struct snap_counter *c = &ui->shown->counters[row];
	char buf[FORMAT_SIZE];

	switch (col) {
	case COL_NAME:
		snprintf(out->text, sizeof(out->text), "%s", c->name);
		break;
	case COL_VALUE:
		snprintf(out->text, sizeof(out->text), "%s",
			 format_value(buf, (double)c->value, c->unit));
		out->style = STYLE_STRONG;
		if (!c->value && !strcmp(c->unit, "ns"))
			snprintf(out->text, sizeof(out->text), "0 ns");
		break;
	case COL_RATE:
		if (c->kind == COUNTER_GAUGE)
			snprintf(out->text, sizeof(out->text), "gauge");
		else
			snprintf(out->text, sizeof(out->text), "%s", format_rate(buf, c->rate));
		out->style = c->kind == COUNTER_GAUGE || c->rate <= 0 ? STYLE_DIM : STYLE_TEXT;
		break;
	case COL_HISTORY:
		out->series = history_find(&ui->history, HISTORY_COUNTER, c->name, 0);
		out->style = STYLE_GRAPH;
		break;
	default:
		snprintf(out->text, sizeof(out->text), "%s", c->help);
		out->style = STYLE_DIM;
	}
}

static const struct grid_model model = {
	.columns = columns,
	.ncolumns = COLUMNS,
	.sort = COL_NAME,
	.rows = rows,
	.name = name,
	.value = value,
	.cell = cell,
};

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	static const char *const sections[] = {"counters", NULL};
	int used = 0;

	if (ui->shown->nkernels || ui->shown->ntrajectory || ui->shown->nlearning)
		used = engine_panel_draw(ui, s, (struct rect){r.x, r.y, r.w, r.h - 4});
	r.y += used;
	r.h -= used;
	view_list(ui, vs, &model, sections, "the program registers no counter", s, r);
}

const struct view_ops view_ops_counters = {.draw = draw, .model = &model};
