/* SPDX-License-Identifier: Apache-2.0 */
/* engine_memory.h: what the engine takes of memory, by part and as a process. */
#ifndef KERNELS_ENGINE_MEMORY_H
#define KERNELS_ENGINE_MEMORY_H

#include "kernels/benchmark/benchmark.h"

/* Targets of a suite: sizes by their structures, and the resident memory of a running engine. */
int engine_memory(struct benchmark *b);
/* Of all components but the pattern index, each as large as the document has it. */
double engine_parts_bytes(void);

#endif
