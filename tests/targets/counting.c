/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counting.c: counts known things with libperftop, prints the truth, and waits for its input to
 * end.
 *
 *	counters [-t THREADS] [-n ADDS] [-c] [-f]
 *
 * Prints "METRIC PID VALUE" a line, then "ready". -c closes every descriptor but stdio first; -f
 * forks a child that counts the same thing twice over and prints its own lines. THREADS end before
 * "ready"; the main thread counts too.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probes/perftop.h"

static struct perftop_counter adds;
static struct perftop_gauge level;
static struct perftop_hist values, scopes;
static uint64_t rounds = 1000;

static void *count(void *arg)
{
	uint64_t times = *(const uint64_t *)arg;

	for (uint64_t i = 0; i < times * rounds; i++) {
		PERFTOP_SCOPE_USDT(counters, step, scopes);
		perftop_inc(adds);
		perftop_record(values, i % 1000);
		perftop_gauge_add(level, 1);
		PERFTOP_USDT(counters, counted, i, times, 7);
	}
	return NULL;
}

static void run(uint64_t times, int threads)
{
	pthread_t *ids = calloc((size_t)threads + 1, sizeof(*ids));
	uint64_t total = times * rounds * (uint64_t)(threads + 1);

	if (!ids)
		abort();
	for (int i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, count, &times))
			abort();
	count(&times);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	free(ids);
	printf("test.adds %d %llu\n", (int)getpid(), (unsigned long long)total);
	printf("test.level %d %llu\n", (int)getpid(), (unsigned long long)total);
	printf("test.values %d %llu\n", (int)getpid(), (unsigned long long)total);
	printf("test.scopes %d %llu\n", (int)getpid(), (unsigned long long)total);
	fflush(stdout);
}

static void wait_for_end(void)
{
	char c;

	printf("ready\n");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	int opt, threads = 3, forks = 0, closes = 0;
	pid_t child = 0;

	while ((opt = getopt(argc, argv, "t:n:cf")) != -1) {
		switch (opt) {
		case 't':
			threads = atoi(optarg);
			break;
		case 'n':
			rounds = strtoull(optarg, NULL, 10);
			break;
		case 'c':
			closes = 1;
			break;
		case 'f':
			forks = 1;
			break;
		default:
			return 2;
		}
	}
	adds = perftop_counter("test.adds", "", "times round the loop");
	level = perftop_gauge("test.level", "", "times round the loop, as a gauge");
	values = perftop_hist("test.values", "", "0 to 999 over and over");
	scopes = perftop_hist("test.scopes", "ns", "time of one round");
	for (int fd = 3; closes && fd < 256; fd++)
		close(fd);
	run(1, threads);
	if (forks) {
		child = fork();
		if (!child)
			run(2, threads);
	}
	wait_for_end();
	if (child > 0)
		waitpid(child, NULL, 0);
	return 0;
}
