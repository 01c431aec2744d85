/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_state.h: one suite under way; private to kernels/benchmark/benchmark*.c. */
#ifndef KERNELS_BENCHMARK_STATE_H
#define KERNELS_BENCHMARK_STATE_H

#include "kernels/benchmark/benchmark_report.h"

struct benchmark_block {
	struct benchmark_block *next;
	void *memory;
};

struct benchmark {
	const struct benchmark_options *options;
	struct benchmark_report *report;
	const char *suite;
	struct benchmark_block *blocks; /* of benchmark_alloc(), freed when the suite returns */
	uint32_t nblocks;
	uint32_t last; /* first result of the last contest */
	uint32_t nlast;
	uint64_t seed;
};

/* Says that `what` failed, and why: -errno. */
void benchmark_fail(struct benchmark *b, const char *contest, const char *what, int err);

#endif
