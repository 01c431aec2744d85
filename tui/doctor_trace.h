/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_trace.h: does --heap=trace count the allocations of a process here? */
#ifndef PERFTOP_DOCTOR_TRACE_H
#define PERFTOP_DOCTOR_TRACE_H

#include <stddef.h>

#include "collectors/snapshot.h"

/*
 * Watch a process of our own, which allocates and does nothing else, with --heap=trace. Leaves in
 * text what was seen, or why not, and in fix the command that mends it ("": none is known).
 */
enum section_status doctor_try_trace(char *text, size_t size, char *fix, size_t fix_size);

#endif
