/* SPDX-License-Identifier: Apache-2.0 */
/* syscall_errors.c: which system calls fail, how often, with what. */
#include "collectors/syscall_errors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The kernel's own, by which it starts a call again after a signal (linux/errno.h). */
enum { RESTART_FIRST = 512, RESTART_LAST = 516 };

/* By majority vote (Boyer and Moore). */
static void vote(struct syscall_errors *e, uint32_t error)
{
	if (!error)
		return;
	if (error >= RESTART_FIRST && error <= RESTART_LAST)
		error = EINTR;
	if (e->votes && e->error != error) {
		e->votes--;
		return;
	}
	e->error = error;
	e->votes++;
}

void syscall_errors_fill(struct syscall_errors *e, const struct contract_syscall *rows,
			 uint32_t ncpu, struct snap_latency *row)
{
	uint64_t seen = 0, failed = 0;
	const char *name;

	for (uint32_t cpu = 0; cpu < ncpu; cpu++) {
		/* Counted after the call itself: read before it, there are never more. */
		failed += __atomic_load_n(&rows[cpu].failed, __ATOMIC_ACQUIRE);
		seen += __atomic_load_n(&rows[cpu].count, __ATOMIC_RELAXED);
		vote(e, __atomic_load_n(&rows[cpu].error, __ATOMIC_RELAXED));
	}
	if (seen > e->seen)
		e->pct = 100.0 * (double)(failed - e->failed) / (double)(seen - e->seen);
	e->seen = seen;
	e->failed = failed;
	row->failed_pct = e->pct;
	if (failed > e->base_failed)
		row->failed =
			(uint64_t)((double)(failed - e->base_failed) /
					   (double)(seen - e->base_seen) * (double)row->count +
				   0.5);
	if (!row->failed || !e->error)
		return;
	name = strerrorname_np((int)e->error);
	if (name)
		snprintf(row->error, sizeof(row->error), "%s", name);
	else
		snprintf(row->error, sizeof(row->error), "errno %u", e->error);
}

void syscall_errors_reset(struct syscall_errors *e)
{
	e->base_seen = e->seen;
	e->base_failed = e->failed;
	e->error = e->votes = 0;
}
