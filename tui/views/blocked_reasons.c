/* SPDX-License-Identifier: Apache-2.0 */
/* blocked_reasons.c: what the threads wait for, in words and by reason. */
#include "tui/views/blocked_reasons.h"

#include <stdio.h>
#include <string.h>

#include "collectors/lock_name.h"
#include "tui/format.h"
#include "tui/views/blocked_rows.h"
#include "tui/widgets.h"

/* A row of the table: the snapshot's, but what of it is for locks makes a row of its own. */
struct line {
	const char *name;
	struct snap_blocked b;
	bool no_quantiles;
};

enum { LINES = BLOCKED_REASONS + 1 };

/* The locks whose time is part of the reason's, added up. */
static struct snap_blocked sum_locks(const struct snapshot *s, uint32_t reason, uint32_t *n)
{
	struct snap_blocked sum = {.reason = reason};

	*n = 0;
	for (uint32_t i = 0; i < s->nlocks; i++) {
		const struct snap_lock *l = &s->locks[i];

		if (!l->is_mutex || l->reason != reason)
			continue;
		(*n)++;
		sum.ns += l->wait_ns;
		sum.count += l->waits;
		sum.pct += l->pct;
		sum.p50 = l->p50;
		sum.p99 = l->p99;
		if (l->max_ns > sum.max)
			sum.max = l->max_ns;
	}
	return sum;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What is left of futexes: condition variables, semaphores. */
static void count_others(const struct snapshot *s, struct snap_blocked *rest)
{
	rest->max = rest->count = 0;
	for (uint32_t i = 0; i < s->nlocks; i++) {
		if (s->locks[i].is_mutex)
			continue;
		rest->count += s->locks[i].waits;
		if (s->locks[i].max_ns > rest->max)
			rest->max = s->locks[i].max_ns;
	}
}

/* The row without its locks, which go to theirs; false when nothing is left. */
static bool part_locks(const struct snapshot *s, struct line *l, struct line *locks)
{
	struct snap_blocked part;
	uint32_t n;

	part = sum_locks(s, l->b.reason, &n);
	if (!n)
		return true;
	if (part.max > l->b.max)
		part.max = l->b.max;
	locks->no_quantiles = locks->b.count || n > 1 || !part.p50;
	locks->b.ns += part.ns;
	locks->b.count += part.count;
	locks->b.pct += part.pct;
	locks->b.p50 = part.p50;
	locks->b.p99 = part.p99;
	if (part.max > locks->b.max)
		locks->b.max = part.max;
	l->no_quantiles = true;
	l->b.ns = minus(l->b.ns, part.ns);
	l->b.count = minus(l->b.count, part.count);
	l->b.pct = l->b.pct > part.pct ? l->b.pct - part.pct : 0;
	if (l->b.reason == BLOCKED_FUTEX)
		count_others(s, &l->b);
	else
		l->b.max = 0; /* whose it was is not known */
	return l->b.pct >= 0.05 || l->b.max;
}

static uint32_t make_lines(const struct snapshot *s, struct line *out)
{
	static const char *const names[BLOCKED_REASONS] = {
		[BLOCKED_FUTEX] = "condvar, sem",    [BLOCKED_IO] = "I/O",
		[BLOCKED_PAGE_FAULT] = "page fault", [BLOCKED_SLEEP] = "sleep",
		[BLOCKED_NET] = "network",	     [BLOCKED_OTHER] = "other",
		[BLOCKED_RUNQ] = "run queue",	     [BLOCKED_AIO] = "async I/O",
	};
	struct line locks = {.name = "locks"};
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->nblocked && n + 1 < LINES; i++) {
		const struct snap_blocked *b = &s->blocked[i];

		out[n] = (struct line){b->reason < BLOCKED_REASONS ? names[b->reason] : "?", *b,
				       false};
		n += part_locks(s, &out[n], &locks);
	}
	if (locks.b.count || locks.b.ns)
		out[n++] = locks;
	return n;
}

