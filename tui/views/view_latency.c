/* SPDX-License-Identifier: Apache-2.0 */
/* view_latency.c: one row for each probed function, marker or timed scope. */
#include "tui/views/latency_grid.h"

static uint32_t rows(const void *data)
{
	const struct ui *ui = data;

	return ui->shown->nlatency;
}

static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct ui *ui = data;

	latency_row_name(&ui->shown->latency[row], buf, size);
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct ui *ui = data;

	return latency_row_value(&ui->shown->latency[row], col);
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct ui *ui = data;

	latency_row_cell(ui, &ui->shown->latency[row], col, out);
}

static const struct grid_model model = {
	.columns = latency_columns,
	.ncolumns = LATENCY_COLUMNS,
	.sort = LCOL_P99,
	.rows = rows,
	.name = name,
	.value = value,
	.cell = cell,
};

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	static const char *const sections[] = {"func", "counters", NULL};

	view_list(ui, vs, &model, sections,
		  "no latency source: name functions with -e 'prog:function*', or USDT markers", s,
		  r);
}

static void detail(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	uint32_t row;
	bool found = view_open_row(ui, vs, &model, &row);

	latency_draw_detail(ui, vs, found ? &ui->shown->latency[row] : NULL, s, r);
}

const struct view_ops view_ops_latency = {.draw = draw, .model = &model, .detail = detail};
