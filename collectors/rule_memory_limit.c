/* SPDX-License-Identifier: Apache-2.0 */
/* rule_memory_limit.c: its control group is at its memory limit, and gives back to get. */
#include <stdio.h>

#include "collectors/rules.h"

/* Of the limit that is in use: file cache fills it too, so alone it says nothing. */
#define FULL_PCT 90.0
/* Times a second that it met the limit. */
#define MET_RATE 1.0

bool rule_memory_limit_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_proc *p = &s->proc;
	double pct;

	if (!p->memory_limit_bytes || p->memory_limit_rate < MET_RATE)
		return false;
	pct = 100.0 * (double)p->memory_group_bytes / (double)p->memory_limit_bytes;
	if (pct < FULL_PCT)
		return false;
	/* Its own pages went to swap or have to be read again. */
	a->severity = p->majflt_rate >= 1 || p->swap_bytes ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = pct;
	a->threshold = FULL_PCT;
	snprintf(a->subject, sizeof(a->subject), "%s", p->memory_group);
	snprintf(a->evidence, sizeof(a->evidence),
		 "control group %.90s has %.0f %% of the %.0f MiB it may have, and met that limit "
		 "%.0f times a second: each allocation waits for pages to be given back",
		 p->memory_group, pct, (double)p->memory_limit_bytes / 1048576,
		 p->memory_limit_rate);
	snprintf(a->advice, sizeof(a->advice),
		 "raise the limit (memory.max, memory.high or memory.limit_in_bytes; docker update "
		 "--memory; Kubernetes: limits.memory); see Memory for what it holds");
	return true;
}
