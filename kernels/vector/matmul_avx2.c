/* SPDX-License-Identifier: Apache-2.0 */
/* matmul_avx2.c: the matrix product with AVX2. */
#include "kernels/vector/matmul.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

/* 12 sums, 2 vectors of B and one of A, of 16 registers. */
enum { TILE_ROWS = 6, TILE_VECS = 2 };
#include "kernels/vector/matmul_tiles.h"

int vector_matmul_avx2(const struct vector_matmul *mm, void *scratch, size_t scratch_bytes)
{
	return matmul(mm, scratch, scratch_bytes);
}
#endif
