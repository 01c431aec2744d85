/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_published.h: rows of published.def, answered from a suite's results. */
#ifndef KERNELS_BENCHMARK_PUBLISHED_H
#define KERNELS_BENCHMARK_PUBLISHED_H

#include "kernels/benchmark/benchmark.h"

struct benchmark_published {
	const char *suite, *contest, *name; /* of a result; contest NULL: none can answer */
	const char *param;		    /* that has this value; NULL: any */
	double value, quantile;
	struct benchmark_limit limit;
};
extern const struct benchmark_published benchmark_published[];
extern const uint32_t benchmark_published_count;

/*
 * Targets from the results of this run from first on: of several instruction sets the best one.
 * With
 * --quick a row without a result is left out, since shapes are others; else it is N/A.
 */
int benchmark_published_targets(struct benchmark *b, uint32_t first);

#endif
