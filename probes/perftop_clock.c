/* SPDX-License-Identifier: Apache-2.0 */
/* perftop_clock.c: the rate of the clock that scopes read. */
#include "probes/perftop_inner.h"

uint64_t perftop_tsc_mult;

#ifdef __x86_64__
#include <cpuid.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Constant rate on every core, by the processor's word and by the kernel's use of it. */
static int tsc_is_steady(void)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	unsigned int a, b, c, d;
	char text[32] = "";
	int mode = 0, fd;
	ssize_t n;

	if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & (1u << 8)))
		return 0;
	if (!prctl(PR_GET_TSC, &mode) && mode == PR_TSC_SIGSEGV)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	/* The paravirtual clocks are the counter, scaled by the hypervisor. */
	return n > 0 && (!strncmp(text, "tsc", 3) || !strncmp(text, "kvm-clock", 9) ||
			 !strncmp(text, "hyperv_clocksource_tsc_page", 27));
}

/* Both clocks at one instant: of several tries, the one least interrupted. */
static void read_both(uint64_t *ticks, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __builtin_ia32_rdtsc();
		uint64_t now = perftop_now_ns();
		uint64_t after = __builtin_ia32_rdtsc();

		if (after - before < best) {
			best = after - before;
			*ticks = before + best / 2;
			*ns = now;
		}
	}
}

/* 0.5 ms against readings a few ns apart: good to 0.01 %, a bucket is 3 % wide. */
static void calibrate(void)
{
	uint64_t ticks0 = 0, ns0 = 0, ticks1 = 0, ns1 = 0;

	if (!tsc_is_steady())
		return;
	read_both(&ticks0, &ns0);
	do {
		read_both(&ticks1, &ns1);
	} while (ns1 - ns0 < 500000);
	/* Slower than 100 MHz or faster than 20 GHz is not a counter of this kind. */
	if (ticks1 - ticks0 < (ns1 - ns0) / 10 || ticks1 - ticks0 > (ns1 - ns0) * 20)
		return;
	__atomic_store_n(&perftop_tsc_mult, ((ns1 - ns0) << 32) / (ticks1 - ticks0),
			 __ATOMIC_RELAXED);
}

void inner_calibrate(void)
{
	pthread_once(&once, calibrate);
}

#else

void inner_calibrate(void)
{
}

#endif
