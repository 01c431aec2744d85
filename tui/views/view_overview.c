/* SPDX-License-Identifier: Apache-2.0 */
/* view_overview.c: the answer in words, then the figures it comes from. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/time_split.h"
#include "tui/ui.h"
#include "tui/views/heap_panel.h"
#include "tui/views/overview_panels.h"
#include "tui/widgets.h"

/* A panel is a title and at least three rows. */
enum {
	PANEL_MIN_H = 4,
	TWO_COLUMNS_W = 76,
	THREE_COLUMNS_W = 170,
	MAX_PANELS = 16,
	PAST_MAX_H = 12
};

static void take(struct rect *r, int rows)
{
	rows = rows > r->h ? r->h : rows;
	r->y += rows;
	r->h -= rows;
}

static void draw_verdict(const struct ui *ui, struct surface *s, struct rect *r)
{
	static const enum style moods[] = {
		[VERDICT_NONE] = STYLE_VERDICT_NONE,
		[VERDICT_GOOD] = STYLE_VERDICT_GOOD,
		[VERDICT_WARN] = STYLE_VERDICT_WARN,
		[VERDICT_BAD] = STYLE_VERDICT_BAD,
	};
	const struct verdict *v = &ui->verdict;
	char label[48], hint[48] = "";
	int view = view_find(v->view), label_w, hint_w, also = view_find(v->also_view);

	snprintf(label, sizeof(label), " %s ", v->label);
	if (view >= 0)
		snprintf(hint, sizeof(hint), "%c %s", (char)views[view].key, views[view].title);
	label_w = surface_text(s, r->x, r->y, r->w, moods[v->mood], label) + 1;
	hint_w = text_width(hint);
	surface_text(s, r->x + r->w - hint_w, r->y, hint_w, STYLE_TAB_KEY, hint);
	take(r, widget_wrap(s,
			    (struct rect){r->x + label_w, r->y, r->w - label_w - hint_w - 2,
					  r->h >= 18 ? 3 : 2},
			    STYLE_STRONG, v->text));
	if (!v->also[0] || r->h < 4)
		return;
	if (also >= 0)
		snprintf(hint, sizeof(hint), "%c %s", (char)views[also].key, views[also].title);
	hint_w = text_width(hint);
	surface_text(s, r->x + 1, r->y, 4, STYLE_WARN, "also");
	surface_text(s, r->x + r->w - hint_w, r->y, hint_w, STYLE_TAB_KEY, hint);
	take(r, widget_wrap(s, (struct rect){r->x + 6, r->y, r->w - 8 - hint_w, r->h > 10 ? 2 : 1},
			    STYLE_TEXT, v->also));
}

/* The heap's verdict, when it is one. */
static void draw_heap(const struct ui *ui, struct surface *s, struct rect *r)
{
	const struct snap_heap *h = &ui->shown->heap;
	char label[32], hint[32];
	int label_w, hint_w;

	if (!ui->shown->nheap || h->verdict <= HEAP_STEADY || r->h < 4 ||
	    !strcmp(ui->verdict.view, "heap"))
		return;
	snprintf(label, sizeof(label), " %s ", heap_panel_label(h->verdict));
	snprintf(hint, sizeof(hint), "%c %s", (char)views[VIEW_heap].key, views[VIEW_heap].title);
	hint_w = text_width(hint);
	label_w = surface_text(s, r->x, r->y, r->w, heap_panel_style(h->verdict), label) + 1;
	surface_text(s, r->x + r->w - hint_w, r->y, hint_w, STYLE_TAB_KEY, hint);
	take(r, widget_wrap(s, (struct rect){r->x + label_w, r->y, r->w - label_w - hint_w - 2, 1},
			    STYLE_TEXT, heap_panel_words(h)));
}

