/* SPDX-License-Identifier: Apache-2.0 */
/* loop_words.c: what held an event loop, in words. */
#include "collectors/loop_words.h"

#include <stdio.h>

static void put_duration(char *out, size_t size, uint64_t ns)
{
	if (ns >= 9950000000ull)
		snprintf(out, size, "%.0f s", (double)ns / 1e9);
	else if (ns >= 999500000ull)
		snprintf(out, size, "%.1f s", (double)ns / 1e9);
	else
		snprintf(out, size, "%.0f ms", (double)ns / 1e6);
}

bool loop_words(const struct snapshot *s, char *out, size_t size)
{
	const struct snap_event_loop *e = &s->event_loop;
	char held[32], cpu[32], ago[48] = "", in[SNAP_NAME + 32] = "";
	uint64_t ago_ns = s->time_ns > e->held_time_ns ? s->time_ns - e->held_time_ns : 0;

	if (!s->nevent_loop || e->held_ns < SNAP_LOOP_HELD_NS)
		return false;
	put_duration(held, sizeof(held), e->held_ns);
	put_duration(cpu, sizeof(cpu), e->held_cpu_ns);
	if (e->held_function_samples)
		snprintf(in, sizeof(in), ", %u of its %u samples in %.60s",
			 e->held_function_samples, e->held_samples, e->held_function);
	if (!e->held_goes_on && ago_ns >= 1000000000)
		snprintf(ago, sizeof(ago), " %.0f s ago", (double)ago_ns / 1e9);
	snprintf(out, size,
		 "the event loop of %.31s (tid %d) %s held for %s%s%s by one turn%s, %s of it on a "
		 "CPU%s",
		 e->held_comm, e->held_tid, e->held_goes_on ? "is" : "was",
		 e->held_at_least ? "at least " : "", held, e->held_goes_on ? " so far" : "", ago,
		 cpu, in);
	return true;
}
