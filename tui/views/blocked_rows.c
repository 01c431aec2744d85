/* SPDX-License-Identifier: Apache-2.0 */
/* blocked_rows.c: locks, stacks and sockets that threads wait at, as rows of one list. */
#include "tui/views/blocked_rows.h"

#include <stdio.h>
#include <string.h>

#include "collectors/lock_name.h"
#include "collectors/name_words.h"
#include "collectors/wait_site.h"
#include "tui/format.h"
#include "tui/ui.h"

enum {
	COL_SHARE,
	COL_KIND,
	COL_WHAT,
	COL_WAITS,
	COL_TIME,
	COL_P50,
	COL_P99,
	COL_MAX,
	COL_WHO,
	COLUMNS
};

static const struct grid_column columns[COLUMNS] = {
	[COL_SHARE] = {"SHARE", 7},
	[COL_KIND] = {"KIND", 8, .text = true, .by_value = true},
	[COL_WHAT] = {"WAITED AT", 30, .text = true, .flex = true},
	[COL_WAITS] = {"WAITS", 6},
	[COL_TIME] = {"WAITED", 7},
	[COL_P50] = {"P50", 7, .drop = 3},
	[COL_P99] = {"P99", 7, .drop = 2},
	[COL_MAX] = {"MAX", 7, .drop = 1},
	[COL_WHO] = {"HOLDER / WAKER", 20, .text = true, .unsorted = true, .drop = 4},
};

enum blocked_kind blocked_row_kind(const struct snapshot *s, uint32_t row, uint32_t *index)
{
	*index = row;
	if (row < s->nlocks)
		return BLOCKED_ROW_LOCK;
	*index -= s->nlocks;
	if (*index < s->nwait_stacks)
		return BLOCKED_ROW_STACK;
	*index -= s->nwait_stacks;
	return BLOCKED_ROW_SOCKET;
}

static uint32_t frames_of(const struct snap_wait_stack *st)
{
	return st->nframes < SNAP_FRAMES ? st->nframes : SNAP_FRAMES;
}

static bool is_library(const char *module)
{
	return !strncmp(module, "libc.so", 7) || !strncmp(module, "libpthread", 10) ||
	       !strncmp(module, "ld-linux", 8) || !strncmp(module, "libstdc++", 9) ||
	       !strcmp(module, "[vdso]");
}

uint32_t blocked_stack_place(const struct snapshot *s, const struct snap_wait_stack *st)
{
	for (uint32_t i = 0; i < frames_of(st); i++)
		if (st->frames[i] < s->nsymbols && !is_library(s->symbols[st->frames[i]].module) &&
		    !wait_site_is_inlined_library(s->symbols[st->frames[i]].name))
			return st->frames[i];
	return frames_of(st) && st->frames[0] < s->nsymbols ? st->frames[0] : UINT32_MAX;
}

const char *blocked_waits_about(const struct snap_wait_stack *st)
{
	return st->count >= 10 ? "~" : "";
}

/* Names of the stack's frames in one number: symbols have other places from tick to tick. */
static uint32_t stack_hash(const struct snapshot *s, const struct snap_wait_stack *st)
{
	uint32_t h = 2166136261u ^ st->reason;

	for (uint32_t i = 0; i < frames_of(st); i++) {
		const char *c = st->frames[i] < s->nsymbols ? s->symbols[st->frames[i]].name : "";

		for (; *c; c++)
			h = (h ^ (uint8_t)*c) * 16777619u;
		h = (h ^ 0xff) * 16777619u;
	}
	return h;
}

static uint32_t rows(const void *data)
{
	const struct snapshot *s = ((const struct ui *)data)->shown;

	return s->nlocks + s->nwait_stacks + s->nsockets;
}

/* Waits on a word without a name that may be idleness, where a stack of the same place stands too.
 */
static bool is_shown_by_stack(const struct snapshot *s, const struct snap_lock *l)
{
	if (l->is_mutex || !l->site[0] || (l->name[0] && strcmp(l->name, "heap") != 0))
		return false;
	for (uint32_t i = 0; i < s->nwait_stacks; i++) {
		const struct snap_wait_stack *st = &s->wait_stacks[i];
		uint32_t place = blocked_stack_place(s, st);

		if (st->reason == BLOCKED_FUTEX && place < s->nsymbols &&
		    !strcmp(s->symbols[place].name, l->site))
			return true;
	}
	return false;
}

