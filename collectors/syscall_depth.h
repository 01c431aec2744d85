/* SPDX-License-Identifier: Apache-2.0 */
/* syscall_depth.h: how closely system calls are watched, by their rate and the budget. */
#ifndef PERFTOP_SYSCALL_DEPTH_H
#define PERFTOP_SYSCALL_DEPTH_H

/*
 * With more calls a second less is done for each:
 *   EVERY  all are counted and timed
 *   COUNT  all are counted; those that begin in a short window every few seconds are timed. A call
 *          belongs to a window by its start, so long ones are not favoured.
 *   WINDOW they are seen in the windows alone: counts are scaled to the time between them, and a
 *          call that outlasts its window is counted but not timed.
 */
enum syscall_depth { DEPTH_EVERY, DEPTH_COUNT, DEPTH_WINDOW };
enum { SYSCALL_DEPTHS = DEPTH_WINDOW + 1 };

/* Calls a second from which on each depth is due: 0 for the first, rising. */
struct syscall_limits {
	double from_rate[SYSCALL_DEPTHS];
};

/*
 * What the kernel's slow way adds to a call between other work, from what it adds to one of a tight
 * loop, ns. It is in no program's run time.
 */
double syscall_depth_path_ns(double loop_ns);

/* What any other hook adds to what the target does, ns, from path_ns as given by that. */
double syscall_depth_hook_ns(double path_ns);

/* path_ns: as given by that. budget_pct: of a CPU, for all that is watched; 0: no limit. */
void syscall_depth_limits(struct syscall_limits *l, double path_ns, double budget_pct);

/* The next depth; it is left at another rate than it is entered, so as not to flicker. */
enum syscall_depth syscall_depth_next(const struct syscall_limits *l, enum syscall_depth now,
				      double calls_per_s);

#endif
