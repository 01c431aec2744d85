/* SPDX-License-Identifier: Apache-2.0 */
/* query_cost.h: what learning costs the queries of the engine. */
#ifndef KERNELS_QUERY_COST_H
#define KERNELS_QUERY_COST_H

#include "kernels/benchmark/benchmark.h"

/* Contests and targets of a suite; b_cycle_ns is a cycle of loop B over 1000 trajectories. */
int query_cost(struct benchmark *b, double b_cycle_ns);

#endif
