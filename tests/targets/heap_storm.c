/* SPDX-License-Identifier: Apache-2.0 */
/* heap_storm.c: pairs of malloc and free as fast as they go: heap_storm KIND PAIRS [THREADS]. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * KIND pair: one object of 64 bytes at a time. mixed: 1,000 objects of 16 to 1,039 bytes live, and
 * each allocation frees one of them, so that sizes and addresses vary as in a program. Prints CPU
 * ns a pair and wall ns a pair.
 */

enum { WINDOW = 1000 };

static uint64_t pairs;
static int mixed;

static uint64_t now_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *storm(void *arg)
{
	uint64_t random = (uintptr_t)arg + 1;
	void *window[WINDOW] = {NULL};

	for (uint64_t i = 0; i < pairs; i++) {
		uint64_t r = random *= 6364136223846793005ull;
		void **slot = &window[(r >> 33) % WINDOW];
		void *volatile p;

		if (!mixed) {
			p = malloc(64);
			free(p);
			continue;
		}
		free(*slot);
		*slot = malloc(16 + (r >> 44) % 1024);
	}
	for (int i = 0; i < WINDOW; i++)
		free(window[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	uint32_t n = argc > 3 ? (uint32_t)atoi(argv[3]) : 1;
	uint64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID), wall = now_ns(CLOCK_MONOTONIC);
	pthread_t threads[64];

	if (argc < 3)
		return 2;
	mixed = !strcmp(argv[1], "mixed");
	pairs = strtoull(argv[2], NULL, 10);
	n = n < 64 ? n : 64;
	for (uintptr_t i = 1; i < n; i++)
		if (pthread_create(&threads[i], NULL, storm, (void *)i))
			return 1;
	storm(NULL);
	for (uint32_t i = 1; i < n; i++)
		pthread_join(threads[i], NULL);
	printf("%.3f %.3f\n", (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / pairs / n,
	       (double)(now_ns(CLOCK_MONOTONIC) - wall) / pairs / n);
	return 0;
}
