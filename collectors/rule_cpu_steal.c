/* SPDX-License-Identifier: Apache-2.0 */
/* rule_cpu_steal.c: the hypervisor gives the machine's CPUs to others. */
#include <stdio.h>

#include "collectors/rules.h"

#define WARN_PCT     10.0
#define CRITICAL_PCT 25.0
/* Of a CPU, used or waited for: who wants less hardly notices. */
#define WANTED_PCT 20.0

bool rule_cpu_steal_check(const struct snapshot *s, struct snap_alert *a)
{
	double wanted = s->proc.user_pct + s->proc.sys_pct + s->cpu.runq_wait_pct;

	if (s->proc.machine_steal_pct < WARN_PCT || wanted < WANTED_PCT)
		return false;
	a->severity = s->proc.machine_steal_pct >= CRITICAL_PCT ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = s->proc.machine_steal_pct;
	a->threshold = WARN_PCT;
	snprintf(a->subject, sizeof(a->subject), "steal");
	snprintf(a->evidence, sizeof(a->evidence),
		 "the hypervisor gives %.0f %% of this machine's CPU time to others: meanwhile a "
		 "thread stands still that counts as running",
		 s->proc.machine_steal_pct);
	snprintf(
		a->advice, sizeof(a->advice),
		"no change to the program helps: a host with fewer tenants, or a machine with CPUs "
		"of its own; one that bursts may have used up its credits");
	return true;
}
