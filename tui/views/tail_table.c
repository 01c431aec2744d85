/* SPDX-License-Identifier: Apache-2.0 */
/* tail_table.c: a function's slow calls: a list, and one of them alone. */
#include "tui/views/tail_table.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tui/format.h"
#include "tui/tail_summary.h"
#include "tui/widgets.h"

bool tail_table_find(struct tail_table *t, const struct snapshot *s, const char *name)
{
	uint32_t n = s->ntails < SNAP_TAILS ? s->ntails : SNAP_TAILS;

	t->s = s;
	t->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = t->n;

		if (strcmp(s->tails[i].name, name) != 0)
			continue;
		for (; at && s->tails[t->rows[at - 1]].ns < s->tails[i].ns; at--)
			t->rows[at] = t->rows[at - 1];
		t->rows[at] = i;
		t->n++;
	}
	return t->n > 0;
}

static const struct snap_tail *call(const struct tail_table *t, int row)
{
	return &t->s->tails[t->rows[row]];
}

/* Moved by a key since the last draw, or else where its call is now. */
static int cursor(const struct tail_table *t, struct ui *ui, struct view_state *vs)
{
	struct ui_tail *at = &ui->tail;

	vs->has_deeper = true;
	vs->scroll_max = (int)t->n - 1;
	if (vs->scroll > vs->scroll_max)
		vs->scroll = vs->scroll_max;
	/* At the top it stays there: the slowest, whichever that is, unless it is being read. */
	if (vs->scroll == at->row && (at->row || vs->deeper))
		for (uint32_t i = 0; i < t->n; i++)
			if (call(t, (int)i)->time_ns == at->time_ns &&
			    call(t, (int)i)->tid == at->tid)
				vs->scroll = (int)i;
	*at = (struct ui_tail){.time_ns = call(t, vs->scroll)->time_ns,
			       .tid = call(t, vs->scroll)->tid,
			       .row = vs->scroll};
	return vs->scroll;
}

int tail_table_draw_answer(const struct tail_table *t, struct surface *s, struct rect r)
{
	struct tail_summary sum;

	if (r.h < 1 || !tail_summarize(t->s, call(t, 0)->name, &sum))
		return 0;
	if (r.h > 3)
		r.h = 3;
	surface_put(s, r.x, r.y, 0x25b6, STYLE_BAD);
	r.x += 2;
	r.w -= 2;
	return widget_wrap(s, r, STYLE_BAD, sum.text);
}

enum column { TIME, TOOK, CPU, QUEUE, BLOCKED, WHAT, FAULTS, WAKER, COLUMNS };

static const struct {
	const char *title;
	int width; /* 0: what is left */
	int from;  /* columns that the table must have */
	bool left;
} columns[COLUMNS] = {
	[TIME] = {"TIME", 8, 76, true},	      [TOOK] = {"TOOK", 8, 0, false},
	[CPU] = {"ON CPU", 6, 0, false},      [QUEUE] = {"QUEUE", 6, 0, false},
	[BLOCKED] = {"BLOCKED", 7, 0, false}, [WHAT] = {"LONGEST WAIT", 0, 0, true},
	[FAULTS] = {"FAULTS", 6, 70, false},  [WAKER] = {"WOKEN BY", 22, 110, true},
};

static enum style part_style(double pct)
{
	return pct >= 50 ? STYLE_BAD : pct >= 20 ? STYLE_WARN : pct < 1 ? STYLE_DIM : STYLE_TEXT;
}

static enum style put_share(char *text, size_t size, uint64_t ns, const struct snap_tail *c)
{
	double pct = c->ns ? 100.0 * (double)ns / (double)c->ns : 0;

	snprintf(text, size, "%.0f %%", pct > 100 ? 100 : pct);
	return part_style(pct);
}

static void put_time(char *text, size_t size, uint64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / 1000000000u);
	struct tm tm;

	text[0] = '\0';
	if (localtime_r(&seconds, &tm))
		strftime(text, size, "%T", &tm);
}

static void put_wait(char *text, size_t size, const struct snap_tail *c)
{
	char ns[FORMAT_SIZE];

	if (!c->longest_ns)
		snprintf(text, size, "none");
	else if (c->reason == BLOCKED_RUNQ)
		snprintf(text, size, "%s for a CPU", format_ns(ns, c->longest_ns));
	else if (c->reason == BLOCKED_FUTEX && c->what[0])
		snprintf(text, size, "%s %s", format_ns(ns, c->longest_ns), c->what);
	else
		snprintf(text, size, "%s %s%s%s", format_ns(ns, c->longest_ns),
			 blocked_reason_name(c->reason), c->what[0] ? ": " : "", c->what);
}

static enum style put_cell(enum column col, const struct snap_tail *c, char *text, size_t size)
{
	char buf[FORMAT_SIZE];

