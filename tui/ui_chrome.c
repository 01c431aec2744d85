/* SPDX-License-Identifier: Apache-2.0 */
/* ui_chrome.c: the lines around every view: header, tabs, footer. */
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/ui.h"

/* Two header lines cost a small screen too much. */
enum { TWO_LINES_H = 20 };

static const char *state_text(const struct ui *ui, enum style *st)
{
	const struct snapshot *s = ui->shown;

	*st = STYLE_HEADER_WARN;
	if (ui->paused)
		return "PAUSED";
	if (s->finished)
		return s->replaying ? "END OF RECORDING" : "FINISHED";
	if (s->replaying)
		return "REPLAY";
	*st = s->target.state == TARGET_RUNNING ? STYLE_HEADER_GOOD : STYLE_HEADER_BAD;
	return target_state_name(s->target.state);
}

static void cost_text(const struct snapshot *s, bool shorter, char *out, size_t size)
{
	char cpu[FORMAT_SIZE], rss[FORMAT_SIZE], probes[FORMAT_SIZE], drops[FORMAT_SIZE];

	format_pct(cpu, s->cost.self_cpu_pct);
	format_bytes(rss, s->cost.self_rss_bytes);
	format_pct(probes, s->cost.target_pct_est);
	/* eBPF programs of which no run time is known yet, or ever, do not cost nothing. */
	for (uint32_t i = 0; i < s->nsections; i++)
		if (!strcmp(s->sections[i].name, "bpf") && s->sections[i].status == SECTION_LIVE &&
		    !s->cost.bpf_ns_per_s && !s->cost.target_pct_est)
			snprintf(probes, sizeof(probes), "?");
	format_count(drops, (double)s->cost.dropped_total);
	if (shorter)
		snprintf(out, size, "%s · drops %s ", s->target.tier, drops);
	else
		snprintf(out, size, "perftop %s, %s · probes ~%s · drops %s ", cpu, rss, probes,
			 drops);
}

static void first_line(const struct ui *ui, struct surface *s, bool two)
{
	const struct snapshot *sn = ui->shown;
	char age[FORMAT_SIZE], every[FORMAT_SIZE], right[160], up[48], threads[32];
	enum style st;
	const char *state = state_text(ui, &st);
	int x, right_w, limit;

	if (!two)
		cost_text(sn, s->w < 100, right, sizeof(right));
	else if (s->w < 100)
		snprintf(right, sizeof(right), "%s · every %s ", sn->target.tier,
			 format_ns(every, ui->interval_ns));
	else
		snprintf(right, sizeof(right), "%s · every %s · counting for %s ", sn->target.tier,
			 format_ns(every, ui->interval_ns), format_age(age, sn->since_ns));
	right_w = text_width(right);
	limit = s->w - right_w - 2;
	x = 1 + surface_name(s, 1, 0,
			     limit > 40	  ? limit - 24
			     : limit > 28 ? 16
					  : 2,
			     STYLE_HEADER_STRONG, sn->target.comm);
	x += 1 + surface_printf(s, x + 1, 0, limit - x, STYLE_HEADER, "%d", sn->target.pid);
	if (sn->nprocesses > 1)
		x += 1 + surface_printf(s, x + 1, 0, limit - x, STYLE_HEADER_STRONG,
					"+%u processes", sn->nprocesses - 1);
	surface_put(s, x + 2, 0, 0x25cf, st);
	x += 4 + surface_text(s, x + 4, 0, limit - x, st, state);
	snprintf(up, sizeof(up), "up %s  ", format_age(age, sn->target.age_ns));
	snprintf(threads, sizeof(threads), "%u thread%s", sn->target.threads,
		 sn->target.threads == 1 ? "" : "s");
	/* Where not both have room, what is watched matters more than for how long it has run. */
	surface_printf(s, x + 2, 0, limit - x - 2, STYLE_HEADER_DIM, "%s%s",
		       text_width(up) + text_width(threads) <= limit - x - 2 ? up : "", threads);
	surface_text_right(s, s->w - right_w, 0, right_w, STYLE_HEADER_DIM, right);
}

int ui_draw_header(const struct ui *ui, struct surface *s)
{
	bool two = s->h >= TWO_LINES_H;
	char right[160];
	int w;

	surface_fill(s, (struct rect){0, 0, s->w, two ? 2 : 1}, ' ', STYLE_HEADER);
	if (!ui->shown) {
		surface_text(s, 1, 0, s->w - 2, STYLE_HEADER_STRONG, "perftop");
		return two ? 2 : 1;
	}
	first_line(ui, s, two);
	if (!two)
		return 1;
	cost_text(ui->shown, false, right, sizeof(right));
	w = text_width(right);
	surface_text_right(s, s->w - w, 1, w, STYLE_HEADER_DIM, right);
	surface_name(s, 1, 1, s->w - w - 3, STYLE_HEADER_DIM,
		     ui->shown->target.note[0]	    ? ui->shown->target.note
		     : ui->shown->target.cmdline[0] ? ui->shown->target.cmdline
						    : ui->shown->target.exe);
	return 2;
}

