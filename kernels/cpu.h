/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.h: which instruction sets this machine has, and which one a run is told to use. */
#ifndef KERNELS_CPU_H
#define KERNELS_CPU_H

#include <stdbool.h>

/* In order of preference: a later one is faster wherever it exists. */
enum cpu_isa { CPU_SCALAR, CPU_NEON, CPU_AVX2, CPU_AVX512, CPU_ISA_COUNT };

/* Bits of cpu_features(): what a kernel variant may require beyond the base architecture. */
enum {
	CPU_NONE = 0,
	CPU_HAS_AVX2_FMA = 1 << 0, /* AVX2 and FMA3, registers saved by the kernel */
	CPU_HAS_AVX512 = 1 << 1,   /* F, BW, VL and DQ */
	CPU_HAS_NEON = 1 << 2,
};

/* What the CPU and the kernel together allow (CPUID and XGETBV). */
unsigned int cpu_features(void);
bool cpu_supports(enum cpu_isa isa);
enum cpu_isa cpu_best(void);

/* "scalar", "neon", "avx2", "avx512": as metrics, options and reports spell it. */
const char *cpu_isa_name(enum cpu_isa isa);

/*
 * The instruction set to use: text is a name of cpu_isa_name(), or "auto", NULL or "" for the
 * environment's PERFTOP_ISA and failing that the best one. 0, -EINVAL for an unknown name,
 * -ENOTSUP for one that this machine lacks.
 */
int cpu_choose_isa(const char *text, enum cpu_isa *isa);

#endif
