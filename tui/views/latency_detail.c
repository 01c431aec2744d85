/* SPDX-License-Identifier: Apache-2.0 */
/* latency_detail.c: one latency source: its histogram, its quantiles, its past. */
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/hist_plot.h"
#include "tui/views/latency_grid.h"
#include "tui/views/tail_table.h"
#include "tui/widgets.h"

enum { GRAPH_H = 4, PLOT_WITH_TAILS_H = 16 };

/* Keep what the histogram gained since the snapshot before. */
static void recent_update(struct ui_recent *rc, const struct snapshot *sn,
			  const struct snap_latency *l, const char *name)
{
	const struct snap_bin *bins = &sn->bins[l->bin_first];
	bool same = !strcmp(rc->name, name);

	if (same && rc->seq == sn->seq)
		return;
	memset(rc->delta, 0, sizeof(rc->delta));
	rc->ndelta = 0;
	for (uint32_t i = 0; i < l->bin_count; i++) {
		uint32_t b = bins[i].bucket;

		/* Smaller than before: counts began anew. */
		if (b >= UI_HIST_BUCKETS || !same || bins[i].count < rc->before[b])
			continue;
		rc->delta[b] = bins[i].count - rc->before[b];
		rc->ndelta += rc->delta[b];
	}
	memset(rc->before, 0, sizeof(rc->before));
	for (uint32_t i = 0; i < l->bin_count; i++)
		if (bins[i].bucket < UI_HIST_BUCKETS)
			rc->before[bins[i].bucket] = bins[i].count;
	snprintf(rc->name, sizeof(rc->name), "%s", name);
	rc->seq = sn->seq;
}

static int pair(struct surface *s, int x, int y, const char *label, const char *value,
		enum style st)
{
	x += surface_text(s, x, y, s->w - x - 1, STYLE_LABEL, label) + 1;
	return x + surface_text(s, x, y, s->w - x - 1, st, value) + 3;
}

/* Where its figures come from and what they are worth, from x on or below; rows used below. */
static int draw_origin(const struct snap_latency *l, struct surface *s, struct rect r, int x)
{
	char text[2 * SNAP_NAME + SNAP_TEXT];
	bool below;

	snprintf(text, sizeof(text), "%s%s%s%s%s", latency_source_name(l->source),
		 l->module[0] ? " in " : "", l->module, l->note[0] ? " · " : "", l->note);
	below = text_width(text) > r.x + r.w - x && r.h >= 10;
	if (!below) {
		surface_text(s, x, r.y, r.x + r.w - x, STYLE_DIM, text);
		return 0;
	}
	return widget_wrap(s, (struct rect){r.x, r.y + 1, r.w, 2}, STYLE_DIM, text);
}

static int draw_numbers(const struct snap_latency *l, struct surface *s, struct rect r)
{
	char b[FORMAT_SIZE], text[FORMAT_SIZE * 2 + 16];
	int x = r.x, y = r.y;

	x += surface_name(s, x, y, r.w / 2, STYLE_TITLE, l->name) + 2;
	y += draw_origin(l, s, r, x);
	x = pair(s, r.x, ++y, "count", format_count(b, (double)l->count), STYLE_STRONG);
	x = pair(s, x, y, "rate", format_rate(b, l->rate), STYLE_STRONG);
	x = pair(s, x, y, "mean", format_value(b, (double)l->mean, l->unit), STYLE_TEXT);
	if (l->sampled && l->sampled < l->count)
		x = pair(s, x, y, "timed", format_count(b, (double)l->sampled), STYLE_TEXT);
	if (l->failed) {
		snprintf(text, sizeof(text), "%s  %.1f %% now, %s",
			 format_count(b, (double)l->failed), l->failed_pct, l->error);
		x = pair(s, x, y, "failed", text, STYLE_TEXT);
	}
	if (l->calls > l->count)
		x = pair(s, x, y, "in flight", format_count(b, (double)(l->calls - l->count)),
			 STYLE_TEXT);
	if (l->cost_ns > 0 && x + 30 < r.x + r.w) {
		snprintf(text, sizeof(text), "~%s a call", format_ns(b, (uint64_t)l->cost_ns));
		x = pair(s, x, y, "probe adds", text, STYLE_TEXT);
	}
	if (l->recent_p99) {
		char p50[FORMAT_SIZE];

		snprintf(text, sizeof(text), "p50 %s p99 %s",
			 format_value(p50, (double)l->recent_p50, l->unit),
			 format_value(b, (double)l->recent_p99, l->unit));
		if (x + 4 + text_width(text) < r.x + r.w)
			pair(s, x, y, "now", text, STYLE_GRAPH_RECENT);
	}
	return y + 1 - r.y;
}

