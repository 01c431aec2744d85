/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_cpu.h: what a target computes, in words. */
#ifndef PERFTOP_VERDICT_CPU_H
#define PERFTOP_VERDICT_CPU_H

#include <stdbool.h>
#include <stddef.h>

#include "collectors/snapshot.h"

/*
 * Of a target that uses user_pct and sys_pct of a CPU: the system calls that take most of it, the
 * allocator with who calls it, a function, or the files that it spreads over. Returns the name of
 * the view that shows more.
 */
const char *verdict_cpu_words(const struct snapshot *s, double user_pct, double sys_pct, char *out,
			      size_t size);

/* Do its threads burn much of that while they wait for each other? How and where, in words. */
bool verdict_cpu_spins(const struct snapshot *s, double busy, char *out, size_t size);

#endif
