/* SPDX-License-Identifier: Apache-2.0 */
/* tail_summary.h: what a function's slow calls have in common, in one sentence. */
#ifndef PERFTOP_TAIL_SUMMARY_H
#define PERFTOP_TAIL_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/snapshot.h"

/* What most of a call's time went to. */
enum tail_cause {
	TAIL_ON_CPU,
	TAIL_FAULTS, /* on the CPU, but for the kernel to bring pages */
	TAIL_QUEUED,
	TAIL_BLOCKED,
};

struct tail_summary {
	uint32_t calls; /* of that function, that left evidence */
	uint32_t same;	/* of them, those of the cause that most time went to */
	enum tail_cause cause;
	uint32_t reason; /* enum blocked_reason, for TAIL_BLOCKED */
	double pct;	 /* of those calls' time that went to it */
	char text[SNAP_TEXT * 2];
};

/*
 * "31 of 40 slow calls: blocked on mutex cache_lock (held by worker-3), 82 % of their time". False
 * when no call of a function of that name left evidence.
 */
bool tail_summarize(const struct snapshot *s, const char *name, struct tail_summary *out);

/* What most of this call's time went to, and how many ns of it. */
enum tail_cause tail_cause_of(const struct snapshot *s, const struct snap_tail *t, uint64_t *ns);

#endif