	switch (col) {
	case TIME:
		put_time(text, size, c->time_ns);
		return STYLE_DIM;
	case TOOK:
		snprintf(text, size, "%s", format_ns(buf, c->ns));
		return STYLE_STRONG;
	case CPU:
		return put_share(text, size, c->cpu_ns, c);
	case QUEUE:
		return put_share(text, size, c->runq_ns, c);
	case BLOCKED:
		return put_share(text, size, c->blocked_ns, c);
	case WHAT:
		put_wait(text, size, c);
		return c->longest_ns * 5 < c->ns ? STYLE_DIM : STYLE_TEXT;
	case FAULTS:
		snprintf(text, size, "%s", format_count(buf, (double)(c->minflt + c->majflt)));
		return c->majflt ? STYLE_BAD : c->minflt < 16 ? STYLE_DIM : STYLE_WARN;
	default:
		snprintf(text, size, "%s", c->waker);
		return STYLE_TEXT;
	}
}

/* A row of the table, or its head when c is NULL. */
static void draw_row(const struct snap_tail *c, struct surface *s, struct rect r)
{
	int rest = r.w, x = r.x;

	for (int i = 0; i < COLUMNS; i++)
		if (r.w >= columns[i].from)
			rest -= columns[i].width + 1;
	for (int i = 0; i < COLUMNS; i++) {
		int w = columns[i].width ? columns[i].width : rest;
		enum style st = STYLE_COLUMN;
		char text[SNAP_NAME + 64];

		if (r.w < columns[i].from)
			continue;
		snprintf(text, sizeof(text), "%s", columns[i].title);
		if (c)
			st = put_cell((enum column)i, c, text, sizeof(text));
		if (columns[i].left)
			surface_text(s, x, r.y, w, st, text);
		else
			surface_text_right(s, x, r.y, w, st, text);
		x += w + 1;
	}
}

void tail_table_draw(const struct tail_table *t, struct ui *ui, struct view_state *vs,
		     struct surface *s, struct rect r)
{
	int at = cursor(t, ui, vs), first = 0, room = r.h - 1;

	if (room < 1)
		return;
	draw_row(NULL, s, (struct rect){r.x, r.y, r.w, 1});
	if (at >= room)
		first = at - room + 1;
	for (int i = 0; i < room && first + i < (int)t->n; i++) {
		struct rect line = {r.x, r.y + 1 + i, r.w, 1};

		draw_row(call(t, first + i), s, line);
		if (first + i == at)
			surface_mark(s, line, CELL_SELECTED);
	}
}

static void draw_times(const struct snap_tail *c, struct surface *s, struct rect r)
{
	char a[FORMAT_SIZE], b[FORMAT_SIZE], d[FORMAT_SIZE], e[FORMAT_SIZE], when[16];
	char text[SNAP_NAME * 3 + 128], wait[SNAP_NAME + 64];
	int used;

	put_time(when, sizeof(when), c->time_ns);
	surface_printf(s, r.x, r.y, r.w, STYLE_TITLE, "%s took %s at %s in thread %d", c->name,
		       format_ns(a, c->ns), when, c->tid);
	snprintf(text, sizeof(text),
		 "on the CPU %s · waiting for one %s · blocked %s · %llu minor and %llu major page "
		 "faults · slow is above %s",
		 c->cpu_ns ? format_ns(a, c->cpu_ns) : "0",
		 c->runq_ns ? format_ns(b, c->runq_ns) : "0",
		 c->blocked_ns ? format_ns(d, c->blocked_ns) : "0", (unsigned long long)c->minflt,
		 (unsigned long long)c->majflt, format_ns(e, c->threshold_ns));
	used = 1 +
	       widget_wrap(s, (struct rect){r.x, r.y + 1, r.w, r.h > 3 ? 2 : 1}, STYLE_TEXT, text);
	if (!c->longest_ns || used >= r.h)
		return;
	put_wait(wait, sizeof(wait), c);
	snprintf(text, sizeof(text), "longest wait %s%s%s", wait, c->waker[0] ? " · ended by " : "",
		 c->waker);
	widget_wrap(s, (struct rect){r.x, r.y + used, r.w, r.h - used}, STYLE_STRONG, text);
}

void tail_table_draw_call(const struct tail_table *t, struct ui *ui, struct view_state *vs,
			  struct surface *s, struct rect r)
{
	const struct snap_tail *c = call(t, cursor(t, ui, vs));
	uint32_t n = c->nframes < SNAP_FRAMES ? c->nframes : SNAP_FRAMES;
	int head = r.w < 140 ? 6 : 4, room = r.h - head;

	draw_times(c, s, (struct rect){r.x, r.y, r.w, head - 1});
	if (room < 1)
		return;
	widget_rule(s, r.x, r.y + head - 1, r.w, "the call and its callers, as it returned");
	for (int i = 0; i < room && i < (int)n; i++) {
		int x = r.x + 2, y = r.y + head + i;
		const struct snap_symbol *sym;

		if (i == room - 1 && i + 1 < (int)n) {
			surface_printf(s, x, y, r.w, STYLE_DIM, "… %d more", (int)n - i);
			break;
		}
		if (c->frames[i] >= t->s->nsymbols)
			continue;
		sym = &t->s->symbols[c->frames[i]];
		surface_put(s, r.x, y, i ? 0x2190 : 0x25b8, STYLE_BORDER);
		x += surface_name(s, x, y, r.w - 2, i ? STYLE_TEXT : STYLE_STRONG, sym->name);
		surface_name(s, x + 2, y, r.x + r.w - x - 2, STYLE_DIM, sym->module);
	}
	if (!n)
		view_empty(s, (struct rect){r.x, r.y + head, r.w, room},
			   "its stack could not be unwound");
}