static void draw_line(const struct line *l, struct surface *s, struct rect r)
{
	const struct snap_blocked *b = &l->b;
	char text[FORMAT_SIZE];
	int x = r.x;

	surface_text(s, x, r.y, 12, STYLE_TEXT, l->name);
	surface_text_right(s, x + 12, r.y, 8, STYLE_STRONG, format_pct(text, b->pct));
	surface_text_right(s, x + 21, r.y, 8, STYLE_TEXT, format_ns(text, b->ns));
	/* A wait is counted when it ends. */
	surface_text_right(s, x + 30, r.y, 7, STYLE_TEXT,
			   b->count || !b->ns ? format_count(text, (double)b->count) : "ongoing");
	surface_text_right(s, x + 38, r.y, 8, STYLE_TEXT,
			   l->no_quantiles ? "-" : format_ns(text, b->p50));
	surface_text_right(s, x + 47, r.y, 8, STYLE_TEXT,
			   l->no_quantiles ? "-" : format_ns(text, b->p99));
	if (r.w >= 65)
		surface_text_right(s, x + 56, r.y, 8, STYLE_TEXT, format_ns(text, b->max));
}

int blocked_reasons_draw(const struct snapshot *s, struct surface *surface, struct rect r)
{
	struct line lines[LINES + 1];
	uint32_t n = make_lines(s, lines);
	int y = r.y;

	surface_fill(surface, (struct rect){r.x, y, r.w, 1}, ' ', STYLE_COLUMN);
	surface_text(surface, r.x, y, r.w, STYLE_COLUMN,
		     r.w >= 65 ? "WAITS FOR      SHARE   WAITED   WAITS      P50      P99      MAX"
			       : "WAITS FOR      SHARE   WAITED   WAITS      P50      P99");
	for (; n && y + 1 < r.y + r.h; n--) {
		uint32_t best = 0;

		for (uint32_t i = 1; i < n; i++)
			if (lines[i].b.pct > lines[best].b.pct)
				best = i;
		draw_line(&lines[best], surface, (struct rect){r.x, ++y, r.w, 1});
		memmove(lines + best, lines + best + 1, (n - 1 - best) * sizeof(*lines));
	}
	return y + 1 - r.y;
}

/* The time of all waits for work at the place of l: the threads of a pool may have a lock each. */
static double place_pct(const struct snapshot *s, const struct snap_lock *l)
{
	double pct = 0;

	for (uint32_t i = 0; i < s->nlocks; i++)
		if (!s->locks[i].is_mutex && !strcmp(s->locks[i].site, l->site) &&
		    (l->site[0] || !strcmp(s->locks[i].kind, l->kind)))
			pct += s->locks[i].pct;
	return pct;
}

/* Threads that sleep until somebody has work for them, and where. */
static void idle_words(const struct snapshot *s, char *out, size_t size)
{
	const struct snap_lock *top = NULL;
	double pct = 0, most = 0, here;

	for (uint32_t i = 0; i < s->nlocks; i++) {
		const struct snap_lock *l = &s->locks[i];

		if (l->is_mutex)
			continue;
		pct += l->pct;
		here = place_pct(s, l);
		if (here >= 50 && here > most) {
			most = here;
			top = l;
		}
	}
	if (!top)
		return;
	if (pct < 150)
		snprintf(out, size,
			 "A thread waits for work or an event (%s), which costs nothing.",
			 top->site[0]	? top->site
			 : top->kind[0] ? top->kind
					: "condvar or semaphore");
	else
		snprintf(out, size,
			 "%.0f threads wait for work or an event (%s%s), as idle workers of a pool "
			 "do.",
			 pct / 100, top->site[0] ? "most in " : "",
			 top->site[0]	? top->site
			 : top->kind[0] ? top->kind
					: "condvar or semaphore");
}

void blocked_reasons_words(const struct snapshot *s, char *out, size_t size)
{
	const struct snap_lock *top = NULL;
	char name[SNAP_NAME], p99[FORMAT_SIZE];

	out[0] = '\0';
	for (uint32_t i = 0; i < s->nlocks; i++)
		if (s->locks[i].is_mutex && (!top || s->locks[i].pct > top->pct))
			top = &s->locks[i];
	if (!top || top->pct < 5) {
		idle_words(s, out, size);
		return;
	}
	lock_name_words(top, name, sizeof(name));
	snprintf(out, size, "At any time %.1f threads wait for %s%s%s%s%s.", top->pct / 100, name,
		 top->site[0] ? ", in " : "", top->site, top->p99 ? ", p99 " : "",
		 top->p99 ? format_ns(p99, top->p99) : "");
}
