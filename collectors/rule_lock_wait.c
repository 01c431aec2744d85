/* SPDX-License-Identifier: Apache-2.0 */
/* rule_lock_wait.c: threads spend much of their time blocked on a mutex. */
#include <stdio.h>

#include "collectors/rules.h"

/* Of one thread's wall time: a fifth of a thread lost is worth a look. */
#define WAIT_PCT 20.0

bool rule_lock_wait_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_lock *top = NULL;
	double total = 0;

	/* Condition variables and joins are how idle threads wait: mutexes alone count. */
	for (uint32_t i = 0; i < s->nlocks; i++) {
		if (!s->locks[i].is_mutex)
			continue;
		total += s->locks[i].pct;
		if (!top || s->locks[i].pct > top->pct)
			top = &s->locks[i];
	}
	if (!top || total < WAIT_PCT)
		return false;
	a->severity = total >= 100 ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = total;
	a->threshold = WAIT_PCT;
	snprintf(a->subject, sizeof(a->subject), "mutex 0x%llx", (unsigned long long)top->addr);
	snprintf(a->evidence, sizeof(a->evidence),
		 "threads wait %.2f threads' worth of time for mutexes; the mutex at 0x%llx alone "
		 "%.2f "
		 "(%llu waits, longest %.1f ms, last held by tid %d)",
		 total / 100, (unsigned long long)top->addr, top->pct / 100,
		 (unsigned long long)top->waits, (double)top->max_ns / 1e6, top->owner_tid);
	snprintf(a->advice, sizeof(a->advice),
		 "shorten what is done while it is held, or split it; see Blocked for every "
		 "address, "
		 "and thread %d for who holds it",
		 top->owner_tid);
	return true;
}
