/* SPDX-License-Identifier: Apache-2.0 */
/* bench_inproc.c: what the in-process calls cost a thread, beside what they are built from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/perftop.h"

enum { ROUNDS = 15, LOOPS = 2000000, SLOW_LOOPS = 200000 };

struct bench {
	const char *name;
	void (*run)(uint32_t n);
	uint32_t loops;
	double limit_ns; /* 0: a yardstick, not ours */
};

static struct perftop_counter counter;
static struct perftop_gauge gauge;
static struct perftop_hist hist;
static uint64_t plain, shared;

static void run_plain(uint32_t n)
{
	volatile uint64_t *p = &plain;

	for (uint32_t i = 0; i < n; i++)
		*p = *p + 1;
}

static void run_atomic(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		__atomic_fetch_add(&shared, 1, __ATOMIC_RELAXED);
}

static void run_clock(uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += perftop_now_ns();
	__asm__ __volatile__("" : : "r"(sum));
}

static void run_add(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		perftop_add(counter, 1);
}

static void run_set(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		perftop_set(gauge, i);
}

static void run_gauge_add(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		perftop_gauge_add(gauge, 1);
}

/* Values of a wide range, so that neither the bucket nor the branches repeat. */
static void run_record(uint32_t n)
{
	uint32_t x = 1;

	for (uint32_t i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		perftop_record(hist, x >> (x & 15));
	}
}

static void run_scope(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		PERFTOP_SCOPE(hist);
	}
}

static void run_scope_one_in(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		PERFTOP_SCOPE_ONE_IN(61, hist);
	}
}

static void run_scope_usdt(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		PERFTOP_SCOPE_USDT(perftop_bench, scope, hist);
	}
}

static void run_usdt(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		PERFTOP_USDT(perftop_bench, point, i, n);
}

static const struct bench benches[] = {
	{"plain add", run_plain, LOOPS, 0},
	{"atomic add", run_atomic, LOOPS, 0},
	{"clock_gettime", run_clock, SLOW_LOOPS, 0},
	{"counter add", run_add, LOOPS, 2},
	{"gauge set", run_set, LOOPS, 0},
	{"gauge add", run_gauge_add, LOOPS, 0},
	{"histogram record", run_record, LOOPS, 4},
	{"timed scope", run_scope, SLOW_LOOPS, 25},
	{"scope, 1 in 61 timed", run_scope_one_in, LOOPS, 4},
	{"timed scope, USDT unattached", run_scope_usdt, SLOW_LOOPS, 25},
	{"USDT marker unattached", run_usdt, LOOPS, 0},
};

enum { BENCHES = sizeof(benches) / sizeof(benches[0]) };

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Median and least of rounds that go through all of them, so that all share the machine's mood. */
int main(int argc, char **argv)
{
	int json = argc > 1 && !strcmp(argv[1], "--json");
	double ns[BENCHES][ROUNDS];

	counter = perftop_counter("bench.counter", "", "");
	gauge = perftop_gauge("bench.gauge", "", "");
	hist = perftop_hist("bench.hist", "ns", "");
	for (int r = 0; r < ROUNDS; r++) {
		for (int b = 0; b < BENCHES; b++) {
			uint64_t t = perftop_now_ns();

			benches[b].run(benches[b].loops);
			ns[b][r] = (double)(perftop_now_ns() - t) / benches[b].loops;
		}
	}
	if (!json)
		printf("%-30s %8s %8s %7s\n", "ns a call, one thread", "median", "least", "goal");
	for (int b = 0; b < BENCHES; b++) {
		qsort(ns[b], ROUNDS, sizeof(ns[b][0]), by_value);
		if (json)
			printf("{\"suite\":\"inproc\",\"name\":\"%s\",\"n\":%u,\"median_ns\":%.3f,"
			       "\"min_ns\":%.3f,\"goal_ns\":%g}\n",
			       benches[b].name, benches[b].loops * ROUNDS, ns[b][ROUNDS / 2],
			       ns[b][0], benches[b].limit_ns);
		else if (benches[b].limit_ns > 0)
			printf("%-30s %8.2f %8.2f  <= %-3g %s\n", benches[b].name,
			       ns[b][ROUNDS / 2], ns[b][0], benches[b].limit_ns,
			       ns[b][ROUNDS / 2] <= benches[b].limit_ns ? "met" : "MISSED");
		else
			printf("%-30s %8.2f %8.2f\n", benches[b].name, ns[b][ROUNDS / 2], ns[b][0]);
	}
	return 0;
}
