/* SPDX-License-Identifier: Apache-2.0 */
/* inject_gap.c: looks at the clock without a pause, and says when it was not let to. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Usage: inject_gap; prints the longest gap between two looks, us, when its stdin ends. */
int main(void)
{
	uint64_t last = 0, worst = 0, n = 0;
	char byte;

	fcntl(0, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct timespec t;
		uint64_t now;

		clock_gettime(CLOCK_MONOTONIC, &t);
		now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
		if (last && now - last > worst)
			worst = now - last;
		last = now;
		if (!(++n & 4095) && !read(0, &byte, 1))
			break;
	}
	printf("%.1f\n", (double)worst / 1e3);
	return 0;
}
