/* SPDX-License-Identifier: Apache-2.0 */
/* thread_rows.h: each thread's share of time on a CPU, in the run queue and blocked. */
#ifndef PERFTOP_THREAD_ROWS_H
#define PERFTOP_THREAD_ROWS_H

#include <stdbool.h>
#include <stdint.h>

struct snapshot;
struct threads;

/* Context switches of all threads, gone ones too, until a reading. */
struct thread_switches {
	uint64_t voluntary, involuntary, at_ns;
};

/* After each reading: they are added up from differences. */
void thread_switches_count(struct thread_switches *sw, const struct threads *t);
/* Fill the counts and rates of s->proc since *shown, which becomes *now. */
void thread_switches_fill(const struct thread_switches *now, struct thread_switches *shown,
			  struct snapshot *s);

/*
 * Fill s->threads, busy ones first, and s->cpu.runq_wait_pct, from the last two readings.
 * known_waits: the rows know how long they were blocked; else that is what remains.
 */
void thread_rows_fill(const struct threads *t, bool known_waits, struct snapshot *s);

#endif