static bool hidden(const void *data, uint32_t row)
{
	const struct snapshot *s = ((const struct ui *)data)->shown;
	uint32_t i;

	return blocked_row_kind(s, row, &i) == BLOCKED_ROW_LOCK &&
	       is_shown_by_stack(s, &s->locks[i]);
}

static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct snapshot *s = ((const struct ui *)data)->shown;
	const struct snap_wait_stack *st;
	uint32_t i, place;

	switch (blocked_row_kind(s, row, &i)) {
	case BLOCKED_ROW_LOCK:
		snprintf(buf, size, "%.12s 0x%llx %.40s %.40s %d", s->locks[i].kind,
			 (unsigned long long)s->locks[i].addr, s->locks[i].name, s->locks[i].site,
			 s->locks[i].pid);
		break;
	case BLOCKED_ROW_STACK:
		st = &s->wait_stacks[i];
		place = blocked_stack_place(s, st);
		snprintf(buf, size, "%s stack %.80s #%08x", blocked_reason_name(st->reason),
			 place < s->nsymbols ? s->symbols[place].name : "?", stack_hash(s, st));
		break;
	default:
		snprintf(buf, size, "socket %d %.100s", s->sockets[i].fd, s->sockets[i].name);
	}
}

static double share_of(const struct snapshot *s, enum blocked_kind kind, uint32_t i)
{
	if (kind == BLOCKED_ROW_LOCK)
		return s->locks[i].pct;
	if (kind == BLOCKED_ROW_SOCKET)
		return s->sockets[i].pct;
	return s->since_ns ? 100.0 * (double)s->wait_stacks[i].ns / (double)s->since_ns : 0;
}

/* Locks before what may be idleness, then the stacks, then the sockets; each by share. */
static double rank(const struct snapshot *s, enum blocked_kind kind, uint32_t i)
{
	double group = kind == BLOCKED_ROW_LOCK	   ? s->locks[i].is_mutex ? 3 : 2
		       : kind == BLOCKED_ROW_STACK ? 1
						   : 0;

	return group * 1e9 + share_of(s, kind, i);
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct snapshot *s = ((const struct ui *)data)->shown;
	uint32_t i;
	enum blocked_kind kind = blocked_row_kind(s, row, &i);
	const struct snap_lock *l = &s->locks[kind == BLOCKED_ROW_LOCK ? i : 0];
	const struct snap_wait_stack *st = &s->wait_stacks[kind == BLOCKED_ROW_STACK ? i : 0];
	const struct snap_socket *so = &s->sockets[kind == BLOCKED_ROW_SOCKET ? i : 0];
	bool lock = kind == BLOCKED_ROW_LOCK, stack = kind == BLOCKED_ROW_STACK;

	switch (col) {
	case COL_WAITS:
		return (double)(lock ? l->waits : stack ? st->count : so->waits);
	case COL_TIME:
		return (double)(lock ? l->wait_ns : stack ? st->ns : so->wait_ns);
	case COL_P50:
		return lock ? (double)l->p50 : 0;
	case COL_P99:
		return lock ? (double)l->p99 : 0;
	case COL_MAX:
		return (double)(lock ? l->max_ns : stack ? st->max_ns : so->max_ns);
	case COL_SHARE:
		return share_of(s, kind, i);
	default:
		return rank(s, kind, i);
	}
}

/* Has a frame of the place's file a name? */
static bool is_named_in_file(const struct snapshot *s, const uint32_t *frames, uint32_t n,
			     uint32_t place)
{
	for (uint32_t i = 0; place < s->nsymbols && i < n; i++)
		if (frames[i] < s->nsymbols && !name_is_made_up(s->symbols[frames[i]].name) &&
		    !strcmp(s->symbols[frames[i]].module, s->symbols[place].module))
			return strcmp(s->symbols[frames[i]].name, "main") != 0 &&
			       strcmp(s->symbols[frames[i]].name, "_start") != 0;
	return false;
}

static const char inlined[] = " (inlined)";

/* A list has no room to say that a function was inlined; what is opened does. */
static int plain_length(const char *name)
{
	const char *at = strstr(name, inlined);

	return at ? (int)(at - name) : (int)strlen(name);
}

/* " via LWLockAcquire" of a site that was inlined. */
static const char *after(const char *site)
{
	const char *via = strstr(site, " via ");

	return via && via - site >= plain_length(site) ? via : "";
}

/*
 * "compete < worker < main": where the program waits, and who called it. Functions of a stripped
 * file that have no name are left to the stack, where others of it have one.
 */
