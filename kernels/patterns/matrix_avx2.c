/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_avx2.c: distances of many to many with AVX2. */
#include "kernels/patterns/matrix.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

enum { TILE_CENTRES = 6 };
#define TILES TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)

#include "kernels/patterns/matrix_tiles.h"

int matrix_avx2(const struct matrix *m)
{
	return matrix_tiled(m);
}
#endif
