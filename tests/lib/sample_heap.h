/* SPDX-License-Identifier: Apache-2.0 */
/* sample_heap.h: heaps for sample snapshots. */
#ifndef PERFTOP_SAMPLE_HEAP_H
#define PERFTOP_SAMPLE_HEAP_H

#include "collectors/snapshot.h"

/* A sampled heap with a leak, as it is at `tick`. */
void sample_heap_fill(struct snapshot *s, uint32_t tick);
/* Full tables of impossible figures and bad indices; `text` for every string. */
void sample_heap_hostile(struct snapshot *s, const char *text);

#endif
