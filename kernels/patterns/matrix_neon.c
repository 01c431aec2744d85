/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_neon.c: distances of many to many with NEON. */
#include "kernels/patterns/matrix.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

enum { TILE_CENTRES = 12 };
#define TILES   \
	TILE(1) \
	TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)

#include "kernels/patterns/matrix_tiles.h"

int matrix_neon(const struct matrix *m)
{
	return matrix_tiled(m);
}
#endif
