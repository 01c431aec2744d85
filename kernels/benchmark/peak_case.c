/* SPDX-License-Identifier: Apache-2.0 */
/* peak_case.c: the contender that multiplies and adds in registers. */
#include "kernels/benchmark/peak_case.h"

#include <errno.h>
#include <stdio.h>

#include "kernels/kernels.h"

static int run_peak(void *arg)
{
	const struct peak_arg *p = arg;
	const uint32_t threads = p->threads > 1 ? p->threads : 1;
	uint64_t flops = 0;

#pragma omp parallel for num_threads(threads) reduction(+ : flops) if (threads > 1)
	for (uint32_t i = 0; i < threads; i++)
		flops += p->run(p->rounds / threads);
	return flops ? 0 : -EINVAL;
}

struct benchmark_case peak_case(const struct benchmark *b, double flops, struct peak_arg *arg)
{
	const struct kernel *k = kernels_select("peak", benchmark_isa(b));
	const double round = (double)k->run.peak(1);

	*arg = (struct peak_arg){.run = k->run.peak};
	arg->rounds = (uint64_t)(flops / round) + 1;
	return (struct benchmark_case){.name = "multiply-adds alone",
				       .isa = k->isa,
				       .run = run_peak,
				       .arg = arg,
				       .flops = (double)arg->rounds * round};
}

void peak_words(const struct benchmark *b, uint32_t i, uint32_t peak, double flops, char *words,
		size_t size)
{
	const double at_peak_ns = 100 * flops / benchmark_peak_gflops(b);

	snprintf(words, size,
		 "%.0f %% by the fastest call; as many multiply-adds in registers, in turn with "
		 "it: %.0f %%, the fastest %.0f %%",
		 at_peak_ns / benchmark_quantile_ns(b, i, 0),
		 at_peak_ns / benchmark_quantile_ns(b, peak, 0.5),
		 at_peak_ns / benchmark_quantile_ns(b, peak, 0));
}
