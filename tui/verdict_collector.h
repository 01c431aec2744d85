/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_collector.h: a target that is busy with its garbage, in one sentence. */
#ifndef PERFTOP_VERDICT_COLLECTOR_H
#define PERFTOP_VERDICT_COLLECTOR_H

#include <stddef.h>

#include "collectors/snapshot.h"

/*
 * Does much of the busy % of a CPU go to a garbage collector, as HotSpot's threads or Go's
 * functions tell? Returns the name of the view that shows more, or NULL.
 */
const char *verdict_collector(const struct snapshot *s, double busy, char *text, size_t size);

#endif
