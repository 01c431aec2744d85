/* SPDX-License-Identifier: Apache-2.0 */
/* view_blocked.c: what the threads wait for, and which locks. */
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/time_split.h"
#include "tui/ui.h"
#include "tui/widgets.h"

enum {
	COL_ADDR,
	COL_KIND,
	COL_SHARE,
	COL_BAR,
	COL_WAITS,
	COL_TIME,
	COL_MEAN,
	COL_MAX,
	COL_HOLDER,
	COLUMNS
};

static const struct grid_column columns[COLUMNS] = {
	[COL_ADDR] = {"FUTEX", 14, .text = true},
	[COL_KIND] = {"KIND", 8, .text = true, .unsorted = true},
	[COL_SHARE] = {"SHARE", 7},
	[COL_BAR] = {"", 12, .text = true, .unsorted = true, .drop = 2},
	[COL_WAITS] = {"WAITS", 6},
	[COL_TIME] = {"WAITED", 7, .drop = 1},
	[COL_MEAN] = {"MEAN", 7, .drop = 3},
	[COL_MAX] = {"MAX", 7},
	[COL_HOLDER] = {"LAST HOLDER", 11, .text = true, .unsorted = true, .flex = true, .drop = 0},
};

static uint32_t rows(const void *data)
{
	const struct ui *ui = data;

	return ui->shown->nlocks;
}

static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct ui *ui = data;

	snprintf(buf, size, "0x%llx", (unsigned long long)ui->shown->locks[row].addr);
}

static double mean_ns(const struct snap_lock *l)
{
	return l->waits ? (double)l->wait_ns / (double)l->waits : 0;
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct ui *ui = data;
	const struct snap_lock *l = &ui->shown->locks[row];

	switch (col) {
	case COL_WAITS:
		return (double)l->waits;
	case COL_TIME:
		return (double)l->wait_ns;
	case COL_MEAN:
		return mean_ns(l);
	case COL_MAX:
		return (double)l->max_ns;
	default:
		return l->pct;
	}
}

static void holder_cell(const struct snapshot *sn, const struct snap_lock *l, struct grid_cell *out)
{
	const char *comm = "";

	if (!l->owner_tid) {
		snprintf(out->text, sizeof(out->text), "-");
		out->style = STYLE_DIM;
		return;
	}
	for (uint32_t i = 0; i < sn->nthreads; i++)
		if (sn->threads[i].tid == l->owner_tid)
			comm = sn->threads[i].comm;
	snprintf(out->text, sizeof(out->text), "%d %s", l->owner_tid, comm);
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct ui *ui = data;
	const struct snap_lock *l = &ui->shown->locks[row];
	bool bad = l->is_mutex && l->pct >= 20;
	char buf[FORMAT_SIZE];

	switch (col) {
	case COL_ADDR:
		name(data, row, out->text, sizeof(out->text));
		out->style = bad ? STYLE_BAD : STYLE_TEXT;
		break;
	case COL_KIND:
		snprintf(out->text, sizeof(out->text), "%s", l->is_mutex ? "mutex" : "cond/sem");
		out->style = l->is_mutex ? STYLE_TEXT : STYLE_DIM;
		break;
	case COL_SHARE:
		snprintf(out->text, sizeof(out->text), "%s", format_pct(buf, l->pct));
		out->style = bad ? STYLE_BAD : STYLE_TEXT;
		break;
	case COL_BAR:
		out->bar = l->pct / 100;
		out->style = l->is_mutex ? STYLE_PART_LOCK : STYLE_PART_WAIT;
		break;
	case COL_WAITS:
		snprintf(out->text, sizeof(out->text), "%s", format_count(buf, (double)l->waits));
		break;
	case COL_HOLDER:
		holder_cell(ui->shown, l, out);
		break;
	default:
		snprintf(out->text, sizeof(out->text), "%s",
			 format_ns(buf, (uint64_t)value(data, row, col)));
	}
}

static const struct grid_model model = {
	.columns = columns,
	.ncolumns = COLUMNS,
	.sort = COL_SHARE,
	.rows = rows,
	.name = name,
	.value = value,
	.cell = cell,
};

