/* SPDX-License-Identifier: Apache-2.0 */
/* memory_parts.h: what suite memory measures beside attention's scratch. */
#ifndef KERNELS_BENCHMARK_MEMORY_PARTS_H
#define KERNELS_BENCHMARK_MEMORY_PARTS_H

#include "kernels/benchmark/benchmark.h"

/* Keys and values: by type, by window, and with prompts that share their beginning. */
int memory_of_keys(struct benchmark *b);
/* The engine as a process of its own, at its defaults; and the sum of its components. */
int memory_of_engine(struct benchmark *b);

#endif
