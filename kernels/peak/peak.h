/* SPDX-License-Identifier: Apache-2.0 */
/* peak.h: how fast one core multiplies and adds f32, the ceiling that kernels are held against. */
#ifndef KERNELS_PEAK_H
#define KERNELS_PEAK_H

#include <stdint.h>

/* Do `rounds` rounds of independent fused multiply-adds in registers; returns the FLOPs done. */
typedef uint64_t peak_fn(uint64_t rounds);

peak_fn peak_scalar, peak_avx2, peak_avx512, peak_neon;

/* GFLOP/s of fn, the best of short windows within budget_ns of wall time. */
double peak_measure_gflops(peak_fn *fn, uint64_t budget_ns);

#endif
