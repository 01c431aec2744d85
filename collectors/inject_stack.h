/* SPDX-License-Identifier: Apache-2.0 */
/* inject_stack.h: is a stopped thread in a safe place? And since when has it been waiting? */
#ifndef PERFTOP_INJECT_STACK_H
#define PERFTOP_INJECT_STACK_H

#include "collectors/inject_priv.h"

#define INJECT_SLICE_BYTES (256u << 10)

struct inject_stack {
	uint8_t *slice; /* INJECT_SLICE_BYTES, the caller's */
	size_t bytes;
	uint64_t start, end; /* the mapping, by inject_stack_find() */
	bool grows;	     /* the first thread's, which is extended as it is used */
};

void inject_stack_copy(struct inject_stack *s, const struct inject_thread *t);
/* Which mapping it is: needs no stop. 0, or -EAGAIN: not a stack of the thread's own. */
int inject_stack_find(struct inject_stack *s, const struct inject_thread *t);
/* Is it in a safe place? 0, or -EAGAIN with c->why. `stopped`: it stands still, and may be asked.
 */
int inject_stack_judge(struct inject_chooser *c, struct inject_stack *s,
		       const struct inject_thread *t, bool stopped);

/*
 * Since when a thread has been waiting, from the scheduler's own account. Both on the same CPU's
 * clock, which leaves out interrupts and stolen time, so it may seem to wait for a little less.
 */
struct inject_block {
	uint64_t begin_ns; /* CLOCK_MONOTONIC */
	uint64_t switches;
};

int inject_block_read(struct inject_block *b, pid_t pid, pid_t tid);
/* Has it, now that it is stopped, been waiting without a break since the reading? */
bool inject_block_same(const struct inject_block *b, pid_t pid, pid_t tid);

#endif
