/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward_avx2.c: attention's gradients with AVX2 and FMA. */
#include "kernels/attention/attention_backward.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

/* Two vectors wide: 12 accumulators of 16 registers. */
#define TILE_ROWS 6

#include "kernels/attention/attention_backward_tiles.h"
#include "kernels/attention/attention_backward_loops.h"

int attention_backward_avx2(const struct attention_backward *b, void *scratch, size_t scratch_bytes)
{
	return backward(b, scratch, scratch_bytes);
}
#endif
