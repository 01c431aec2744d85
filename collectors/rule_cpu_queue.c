/* SPDX-License-Identifier: Apache-2.0 */
/* rule_cpu_queue.c: threads that could run wait for a CPU, and who has it. */
#include <stdio.h>

#include "collectors/rules.h"

#define WARN_PCT     20.0
#define CRITICAL_PCT 100.0
/* Of the run queue's time and the time on a CPU: below it, waiting costs little. */
#define LOST_SHARE 0.25
#define LOCK_SHARE 0.25
/* A control group that is stopped for the rest of its period queues for that. */
#define THROTTLED_PCT 20.0
/* Of what the machine does: more is its own threads' doing. */
#define OWN_SHARE 0.6

static void advise(const struct snap_proc *p, double own_share, char *out, size_t size)
{
	if (p->cpus_allowed && p->cpus_allowed < p->ncpu)
		snprintf(out, size,
			 "it may use %u of %u CPUs (%.60s): allow more (taskset -ap, cpuset.cpus), "
			 "or run no more threads than that",
			 p->cpus_allowed, p->ncpu, p->cpus_list);
	else if (p->nice > 0 && own_share < OWN_SHARE)
		snprintf(out, size,
			 "its nice value is %d, so that others go first: renice -n 0 -p PID (and "
			 "of its threads), or move it to another machine",
			 p->nice);
	else if (own_share >= OWN_SHARE)
		snprintf(out, size,
			 "its own threads queue for %u CPUs: run no more of them at once than "
			 "that, make them do less (see CPU), or use a larger machine",
			 p->ncpu);
	else
		snprintf(out, size,
			 "others use the CPUs: `top` shows which; lower their priority (renice, "
			 "cpu.weight), move them, or keep CPUs for this one (cpuset.cpus)");
}

bool rule_cpu_queue_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_proc *p = &s->proc;
	double busy = p->user_pct + p->sys_pct, waits = s->cpu.runq_wait_pct;
	double own = p->ncpu ? busy / p->ncpu : busy, locks = 0;

	for (uint32_t i = 0; i < s->nlocks; i++)
		locks += s->locks[i].is_mutex ? s->locks[i].pct : 0;
	/* Who waits much longer for locks would gain little from more CPUs. */
	if (waits < WARN_PCT || waits < LOCK_SHARE * locks || waits < LOST_SHARE * (waits + busy) ||
	    p->throttled_pct >= THROTTLED_PCT)
		return false;
	if (own > p->machine_cpu_pct)
		own = p->machine_cpu_pct;
	a->severity = waits >= CRITICAL_PCT ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = waits;
	a->threshold = WARN_PCT;
	snprintf(a->subject, sizeof(a->subject), "run queue");
	snprintf(a->evidence, sizeof(a->evidence),
		 "%.2f threads are ready to run and wait for a CPU, %.2f run; the machine's %u "
		 "CPUs are %.0f %% busy, %.0f %% with this program",
		 waits / 100, busy / 100, p->ncpu, p->machine_cpu_pct, own);
	advise(p, p->machine_cpu_pct > 0 ? own / p->machine_cpu_pct : 1, a->advice,
	       sizeof(a->advice));
	return true;
}
