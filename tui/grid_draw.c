/* SPDX-License-Identifier: Apache-2.0 */
/* grid_draw.c: columns that fit, rows in view, the cursor's bar. */
#include <stdio.h>
#include <string.h>

#include "tui/grid.h"
#include "tui/widgets.h"

/*
 * Widths of the columns that fit in w; 0 = dropped. Flexible ones share what is left. The column
 * that orders the rows stays: without it nobody sees why they stand as they do.
 */
static void fit_columns(const struct grid *g, const struct grid_model *m, int w, int *widths)
{
	int need = 0, flex = 0;

	for (uint32_t i = 0; i < m->ncolumns; i++) {
		widths[i] = m->columns[i].width;
		need += widths[i] + 1;
		flex += m->columns[i].flex;
	}
	while (need - 1 > w) {
		uint32_t worst = m->ncolumns;

		for (uint32_t i = 0; i < m->ncolumns; i++)
			if (widths[i] && i != g->sort && m->columns[i].drop &&
			    (worst == m->ncolumns || m->columns[i].drop > m->columns[worst].drop))
				worst = i;
		if (worst == m->ncolumns)
			break;
		need -= widths[worst] + 1;
		flex -= m->columns[worst].flex;
		widths[worst] = 0;
	}
	for (uint32_t i = 0; i < m->ncolumns && flex > 0; i++)
		if (widths[i] && m->columns[i].flex) {
			int extra = (w - (need - 1)) / flex;

			widths[i] += extra;
			if (widths[i] < 4)
				widths[i] = 4;
			need += extra;
			flex--;
		}
}

static void draw_titles(const struct grid *g, const struct grid_model *m, struct surface *s,
			struct rect r, const int *widths)
{
	int x = r.x;

	surface_fill(s, (struct rect){r.x, r.y, r.w, 1}, ' ', STYLE_COLUMN);
	for (uint32_t i = 0; i < m->ncolumns; i++) {
		const struct grid_column *c = &m->columns[i];
		bool sorted = i == g->sort;
		enum style st = sorted ? STYLE_COLUMN_SORT : STYLE_COLUMN;
		char title[40];

		if (!widths[i])
			continue;
		/* The arrow points to where the larger values are. */
		snprintf(title, sizeof(title), "%s%s", c->title,
			 !sorted			       ? ""
			 : g->reverse != grid_sorts_by_name(c) ? "▲"
							       : "▼");
		if (c->text || c->unsorted)
			surface_text(s, x, r.y, widths[i], st, title);
		else
			surface_text_right(s, x, r.y, widths[i], st, title);
		x += widths[i] + 1;
	}
}

/*
 * "leaf ← caller ← its caller", "lock  in function via primitive": what matters most comes first,
 * so the end is cut.
 */
static bool is_chain(const char *text)
{
	return strstr(text, " ← ") || strstr(text, " via ");
}

static void draw_chain(struct surface *s, int x, int y, int w, enum style st, const char *text)
{
	if (text_width(text) <= w) {
		surface_text(s, x, y, w, st, text);
		return;
	}
	x += surface_text(s, x, y, w - 1, st, text);
	surface_put(s, x, y, 0x2026, st);
}

static void draw_cell(struct surface *s, int x, int y, int w, const struct grid_column *c,
		      const struct grid_cell *cell)
{
	if (cell->series)
		widget_spark(s, x, y, w, cell->series, cell->full, cell->style);
	else if (cell->bar >= 0)
		widget_bar(s, x, y, w, cell->bar, cell->style);
	else if (c->text && is_chain(cell->text))
		draw_chain(s, x, y, w, cell->style, cell->text);
	else if (c->text)
		surface_name(s, x, y, w, cell->style, cell->text);
	else
		surface_text_right(s, x, y, w, cell->style, cell->text);
}

static void draw_row(const struct grid_model *m, const void *data, uint32_t row, struct surface *s,
		     struct rect r, const int *widths)
{
	int x = r.x;

	for (uint32_t i = 0; i < m->ncolumns; i++) {
		struct grid_cell cell;

		if (!widths[i])
			continue;
		cell.text[0] = '\0';
		cell.style = STYLE_TEXT;
		cell.series = NULL;
		cell.full = 0;
		cell.bar = -1;
		m->cell(data, row, i, &cell);
		if (x + widths[i] > r.x + r.w)
			break;
		draw_cell(s, x, r.y, widths[i], &m->columns[i], &cell);
		x += widths[i] + 1;
	}
}

void grid_draw(struct grid *g, const struct grid_model *m, const void *data, struct surface *s,
	       struct rect r)
{
	int widths[GRID_COLUMNS];
	uint32_t rows = r.h > 1 ? (uint32_t)r.h - 1 : 0;

	if (r.w < 1 || r.h < 1)
		return;
	grid_update(g, m, data);
	g->page = rows;
	if (g->cursor < g->top)
		g->top = g->cursor;
	if (rows && g->cursor >= g->top + rows)
		g->top = g->cursor - rows + 1;
	if (g->n <= rows)
		g->top = 0;
	fit_columns(g, m, r.w, widths);
	draw_titles(g, m, s, r, widths);
	for (uint32_t i = 0; i < rows && g->top + i < g->n; i++) {
		struct rect line = {r.x, r.y + 1 + (int)i, r.w, 1};

		draw_row(m, data, g->order[g->top + i].row, s, line, widths);
		if (g->top + i == g->cursor)
			surface_mark(s, line, CELL_SELECTED);
	}
}
