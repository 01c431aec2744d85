/* SPDX-License-Identifier: Apache-2.0 */
/* wait_sum.c: see wait_sum.h. */
#include "collectors/wait_sum.h"

#include "collectors/threads.h"

void wait_sum_begin(struct wait_sum *w)
{
	w->waiting_ns = w->waiting = 0;
	w->idle = true;
}

uint64_t wait_sum_add(struct wait_sum *w, const struct threads *t,
		      const struct contract_thread *row)
{
	uint64_t counted_ns, queued, blocked = threads_counted_wait(t, row, &counted_ns, &queued);

	w->idle = false;
	w->waiting++;
	w->waiting_ns += counted_ns;
	return blocked;
}

void wait_sum_show(struct wait_sum *w, uint64_t waits, uint64_t ns)
{
	ns += w->carried_ns + w->waiting_ns;
	waits += w->waiting;
	w->prev_ns = w->shown_ns;
	if (ns > w->shown_ns)
		w->shown_ns = ns;
	if (waits > w->shown_waits)
		w->shown_waits = waits;
}

void wait_sum_carry(struct wait_sum *w)
{
	w->carried_ns += w->waiting_ns;
	w->waiting_ns = 0;
}

void wait_sum_reset(struct wait_sum *w, uint64_t waits)
{
	w->base_ns = w->shown_ns;
	w->base_waits = waits;
}

uint64_t wait_sum_waits(const struct wait_sum *w)
{
	return w->shown_waits - w->base_waits;
}

uint64_t wait_sum_ns(const struct wait_sum *w)
{
	return w->shown_ns - w->base_ns;
}

double wait_sum_pct(const struct wait_sum *w, uint64_t interval_ns)
{
	return interval_ns ? 100.0 * (double)(w->shown_ns - w->prev_ns) / (double)interval_ns : 0;
}

bool wait_sum_exceeds(const struct wait_sum *x, const struct wait_sum *y)
{
	uint64_t x_now = x->shown_ns - x->prev_ns, y_now = y->shown_ns - y->prev_ns;

	return x_now != y_now ? x_now > y_now : wait_sum_ns(x) > wait_sum_ns(y);
}
