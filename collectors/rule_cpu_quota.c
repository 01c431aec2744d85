/* SPDX-License-Identifier: Apache-2.0 */
/* rule_cpu_quota.c: its control group's CPU time is used up, and its threads stand still. */
#include <stdio.h>
#include <string.h>

#include "collectors/rules.h"

/* Of the quota's periods. */
#define WARN_PCT     10.0
#define CRITICAL_PCT 50.0
/* Of a CPU: whoever uses less is not what used it up, and is hardly held back. */
#define BUSY_PCT 5.0

bool rule_cpu_quota_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_proc *p = &s->proc;

	if (p->throttled_pct < WARN_PCT || p->user_pct + p->sys_pct < BUSY_PCT)
		return false;
	a->severity = p->throttled_pct >= CRITICAL_PCT ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = p->throttled_pct;
	a->threshold = WARN_PCT;
	snprintf(a->subject, sizeof(a->subject), "%s", p->quota_group);
	snprintf(a->evidence, sizeof(a->evidence),
		 "control group %.90s may use %.2f CPUs; in %.0f %% of its periods that was used "
		 "up, and its threads stood still until the next",
		 p->quota_group, p->quota_cpus, p->throttled_pct);
	snprintf(a->advice, sizeof(a->advice),
		 "raise its limit (cpu.max, or cpu.cfs_quota_us; docker update --cpus; Kubernetes: "
		 "limits.cpu), or run fewer threads at once: they use up a period the sooner");
	return true;
}
