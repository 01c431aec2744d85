/* SPDX-License-Identifier: Apache-2.0 */
/* view_overview.c: the answer in words, then the figures it comes from. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/time_split.h"
#include "tui/ui.h"
#include "tui/views/overview_panels.h"
#include "tui/widgets.h"

/* A panel is a title and at least three rows. */
enum { PANEL_MIN_H = 4, TWO_COLUMNS_W = 76, THREE_COLUMNS_W = 170, MAX_PANELS = 16 };

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
	take(r, widget_wrap(s, (struct rect){r->x + label_w, r->y, r->w - label_w - hint_w - 2, 2},
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
		take(r, view_reason(ui, "sched", s, (struct rect){r->x, r->y, r->w, 2}));
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
	static const char *const labels[4] = {"CPU", "RSS", "switch", "p99"};
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
	for (int i = 0; i < 4; i++)
		gauge(ui, s, (struct rect){r->x + i % columns * w, r->y + i / columns, w, 1},
		      labels[i], text[i], kinds[i]);
	take(r, 4 / columns);
}

static void draw_panels(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct overview_panel *list[MAX_PANELS];
	int n = 0, columns = r.w >= THREE_COLUMNS_W ? 3 : r.w >= TWO_COLUMNS_W ? 2 : 1, lines, w;

	for (uint32_t i = 0; i < noverview_panels && n < MAX_PANELS; i++)
		if (overview_panels[i].wanted(ui->shown))
			list[n++] = &overview_panels[i];
	lines = (n + columns - 1) / columns;
	while (lines > 1 && r.h / lines < PANEL_MIN_H)
		lines--;
	w = (r.w - 2 * (columns - 1)) / columns;
	for (int i = 0; i < n && i < lines * columns; i++) {
		int row = i / columns, col = i % columns;
		struct rect p = {r.x + col * (w + 2), r.y + r.h * row / lines, w,
				 r.h * (row + 1) / lines - r.h * row / lines};

		/* A last panel alone on its line gets all of it. */
		if (i == n - 1 && !col)
			p.w = r.w;
		if (p.h < 2)
			return;
		widget_rule(s, p.x, p.y, p.w, list[i]->title);
		list[i]->draw(ui, s, (struct rect){p.x, p.y + 1, p.w, p.h - 1});
	}
}

/* What would measure more, once for all sections that lack it. */
static void draw_fix(const struct ui *ui, struct surface *s, struct rect *r)
{
	static const char *const names[] = {"proc", "sched", "cpu", "syscalls"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct snap_section *sec = view_section(ui, names[i]);

		if (!sec || sec->status == SECTION_LIVE || !sec->fix[0])
			continue;
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
	draw_fix(ui, s, &r);
	take(&r, airy);
	draw_time(ui, s, &r);
	take(&r, airy);
	draw_gauges(ui, s, &r);
	take(&r, airy && r.h > 12);
	draw_panels(ui, s, r);
}

const struct view_ops view_ops_overview = {.draw = draw};
