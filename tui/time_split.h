/* SPDX-License-Identifier: Apache-2.0 */
/* time_split.h: where the threads' wall time goes, from one snapshot. */
#ifndef PERFTOP_TIME_SPLIT_H
#define PERFTOP_TIME_SPLIT_H

#include "collectors/snapshot.h"
#include "tui/widgets.h"

enum time_part {
	TIME_USER,
	TIME_SYS,
	TIME_RUNQ, /* runnable, no CPU free */
	TIME_LOCK, /* for mutexes and other locks, on a futex or not */
	TIME_IO,   /* disk, and page faults */
	TIME_NET,
	TIME_WAIT, /* other futex waits: condition variables, joins */
	TIME_SLEEP,
	TIME_OTHER,
	TIME_PARTS
};

/* In percent of one thread's wall time, so that n threads give n x 100. */
struct time_split {
	double pct[TIME_PARTS];
	double total;	  /* of all parts */
	double active;	  /* user, sys, run queue, lock and I/O: what someone waits for */
	bool has_blocked; /* false: CPU parts alone are known */
};

/*
 * Waits of ns together since the reset, in percent of one thread's time. One that began before it
 * was watched is told whole, but never more than all threads have.
 */
double time_waited_pct(const struct snapshot *s, uint64_t ns);

void time_split_compute(struct time_split *t, const struct snapshot *s);
/* The parts as a bar is made of them; out has room for TIME_PARTS. */
void time_split_parts(const struct time_split *t, struct widget_part *out);

#endif
