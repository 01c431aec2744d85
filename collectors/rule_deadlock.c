/* SPDX-License-Identifier: Apache-2.0 */
/* rule_deadlock.c: threads that wait for each other for good: nothing there to be quantified. */
#include <stdio.h>
#include <string.h>

#include "collectors/rules.h"

static const char *advice(const char *kind)
{
	if (!strcmp(kind, "cycle"))
		return "take these locks in the same order everywhere; the process has to be "
		       "restarted, after `gdb -p PID -batch -ex 'thread apply all bt'` if the "
		       "stacks in Blocked do not tell enough";
	if (!strcmp(kind, "self"))
		return "the mutex is not recursive: unlock it first, or split off a function that "
		       "asks that it be held; its stack is in Blocked";
	if (!strcmp(kind, "orphan"))
		return "its holder ended without unlocking it (or held it in the process that this "
		       "one was forked from): the process has to be restarted";
	return "see Blocked for what each thread waits for, and in which function";
}

bool rule_deadlock_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_deadlock *d = &s->deadlock;

	if (!s->ndeadlock)
		return false;
	a->severity = ALERT_CRITICAL;
	a->value = d->threads + d->behind;
	a->threshold = 0;
	snprintf(a->subject, sizeof(a->subject), "%s",
		 strcmp(d->kind, "standstill") != 0 ? "deadlock" : "standstill");
	snprintf(a->evidence, sizeof(a->evidence), "%s", d->words);
	snprintf(a->advice, sizeof(a->advice), "%s", advice(d->kind));
	return true;
}
