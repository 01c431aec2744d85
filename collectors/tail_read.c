/* SPDX-License-Identifier: Apache-2.0 */
/* tail_read.c: evidence of slow calls from the ring, and rows of the snapshot from it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/clock.h"
#include "collectors/sampler.h"
#include "collectors/sched_reason.h"
#include "collectors/session.h"
#include "collectors/symbols.h"
#include "collectors/tail_priv.h"
#include "collectors/tail_words.h"
#include "collectors/unwind.h"

/* A record as the program writes it: the slice follows. */
struct record {
	struct contract_tail tail;
	struct contract_sample at;
};

/* Functions of the stack, leaf first. What has returned is not on it any more: it is added later.
 */
static void unwind(struct tail *t, pid_t pid, const struct record *r, const void *slice,
		   struct tail_call *c)
{
	struct symbols *syms = session_symbols_of(t->se, pid);
	struct unwinder *u = session_unwinder(t->se, pid);
	uint64_t pcs[SNAP_FRAMES];
	struct unwind_regs regs;
	enum unwind_end end;
	struct symbol sym;
	uint32_t n;

	c->nframes = 0;
	if (!syms || !u)
		return;
	sampler_registers(&regs, &r->at);
	n = unwind_stack(u, &regs, slice, r->at.slice, pcs, SNAP_FRAMES - 1, &end);
	for (uint32_t i = 0; i < n; i++) {
		/* Return addresses point behind the call. */
		symbols_lookup(syms, pcs[i] - (i > 0 || r->tail.returned), &sym);
		c->ids[c->nframes++] = sym.id;
	}
}

int tail_read_record(void *ctx, void *data, size_t size)
{
	const struct record *r = data;
	uint64_t now = clock_mono_ns();
	struct tail *t = ctx;
	struct tail_call *c;
	pid_t pid, look;

	if (size < sizeof(*r) || r->at.slice > size - sizeof(*r) || r->tail.slot >= t->nslots)
		return 0;
	c = tail_keep_place(&t->keep, r->tail.slot, r->tail.ns, now);
	if (!c)
		return 0;
	pid = session_pid_of(t->se, r->at.pid);
	look = t->same_pids ? pid : 0;
	c->of = r->tail;
	c->time_ns = clock_real_ns() - (now - r->tail.end_ns);
	c->tid = (int32_t)r->at.tid;
	tail_wait_text(&r->tail.longest, pid, c->wait, sizeof(c->wait));
	tail_thread_text(look, r->tail.longest.class == WAIT_FUTEX ? r->tail.longest.owner : 0,
			 c->owner, sizeof(c->owner));
	unwind(t, pid, r, r + 1, c);
	return 0;
}

/*
 * What is left when the waits are taken off. Now and then a thread's return to a CPU is not seen,
 * and its absence is missing: the scheduler's own count of time in the queue still has it.
 */
static uint64_t on_cpu(const struct contract_tail *c)
{
	uint64_t away = c->blocked_ns + c->run_delay_ns;

	if (c->away_ns > away)
		away = c->away_ns;
	return c->ns > away ? c->ns - away : 0;
}

static void fill_frames(struct tail *t, const struct tail_call *c, const struct probe_row *row,
			struct snapshot *s, struct snap_tail *out)
{
	struct symbols *syms = session_symbols(t->se);

	out->nframes = 0;
	if (c->of.returned)
		out->frames[out->nframes++] = snapshot_symbol(s, row->name, row->module);
	for (uint32_t i = 0; i < c->nframes && out->nframes < SNAP_FRAMES; i++)
		out->frames[out->nframes++] = symbols_snapshot(syms, c->ids[i], s);
}

/* A wait for a CPU whose end was not seen, and longer than the longest that was; 0: there is none.
 */
static uint64_t unseen_queue(const struct contract_tail *c)
{
	uint64_t unseen = c->run_delay_ns > c->away_ns ? c->run_delay_ns - c->away_ns : 0;

	return unseen > 2 * c->longest.ns ? unseen : 0;
}

static void fill_wait(const struct tail_call *c, const struct snapshot *s, struct snap_tail *out)
{
	uint64_t unseen = unseen_queue(&c->of);

	if (unseen) {
		out->reason = BLOCKED_RUNQ;
		out->longest_ns = unseen;
		return;
	}
	out->reason = c->of.longest.ns ? sched_reason(c->of.longest.class) : BLOCKED_OTHER;
	out->longest_ns = c->of.longest.ns;
	if (c->of.longest.class == WAIT_FUTEX)
		tail_futex_text(&c->of.longest, c->owner, s, out->what, sizeof(out->what));
	else
		snprintf(out->what, sizeof(out->what), "%s", c->wait);
	tail_waker_text(&c->of.longest, out->waker, sizeof(out->waker));
}

static void fill_call(struct tail *t, const struct tail_call *c, struct snapshot *s)
{
	const struct probe_row *row = probe_plan_row(t->plan, c->of.slot);
	struct snap_tail *out = &s->tails[s->ntails++];

	snprintf(out->name, sizeof(out->name), "%s", row->name);
	out->time_ns = c->time_ns;
	out->ns = c->of.ns;
	out->threshold_ns = c->of.threshold_ns;
	out->tid = c->tid;
	out->cpu_ns = on_cpu(&c->of);
	out->runq_ns = c->of.run_delay_ns;
	out->blocked_ns = c->of.blocked_ns;
	out->minflt = c->of.minflt;
	out->majflt = c->of.majflt;
	fill_wait(c, s, out);
	fill_frames(t, c, row, s, out);
}

void tail_fill(struct tail *t, struct snapshot *s)
{
	for (uint32_t i = 0; i < t->keep.n; i++) {
		if (t->keep.calls[i].of.slot >= probe_plan_rows(t->plan))
			continue;
		if (s->ntails == SNAP_TAILS) {
			s->truncated++;
			continue;
		}
		fill_call(t, &t->keep.calls[i], s);
	}
}
