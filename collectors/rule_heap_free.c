/* SPDX-License-Identifier: Apache-2.0 */
/* rule_heap_free.c: most of what the allocator holds is free. */
#include <stdio.h>

#include "collectors/rules.h"

#define FREE_PCT       50.0
#define FREE_MIN_BYTES (64ull << 20)

bool rule_heap_free_check(const struct snapshot *s, struct snap_alert *a)
{
	const struct snap_heap *h = &s->heap;
	double pct;

	/* A lower bound, while the allocator's lists are still being read, has another verdict. */
	if (!s->nheap || (h->verdict != HEAP_FRAGMENTED && h->verdict != HEAP_CACHED) ||
	    h->retained_bytes < FREE_MIN_BYTES || !h->obtained_bytes)
		return false;
	pct = 100.0 * (double)h->retained_bytes / (double)h->obtained_bytes;
	if (pct < FREE_PCT)
		return false;
	a->severity = h->verdict == HEAP_FRAGMENTED ? ALERT_WARNING : ALERT_INFO;
	a->value = pct;
	a->threshold = FREE_PCT;
	snprintf(a->subject, sizeof(a->subject), "%s", h->allocator);
	snprintf(a->evidence, sizeof(a->evidence), "%s", h->words);
	snprintf(
		a->advice, sizeof(a->advice), "%s",
		h->verdict == HEAP_FRAGMENTED
			? "allocate what lives long apart from what does not, or by size; jemalloc "
			  "or tcmalloc fragment less: LD_PRELOAD=libjemalloc.so.2"
			: "call malloc_trim(0) after the peak, or lower it: "
			  "GLIBC_TUNABLES=glibc.malloc.trim_threshold=131072");
	return true;
}
