/* SPDX-License-Identifier: Apache-2.0 */
/* sample_trail.c: the last CPU samples by time and thread: what ran there, and then. */
#include "collectors/sample_trail.h"

/* Functions that are counted: one in which a thread mostly is comes among the first. */
enum { TRAIL_FUNCTIONS = 64 };

void sample_trail_add(struct sample_trail *t, uint64_t time_ns, uint32_t tid, uint32_t function)
{
	uint64_t i = t->added % SAMPLE_TRAIL;

	if (!time_ns)
		return;
	t->last[i].time_ns = time_ns;
	t->last[i].tid = tid;
	t->last[i].function = function;
	t->added++;
}

uint32_t sample_trail_top(const struct sample_trail *t, uint32_t tid, uint64_t from_ns,
			  uint64_t to_ns, uint32_t *function, uint32_t *all)
{
	uint32_t ids[TRAIL_FUNCTIONS], counts[TRAIL_FUNCTIONS], n = 0, most = 0;
	uint64_t kept = t->added < SAMPLE_TRAIL ? t->added : SAMPLE_TRAIL;

	*all = 0;
	for (uint64_t k = 0; k < kept; k++) {
		uint32_t i = 0;

		if (t->last[k].tid != tid || t->last[k].time_ns < from_ns ||
		    t->last[k].time_ns > to_ns)
			continue;
		++*all;
		while (i < n && ids[i] != t->last[k].function)
			i++;
		if (i == TRAIL_FUNCTIONS)
			continue;
		if (i == n) {
			ids[n] = t->last[k].function;
			counts[n++] = 0;
		}
		if (++counts[i] > most) {
			most = counts[i];
			*function = ids[i];
		}
	}
	return most;
}