static void draw_plot(const struct ui *ui, const struct snap_latency *l, struct surface *s,
		      struct rect r)
{
	struct hist_mark marks[] = {
		{"p50", l->p50, STYLE_MARK_P50}, {"p90", l->p90, STYLE_MARK_P90},
		{"p99", l->p99, STYLE_MARK_P99}, {"p99.9", l->p999, STYLE_MARK_P999},
		{"max", l->max, STYLE_MARK_MAX}, {"goal", l->target, STYLE_MARK_GOAL},
	};
	struct hist_plot p = {
		.bins = &ui->shown->bins[l->bin_first],
		.nbins = l->bin_count,
		.recent = ui->recent.delta,
		.nrecent = ui->recent.ndelta ? UI_HIST_BUCKETS : 0,
		.marks = marks,
		.nmarks = l->target ? 6 : 5,
		.unit = l->unit,
	};

	if (!l->sampled || !l->bin_count)
		view_empty(s, r, "counted only: no durations were timed");
	else
		hist_plot_draw(s, r, &p);
}

/* The calls that explain the tail: the answer first, then the shape, then one line a call. */
static void draw_tails(const struct tail_table *t, struct ui *ui, struct view_state *vs,
		       const struct snap_latency *l, struct surface *s, struct rect r)
{
	char title[96], b[FORMAT_SIZE];
	int used, plot;

	if (vs->deeper) {
		tail_table_draw_call(t, ui, vs, s, r);
		return;
	}
	used = tail_table_draw_answer(t, s, r);
	r.y += used;
	r.h -= used;
	used = draw_numbers(l, s, r);
	r.y += used;
	r.h -= used;
	plot = r.h >= PLOT_WITH_TAILS_H - 4 ? r.h * 2 / 5 : 0;
	if (plot)
		draw_plot(ui, l, s, (struct rect){r.x, r.y, r.w, plot});
	r.y += plot;
	r.h -= plot;
	if (r.h > 4) {
		snprintf(title, sizeof(title), "the slowest of those above %s; Enter: stack",
			 format_ns(b, ui->shown->tails[t->rows[0]].threshold_ns));
		widget_rule(s, r.x, r.y++, r.w, title);
		r.h--;
	}
	tail_table_draw(t, ui, vs, s, r);
}

void latency_draw_detail(struct ui *ui, struct view_state *vs, const struct snap_latency *l,
			 struct surface *s, struct rect r)
{
	const struct series *past;
	struct tail_table tails;
	char title[64];
	int used;
	bool graph = r.h >= 20;

	vs->has_deeper = false;
	if (!l) {
		view_empty(s, r, "this source is gone; Esc goes back");
		return;
	}
	if (l->bin_first > SNAP_BINS || l->bin_count > SNAP_BINS - l->bin_first)
		return;
	recent_update(&ui->recent, ui->shown, l, vs->open_name);
	if (l->source == LATENCY_UPROBE && tail_table_find(&tails, ui->shown, l->name)) {
		draw_tails(&tails, ui, vs, l, s, r);
		return;
	}
	vs->deeper = false;
	used = draw_numbers(l, s, r);
	r.y += used;
	r.h -= used;
	draw_plot(ui, l, s, (struct rect){r.x, r.y, r.w, r.h - (graph ? GRAPH_H + 1 : 0)});
	if (!graph)
		return;
	past = l->source == LATENCY_SYSCALL
		       ? history_find(&ui->history, HISTORY_SYSCALL, l->name, history_class(l))
	       : l->source == LATENCY_BLOCK
		       ? history_find(&ui->history, HISTORY_BLOCK, l->name, history_class(l))
		       : history_find(&ui->history, HISTORY_LATENCY, l->name, l->source);
	snprintf(title, sizeof(title), "%s, one column a tick",
		 l->source == LATENCY_SYSCALL ? "calls a second" : "p99 of each interval");
	widget_rule(s, r.x, r.y + r.h - GRAPH_H - 1, r.w, title);
	widget_graph(s, (struct rect){r.x, r.y + r.h - GRAPH_H, r.w, GRAPH_H}, past,
		     STYLE_GRAPH_RECENT);
}
