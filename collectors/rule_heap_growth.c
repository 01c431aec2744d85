/* SPDX-License-Identifier: Apache-2.0 */
/* rule_heap_growth.c: live memory rises all the time: by use, or by a leak. */
#include <stdio.h>

#include "collectors/rules.h"

/* Bytes a second: 64 KiB is 5 GiB a day. */
#define GROWTH_BYTES_S 65536.0

static const struct snap_heap_site *worst(const struct snapshot *s)
{
	const struct snap_heap_site *top = NULL;

	for (uint32_t i = 0; i < s->nheap_sites; i++)
		if (s->heap_sites[i].leak_score > 0 &&
		    (!top || s->heap_sites[i].growth_bytes_s > top->growth_bytes_s))
			top = &s->heap_sites[i];
	return top;
}

/* What it maps itself only its own runtime can tell apart. */
static const char *own_advice(const struct snapshot *s)
{
	if (snapshot_is_python(s))
		return "most of it is Python's own: tracemalloc tells call sites, or start it with "
		       "PYTHONMALLOC=malloc and perftop --heap=sample";
	return "most of it is mapped by the program itself, past malloc: its runtime's own heap "
	       "profiler tells call sites";
}

bool rule_heap_growth_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_heap *h = &s->heap;
	const struct snap_heap_site *site = worst(s);
	double minutes;

	if (!s->nheap || (h->verdict != HEAP_GROWING && h->verdict != HEAP_LEAKING) ||
	    !(h->growth_bytes_s >= GROWTH_BYTES_S))
		return false;
	/* Until the machine's memory is full. */
	minutes = (double)s->proc.mem_available_bytes / h->growth_bytes_s / 60;
	a->severity = h->verdict == HEAP_LEAKING || minutes < 60 ? ALERT_CRITICAL : ALERT_WARNING;
	a->value = h->growth_bytes_s;
	a->threshold = GROWTH_BYTES_S;
	snprintf(a->subject, sizeof(a->subject), "%.120s",
		 site && site->nframes && site->frames[0] < s->nsymbols
			 ? s->symbols[site->frames[0]].name
			 : "heap");
	snprintf(a->evidence, sizeof(a->evidence),
		 "%.200s; at this rate memory is full in %.0f min", h->words, minutes);
	snprintf(a->advice, sizeof(a->advice), "%s",
		 snapshot_heap_is_own(h) ? own_advice(s)
		 : h->mode == HEAP_SAMPLE
			 ? "see Memory for the call sites that grow: who should free what they "
			   "allocate?"
			 : "find the call site: perftop --heap=sample with the same target");
	return true;
}
