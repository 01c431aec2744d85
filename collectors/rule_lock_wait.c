/* SPDX-License-Identifier: Apache-2.0 */
/* rule_lock_wait.c: threads spend much of their time waiting for locks. */
#include <stdio.h>
#include <string.h>

#include "collectors/lock_name.h"
#include "collectors/rules.h"

/* Of one thread's wall time: a fifth of a thread lost is worth a look. */
#define WAIT_PCT 20.0

static void where(const struct snap_lock *l, char *out, size_t size)
{
	out[0] = '\0';
	if (l->site[0])
		snprintf(out, size, ", in %.100s", l->site);
}

static const char *holder(const struct snap_lock *l, char *out, size_t size)
{
	out[0] = '\0';
	if (l->owner_tid)
		snprintf(out, size, ", last held by tid %d", l->owner_tid);
	return out;
}

static const char *advice(const char *kind)
{
	if (!strcmp(kind, "GIL"))
		return "one thread at a time runs Python code: use processes, or code that lets "
		       "go of the lock (I/O, numpy, extensions)";
	if (!strcmp(kind, "GVL"))
		return "one thread at a time runs Ruby code: use processes, Ractors, or code that "
		       "lets go of the lock (I/O, extensions)";
	if (!strcmp(kind, "java monitor"))
		return "`jcmd PID Thread.print` names the Java code that holds it, and says when "
		       "it is a deadlock";
	if (!strcmp(kind, "pg lock"))
		return "another transaction holds the row, table or tuple: in SQL, select pid, "
		       "pg_blocking_pids(pid), query from pg_stat_activity where "
		       "wait_event_type = 'Lock'";
	if (!strcmp(kind, "mdl lock"))
		return "another connection uses the table while one wants to change it: SHOW "
		       "PROCESSLIST tells both, KILL ends one";
	if (!strcmp(kind, "innodb lock"))
		return "another transaction holds the row or the table: in SQL, select * from "
		       "information_schema.innodb_lock_waits and innodb_trx; commit sooner";
	if (!strcmp(kind, "sqlite lock"))
		return "another connection writes: shorten its transactions, or use WAL, in which "
		       "readers do not wait";
	if (!strcmp(kind, "file lock"))
		return "another process has locked the file; `lslocks` lists them all";
	return "shorten what is done while it is held, or split it; see Blocked for every lock, "
	       "and for the stacks that wait there";
}

bool rule_lock_wait_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_lock *top = NULL;
	char site[SNAP_NAME], held[48];
	double total = 0;

	/* Condition variables and joins are how idle threads wait: locks alone count. */
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
	lock_name_words(top, a->subject, sizeof(a->subject));
	where(top, site, sizeof(site));
	snprintf(a->evidence, sizeof(a->evidence),
		 "threads wait %.2f threads' worth of time for locks; %.60s alone %.2f%.60s "
		 "(%llu waits, longest %.1f ms%s)",
		 total / 100, a->subject, top->pct / 100, site, (unsigned long long)top->waits,
		 (double)top->max_ns / 1e6, holder(top, held, sizeof(held)));
	snprintf(a->advice, sizeof(a->advice), "%s", advice(top->kind));
	return true;
}
