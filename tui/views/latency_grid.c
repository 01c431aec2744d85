/* SPDX-License-Identifier: Apache-2.0 */
/* latency_grid.c: columns of a latency row. */
#include "tui/views/latency_grid.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"

const struct grid_column latency_columns[LATENCY_COLUMNS] = {
	[LCOL_NAME] = {"SOURCE", 24, .text = true, .flex = true},
	[LCOL_COUNT] = {"COUNT", 6, .drop = 1},
	[LCOL_RATE] = {"RATE", 7},
	[LCOL_P50] = {"P50", 7},
	[LCOL_P90] = {"P90", 7, .drop = 3},
	[LCOL_P99] = {"P99", 7},
	[LCOL_P999] = {"P99.9", 7, .drop = 2},
	[LCOL_MAX] = {"MAX", 7},
	[LCOL_RECENT] = {"NOW99", 7, .drop = 4},
	[LCOL_TOTAL] = {"TOTAL", 8, .drop = 5},
	[LCOL_HISTORY] = {"LAST MINUTES", 20, .unsorted = true, .drop = 6, .text = true},
	[LCOL_NOTE] = {"NOTE", 18, .unsorted = true, .drop = 7, .text = true},
};

void latency_row_name(const struct snap_latency *l, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%s", l->name, l->module[0] ? " " : "", l->module);
}

double latency_row_value(const struct snap_latency *l, uint32_t col)
{
	switch (col) {
	case LCOL_COUNT:
		return (double)l->count;
	case LCOL_RATE:
		return l->rate;
	case LCOL_P50:
		return (double)l->p50;
	case LCOL_P90:
		return (double)l->p90;
	case LCOL_P99:
		return (double)l->p99;
	case LCOL_P999:
		return (double)l->p999;
	case LCOL_MAX:
		return (double)l->max;
	case LCOL_RECENT:
		return (double)l->recent_p99;
	case LCOL_TOTAL:
		return (double)l->sum;
	default:
		return NAN;
	}
}

static void quantile_cell(const struct snap_latency *l, uint64_t v, struct grid_cell *out)
{
	char buf[FORMAT_SIZE];

	/* Rows that are only counted have no quantiles: a dash, never a zero. */
	if (!l->sampled) {
		snprintf(out->text, sizeof(out->text), "-");
		out->style = STYLE_DIM;
		return;
	}
	snprintf(out->text, sizeof(out->text), "%s", format_value(buf, (double)v, l->unit));
	if (!strcmp(l->unit, "ns") && !v)
		snprintf(out->text, sizeof(out->text), "0 ns");
}

void latency_row_cell(const struct ui *ui, const struct snap_latency *l, uint32_t col,
		      struct grid_cell *out)
{
	char buf[FORMAT_SIZE];

	switch (col) {
	case LCOL_NAME:
		/* All counters are libperftop's: their own names need the room. */
		if (l->source == LATENCY_COUNTER)
			snprintf(out->text, sizeof(out->text), "%s", l->name);
		else
			latency_row_name(l, out->text, sizeof(out->text));
		if (l->file[0])
			snprintf(out->text + strlen(out->text),
				 sizeof(out->text) - strlen(out->text), " %s", l->file);
		if (l->error[0] && l->failed_pct >= 0.5)
			snprintf(out->text + strlen(out->text),
				 sizeof(out->text) - strlen(out->text), "  %.0f %% %s",
				 l->failed_pct, l->error);
		/* The column of notes needs a wide screen, and the dashes a reason. */
		if (!l->sampled && strstr(l->note, "entries only"))
			snprintf(out->text + strlen(out->text),
				 sizeof(out->text) - strlen(out->text), "  entries only");
		if (l->target)
			out->style = l->met ? STYLE_GOOD : STYLE_BAD;
		break;
	case LCOL_COUNT:
		snprintf(out->text, sizeof(out->text), "%s", format_count(buf, (double)l->count));
		break;
	case LCOL_RATE:
		snprintf(out->text, sizeof(out->text), "%s", format_rate(buf, l->rate));
		if (l->rate <= 0)
			out->style = STYLE_DIM;
		break;
	case LCOL_HISTORY:
		out->series =
			l->source == LATENCY_SYSCALL
				? history_find(&ui->history, HISTORY_SYSCALL, l->name,
					       history_class(l))
				: history_find(&ui->history, HISTORY_LATENCY, l->name, l->source);
		out->style = STYLE_GRAPH;
		break;
	case LCOL_NOTE:
		snprintf(out->text, sizeof(out->text), "%s", l->note);
		out->style = STYLE_DIM;
		break;
	case LCOL_RECENT:
		if (l->recent_p99) {
			quantile_cell(l, l->recent_p99, out);
		} else {
			snprintf(out->text, sizeof(out->text), "-");
			out->style = STYLE_DIM;
		}
		/* Twice the usual: this second is worse than the rest. */
		if (l->recent_p99 > 2 * l->p99 && l->p99)
			out->style = STYLE_WARN;
		break;
	case LCOL_TOTAL:
		quantile_cell(l, (uint64_t)latency_row_value(l, col), out);
		if (l->sampled && l->sampled < l->count)
			snprintf(out->text, sizeof(out->text), "~%s",
				 format_value(buf, latency_row_value(l, col), l->unit));
		break;
	default:
		quantile_cell(l, (uint64_t)latency_row_value(l, col), out);
		if (col == LCOL_P99 && l->sampled)
			out->style = l->target && !l->met ? STYLE_BAD : STYLE_STRONG;
	}
}
