/* SPDX-License-Identifier: Apache-2.0 */
/* rule_trajectory_drop.c: the trajectory buffer is full and drops what the engine learned. */
#include <stdio.h>

#include "collectors/rules.h"

#define DROP_PCT 0.1

bool rule_trajectory_drop_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_trajectory *t = &s->trajectory;
	double offered = t->recorded_rate + t->dropped_rate, pct;

	if (!s->ntrajectory || offered <= 0)
		return false;
	pct = 100.0 * t->dropped_rate / offered;
	if (pct < DROP_PCT)
		return false;
	a->severity = pct >= 10 ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = pct;
	a->threshold = DROP_PCT;
	snprintf(a->subject, sizeof(a->subject), "trajectory buffer");
	snprintf(a->evidence, sizeof(a->evidence),
		 "%.1f %% of trajectories are dropped (%.0f/s of %.0f/s); %llu of %llu places are "
		 "in "
		 "use, the learner drains %.0f/s",
		 pct, t->dropped_rate, offered, (unsigned long long)t->used,
		 (unsigned long long)t->capacity, t->drained_rate);
	snprintf(a->advice, sizeof(a->advice),
		 "the learner is too slow for this rate: give it a CPU, drain more at a time, or "
		 "enlarge "
		 "the buffer (engine --buffer)");
	return true;
}
