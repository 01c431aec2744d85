/* SPDX-License-Identifier: Apache-2.0 */
/* tail_priv.h: what the files of the tail collector share. */
#ifndef COLLECTORS_TAIL_PRIV_H
#define COLLECTORS_TAIL_PRIV_H

#include "collectors/func_hist.h"
#include "collectors/probe_plan.h"
#include "collectors/tail_keep.h"

struct ring_buffer;
struct session;

enum {
	/* Histograms read a tick, to find their p99: some 10 us each. */
	TAIL_LOOKS = 64,
	/* Fewer calls have no p99 worth the name. */
	TAIL_LEAST_CALLS = 20,
	/* Until then whatever takes so long is worth a look. */
	TAIL_FIRST_NS = 1000000,
};

struct tail {
	struct session *se;
	const struct probe_plan *plan;
	struct func_hists hists;
	struct contract_tail_slot *slots; /* in the kernel, one a row of the plan and some */
	uint32_t nslots;
	struct ring_buffer *ring;
	bool same_pids;		 /* the kernel's numbers of threads are ours */
	uint64_t taken, dropped; /* at the last tick */
	uint64_t slow_base, kept_base, slow, kept;
	uint32_t next_look;
	struct latency_sum sum; /* scratch */
	struct tail_keep keep;
};

/* ---- tail_threshold.c ---- */

/* Before the first tick: the fixed one, or TAIL_FIRST_NS. */
void tail_threshold_init(struct tail *t);
/* Each tick: the p99 of as many functions as there is time for. */
void tail_threshold_update(struct tail *t);
/* Above it is slow: the upper end of the bucket that the p99 falls into. */
uint64_t tail_threshold_of(const struct latency_sum *sum);

/* ---- tail_read.c ---- */

/* What ring_buffer__new takes; ctx is the struct tail. */
int tail_read_record(void *ctx, void *data, size_t size);
void tail_fill(struct tail *t, struct snapshot *s);

#endif
