/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h: the clocks. */
#ifndef PERFTOP_CLOCK_H
#define PERFTOP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/*
 * Does the scheduler's clock (the run queues' and sched_info's) show the same time on all CPUs? So
 * it does where the kernel's clock source is a counter that they share; false where that is not
 * known.
 */
bool clock_scheduler_shared(void);

#endif
