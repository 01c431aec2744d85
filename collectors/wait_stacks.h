/* SPDX-License-Identifier: Apache-2.0 */
/* wait_stacks.h: the stacks that threads wait in, by time, with who woke them. */
#ifndef PERFTOP_WAIT_STACKS_H
#define PERFTOP_WAIT_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectors/snapshot.h"

struct locks;
struct session;
struct threads;
struct wait_stacks;

/*
 * Of waits that are over, eBPF takes the stack of as many as keep within a rate, with a chance in
 * proportion to their length, so that a stack's time is right but for the luck of the draw. Of
 * waits that go on for long it is read from outside, once a wait. Borrows locks, and tells them
 * where they are waited for. NULL with a sentence in why when this kernel or the target's tier does
 * not allow it.
 */
struct wait_stacks *wait_stacks_new(struct session *se, struct locks *locks, char *why,
				    size_t why_size);
void wait_stacks_free(struct wait_stacks *w);

/* Once a tick, after the threads were read; fills s->wait_stacks, the longest in all first. */
void wait_stacks_tick(struct wait_stacks *w, const struct threads *t, struct snapshot *s);
void wait_stacks_reset(struct wait_stacks *w);

/* Of the stacks in one place, those that wait for a lock that is no futex; after the tick. */
struct wait_stack_lock {
	const char *kind, *site, *via; /* strings that stay */
	uint32_t reason;	       /* enum blocked_reason */
	int32_t tid;		       /* that waited there last */
	uint64_t ns, last_ns;	       /* since the reset, and in the last interval */
	uint64_t count, max_ns;
};
typedef void wait_stacks_lock_fn(void *ctx, const struct wait_stack_lock *l);
void wait_stacks_each_lock(const struct wait_stacks *w, wait_stacks_lock_fn *fn, void *ctx);

bool wait_stacks_all_waits(const struct wait_stacks *w); /* in page faults too */

/* The program that takes them. */
const char *wait_stacks_program(const struct wait_stacks *w);

#endif