static void reason_line(const struct snap_blocked *b, struct surface *s, struct rect r)
{
	static const char *const names[BLOCKED_REASONS] = {
		[BLOCKED_FUTEX] = "futex",	     [BLOCKED_IO] = "I/O",
		[BLOCKED_PAGE_FAULT] = "page fault", [BLOCKED_SLEEP] = "sleep",
		[BLOCKED_NET] = "network",	     [BLOCKED_OTHER] = "other",
		[BLOCKED_RUNQ] = "run queue",
	};
	char pct[FORMAT_SIZE], n[FORMAT_SIZE], t[FORMAT_SIZE], p50[FORMAT_SIZE], p99[FORMAT_SIZE],
		max[FORMAT_SIZE];
	int x = r.x;

	surface_text(s, x, r.y, 11, STYLE_TEXT,
		     b->reason < BLOCKED_REASONS ? names[b->reason] : "?");
	surface_text_right(s, x + 11, r.y, 8, STYLE_STRONG, format_pct(pct, b->pct));
	surface_text_right(s, x + 20, r.y, 8, STYLE_TEXT, format_ns(t, b->ns));
	surface_text_right(s, x + 29, r.y, 7, STYLE_TEXT, format_count(n, (double)b->count));
	surface_text_right(s, x + 37, r.y, 8, STYLE_TEXT, format_ns(p50, b->p50));
	surface_text_right(s, x + 46, r.y, 8, STYLE_TEXT, format_ns(p99, b->p99));
	if (r.w >= 64)
		surface_text_right(s, x + 55, r.y, 8, STYLE_TEXT, format_ns(max, b->max));
}

static int draw_reasons(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	bool done[SNAP_BLOCKED] = {false};
	int y = r.y;

	surface_fill(s, (struct rect){r.x, y, r.w, 1}, ' ', STYLE_COLUMN);
	surface_text(s, r.x, y, r.w, STYLE_COLUMN,
		     r.w >= 64 ? "WAITS FOR     SHARE   WAITED   WAITS      P50      P99      MAX"
			       : "WAITS FOR     SHARE   WAITED   WAITS      P50      P99");
	for (uint32_t k = 0; k < sn->nblocked && y + 1 < r.y + r.h; k++) {
		uint32_t best = UINT32_MAX;

		for (uint32_t i = 0; i < sn->nblocked; i++)
			if (!done[i] &&
			    (best == UINT32_MAX || sn->blocked[i].pct > sn->blocked[best].pct))
				best = i;
		if (best == UINT32_MAX)
			break;
		done[best] = true;
		reason_line(&sn->blocked[best], s, (struct rect){r.x, ++y, r.w, 1});
	}
	return y + 1 - r.y;
}

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	struct widget_part parts[TIME_PARTS];
	struct time_split t;
	int used = view_notice(ui, "blocked", s, r);

	r.y += used;
	r.h -= used;
	if (!ui->shown->nblocked)
		return;
	time_split_compute(&t, ui->shown);
	time_split_parts(&t, parts);
	if (r.h >= 14) {
		widget_stack(s, r.x, r.y, r.w, parts, TIME_PARTS);
		used = 2 + widget_legend(s, (struct rect){r.x, r.y + 1, r.w, 2}, parts, TIME_PARTS);
		r.y += used;
		r.h -= used;
	}
	/* The locks get at least half of what is left. */
	used = draw_reasons(ui, s, (struct rect){r.x, r.y, r.w, r.h / 2 > 3 ? r.h / 2 : 3});
	r.y += used;
	r.h -= used;
	if (r.h >= 6) {
		widget_rule(s, r.x, r.y, r.w, "futexes waited on, by share of one thread's time");
		r.y++;
		r.h--;
	}
	if (!ui->shown->nlocks)
		view_empty(s, r, "no thread waited on a futex");
	else
		grid_draw(&vs->grid, &model, ui, s, r);
}

const struct view_ops view_ops_blocked = {.draw = draw, .model = &model};
