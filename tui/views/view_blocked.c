/* SPDX-License-Identifier: Apache-2.0 */
/* view_blocked.c: what the threads wait for: reasons, locks, the stacks they wait in, sockets. */
#include <stdio.h>
#include <string.h>

#include "collectors/lock_name.h"
#include "tui/format.h"
#include "tui/time_split.h"
#include "tui/ui.h"
#include "tui/views/blocked_reasons.h"
#include "tui/views/blocked_rows.h"
#include "tui/views/stack_panel.h"
#include "tui/widgets.h"

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	struct widget_part parts[TIME_PARTS];
	struct time_split t;
	char words[SNAP_TEXT];
	int used = view_notice(ui, "blocked", s, r);

	r.y += used;
	r.h -= used;
	if (!ui->shown->nblocked)
		return;
	blocked_reasons_words(ui->shown, words, sizeof(words));
	if (words[0] && r.h >= 8) {
		used = widget_wrap(s, (struct rect){r.x, r.y, r.w, r.h >= 14 ? 2 : 1}, STYLE_STRONG,
				   words);
		r.y += used;
		r.h -= used;
	}
	time_split_compute(&t, ui->shown);
	time_split_parts(&t, parts);
	if (r.h >= 14) {
		widget_stack(s, r.x, r.y, r.w, parts, TIME_PARTS);
		used = 2 + widget_legend(s, (struct rect){r.x, r.y + 1, r.w, 2}, parts, TIME_PARTS);
		r.y += used;
		r.h -= used;
	}
	/* The list gets at least half of what is left. */
	used = blocked_reasons_draw(ui->shown, s,
				    (struct rect){r.x, r.y, r.w, r.h / 2 > 3 ? r.h / 2 : 3});
	r.y += used;
	r.h -= used;
	if (r.h >= 6) {
		widget_rule(s, r.x, r.y, r.w,
			    "locks, ~ stacks that wait, sockets: SHARE is of one thread's time");
		r.y++;
		r.h--;
	}
	if (!blocked_rows_model.rows(ui))
		view_empty(s, r, "no lock, no stack and no socket was waited at");
	else
		grid_draw(&vs->grid, &blocked_rows_model, ui, s, r);
}

/* ---- one row -------------------------------------------------------------------------------- */

static void stack_detail(struct ui *ui, struct view_state *vs, const struct snap_wait_stack *st,
			 struct surface *s, struct rect r)
{
	static const char *const reasons[BLOCKED_REASONS] = {
		[BLOCKED_FUTEX] = "a lock or another thread",
		[BLOCKED_IO] = "a disk",
		[BLOCKED_PAGE_FAULT] = "a page fault",
		[BLOCKED_SLEEP] = "time to pass",
		[BLOCKED_NET] = "the network",
		[BLOCKED_OTHER] = "something else",
		[BLOCKED_RUNQ] = "a CPU",
		[BLOCKED_AIO] = "asynchronous I/O, if there is any",
	};
	char ns[FORMAT_SIZE], n[FORMAT_SIZE], max[FORMAT_SIZE], mean[FORMAT_SIZE];

	surface_printf(s, r.x, r.y, r.w, STYLE_TITLE, "waits for %s",
		       st->reason < BLOCKED_REASONS ? reasons[st->reason] : "?");
	surface_printf(s, r.x, r.y + 1, r.w, STYLE_LABEL,
		       "%s in %s%s waits  ·  mean %s  ·  longest %s  ·  last by thread %d",
		       format_ns(ns, st->ns), blocked_waits_about(st),
		       format_count(n, (double)st->count),
		       format_ns(mean, st->count ? st->ns / st->count : 0),
		       format_ns(max, st->max_ns), st->tid);
	surface_printf(s, r.x, r.y + 2, r.w, STYLE_LABEL, "%s%s",
		       st->waker[0] ? "woken, most often, by " : "not woken yet", st->waker);
	r.y += 4;
	r.h -= 4;
	vs->scroll_max = (int)st->nframes > r.h ? (int)st->nframes - r.h : 0;
	stack_panel_wait(ui->shown, st, s, r,
			 vs->scroll < vs->scroll_max ? vs->scroll : vs->scroll_max);
}

static bool is_condvar(const char *kind)
{
	return !strcmp(kind, "condvar");
}

/*
 * Does the stack wait in the function that the lock's row names? One for a condition variable is
 * another wait than one for a lock: the same function often does both.
 */
