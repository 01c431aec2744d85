/* SPDX-License-Identifier: Apache-2.0 */
/* rule_loop_held.c: one turn of an event loop took so long that all others waited for it. */
#include <stdio.h>

#include "collectors/loop_words.h"
#include "collectors/rules.h"

#define CRITICAL_NS 1000000000ull

bool rule_loop_held_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_event_loop *e = &s->event_loop;

	if (!loop_words(s, a->evidence, sizeof(a->evidence)))
		return false;
	a->severity = e->held_ns >= CRITICAL_NS ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = (double)e->held_ns / 1e6;
	a->threshold = (double)SNAP_LOOP_HELD_NS / 1e6;
	snprintf(a->subject, sizeof(a->subject), "event loop of %.31s", e->held_comm);
	if (e->held_cpu_ns >= e->held_ns / 2)
		snprintf(a->advice, sizeof(a->advice),
			 "all its connections and timers waited meanwhile: do that work in pieces, "
			 "or in another thread (a worker, run_in_executor); redis: SLOWLOG GET "
			 "names the command");
	else
		snprintf(a->advice, sizeof(a->advice),
			 "it waited amid the turn, and all its connections and timers with it: "
			 "Blocked shows where; wait for that by the loop, or in another thread");
	return true;
}
