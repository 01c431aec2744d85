/* SPDX-License-Identifier: Apache-2.0 */
/* peak_case.h: as many multiply-adds as a kernel's, in registers: its bound, measured beside it. */
#ifndef KERNELS_BENCHMARK_PEAK_CASE_H
#define KERNELS_BENCHMARK_PEAK_CASE_H

#include "kernels/benchmark/benchmark.h"
#include "kernels/peak/peak.h"

struct peak_arg {
	peak_fn *run;
	uint64_t rounds;
	uint32_t threads; /* that share them; 0 is one */
};

/*
 * A contender that does at least `flops`, in turn with the kernel that needs them. The machine's
 * peak is of its best moments: where others use the core, both are slower than that, and only what
 * lies between the two is the kernel's.
 */
struct benchmark_case peak_case(const struct benchmark *b, double flops, struct peak_arg *arg);

/* Both shares of the machine's peak, contender i and `peak` of the contest just held. */
void peak_words(const struct benchmark *b, uint32_t i, uint32_t peak, double flops, char *words,
		size_t size);

#endif
