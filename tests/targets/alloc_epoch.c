/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc_epoch.c: frees nodes through Concurrency Kit's epochs, and tells libperftop about it.
 *
 *	alloc_epoch
 *
 * Reads a number a line: so many nodes are given up; 0: all that wait are reclaimed. Prints
 * " pending=N peak=N dispatched=N" after each line, as ck_epoch itself counts them.
 */
#include <ck_epoch.h>
#include <stdio.h>
#include <stdlib.h>

#include "probes/perftop.h"

struct node {
	ck_epoch_entry_t entry;
	char payload[100];
};

static void reclaim(ck_epoch_entry_t *e)
{
	free(e);
}

int main(void)
{
	struct perftop_gauge pending = perftop_gauge("reclaim.pending", "", "given up, not freed");
	struct perftop_gauge peak = perftop_gauge("reclaim.peak", "", "most that ever waited");
	struct perftop_gauge done = perftop_gauge("reclaim.dispatched", "", "freed so far");
	struct perftop_counter stalls = perftop_counter("reclaim.stalls", "", "waits for readers");
	struct perftop_counter stall_ns =
		perftop_counter("reclaim.stall_ns", "ns", "spent waiting");
	static ck_epoch_t epoch;
	static ck_epoch_record_t record;
	char line[32];

	ck_epoch_init(&epoch);
	ck_epoch_register(&epoch, &record, NULL);
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		unsigned long n = strtoul(line, NULL, 10);

		if (!n) {
			uint64_t begin = perftop_now_ns();

			ck_epoch_barrier(&record);
			perftop_inc(stalls);
			perftop_add(stall_ns, perftop_now_ns() - begin);
		}
		for (; n; n--) {
			struct node *x = malloc(sizeof(*x));

			if (!x)
				abort();
			ck_epoch_call(&record, &x->entry, reclaim);
		}
		perftop_set(pending, record.n_pending);
		perftop_set(peak, record.n_peak);
		perftop_set(done, record.n_dispatch);
		printf(" pending=%u peak=%u dispatched=%u\n", record.n_pending, record.n_peak,
		       record.n_dispatch);
		fflush(stdout);
	}
	return 0;
}
