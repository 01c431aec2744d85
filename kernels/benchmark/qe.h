/* SPDX-License-Identifier: Apache-2.0 */
/* qe.h: the two quality-engineering workloads that are more than attention. */
#ifndef KERNELS_BENCHMARK_QE_H
#define KERNELS_BENCHMARK_QE_H

#include "kernels/benchmark/benchmark.h"

#define QE_SEED "Flash attention benchmark summary"

/* Coverage analysis: 100,000 vectors of 384, by the index and by looking at all of them. */
int qe_coverage_search(struct benchmark *b);
/* Pattern adaptation: a signal into micro-LoRA of 256, and into all 256 x 256 weights. */
int qe_adaptation(struct benchmark *b);

#endif