static int tabs_width(const struct ui *ui, bool shorter, int gap)
{
	int w = 1;

	for (uint32_t i = 0; i < NVIEWS; i++)
		w += 1 + text_width(shorter ? views[i].short_title : views[i].title) + gap;
	return w + (ui->shown && ui->shown->nalerts ? 3 : 0);
}

void ui_draw_tabs(const struct ui *ui, struct surface *s, int y)
{
	int gap = tabs_width(ui, false, 3) <= s->w ? 3 : 1;
	bool shorter = tabs_width(ui, false, gap) > s->w;
	int x = 1;

	for (uint32_t i = 0; i < NVIEWS; i++) {
		bool on = i == ui->view;
		const char *title = shorter ? views[i].short_title : views[i].title;

		/* Where colours tell nothing, brackets mark the open tab. */
		if (on && (s->mono || s->ascii))
			surface_put(s, x - 1, y, '[', STYLE_TAB_ON);
		surface_put(s, x++, y, views[i].key, on ? STYLE_TAB_ON : STYLE_TAB_KEY);
		x += surface_text(s, x, y, s->w - x, on ? STYLE_TAB_ON : STYLE_TAB, title);
		if (i == VIEW_alerts && ui->shown && ui->shown->nalerts)
			x += surface_printf(s, x, y, s->w - x, STYLE_BAD, " %u",
					    ui->shown->nalerts);
		if (on && (s->mono || s->ascii))
			surface_put(s, x, y, ']', STYLE_TAB_ON);
		x += gap;
	}
}

static int footer_key(struct surface *s, int x, int y, const char *key, const char *what)
{
	if (x + text_width(key) + text_width(what) + 1 > s->w)
		return x;
	x += surface_text(s, x, y, s->w - x, STYLE_FOOTER_KEY, key);
	x += surface_text(s, x, y, s->w - x, STYLE_FOOTER, what);
	return x + 1;
}

static void draw_filter(const struct ui *ui, struct surface *s, int y)
{
	const char *filter = ui->states[ui->view].grid.filter;
	int x = 1 + surface_text(s, 1, y, s->w, STYLE_FOOTER_KEY, "Filter:");

	x += 1 + surface_text(s, x + 1, y, s->w - 40, STYLE_STRONG, filter);
	surface_put(s, x, y, '_', STYLE_STRONG);
	x = footer_key(s, x + 3, y, "Enter", " keep");
	footer_key(s, x + 1, y, "Esc", " clear");
}

void ui_draw_footer(const struct ui *ui, struct surface *s, int y)
{
	const struct view_state *vs = &ui->states[ui->view];
	const struct view_ops *ops = views[ui->view].ops;
	bool list = ops->model && !vs->open;
	char shown[GRID_FILTER + 32];
	int x = 1, w;

	if (ui->filtering) {
		draw_filter(ui, s, y);
		return;
	}
	x = footer_key(s, x, y, "F1", " help");
	if (vs->open && vs->has_deeper && !vs->deeper)
		x = footer_key(s, x, y, "Enter", " stack");
	if (vs->open || ui->view == VIEW_help)
		x = footer_key(s, x, y, "Esc", " back");
	else if (ui->view == VIEW_overview)
		x = footer_key(s, x, y, "Enter", " why");
	else if (ops->detail)
		x = footer_key(s, x, y, "Enter", " open");
	x = footer_key(s, x, y, "Tab", " view");
	if (list) {
		x = footer_key(s, x, y, "/", " filter");
		x = footer_key(s, x, y, "< >", " sort");
	}
	x = footer_key(s, x, y, "Space", ui->paused ? " go on" : " pause");
	x = footer_key(s, x, y, "z", " reset");
	x = footer_key(s, x, y, "q", " quit");
	x = footer_key(s, x, y, "+ -", " interval");
	if (ui->message[0]) {
		w = text_width(ui->message) + 1;
		surface_text_right(s, s->w - w - 1, y, w, STYLE_STRONG, ui->message);
	} else if (list && vs->grid.filter[0]) {
		snprintf(shown, sizeof(shown), " /%s: %u of %u", vs->grid.filter, vs->grid.n,
			 vs->grid.total);
		w = text_width(shown);
		surface_text_right(s, s->w - w - 1, y, w, STYLE_WARN, shown);
	} else if (list && vs->grid.total > 1 && x + 14 < s->w) {
		snprintf(shown, sizeof(shown), "%u/%u", vs->grid.n ? vs->grid.cursor + 1 : 0,
			 vs->grid.n);
		surface_text_right(s, s->w - 13, y, 12, STYLE_DIM, shown);
	}
}
