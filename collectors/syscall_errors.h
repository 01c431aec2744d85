/* SPDX-License-Identifier: Apache-2.0 */
/* syscall_errors.h: which system calls fail, how often, with what. */
#ifndef PERFTOP_SYSCALL_ERRORS_H
#define PERFTOP_SYSCALL_ERRORS_H

#include <stdint.h>

#include "collectors/snapshot.h"
#include "probes/contract.h"

/* Of one call: what its rows on all CPUs had at the last tick, and at the reset. */
struct syscall_errors {
	uint64_t seen, failed, base_seen, base_failed;
	uint32_t error, votes; /* the errno that most CPUs saw last, tick by tick */
	double pct;	       /* of the calls of the last interval that had some */
};

/*
 * Fills failed, failed_pct and error of the row, whose count is set, from rows[0..ncpu). Where
 * calls are seen in windows, those seen stand for the others.
 */
void syscall_errors_fill(struct syscall_errors *e, const struct contract_syscall *rows,
			 uint32_t ncpu, struct snap_latency *row);
void syscall_errors_reset(struct syscall_errors *e);

#endif
