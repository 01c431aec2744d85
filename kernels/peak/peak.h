/* SPDX-License-Identifier: Apache-2.0 */
/* peak.h: how fast one core multiplies, adds and reads f32, the ceilings that kernels are held
 * against. */
#ifndef KERNELS_PEAK_H
#define KERNELS_PEAK_H

#include <stddef.h>
#include <stdint.h>

/* Do `rounds` rounds of independent fused multiply-adds in registers; returns the FLOPs done. */
typedef uint64_t peak_fn(uint64_t rounds);

peak_fn peak_scalar, peak_avx2, peak_avx512, peak_neon;

/*
 * The sum of n floats, no alignment needed; for how long reading them takes. Partial sums in lanes:
 * |got - sum| <= n * 2^-24 * sum |p|.
 */
typedef float read_fn(const float *p, size_t n);

read_fn read_sum_scalar, read_sum_avx2, read_sum_avx512;
read_fn read_sum_neon;

/* GFLOP/s of fn, the best of short windows within budget_ns of wall time. */
double peak_measure_gflops(peak_fn *fn, uint64_t budget_ns);

#endif
