/* SPDX-License-Identifier: Apache-2.0 */
/* attention_row_avx2.h: a row of attention's register tiles with AVX2, in assembly. */
#ifndef KERNELS_ATTENTION_ROW_AVX2_H
#define KERNELS_ATTENTION_ROW_AVX2_H

#include <stdbool.h>

#include "kernels/vec_avx2.h"

/*
 * a[c] += *b * v[c] for n vectors, 2 or 3; false for another n. With 12 accumulators and 3 vectors
 * one register is left for the factor. Written with intrinsics, unrolled by steps, GCC makes of it
 * either several loads of one vector, each the operand of a multiplication, so that loads bind, or
 * accumulators that live on the stack: 8 to 25 % slower.
 */
static inline __attribute__((always_inline)) bool tile_row(const int n, const float *b,
							   const vec *v, vec *a)
{
	if (n == 3) {
		__asm__("vbroadcastss %[b], %%ymm15\n\t"
			"vfmadd231ps %[v0], %%ymm15, %[a0]\n\t"
			"vfmadd231ps %[v1], %%ymm15, %[a1]\n\t"
			"vfmadd231ps %[v2], %%ymm15, %[a2]"
			: [a0] "+x"(a[0]), [a1] "+x"(a[1]), [a2] "+x"(a[2])
			: [b] "m"(*b), [v0] "x"(v[0]), [v1] "x"(v[1]), [v2] "x"(v[2])
			: "ymm15");
		return true;
	}
	if (n == 2) {
		__asm__("vbroadcastss %[b], %%ymm15\n\t"
			"vfmadd231ps %[v0], %%ymm15, %[a0]\n\t"
			"vfmadd231ps %[v1], %%ymm15, %[a1]"
			: [a0] "+x"(a[0]), [a1] "+x"(a[1])
			: [b] "m"(*b), [v0] "x"(v[0]), [v1] "x"(v[1])
			: "ymm15");
		return true;
	}
	return false;
}

#endif
