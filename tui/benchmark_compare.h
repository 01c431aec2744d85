/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_compare.h: which results differ from those of a baseline, beyond chance. */
#ifndef PERFTOP_BENCHMARK_COMPARE_H
#define PERFTOP_BENCHMARK_COMPARE_H

#include "kernels/benchmark/benchmark_report.h"

/*
 * A result is slower when its median is more than 10 % above the baseline's, and a one-sided
 * Mann-Whitney U test says that its samples are above 1.1 times the baseline's: p below 0.01
 * divided by the number of results compared (Bonferroni: the more one looks, the more chance
 * finds). Faster is the mirror image.
 *
 * The test knows the noise within a run, not that between runs of a busy machine. Others that take
 * the CPU away leave caches and predictors cold for most calls, not for all: so the fastest of them
 * have to be slower by as much as well (the 5 % quantiles: the very fastest may be a slip of the
 * clock). Where the references measured beside each round, arithmetic and a copy in cache, tell
 * that the machine was slower this time, the baseline is taken to be slower by as much; and the
 * command measures a suite that seems slower again, and counts what is slower both times.
 */
#define BENCHMARK_REGRESSION 1.10
#define BENCHMARK_CHANCE     0.01
#define BENCHMARK_FASTEST    0.05

enum benchmark_change { BENCHMARK_SAME, BENCHMARK_SLOWER, BENCHMARK_FASTER };

struct benchmark_difference {
	uint32_t result; /* of the report */
	double before_ns, now_ns, p;
	double machine; /* how many times as long the references took */
	enum benchmark_change change;
};

struct benchmark_comparison {
	struct benchmark_difference *rows; /* those that differ */
	uint32_t nrows, nslower;
	uint32_t compared, unknown; /* results with and without their like in the baseline */
	uint32_t too_few;	    /* of the compared: no test could tell with so few samples */
};

/* Results match by suite, contest, name, instruction set and params, a recall apart. 0 or -ENOMEM;
 * fini always. */
int benchmark_compare(const struct benchmark_report *before, const struct benchmark_report *now,
		      struct benchmark_comparison *c);
void benchmark_comparison_fini(struct benchmark_comparison *c);

bool benchmark_same_result(const struct benchmark_result *a, const struct benchmark_result *b);
/* Those slower in `again` too stay slower; the rest become same, and nslower what is left. */
void benchmark_confirm(struct benchmark_comparison *c, const struct benchmark_report *now,
		       const struct benchmark_comparison *again,
		       const struct benchmark_report *now_again);

#endif
