/* SPDX-License-Identifier: Apache-2.0 */
/* view_syscalls.c: one row for each system call. */
#include "tui/views/latency_grid.h"

static uint32_t rows(const void *data)
{
	const struct ui *ui = data;

	return ui->shown->nsyscalls;
}

static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct ui *ui = data;

	latency_row_name(&ui->shown->syscalls[row], buf, size);
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct ui *ui = data;

	return latency_row_value(&ui->shown->syscalls[row], col);
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct ui *ui = data;

	latency_row_cell(ui, &ui->shown->syscalls[row], col, out);
}

static const struct grid_model model = {
	.columns = latency_columns,
	.ncolumns = LATENCY_COLUMNS,
	.sort = LCOL_TOTAL,
	.rows = rows,
	.name = name,
	.value = value,
	.cell = cell,
};

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	static const char *const sections[] = {"syscalls", NULL};

	view_list(ui, vs, &model, sections, "no system call yet", s, r);
}

static void detail(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	uint32_t row;
	bool found = view_open_row(ui, vs, &model, &row);

	latency_draw_detail(ui, vs, found ? &ui->shown->syscalls[row] : NULL, s, r);
}

const struct view_ops view_ops_syscalls = {.draw = draw, .model = &model, .detail = detail};
