/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_output.c: see verdict_output.h. */
#include "tui/verdict_output.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "collectors/name_words.h"
#include "tui/time_split.h"

/* Calls that send bytes on. */
static const char *sending_call(const char *name)
{
	/* Not splice(2), which may wait for what it is to send. */
	static const char *const calls[] = {"write",   "writev",   "send",     "sendto",
					    "sendmsg", "sendmmsg", "vmsplice", "sendfile"};

	name = name_of_call(name);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(name, calls[i]))
			return calls[i];
	return NULL;
}

/* Where it waits to send, not on a disk; NULL: it does something else there. */
static const char *sends(const struct snapshot *s, const struct snap_wait_stack *st)
{
	if ((st->reason != BLOCKED_OTHER && st->reason != BLOCKED_NET) || !st->nframes ||
	    st->frames[0] >= s->nsymbols)
		return NULL;
	return sending_call(s->symbols[st->frames[0]].name);
}

const char *verdict_works_on(const struct snapshot *s, const char *call)
{
	const struct snap_latency *top = NULL;

	for (uint32_t i = 0; i < s->nsyscalls; i++)
		if (!strcmp(s->syscalls[i].name, call) && (!top || s->syscalls[i].sum > top->sum))
			top = &s->syscalls[i];
	return top ? top->module : "";
}

/* Who does not take it. */
static void other_end(const struct snapshot *s, uint32_t reason, char *out, size_t size)
{
	const struct snap_socket *top = NULL;

	for (uint32_t i = 0; i < s->nsockets && reason == BLOCKED_NET; i++)
		if (!top || s->sockets[i].pct > top->pct)
			top = &s->sockets[i];
	if (top && top->peer[0])
		snprintf(out, size, "%.60s", top->peer);
	else if (top && top->name[0])
		snprintf(out, size, "the other end of %.100s", top->name);
	else
		snprintf(out, size, "%s",
			 reason == BLOCKED_NET ? "the other end of the connection"
					       : "who reads the pipe or terminal");
}

const char *verdict_output(const struct snapshot *s, double least_pct, char *text, size_t size)
{
	const struct snap_wait_stack *top = NULL;
	char whom[160];
	uint64_t ns = 0;
	double pct;

	for (uint32_t i = 0; i < s->nwait_stacks; i++) {
		const struct snap_wait_stack *st = &s->wait_stacks[i];

		if (!sends(s, st))
			continue;
		ns += st->ns;
		if (!top || st->ns > top->ns)
			top = st;
	}
	pct = time_waited_pct(s, ns);
	/* Files of a network or in user space may take their time. */
	if (!top || pct < least_pct || !strcmp(verdict_works_on(s, sends(s, top)), "file"))
		return NULL;
	other_end(s, top->reason, whom, sizeof(whom));
	snprintf(text, size,
		 "%.0f %% of a thread's time waits in %s until what it sends is taken: %s is "
		 "slower than this program",
		 pct, sends(s, top), whom);
	return "blocked";
}
