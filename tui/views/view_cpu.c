/* SPDX-License-Identifier: Apache-2.0 */
/* view_cpu.c: functions by self and total time, and who calls them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "collectors/name_words.h"
#include "tui/format.h"
#include "tui/ui.h"
#include "tui/views/caller_tree.h"
#include "tui/views/stack_panel.h"
#include "tui/widgets.h"

#define NAMELESS_PCT 5.0 /* of samples: below it names are not missed */

enum { COL_SELF, COL_TOTAL, COL_BAR, COL_NAME, COL_MODULE, COL_SAMPLES, COLUMNS };

static const struct grid_column columns[COLUMNS] = {
	[COL_SELF] = {"SELF", 7},
	[COL_TOTAL] = {"TOTAL", 7},
	[COL_BAR] = {"", 16, .unsorted = true, .text = true, .drop = 2},
	[COL_NAME] = {"FUNCTION", 24, .text = true, .flex = true},
	[COL_MODULE] = {"MODULE", 20, .text = true, .unsorted = true, .drop = 1},
	[COL_SAMPLES] = {"SAMPLES", 8, .drop = 3},
};

static uint32_t rows(const void *data)
{
	const struct ui *ui = data;

	return ui->shown->nfunctions;
}

static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct ui *ui = data;
	const struct snap_function *f = &ui->shown->functions[row];

	snprintf(buf, size, "%s %s", f->name, f->module);
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct ui *ui = data;
	const struct snap_function *f = &ui->shown->functions[row];

	return col == COL_TOTAL ? f->total_pct : col == COL_SAMPLES ? (double)f->self : f->self_pct;
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct ui *ui = data;
	const struct snap_function *f = &ui->shown->functions[row];
	char buf[FORMAT_SIZE];

	switch (col) {
	case COL_SELF:
		snprintf(out->text, sizeof(out->text), "%s", format_pct(buf, f->self_pct));
		out->style = stack_panel_heat(f->self_pct);
		break;
	case COL_TOTAL:
		snprintf(out->text, sizeof(out->text), "%s", format_pct(buf, f->total_pct));
		break;
	case COL_BAR:
		out->bar = f->self_pct / 100;
		out->style = STYLE_GRAPH;
		break;
	case COL_NAME:
		snprintf(out->text, sizeof(out->text), "%s", f->name);
		break;
	case COL_MODULE:
		snprintf(out->text, sizeof(out->text), "%s", f->module);
		out->style = STYLE_DIM;
		break;
	default:
		snprintf(out->text, sizeof(out->text), "%s", format_count(buf, (double)f->self));
	}
}

static const struct grid_model model = {
	.columns = columns,
	.ncolumns = COLUMNS,
	.sort = COL_SELF,
	.rows = rows,
	.name = name,
	.value = value,
	.cell = cell,
};

static int draw_summary(const struct snapshot *sn, struct surface *s, struct rect r)
{
	char n[FORMAT_SIZE], text[192];

	if (!sn->cpu.samples || r.h < 6)
		return 0;
	snprintf(text, sizeof(text),
		 "%s samples at %.0f Hz a CPU · %.0f %% unwound to the start · %.0f %% in the "
		 "kernel · user %.0f %% sys %.0f %% of a CPU",
		 format_count(n, (double)sn->cpu.samples), sn->cpu.hz, sn->cpu.unwound_pct,
		 100.0 * (double)sn->cpu.kernel_samples / (double)sn->cpu.samples,
		 sn->proc.user_pct, sn->proc.sys_pct);
	return widget_wrap(s, (struct rect){r.x, r.y, r.w, r.h >= 16 ? 2 : 1}, STYLE_LABEL, text);
}

/* The file that most samples in functions without a name are in; their share of all samples. */
static const char *nameless_file(const struct snapshot *sn, double *pct)
{
	const struct snap_function *top = NULL;

	*pct = 0;
	for (uint32_t i = 0; i < sn->nfunctions; i++) {
		const struct snap_function *f = &sn->functions[i];

		if (!name_is_made_up(f->name))
			continue;
		*pct += f->self_pct;
		if (!top || f->self > top->self)
			top = f;
	}
	return top ? top->module : NULL;
}

static int draw_nameless(const struct snapshot *sn, struct surface *s, struct rect r)
{
	double pct;
	const char *file = nameless_file(sn, &pct);
	char text[256];

	if (!file || pct < NAMELESS_PCT || r.h < 8)
		return 0;
	snprintf(text, sizeof(text),
		 "%.0f %% of samples are in functions without a name (fn@...), most in %.60s: its "
		 "debug symbols bring them (package NAME-dbgsym or -debuginfo)",
		 pct, file);
	return widget_wrap(s, (struct rect){r.x, r.y, r.w, 2}, STYLE_WARN, text);
}

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	static const char *const sections[] = {"cpu", NULL};
	int used = draw_summary(ui->shown, s, r);

	used += draw_nameless(ui->shown, s, (struct rect){r.x, r.y + used, r.w, r.h - used});
	r.y += used;
	r.h -= used;
	view_list(ui, vs, &model, sections, "no sample yet: the target has not used a CPU", s, r);
}

static void detail(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	struct caller_line lines[CALLER_LINES];
	const struct snap_function *f;
	uint32_t row, n;
	int top;

	if (!view_open_row(ui, vs, &model, &row)) {
		view_empty(s, r, "this function has no sample any more; Esc goes back");
		return;
	}
	f = &ui->shown->functions[row];
	n = caller_tree_build(ui->shown, f->name, f->module, lines, CALLER_LINES);
	surface_printf(s, r.x, r.y, r.w, STYLE_TITLE, "%s", f->name);
	surface_printf(s, r.x, r.y + 1, r.w, STYLE_LABEL,
		       "self %.1f %%  total %.1f %%  in %s  ·  callers in the top %u stacks",
		       f->self_pct, f->total_pct, f->module, ui->shown->nstacks);
	r.y += 3;
	r.h -= 3;
	if (!n || !ui->shown->cpu.samples) {
		view_empty(s, r, "none of the heaviest stacks holds it");
		return;
	}
	vs->scroll_max = (int)n > r.h ? (int)n - r.h : 0;
	top = vs->scroll < vs->scroll_max ? vs->scroll : vs->scroll_max;
	stack_panel_callers(ui->shown, lines, n, top, s, r);
}

const struct view_ops view_ops_cpu = {.draw = draw, .model = &model, .detail = detail};
