/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_stats.h: what samples of a time say, and whether one set is slower than another. */
#ifndef KERNELS_BENCHMARK_STATS_H
#define KERNELS_BENCHMARK_STATS_H

#include <stdint.h>

struct benchmark_stats {
	uint32_t n;
	double mean, median, stddev, p95, p99, min, max;
};

/* Sorts samples, ascending. All of it is 0 for n = 0; stddev is of the sample (n - 1). */
struct benchmark_stats benchmark_stats_of(double *samples, uint32_t n);
/* q in [0, 1], of ascending samples, interpolated between neighbours (Hyndman and Fan's type 7). */
double benchmark_stats_quantile(const double *sorted, uint32_t n, double q);

/*
 * The chance of seeing `now` as slow as it is, or slower, if it really took at most `factor` times
 * as long as `before`: a one-sided Mann-Whitney U test of now against factor * before (Mann and
 * Whitney 1947). Both ascending. Exact up to 20 samples a side without ties, else by the normal
 * approximation with corrections for ties and continuity. 1 when either is empty.
 */
double benchmark_stats_slower_p(const double *before, uint32_t nbefore, const double *now,
				uint32_t nnow, double factor);

#endif
