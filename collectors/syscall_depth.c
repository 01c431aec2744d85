/* SPDX-License-Identifier: Apache-2.0 */
/* syscall_depth.c: how closely system calls are watched, by their rate and the budget. */
#include "collectors/syscall_depth.h"

#include <math.h>

/* Of the budget, for system calls. */
#define DEPTH_SHARE 0.33

/*
 * In a tight loop all that a call touches stays in the CPU's nearest caches. A program on sys_exit
 * that looks whose call it is adds 127 ns to one there (one run); an empty one adds 200 (+-50) to
 * one of a postgres transaction. These say 1.6, within 1.2 and 2: the upper end is taken.
 */
#define DEPTH_AMONG_OTHERS 2
enum { PATH_LEAST_NS = 60, PATH_MOST_NS = 800 }; /* a busy machine is measured badly */

/*
 * A hook on context switches has no slow way: in loops it adds 95-115 ns where one on sys_exit adds
 * 310, but 200-370 to a switch of a postgres transaction (one slow run of both).
 */
#define DEPTH_HOOK 0.5

/* Run times of the programs in such a transaction: a call's count, and its latency on top. */
enum { COUNT_NS = 250, TIME_NS = 350 };

double syscall_depth_path_ns(double loop_ns)
{
	return fmin(fmax(loop_ns * DEPTH_AMONG_OTHERS, PATH_LEAST_NS), PATH_MOST_NS);
}

double syscall_depth_hook_ns(double path_ns)
{
	return path_ns * DEPTH_HOOK;
}

void syscall_depth_limits(struct syscall_limits *l, double path_ns, double budget_pct)
{
	double ns_per_s = budget_pct > 0 ? budget_pct * 1e7 * DEPTH_SHARE : INFINITY;
	double count_ns = path_ns + COUNT_NS;

	l->from_rate[DEPTH_EVERY] = 0;
	l->from_rate[DEPTH_COUNT] = ns_per_s / (count_ns + TIME_NS);
	l->from_rate[DEPTH_WINDOW] = ns_per_s / count_ns;
}

enum syscall_depth syscall_depth_next(const struct syscall_limits *l, enum syscall_depth now,
				      double calls_per_s)
{
	enum syscall_depth depth = now;

	while (depth < DEPTH_WINDOW && calls_per_s > l->from_rate[depth + 1] * 1.3)
		depth++;
	while (depth > DEPTH_EVERY && calls_per_s < l->from_rate[depth] * 0.7)
		depth--;
	return depth;
}
