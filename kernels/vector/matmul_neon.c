/* SPDX-License-Identifier: Apache-2.0 */
/* matmul_neon.c: the matrix product with NEON. */
#include "kernels/vector/matmul.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

/* 24 sums, 2 vectors of B and one of A, of 32 registers. */
enum { TILE_ROWS = 12, TILE_VECS = 2 };
#include "kernels/vector/matmul_tiles.h"

int vector_matmul_neon(const struct vector_matmul *mm, void *scratch, size_t scratch_bytes)
{
	return matmul(mm, scratch, scratch_bytes);
}
#endif