static void draw_time(const struct ui *ui, struct surface *s, struct rect *r)
{
	struct widget_part parts[TIME_PARTS];
	struct time_split t;

	time_split_compute(&t, ui->shown);
	time_split_parts(&t, parts);
	widget_stack(s, r->x, r->y, r->w, parts, TIME_PARTS);
	if (t.total < 0.05)
		surface_text(s, r->x, r->y, r->w, STYLE_DIM,
			     "no thread time seen in this interval");
	take(r, 1);
	take(r, widget_legend(s, (struct rect){r->x, r->y, r->w, r->h > 8 ? 2 : 1}, parts,
			      TIME_PARTS));
	if (!t.has_blocked && r->h > 6)
		take(r, view_reason(ui, "blocked", s, (struct rect){r->x, r->y, r->w, 2}));
}

static void gauge(const struct ui *ui, struct surface *s, struct rect r, const char *label,
		  const char *value, enum history_kind kind)
{
	int label_w = 7, value_w = 10, x = r.x + label_w + value_w + 1;

	surface_text(s, r.x, r.y, label_w, STYLE_LABEL, label);
	surface_text_right(s, r.x + label_w, r.y, value_w - 1, STYLE_STRONG, value);
	widget_spark(s, x, r.y, r.x + r.w - x - 2, history_find(&ui->history, kind, "", 0),
		     kind == HISTORY_CPU ? 100 : 0, STYLE_GRAPH);
}

static void draw_gauges(const struct ui *ui, struct surface *s, struct rect *r)
{
	const struct snapshot *sn = ui->shown;
	const struct series *worst = history_find(&ui->history, HISTORY_P99, "", 0);
	int columns = r->w >= 110 ? 4 : 2, w = r->w / columns;
	char text[4][FORMAT_SIZE];
	float p99 = series_at(worst, 0);
	static const char *const labels[4] = {"CPU", "RSS", "ctxsw", "p99 now"};
	static const enum history_kind kinds[4] = {HISTORY_CPU, HISTORY_RSS, HISTORY_CTXSW,
						   HISTORY_P99};
	const struct snap_section *proc = view_section(ui, "proc");

	if (!proc || proc->status == SECTION_ABSENT) {
		take(r, view_notice(ui, "proc", s, *r));
		return;
	}
	format_pct(text[0], sn->proc.user_pct + sn->proc.sys_pct);
	format_bytes(text[1], sn->proc.rss_bytes);
	format_rate(text[2], sn->proc.ctxsw_voluntary_rate + sn->proc.ctxsw_involuntary_rate);
	format_ns(text[3], isnan(p99) ? 0 : (uint64_t)p99);
	/* Without a latency there is no worst one. */
	for (int i = 0; i < (isnan(p99) ? 3 : 4); i++)
		gauge(ui, s, (struct rect){r->x + i % columns * w, r->y + i / columns, w, 1},
		      labels[i], text[i], kinds[i]);
	take(r, 4 / columns);
}

/*
 * Rows for each line of panels: what it wants where that is less than its share, and the rest
 * shared by the others. Returns the rows left over.
 */
static int share_rows(int rows, const int *want, int lines, int *got)
{
	int left = lines;

	for (int i = 0; i < lines; i++)
		got[i] = -1;
	for (bool again = true; again && left;) {
		int share = rows / left;

		again = false;
		for (int i = 0; i < lines; i++)
			if (got[i] < 0 && want[i] <= share) {
				got[i] = want[i];
				rows -= want[i];
				left--;
				again = true;
			}
	}
	for (int i = 0; i < lines; i++)
		if (got[i] < 0 && left) {
			got[i] = rows / left--;
			rows -= got[i];
		}
	return rows;
}

/* A tall screen shows the past as large as it can. */
static void draw_past(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct series *p99 = history_find(&ui->history, HISTORY_P99, "", 0);
	const struct series *cpu = history_find(&ui->history, HISTORY_CPU, "", 0);
	bool both = !isnan(series_at(p99, 0));
	int w = both ? (r.w - 2) / 2 : r.w;
	char title[64], max[FORMAT_SIZE];

	if (r.h < 5 || w < 1 || isnan(series_at(cpu, 0)))
		return;
	r.h = r.h > PAST_MAX_H ? PAST_MAX_H : r.h;
	snprintf(title, sizeof(title), "CPU, one column a tick, highest %s",
		 format_pct(max, series_max(cpu, (uint32_t)w)));
	widget_rule(s, r.x, r.y, w, title);
	widget_graph(s, (struct rect){r.x, r.y + 1, w, r.h - 1}, cpu, STYLE_GRAPH);
	if (!both)
		return;
	snprintf(title, sizeof(title), "worst p99 of each tick, highest %s",
		 format_ns(max, (uint64_t)series_max(p99, (uint32_t)w)));
	widget_rule(s, r.x + w + 2, r.y, w, title);
	widget_graph(s, (struct rect){r.x + w + 2, r.y + 1, w, r.h - 1}, p99, STYLE_GRAPH_RECENT);
}