static void stack_text(const struct snapshot *s, const struct snap_wait_stack *st, char *out,
		       size_t size)
{
	uint32_t place = blocked_stack_place(s, st), n = 0;
	bool on = false, named = is_named_in_file(s, st->frames, frames_of(st), place);
	size_t len = 0;
	int length;

	out[0] = '\0';
	for (uint32_t i = 0; i < frames_of(st) && n < 4; i++) {
		uint32_t f = st->frames[i];

		on |= f == place;
		if (!on || f >= s->nsymbols || (f != place && is_library(s->symbols[f].module)) ||
		    (named && name_is_made_up(s->symbols[f].name)))
			continue;
		length = plain_length(s->symbols[f].name);
		len += (size_t)snprintf(out + len, size - len, "%s%.*s", n++ ? " ← " : "",
					length > 60 ? 60 : length, s->symbols[f].name);
		if (len >= size)
			return;
	}
}

/* The first from the place on that has a name, if any of its file has. */
static const char *named_place(const struct snapshot *s, const struct snap_wait_stack *st)
{
	uint32_t place = blocked_stack_place(s, st);
	bool named = is_named_in_file(s, st->frames, frames_of(st), place), on = false;

	for (uint32_t i = 0; i < frames_of(st); i++) {
		on |= st->frames[i] == place;
		if (on && st->frames[i] < s->nsymbols &&
		    !(named && name_is_made_up(s->symbols[st->frames[i]].name)))
			return s->symbols[st->frames[i]].name;
	}
	return "";
}

void blocked_stack_words(const struct snapshot *s, const struct snap_wait_stack *st, char *out,
			 size_t size)
{
	const struct snap_symbol *leaf =
		frames_of(st) && st->frames[0] < s->nsymbols ? &s->symbols[st->frames[0]] : NULL;
	const char *place = named_place(s, st);

	if (leaf && is_library(leaf->module) && strcmp(place, leaf->name) != 0)
		snprintf(out, size, "in %.60s for %.90s", leaf->name, place);
	else
		snprintf(out, size, "%s%.90s", place[0] ? "in " : "", place);
}

static void what_cell(const struct snapshot *s, enum blocked_kind kind, uint32_t i,
		      struct grid_cell *out)
{
	char lock[SNAP_NAME], of[24] = "";

	switch (kind) {
	case BLOCKED_ROW_LOCK:
		lock_name_plain(&s->locks[i], lock, sizeof(lock));
		if (s->locks[i].pid)
			snprintf(of, sizeof(of), " of pid %d", s->locks[i].pid);
		snprintf(out->text, sizeof(out->text), "%s%s%s%.*s%s", lock, of,
			 !s->locks[i].site[0] ? ""
			 : lock[0]	      ? "  in "
					      : "in ",
			 plain_length(s->locks[i].site), s->locks[i].site, after(s->locks[i].site));
		break;
	case BLOCKED_ROW_STACK:
		stack_text(s, &s->wait_stacks[i], out->text, sizeof(out->text));
		break;
	default:
		if (s->sockets[i].fd >= 0)
			snprintf(out->text, sizeof(out->text), "fd %d  %s", s->sockets[i].fd,
				 s->sockets[i].name);
		else
			snprintf(out->text, sizeof(out->text), "%s", s->sockets[i].name);
	}
}

/* What a wait is for that has no reason of its own, as on a pipe, terminal or child: by the call.
 */
static const char *other_kind(const struct snapshot *s, const struct snap_wait_stack *st)
{
	static const char *const calls[][2] = {
		{"write", "~ write"},  {"writev", "~ write"}, {"read", "~ read"},
		{"readv", "~ read"},   {"wait4", "~ child"},  {"waitpid", "~ child"},
		{"waitid", "~ child"}, {"vfork", "~ child"},
	};
	const char *leaf =
		frames_of(st) && st->frames[0] < s->nsymbols ? s->symbols[st->frames[0]].name : "";

	leaf = name_of_call(leaf);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(leaf, calls[i][0]))
			return calls[i][1];
	return "~ other";
}

static void kind_cell(const struct snapshot *s, enum blocked_kind kind, uint32_t i,
		      struct grid_cell *out)
{
	static const char *const reasons[BLOCKED_REASONS] = {
		[BLOCKED_FUTEX] = "~ futex",	  [BLOCKED_IO] = "~ I/O",
		[BLOCKED_PAGE_FAULT] = "~ fault", [BLOCKED_SLEEP] = "~ sleep",
		[BLOCKED_NET] = "~ net",	  [BLOCKED_RUNQ] = "~ queue",
		[BLOCKED_AIO] = "~ aio",
	};
	const char *old = s->locks[i < s->nlocks ? i : 0].is_mutex ? "mutex" : "cond/sem";
	uint32_t reason = kind == BLOCKED_ROW_STACK ? s->wait_stacks[i].reason : 0;
	const char *kind_name;

