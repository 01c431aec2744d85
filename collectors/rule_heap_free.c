/* SPDX-License-Identifier: Apache-2.0 */
/* rule_heap_free.c: most of what the allocator holds is free. */
#include <stdio.h>
#include <string.h>

#include "collectors/rules.h"

#define FREE_PCT       50.0
#define FREE_MIN_BYTES (64ull << 20)

/* Whole pages that are free, back to the kernel. */
static const char *give_back(const char *allocator)
{
	if (!strncmp(allocator, "jemalloc", 8))
		return "let it give pages back sooner: MALLOC_CONF=background_thread:true,"
		       "dirty_decay_ms:1000";
	if (!strncmp(allocator, "tcmalloc", 8))
		return "call MallocExtension_ReleaseFreeMemory() after the peak, or raise "
		       "TCMALLOC_RELEASE_RATE=10";
	if (!strncmp(allocator, "mimalloc", 8))
		return "call mi_collect(true) after the peak, or let it give freed segments back "
		       "at once: MIMALLOC_SEGMENT_DECOMMIT_DELAY=0";
	return "call malloc_trim(0) after the peak, or lower it: "
	       "GLIBC_TUNABLES=glibc.malloc.trim_threshold=131072";
}

static const char *fragment_less(const char *allocator)
{
	if (!strncmp(allocator, "glibc", 5))
		return "allocate what lives long apart from what does not, or by size; jemalloc "
		       "or tcmalloc fragment less: LD_PRELOAD=libjemalloc.so.2";
	return "allocate what lives long apart from what does not, or by size";
}

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
	snprintf(a->advice, sizeof(a->advice), "%s",
		 h->verdict == HEAP_FRAGMENTED ? fragment_less(h->allocator)
					       : give_back(h->allocator));
	return true;
}
