/* SPDX-License-Identifier: Apache-2.0 */
/* busy.c: a CPU-bound program with a known split: three quarters in hot(), one in warm(). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile uint64_t sink;

/* Functions that stay what they are called: gcc would clone them for their constant argument. */
#ifdef __clang__
#define KEPT __attribute__((noinline))
#else
#define KEPT __attribute__((noipa))
#endif

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

KEPT static void hot(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		sink += i * i;
}

/* Another operation of the same cost: two equal functions would be folded into one. */
KEPT static void warm(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		sink += i * 3 ^ i;
}

KEPT static void run(double seconds)
{
	uint64_t end = cpu_ns() + (uint64_t)(seconds * 1e9);

	while (cpu_ns() < end) {
		hot(300000);
		warm(100000);
	}
}

int main(int argc, char **argv)
{
	run(argc > 1 ? atof(argv[1]) : 5);
	printf("done\n");
	return 0;
}
