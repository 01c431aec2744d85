/* SPDX-License-Identifier: Apache-2.0 */
/* isa.h: which instruction sets this machine has, and which one a run is told to use. */
#ifndef KERNELS_ISA_H
#define KERNELS_ISA_H

#include <stdbool.h>
#include <stddef.h>

/* In order of preference: a later one is faster wherever it exists. */
enum isa { ISA_SCALAR, ISA_NEON, ISA_AVX2, ISA_AVX512, ISA_COUNT };

/* Bits of isa_features(): what a kernel variant may require beyond the base architecture. */
enum {
	ISA_NONE = 0,
	ISA_HAS_AVX2_FMA = 1 << 0, /* AVX2 and FMA3, registers saved by the kernel */
	ISA_HAS_AVX512 = 1 << 1,   /* F, BW, VL and DQ */
	ISA_HAS_NEON = 1 << 2,
	/* Each implies AVX2_FMA or AVX512 above, so a row names it alone. */
	ISA_HAS_F16C = 1 << 3,	      /* half to float and back, 8 at once */
	ISA_HAS_AVX_VNNI = 1 << 4,    /* int8 dot products in AVX2's registers */
	ISA_HAS_AVX512_VNNI = 1 << 5, /* int8 dot products */
	ISA_HAS_AVX512_BF16 = 1 << 6, /* bf16 dot products and rounding */
};

/*
 * The CPU's vector extensions, as reports list them: "sse4.1 sse4.2 avx2 fma ...", those that the
 * kernel lets programs use; cut off at size.
 */
void isa_describe(char *text, size_t size);

/* What the CPU and the kernel together allow (CPUID and XGETBV). */
unsigned int isa_features(void);
bool isa_supports(enum isa isa);
enum isa isa_best(void);

/* "scalar", "neon", "avx2", "avx512": as metrics, options and reports spell it. */
const char *isa_name(enum isa isa);

/*
 * The instruction set to use: text is a name of isa_name(), or "auto", NULL or "" for the
 * environment's PERFTOP_ISA and failing that the best one. 0, -EINVAL for an unknown name,
 * -ENOTSUP for one that this machine lacks.
 */
int isa_choose(const char *text, enum isa *isa);

#endif
