/* SPDX-License-Identifier: Apache-2.0 */
/* peak.c: calibration of the FMA peak, and its scalar variant. */
#include "kernels/peak/peak.h"

#include "probes/perftop.h"

/* Scalar code has no FMA on the base x86-64: a multiply and an add, in chains of their own. */
uint64_t peak_scalar(uint64_t rounds)
{
	float m[8], s[8];

	for (int i = 0; i < 8; i++)
		m[i] = s[i] = 1;
	for (uint64_t n = 0; n < rounds; n++) {
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++) {
			m[i] *= 0.999f;
			s[i] += 0.001f;
#if defined(__x86_64__)
			__asm__ volatile("" : "+x"(m[i]), "+x"(s[i]));
#else
			__asm__ volatile("" : "+w"(m[i]), "+w"(s[i]));
#endif
		}
		if (n % 1024 == 1023) /* before it is denormal */
			for (int i = 0; i < 8; i++)
				m[i] = 1;
	}
	return rounds * 16;
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
