/* SPDX-License-Identifier: Apache-2.0 */
/* time_split.c: where the threads' wall time goes. */
#include "tui/time_split.h"

static void add_blocked(struct time_split *t, const struct snap_blocked *b, double mutex_pct)
{
	switch (b->reason) {
	case BLOCKED_FUTEX:
		mutex_pct = mutex_pct < b->pct ? mutex_pct : b->pct;
		t->pct[TIME_LOCK] += mutex_pct;
		t->pct[TIME_WAIT] += b->pct - mutex_pct;
		break;
	case BLOCKED_IO:
	case BLOCKED_PAGE_FAULT:
		t->pct[TIME_IO] += b->pct;
		break;
	case BLOCKED_NET:
		t->pct[TIME_NET] += b->pct;
		break;
	case BLOCKED_SLEEP:
		t->pct[TIME_SLEEP] += b->pct;
		break;
	case BLOCKED_RUNQ:
		t->pct[TIME_RUNQ] += b->pct;
		break;
	default:
		t->pct[TIME_OTHER] += b->pct;
	}
}

void time_split_compute(struct time_split *t, const struct snapshot *s)
{
	double mutex_pct = 0;

	*t = (struct time_split){.has_blocked = s->nblocked > 0};
	t->pct[TIME_USER] = s->proc.user_pct;
	t->pct[TIME_SYS] = s->proc.sys_pct;
	for (uint32_t i = 0; i < s->nlocks; i++)
		if (s->locks[i].is_mutex)
			mutex_pct += s->locks[i].pct;
	for (uint32_t i = 0; i < s->nblocked; i++)
		add_blocked(t, &s->blocked[i], mutex_pct);
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
