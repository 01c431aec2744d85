/* SPDX-License-Identifier: Apache-2.0 */
/* clock_scheduler.c: whether times of the scheduler's clock compare between CPUs. */
#include <stdio.h>
#include <string.h>

#include "collectors/clock.h"

bool clock_scheduler_shared(void)
{
	static const char *const shared[] = {"tsc\n", "arch_sys_counter\n"};
	char text[64] = "";
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	bool found = false;

	if (!f)
		return false;
	if (fgets(text, sizeof(text), f))
		for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
			found |= !strcmp(text, shared[i]);
	fclose(f);
	return found;
}
