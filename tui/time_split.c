/* SPDX-License-Identifier: Apache-2.0 */
/* time_split.c: where the threads' wall time goes. */
#include "tui/time_split.h"

/*
 * How many of the target's requests are on their way to a disk at any time, by their rate and how
 * long they take (Little). No more threads than that wait for one: the others that ask for what
 * completes are idle, as those of a database's own pool mostly are.
 */
static double requests_in_flight(const struct snapshot *s)
{
	double n = 0;

	for (uint32_t i = 0; i < s->nblock; i++)
		n += s->block[i].rate * (double)s->block[i].mean / 1e9;
	return n;
}

static enum time_part part_of(uint32_t reason)
{
	switch (reason) {
	case BLOCKED_FUTEX:
		return TIME_WAIT;
	case BLOCKED_IO:
	case BLOCKED_PAGE_FAULT:
		return TIME_IO;
	case BLOCKED_NET:
		return TIME_NET;
	case BLOCKED_SLEEP:
		return TIME_SLEEP;
	case BLOCKED_RUNQ:
		return TIME_RUNQ;
	default:
		return TIME_OTHER;
	}
}

/* What of a reason's time is for locks is a part of its own. */
static void add_blocked(struct time_split *t, const struct snap_blocked *b, double lock_pct,
			double in_flight)
{
	double aio_pct = b->reason == BLOCKED_AIO ? 100 * in_flight : 0;

	if (lock_pct > b->pct)
		lock_pct = b->pct;
	if (aio_pct > b->pct - lock_pct)
		aio_pct = b->pct - lock_pct;
	t->pct[TIME_LOCK] += lock_pct;
	t->pct[TIME_IO] += aio_pct;
	t->pct[part_of(b->reason)] += b->pct - lock_pct - aio_pct;
}

void time_split_compute(struct time_split *t, const struct snapshot *s)
{
	double lock_pct[BLOCKED_REASONS] = {0}, busy = requests_in_flight(s);

	*t = (struct time_split){.has_blocked = s->nblocked > 0};
	t->pct[TIME_USER] = s->proc.user_pct;
	t->pct[TIME_SYS] = s->proc.sys_pct;
	for (uint32_t i = 0; i < s->nlocks; i++)
		if (s->locks[i].is_mutex && s->locks[i].reason < BLOCKED_REASONS)
			lock_pct[s->locks[i].reason] += s->locks[i].pct;
	for (uint32_t i = 0; i < s->nblocked; i++)
		if (s->blocked[i].reason < BLOCKED_REASONS)
			add_blocked(t, &s->blocked[i], lock_pct[s->blocked[i].reason], busy);
	/* Where no row tells the run queue, the total of the CPU section does. */
	if (t->pct[TIME_RUNQ] <= 0)
		t->pct[TIME_RUNQ] = s->cpu.runq_wait_pct;
	for (int i = 0; i < TIME_PARTS; i++)
		t->total += t->pct[i];
	t->active = t->pct[TIME_USER] + t->pct[TIME_SYS] + t->pct[TIME_RUNQ] + t->pct[TIME_LOCK] +
		    t->pct[TIME_IO];
}

void time_split_parts(const struct time_split *t, struct widget_part *out)
{
	static const struct widget_part names[TIME_PARTS] = {
		[TIME_USER] = {"user", 'U', STYLE_PART_USER, 0},
		[TIME_SYS] = {"system", 'S', STYLE_PART_SYS, 0},
		[TIME_RUNQ] = {"run queue", 'R', STYLE_PART_RUNQ, 0},
		[TIME_LOCK] = {"locks", 'L', STYLE_PART_LOCK, 0},
		[TIME_IO] = {"I/O", 'D', STYLE_PART_IO, 0},
		[TIME_NET] = {"network", 'n', STYLE_PART_NET, 0},
		[TIME_WAIT] = {"condvar/sem", 'w', STYLE_PART_WAIT, 0},
		[TIME_SLEEP] = {"sleep", 'z', STYLE_PART_SLEEP, 0},
		[TIME_OTHER] = {"other", '.', STYLE_PART_OTHER, 0},
	};

	for (int i = 0; i < TIME_PARTS; i++) {
		out[i] = names[i];
		out[i].value = t->pct[i];
	}
}

double time_waited_pct(const struct snapshot *s, uint64_t ns)
{
	double pct = s->since_ns ? 100 * (double)ns / (double)s->since_ns : 0;
	double all = 100.0 * s->target.threads;

	return all > 0 && pct > all ? all : pct;
}
