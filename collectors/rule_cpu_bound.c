/* SPDX-License-Identifier: Apache-2.0 */
/* rule_cpu_bound.c: the target is busy, and one function takes most of it. */
#include <stdio.h>
#include <string.h>

#include "collectors/rules.h"

/* Of one CPU; below it the CPU is not what holds the target back. */
#define BUSY_PCT     80.0
#define FUNCTION_PCT 40.0
/* Fewer samples say nothing: at 30 a share of 40 % is known to about +-17 points. */
#define MIN_SAMPLES 30

/* -e takes a name as it is in a file: not of the kernel, not of code made at run time, not cut. */
static bool can_be_probed(const struct snap_function *f)
{
	return f->module[0] && f->module[0] != '[' && strlen(f->name) < 60 &&
	       !strpbrk(f->name, " (<[+") && strncmp(f->name, "0x", 2) != 0;
}

bool rule_cpu_bound_check(const struct snapshot *s, struct snap_alert *a)
{
	double busy = s->proc.user_pct + s->proc.sys_pct;
	/* On a full machine it would use what it waits for. */
	double wanted = busy + s->cpu.runq_wait_pct;
	const struct snap_function *top = NULL;

	if (wanted < BUSY_PCT || busy < BUSY_PCT / 4 || s->cpu.samples < MIN_SAMPLES)
		return false;
	for (uint32_t i = 0; i < s->nfunctions; i++)
		if (!top || s->functions[i].recent_pct > top->recent_pct)
			top = &s->functions[i];
	if (!top || top->recent_pct < FUNCTION_PCT)
		return false;
	a->severity = top->recent_pct >= 70 ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = top->recent_pct;
	a->threshold = FUNCTION_PCT;
	snprintf(a->subject, sizeof(a->subject), "%s", top->name);
	snprintf(a->evidence, sizeof(a->evidence),
		 "%.0f %% of the last seconds' samples are in %.80s (%.40s) itself; the target "
		 "uses %.0f %% of a CPU%s",
		 top->recent_pct, top->name, top->module, busy,
		 busy < BUSY_PCT ? " and waits in the queue for more" : "");
	if (can_be_probed(top))
		snprintf(a->advice, sizeof(a->advice),
			 "open CPU and press Enter on %.80s for its callers; measure one call with "
			 "-e '%.40s:%.60s'",
			 top->name, top->module, top->name);
	else
		snprintf(a->advice, sizeof(a->advice),
			 "open CPU and press Enter on %.120s for its callers", top->name);
	return true;
}
