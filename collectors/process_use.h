/* SPDX-License-Identifier: Apache-2.0 */
/* process_use.h: what processes used, and what several used together while they come and go. */
#ifndef PERFTOP_PROCESS_USE_H
#define PERFTOP_PROCESS_USE_H

#include <stdbool.h>
#include <stdint.h>

struct contract_ended;
struct procfs_stat;

/* Signed: a sum that a process leaves before its end is counted falls for a moment. */
struct process_use {
	int64_t user_ns, sys_ns, minflt, majflt, read_bytes, write_bytes;
};

void process_use_add(struct process_use *sum, const struct process_use *v);
void process_use_sub(struct process_use *sum, const struct process_use *v);

/* CPU and faults as /proc tells them; with those of children that were waited for, or without. */
void process_use_of_stat(const struct procfs_stat *st, long tick_ns, bool children,
			 struct process_use *out);

/* What ended between two looks at the kernel's sum; `before` is brought up to date. */
void process_use_ended(struct contract_ended *before, const struct contract_ended *now,
		       struct process_use *out);

struct use_mark {
	int64_t at;	/* so much has been told */
	uint32_t below; /* calls since the sum fell below that */
};

/*
 * How much more there is than was told. 0 while the sum is below that, until what it lost is made
 * up; what is still missing after some calls will not come.
 */
uint64_t process_use_growth(struct use_mark *m, int64_t now);

#endif
