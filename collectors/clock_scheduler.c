/* SPDX-License-Identifier: Apache-2.0 */
/* clock_scheduler.c: whether times of the scheduler's clock compare between CPUs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "collectors/clock.h"

enum { ROUNDS = 16, READS = 32 };

static int read_by_call(clockid_t id, struct timespec *t)
{
	return (int)syscall(SYS_clock_gettime, id, t);
}

/* The shortest time, of a few, that some readings of CLOCK_MONOTONIC take. */
static uint64_t readings_ns(int (*read_clock)(clockid_t id, struct timespec *t))
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begin = clock_mono_ns(), ns;
		struct timespec t;

		for (int k = 0; k < READS; k++)
			read_clock(CLOCK_MONOTONIC, &t);
		ns = clock_mono_ns() - begin;
		least = ns < least ? ns : least;
	}
	return least;
}

/*
 * A guest's clock is the same on all its CPUs where the host says so. The kernel then lets
 * processes read it by themselves; else clock_gettime(2) is a call into the kernel, which takes at
 * least twice as long (arch/x86/kernel/kvmclock.c: PVCLOCK_TSC_STABLE_BIT decides both).
 */
static bool guest_clock_shared(void)
{
	return readings_ns(clock_gettime) * 10 < readings_ns(read_by_call) * 7;
}

bool clock_scheduler_shared(void)
{
	static const char *const shared[] = {"tsc\n", "arch_sys_counter\n"};
	char text[64] = "";
	FILE *f;
	bool found = false;

	/* For tests of what is done where they do not. */
	if (getenv("PERFTOP_NO_SCHEDULER_CLOCK"))
		return false;
	f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	if (!f)
		return false;
	if (fgets(text, sizeof(text), f)) {
		for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
			found |= !strcmp(text, shared[i]);
		found = found || (!strcmp(text, "kvm-clock\n") && guest_clock_shared());
	}
	fclose(f);
	return found;
}
