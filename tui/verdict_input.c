/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_input.c: see verdict_input.h. */
#include "tui/verdict_input.h"

#include <stdio.h>
#include <string.h>

#include "collectors/name_words.h"
#include "tui/format.h"
#include "tui/time_split.h"
#include "tui/verdict_output.h"
#include "tui/views/blocked_rows.h"

/* Who brings data more seldom than this is no stage of a pipeline, but a way to give notice. */
enum { INPUT_SELDOM_NS = 1000000000 };

/* The call that a stack waits in. */
static const char *call_of(const struct snapshot *s, const struct snap_wait_stack *st)
{
	return st->nframes && st->frames[0] < s->nsymbols
		       ? name_of_call(s->symbols[st->frames[0]].name)
		       : "";
}

const char *verdict_input(const struct snapshot *s, double least_pct, char *text, size_t size)
{
	static const char *const calls[] = {"read", "readv", "splice", "tee"};
	const char *most = NULL;
	uint64_t most_ns = 0;

	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
		uint64_t ns = 0;

		for (uint32_t i = 0; i < s->nwait_stacks; i++) {
			const struct snap_wait_stack *st = &s->wait_stacks[i];

			if (st->reason == BLOCKED_OTHER && !strcmp(call_of(s, st), calls[c]) &&
			    st->count && st->ns / st->count < INPUT_SELDOM_NS)
				ns += st->ns;
		}
		if (ns > most_ns && !strcmp(verdict_works_on(s, calls[c]), "pipe")) {
			most = calls[c];
			most_ns = ns;
		}
	}
	if (!most || time_waited_pct(s, most_ns) < least_pct)
		return NULL;
	snprintf(text, size,
		 "%.0f %% of a thread's time waits in %s for what a pipe brings: who writes it is "
		 "slower than this program",
		 time_waited_pct(s, most_ns), most);
	return "blocked";
}

bool verdict_waits_in(const struct snapshot *s, char *text, size_t size)
{
	static const struct {
		const char *call, *what;
	} calls[] = {
		{"semop", "a System V semaphore"},
		{"semtimedop", "a System V semaphore"},
		{"msgrcv", "a System V message"},
		{"msgsnd", "room in a System V message queue"},
		{"mq_receive", "a message"},
		{"mq_timedreceive", "a message"},
		{"mq_send", "room in a message queue"},
		{"mq_timedsend", "room in a message queue"},
		{"wait3", "a child to end"},
		{"wait4", "a child to end"},
		{"waitpid", "a child to end"},
		{"waitid", "a child to end"},
		{"read", "what it reads"},
		{"readv", "what it reads"},
	};
	const struct snap_wait_stack *top = NULL;
	const char *name;

	for (uint32_t i = 0; i < s->nwait_stacks; i++)
		if (!top || s->wait_stacks[i].ns > top->ns)
			top = &s->wait_stacks[i];
	if (!top || top->reason != BLOCKED_OTHER)
		return false;
	name = call_of(s, top);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(name, calls[i].call)) {
			snprintf(text, size, "%s for %s", name, calls[i].what);
			return true;
		}
	return false;
}

/* What all sockets that it serves have in progress at a time, the most of one of them in *top. */
static const struct snap_latency *most_served(const struct snapshot *s, double *pct)
{
	const struct snap_latency *top = NULL;

	*pct = 0;
	for (uint32_t i = 0; i < s->nlatency; i++) {
		const struct snap_latency *l = &s->latency[i];
		double of = l->rate * (double)l->mean / 1e7;

		if (l->source == LATENCY_SOCKET && of > *pct &&
		    !strncmp(l->name, "requests to ", strlen("requests to "))) {
			top = l;
			*pct = of;
		}
	}
	return top;
}

/*
 * Is it in each request that it sleeps? As often as there are requests, and no longer than the
 * longest took. A thread that sleeps between rounds of its own does neither.
 */
static const struct snap_wait_stack *sleeps_in(const struct snapshot *s,
					       const struct snap_latency *l)
{
	const struct snap_wait_stack *top = NULL;

	for (uint32_t i = 0; i < s->nwait_stacks; i++) {
		const struct snap_wait_stack *st = &s->wait_stacks[i];

		if ((st->reason == BLOCKED_SLEEP || st->reason == BLOCKED_OTHER) &&
		    st->count >= l->count / 2 && st->count && st->ns / st->count <= l->max &&
		    (!top || st->ns > top->ns))
			top = st;
	}
	return top;
}

const char *verdict_requests(const struct snapshot *s, double least_pct, char *text, size_t size)
{
	double pct;
	const struct snap_latency *l = most_served(s, &pct);
	const struct snap_wait_stack *st = l ? sleeps_in(s, l) : NULL;
	char rate[FORMAT_SIZE], p50[FORMAT_SIZE], p99[FORMAT_SIZE], where[160];

	if (!st || time_waited_pct(s, st->ns) < least_pct || time_waited_pct(s, st->ns) < pct / 4)
		return NULL;
	blocked_stack_words(s, st, where, sizeof(where));
	snprintf(text, size,
		 "%.1f %.80s are served at a time: %s, half of them take %s, the slowest 1 %% %s; "
		 "most of it waits %s",
		 pct / 100, l->name, format_rate(rate, l->rate), format_ns(p50, l->p50),
		 format_ns(p99, l->p99), where);
	return "blocked";
}
