/* SPDX-License-Identifier: Apache-2.0 */
/* view_alerts.c: bottlenecks with evidence and advice, and what happened to the target. */
#include <stdio.h>

#include "tui/format.h"
#include "tui/ui.h"
#include "tui/widgets.h"

static enum style severity_style(uint32_t severity)
{
	return severity == ALERT_CRITICAL  ? STYLE_VERDICT_BAD
	       : severity == ALERT_WARNING ? STYLE_VERDICT_WARN
					   : STYLE_VERDICT_NONE;
}

/* Lines are drawn at y even where that lies above r: `clip` keeps them inside. */
struct page {
	struct surface *s;
	struct rect r;
	int y; /* next line, counted from the page's start, which is scrolled */
	int top;
};

static struct rect line_at(const struct page *p, int indent, int h)
{
	return (struct rect){p->r.x + indent, p->r.y + p->y - p->top, p->r.w - indent, h};
}

static bool visible(const struct page *p)
{
	return p->y >= p->top && p->y - p->top < p->r.h;
}

static void paragraph(struct page *p, const char *label, enum style st, const char *text)
{
	struct surface *s = p->s;
	struct rect r = line_at(p, 11, p->r.y + p->r.h - (p->r.y + p->y - p->top));

	if (!visible(p)) {
		p->y += 1 + text_width(text) / (p->r.w > 12 ? p->r.w - 11 : 1);
		return;
	}
	surface_text(s, p->r.x + 1, r.y, 9, STYLE_LABEL, label);
	p->y += widget_wrap(s, r, st, text);
}

static void draw_alert(const struct ui *ui, const struct snap_alert *a, struct page *p)
{
	char age[FORMAT_SIZE], label[40];
	uint64_t now = ui->shown->time_ns;

	if (visible(p)) {
		struct rect r = line_at(p, 0, 1);
		int x = r.x;

		snprintf(label, sizeof(label), " %s ", alert_severity_name(a->severity));
		x += surface_text(p->s, x, r.y, r.w, severity_style(a->severity), label) + 1;
		x += surface_text(p->s, x, r.y, r.w, STYLE_STRONG, a->rule) + 2;
		x += surface_name(p->s, x, r.y, r.w / 2, STYLE_TITLE, a->subject) + 2;
		if (a->since_ns && now >= a->since_ns)
			surface_printf(p->s, x, r.y, p->r.x + r.w - x, STYLE_DIM, "for %s",
				       format_age(age, now - a->since_ns));
	}
	p->y++;
	paragraph(p, "evidence", STYLE_TEXT, a->evidence);
	paragraph(p, "advice", STYLE_STRONG, a->advice);
	p->y++;
}

static void draw_events(const struct ui *ui, struct page *p)
{
	char age[FORMAT_SIZE];

	if (!ui->shown->nevents)
		return;
	if (visible(p))
		widget_rule(p->s, p->r.x, p->r.y + p->y - p->top, p->r.w,
			    "what happened, newest first");
	p->y++;
	for (uint32_t i = ui->shown->nevents; i-- > 0;) {
		const struct snap_event *e = &ui->shown->events[i];
		struct rect r = line_at(p, 15, p->r.h - (p->y - p->top));
		int used;

		if (!visible(p)) {
			p->y += 1 + text_width(e->text) / (r.w > 1 ? r.w : 1);
			continue;
		}
		if (ui->shown->time_ns >= e->time_ns)
			surface_text_right(p->s, p->r.x, r.y, 10, STYLE_LABEL,
					   format_age(age, ui->shown->time_ns - e->time_ns));
		surface_text(p->s, p->r.x + 11, r.y, 3, STYLE_DIM, "ago");
		used = widget_wrap(p->s, r, STYLE_TEXT, e->text);
		p->y += used ? used : 1;
	}
}

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	struct page p = {s, r, 0, vs->scroll};

	if (!ui->shown->nalerts) {
		bool bad = ui->verdict.mood == VERDICT_BAD || ui->verdict.mood == VERDICT_WARN;

		if (visible(&p) && bad)
			surface_printf(s, r.x, r.y, r.w, STYLE_TEXT,
				       "No alert: no rule covers it. Overview says: %s",
				       ui->verdict.label);
		else if (visible(&p))
			surface_text(s, r.x, r.y, r.w, STYLE_GOOD,
				     "No alert: no rule finds a bottleneck.");
		p.y += 2;
	}
	for (uint32_t i = 0; i < ui->shown->nalerts; i++)
		draw_alert(ui, &ui->shown->alerts[i], &p);
	draw_events(ui, &p);
	vs->scroll_max = p.y > r.h ? p.y - r.h : 0;
	if (vs->scroll > vs->scroll_max)
		vs->scroll = vs->scroll_max;
}

const struct view_ops view_ops_alerts = {.draw = draw};
