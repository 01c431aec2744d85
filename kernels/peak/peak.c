/* SPDX-License-Identifier: Apache-2.0 */
/* peak.c: calibration of the FMA peak, and the scalar variants. */
#include "kernels/peak/peak.h"

#include "probes/perftop.h"

#if !defined(__clang__)
#pragma GCC optimize("no-tree-vectorize")
#endif

/* The base x86-64 has no FMA: a multiply, then an add. */
uint64_t peak_scalar(uint64_t rounds)
{
	float s[12], sum = 0;

	for (int i = 0; i < 12; i++)
		s[i] = (float)i;
	for (uint64_t n = 0; n < rounds; n++) {
#pragma GCC unroll 12
		for (int i = 0; i < 12; i++)
			s[i] = s[i] * 0.5f + 0.25f;
	}
	for (int i = 0; i < 12; i++)
		sum += s[i];
	__asm__ volatile("" : : "m"(sum));
	return rounds * 24;
}

float read_sum_scalar(const float *p, size_t n)
{
	float s[8] = {0};
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
#pragma GCC unroll 8
		for (int c = 0; c < 8; c++)
			s[c] += p[i + c];
	}
	for (; i < n; i++)
		s[0] += p[i];
	return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

double peak_measure_gflops(peak_fn *fn, uint64_t budget_ns)
{
	const uint64_t end = perftop_now_ns() + budget_ns;
	double best = 0;
	uint64_t t0, t1;

	fn(1000); /* wake the wide units */
	do {
		double gflops;
		uint64_t flops;

		t0 = perftop_now_ns();
		flops = fn(10000);
		t1 = perftop_now_ns();
		gflops = t1 > t0 ? (double)flops / (double)(t1 - t0) : 0;
		best = gflops > best ? gflops : best;
	} while (t1 < end);
	return best;
}