static void draw_panels(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct overview_panel *list[MAX_PANELS];
	int want[MAX_PANELS] = {0}, got[MAX_PANELS], n = 0, lines, w, left;
	int columns = r.w >= THREE_COLUMNS_W ? 3 : r.w >= TWO_COLUMNS_W ? 2 : 1;

	for (uint32_t i = 0; i < noverview_panels && n < MAX_PANELS; i++)
		if (overview_panels[i].rows(ui) > 0)
			list[n++] = &overview_panels[i];
	lines = (n + columns - 1) / columns;
	while (lines > 1 && r.h / lines < PANEL_MIN_H)
		lines--;
	for (int i = 0; i < n && i < lines * columns; i++) {
		/* A title, and a blank line below. */
		int rows = list[i]->rows(ui) + 2;

		if (rows > want[i / columns])
			want[i / columns] = rows;
	}
	left = share_rows(r.h, want, lines, got);
	w = (r.w - 2 * (columns - 1)) / columns;
	for (int i = 0; i < n && i < lines * columns; i++) {
		struct rect p = {r.x + i % columns * (w + 2), r.y, w, got[i / columns]};

		/* A last panel alone on its line gets all of it. */
		if (i == n - 1 && i % columns == 0)
			p.w = r.w;
		if (p.h >= 2) {
			char title[64], note[40] = "";

			if (list[i]->note)
				list[i]->note(ui->shown, note, sizeof(note));
			snprintf(title, sizeof(title), "%s%s", list[i]->title, note);
			widget_rule(s, p.x, p.y, p.w, title);
			list[i]->draw(ui, s, (struct rect){p.x, p.y + 1, p.w, p.h - 1});
		}
		if (i % columns == columns - 1 || i == n - 1)
			take(&r, p.h);
	}
	draw_past(ui, s, (struct rect){r.x, r.y, r.w, left});
}

/*
 * What would measure more, once for all sections that lack it. That system calls are sampled at
 * a high rate is no lack.
 */
static void draw_fix(const struct ui *ui, struct surface *s, struct rect *r)
{
	static const char *const names[] = {"proc", "blocked", "threads", "cpu", "syscalls"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct snap_section *sec = view_section(ui, names[i]);

		if (!sec || sec->status == SECTION_LIVE || !sec->fix[0] ||
		    (sec->status == SECTION_DEGRADED && !strcmp(names[i], "syscalls")))
			continue;
		/* What is measured in part needs its reason: the command alone does not tell it. */
		if (sec->status == SECTION_DEGRADED && r->h > 10) {
			surface_text(s, r->x + 1, r->y, 4, STYLE_WARN, "part");
			take(r, widget_wrap(s, (struct rect){r->x + 6, r->y, r->w - 6, 2},
					    STYLE_TEXT, sec->reason));
		}
		surface_text(s, r->x + 1, r->y, 4, STYLE_WARN, "fix");
		take(r, widget_wrap(s, (struct rect){r->x + 6, r->y, r->w - 6, r->h > 10 ? 2 : 1},
				    STYLE_STRONG, sec->fix));
		return;
	}
}

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	bool airy = r.h >= 18;

	draw_verdict(ui, s, &r);
	draw_heap(ui, s, &r);
	draw_fix(ui, s, &r);
	take(&r, airy);
	draw_time(ui, s, &r);
	take(&r, airy);
	draw_gauges(ui, s, &r);
	take(&r, airy && r.h > 12);
	draw_panels(ui, s, r);
}

const struct view_ops view_ops_overview = {.draw = draw};