static bool waits_at(const struct snapshot *sn, const struct snap_wait_stack *st,
		     const struct snap_lock *l)
{
	const char *via = strstr(l->site, " via ");
	size_t n = via ? (size_t)(via - l->site) : strlen(l->site);

	if (st->reason != l->reason || !n ||
	    (l->reason != BLOCKED_FUTEX && strcmp(st->kind, l->kind) != 0) ||
	    (st->kind[0] && l->kind[0] && is_condvar(st->kind) != is_condvar(l->kind)))
		return false;
	for (uint32_t i = 0; i < st->nframes && i < SNAP_FRAMES; i++)
		if (st->frames[i] < sn->nsymbols &&
		    !strncmp(sn->symbols[st->frames[i]].name, l->site, n) &&
		    !sn->symbols[st->frames[i]].name[n])
			return true;
	return false;
}

static void lock_detail(struct ui *ui, const struct snap_lock *l, struct surface *s, struct rect r)
{
	char name[SNAP_NAME], a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE], d[FORMAT_SIZE],
		e[FORMAT_SIZE];

	lock_name_plain(l, name, sizeof(name));
	/* A lock that is no futex has no address. */
	if (!l->addr)
		surface_printf(s, r.x, r.y, r.w, STYLE_TITLE, "%s %s", l->kind, name);
	else
		surface_printf(s, r.x, r.y, r.w, STYLE_TITLE, "%s %s  at 0x%llx%s%s",
			       l->kind[0] ? l->kind : "futex", name, (unsigned long long)l->addr,
			       l->name[0] && strcmp(l->name, name) ? " in the " : "",
			       l->name[0] && strcmp(l->name, name) ? l->name : "");
	surface_printf(s, r.x, r.y + 1, r.w, STYLE_LABEL,
		       l->p50 ? "%s waits  ·  %s in all  ·  longest %s  p50 %s  p99 %s"
			      : "%s waits  ·  %s in all  ·  longest %s",
		       format_count(a, (double)l->waits), format_ns(b, l->wait_ns),
		       format_ns(e, l->max_ns), format_ns(c, l->p50), format_ns(d, l->p99));
	if (l->owner_tid)
		surface_printf(s, r.x, r.y + 2, r.w, STYLE_LABEL, "last held by thread %d%s%s",
			       l->owner_tid, l->site[0] ? "  ·  waited for in " : "", l->site);
	else
		surface_printf(s, r.x, r.y + 2, r.w, STYLE_LABEL, "holder not known%s%s",
			       l->site[0] ? "  ·  waited for in " : "", l->site);
	r.y += 4;
	r.h -= 4;
	for (uint32_t i = 0; i < ui->shown->nwait_stacks && r.h > 2; i++) {
		const struct snap_wait_stack *st = &ui->shown->wait_stacks[i];
		int used;

		if (!waits_at(ui->shown, st, l))
			continue;
		surface_printf(s, r.x, r.y, r.w, STYLE_STRONG,
			       "%s in %s%s waits in this function%s%s", format_ns(a, st->ns),
			       blocked_waits_about(st), format_count(b, (double)st->count),
			       st->waker[0] ? ", woken by " : "", st->waker);
		used = 2 + stack_panel_wait(ui->shown, st, s,
					    (struct rect){r.x + 2, r.y + 1, r.w - 2, r.h - 1}, 0);
		r.y += used;
		r.h -= used;
	}
}

static void detail(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	char n[FORMAT_SIZE], t[FORMAT_SIZE], max[FORMAT_SIZE];
	uint32_t row, i;

	vs->scroll_max = 0;
	if (!view_open_row(ui, vs, &blocked_rows_model, &row)) {
		view_empty(s, r, "nobody waits there any more; Esc goes back");
		return;
	}
	switch (blocked_row_kind(sn, row, &i)) {
	case BLOCKED_ROW_LOCK:
		lock_detail(ui, &sn->locks[i], s, r);
		break;
	case BLOCKED_ROW_STACK:
		stack_detail(ui, vs, &sn->wait_stacks[i], s, r);
		break;
	default:
		surface_printf(s, r.x, r.y, r.w, STYLE_TITLE, "%s", sn->sockets[i].name);
		surface_printf(s, r.x, r.y + 1, r.w, STYLE_LABEL,
			       "fd %d  ·  %s waits  ·  %s in all  ·  longest %s", sn->sockets[i].fd,
			       format_count(n, (double)sn->sockets[i].waits),
			       format_ns(t, sn->sockets[i].wait_ns),
			       format_ns(max, sn->sockets[i].max_ns));
	}
}

const struct view_ops view_ops_blocked = {
	.draw = draw, .model = &blocked_rows_model, .detail = detail};
