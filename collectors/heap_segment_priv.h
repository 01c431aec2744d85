/* SPDX-License-Identifier: Apache-2.0 */
/* heap_segment_priv.h: what the files that read a heap's segment share. */
#ifndef PERFTOP_HEAP_SEGMENT_PRIV_H
#define PERFTOP_HEAP_SEGMENT_PRIV_H

#include "collectors/heap_segment.h"
#include "collectors/heap_segment_find.h"

struct heap_segment {
	int pid, pidfd;
	struct heap_place place;
	char *base;
	struct heap_segment_header head; /* as it was when opened: what is fixed */
	struct heap_totals totals;
	uint64_t tail, lost, stuck_ns;
	char why[192];
	_Alignas(64) char slice[HEAP_SLICE_MAX];
};

/* Note why the segment is not to be believed. Returns -EBADMSG. */
int heap_segment_corrupt(struct heap_segment *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline uint64_t heap_segment_load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline struct heap_control *heap_segment_control(const struct heap_segment *s)
{
	return (struct heap_control *)(s->base + HEAP_CONTROL_OFFSET);
}

static inline const struct heap_state *heap_segment_state(const struct heap_segment *s)
{
	return (const struct heap_state *)(s->base + HEAP_STATE_OFFSET);
}

#endif
