/* SPDX-License-Identifier: Apache-2.0 */
/* profile.h: samples added up: functions by self and total, stacks, the hottest of each thread. */
#ifndef PERFTOP_PROFILE_H
#define PERFTOP_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/snapshot.h"
#include "collectors/symbols.h"

struct profile;

struct profile *profile_new(void);
void profile_free(struct profile *p);
void profile_reset(struct profile *p);

/*
 * Add one sample: ids of its functions (struct symbol.id), leaf first; ids[self] is the one whose
 * code ran, those before it were inlined there and count in their totals alone. complete: the stack
 * reached the thread's start. Memory grows only with functions and distinct stacks, up to a bound;
 * past it the stacks seen least often give way and are counted in `truncated`, functions never.
 */
int profile_add(struct profile *p, uint32_t tid, const uint32_t *ids, uint32_t n, uint32_t self,
		bool in_kernel, bool complete);

/* Fill cpu.samples, functions, stacks, symbols and each thread's top of s. */
void profile_fill(struct profile *p, struct symbols *syms, struct snapshot *s);

#endif
