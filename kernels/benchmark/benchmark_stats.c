/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_stats.c: quantiles, and the rank test. */
#include "kernels/benchmark/benchmark_stats.h"

#include <math.h>
#include <stdlib.h>

enum { EXACT_MAX = 20 }; /* samples a side: C(40, 20) is exact in a double */

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double benchmark_stats_quantile(const double *sorted, uint32_t n, double q)
{
	double at = q * (n - 1.0);
	uint32_t i = (uint32_t)at;

	if (!n)
		return 0;
	if (i + 1 >= n)
		return sorted[n - 1];
	return sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]);
}

struct benchmark_stats benchmark_stats_of(double *samples, uint32_t n)
{
	struct benchmark_stats s = {.n = n};
	double squares = 0;

	if (!n)
		return s;
	qsort(samples, n, sizeof(*samples), compare_double);
	for (uint32_t i = 0; i < n; i++)
		s.mean += samples[i] / n;
	for (uint32_t i = 0; i < n; i++)
		squares += (samples[i] - s.mean) * (samples[i] - s.mean);
	s.stddev = n > 1 ? sqrt(squares / (n - 1)) : 0;
	s.median = benchmark_stats_quantile(samples, n, 0.5);
	s.p95 = benchmark_stats_quantile(samples, n, 0.95);
	s.p99 = benchmark_stats_quantile(samples, n, 0.99);
	s.min = samples[0];
	s.max = samples[n - 1];
	return s;
}

/*
 * The number of pairs in which now is the slower one, ties half; and the sum over groups of t equal
 * values, across both, of t^3 - t.
 */
static double rank_pairs(const double *before, uint32_t nbefore, const double *now, uint32_t nnow,
			 double factor, double *ties)
{
	uint32_t i = 0, j = 0;
	double u = 0;

	*ties = 0;
	while (i < nbefore || j < nnow) {
		double a = i < nbefore ? before[i] * factor : INFINITY;
		double b = j < nnow ? now[j] : INFINITY, v = a < b ? a : b;
		uint32_t below = i, same = 0;
		double group;

		while (i < nbefore && before[i] * factor <= v)
			i++;
		for (; j < nnow && now[j] <= v; j++)
			same++;
		u += same * (below + (i - below) / 2.0);
		group = (double)(i - below) + same;
		*ties += group * group * group - group;
	}
	return u;
}

/* P(U >= u) from the generating function of U's counts, prod (1 - x^(n + k)) / (1 - x^k). */
static double exact_tail(uint32_t n, uint32_t m, double u)
{
	double count[EXACT_MAX * EXACT_MAX + 1] = {1}, all = 0, tail = 0;
	const uint32_t top = n * m;

	for (uint32_t k = 1; k <= m; k++) {
		for (uint32_t i = top; i >= n + k; i--)
			count[i] -= count[i - n - k];
		for (uint32_t i = k; i <= top; i++)
			count[i] += count[i - k];
	}
	for (uint32_t i = 0; i <= top; i++) {
		all += count[i];
		tail += i >= u ? count[i] : 0;
	}
	return tail / all;
}

double benchmark_stats_slower_p(const double *before, uint32_t nbefore, const double *now,
				uint32_t nnow, double factor)
{
	const double n = nbefore, m = nnow, all = n + m;
	double ties, u, variance;

	if (!nbefore || !nnow)
		return 1;
	u = rank_pairs(before, nbefore, now, nnow, factor, &ties);
	if (nbefore <= EXACT_MAX && nnow <= EXACT_MAX && ties == 0)
		return exact_tail(nbefore, nnow, u);
	variance = n * m / 12 * (all + 1 - ties / (all * (all - 1)));
	if (!(variance > 0))
		return 1; /* all values are one */
	return erfc((u - n * m / 2 - 0.5) / sqrt(2 * variance)) / 2;
}
