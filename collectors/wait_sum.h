/* SPDX-License-Identifier: Apache-2.0 */
/* wait_sum.h: the waits at one place: those that have ended, and those that go on. */
#ifndef PERFTOP_WAIT_SUM_H
#define PERFTOP_WAIT_SUM_H

#include <stdbool.h>
#include <stdint.h>

struct contract_thread;
struct threads;

struct wait_sum {
	uint64_t waiting_ns;		/* waits that go on now */
	uint64_t carried_ns;		/* and what went on when a window was over */
	uint64_t shown_ns, shown_waits; /* with those that have ended, never falling */
	uint64_t prev_ns;		/* shown at the last tick */
	uint64_t base_ns, base_waits;	/* shown at the last reset */
	uint32_t waiting;
	bool idle; /* nothing happened since the tick before */
};

/* A tick: begin; add each thread that waits here; show. waits and ns: of those that have ended. */
void wait_sum_begin(struct wait_sum *w);
/* Returns how long this thread has been blocked, whatever of it counts. */
uint64_t wait_sum_add(struct wait_sum *w, const struct threads *t,
		      const struct contract_thread *row);
void wait_sum_show(struct wait_sum *w, uint64_t waits, uint64_t ns);

/* A window is over. */
void wait_sum_carry(struct wait_sum *w);
/* Count from now; waits: that have ended, as those that go on belong to what comes. */
void wait_sum_reset(struct wait_sum *w, uint64_t waits);

/* Since the reset. */
uint64_t wait_sum_waits(const struct wait_sum *w);
uint64_t wait_sum_ns(const struct wait_sum *w);
/* In the last interval, percent of it. */
double wait_sum_pct(const struct wait_sum *w, uint64_t interval_ns);
/* More time in the last tick, or else since the reset. */
bool wait_sum_exceeds(const struct wait_sum *x, const struct wait_sum *y);

#endif