	out->style = STYLE_DIM;
	if (kind == BLOCKED_ROW_LOCK) {
		snprintf(out->text, sizeof(out->text), "%s",
			 s->locks[i].kind[0] ? s->locks[i].kind : old);
		out->style = s->locks[i].is_mutex ? STYLE_TEXT : STYLE_DIM;
	} else if (kind == BLOCKED_ROW_STACK && s->wait_stacks[i].kind[0]) {
		kind_name = s->wait_stacks[i].kind;
		snprintf(out->text, sizeof(out->text), "~%s%s", strlen(kind_name) > 6 ? "" : " ",
			 kind_name);
	} else if (kind == BLOCKED_ROW_STACK) {
		snprintf(out->text, sizeof(out->text), "%s",
			 reason == BLOCKED_OTHER    ? other_kind(s, &s->wait_stacks[i])
			 : reason < BLOCKED_REASONS ? reasons[reason]
						    : "?");
	} else {
		snprintf(out->text, sizeof(out->text), "socket");
	}
}

/* Of a connection: how long the network takes, and what it loses. */
static void network_cell(const struct snap_socket *so, struct grid_cell *out)
{
	char rtt[FORMAT_SIZE];

	if (so->rtt_ns && so->loss_pct >= 0.1)
		snprintf(out->text, sizeof(out->text), "rtt %s, %.1f %% lost",
			 format_ns(rtt, so->rtt_ns), so->loss_pct);
	else if (so->rtt_ns)
		snprintf(out->text, sizeof(out->text), "rtt %s", format_ns(rtt, so->rtt_ns));
}

static void who_cell(const struct snapshot *s, enum blocked_kind kind, uint32_t i,
		     struct grid_cell *out)
{
	const char *comm = "";
	int32_t tid = kind == BLOCKED_ROW_LOCK ? s->locks[i].owner_tid : 0;

	for (uint32_t t = 0; t < s->nthreads && tid; t++)
		if (s->threads[t].tid == tid)
			comm = s->threads[t].comm;
	if (tid)
		snprintf(out->text, sizeof(out->text), "%d %s", tid, comm);
	else if (kind == BLOCKED_ROW_STACK && s->wait_stacks[i].waker[0])
		snprintf(out->text, sizeof(out->text), "by %s", s->wait_stacks[i].waker);
	else if (kind == BLOCKED_ROW_SOCKET)
		network_cell(&s->sockets[i], out);
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct snapshot *s = ((const struct ui *)data)->shown;
	uint32_t i;
	enum blocked_kind kind = blocked_row_kind(s, row, &i);
	bool bad = kind == BLOCKED_ROW_LOCK && s->locks[i].is_mutex && s->locks[i].pct >= 20;
	char buf[FORMAT_SIZE];

	out->style = kind == BLOCKED_ROW_LOCK && !s->locks[i].is_mutex ? STYLE_DIM : STYLE_TEXT;
	if (bad && (col == COL_SHARE || col == COL_WHAT))
		out->style = STYLE_BAD;
	switch (col) {
	case COL_SHARE:
		snprintf(out->text, sizeof(out->text), "%s", format_pct(buf, share_of(s, kind, i)));
		break;
	case COL_KIND:
		kind_cell(s, kind, i, out);
		break;
	case COL_WHAT:
		what_cell(s, kind, i, out);
		break;
	case COL_WAITS:
		snprintf(out->text, sizeof(out->text), "%s%s",
			 kind == BLOCKED_ROW_STACK ? blocked_waits_about(&s->wait_stacks[i]) : "",
			 format_count(buf, value(data, row, col)));
		break;
	case COL_WHO:
		who_cell(s, kind, i, out);
		break;
	case COL_P50:
	case COL_P99:
		if (kind != BLOCKED_ROW_LOCK || !value(data, row, col))
			out->style = STYLE_DIM; /* not known: only locks have a histogram */
						/* fall through */
	default:
		snprintf(out->text, sizeof(out->text), "%s",
			 format_ns(buf, (uint64_t)value(data, row, col)));
	}
}

const struct grid_model blocked_rows_model = {
	.columns = columns,
	.ncolumns = COLUMNS,
	.sort = COL_KIND,
	.rows = rows,
	.hidden = hidden,
	.name = name,
	.value = value,
	.cell = cell,
};
