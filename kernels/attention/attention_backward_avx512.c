/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward_avx512.c: attention's gradients with AVX-512 (F, DQ). */
#include "kernels/attention/attention_backward.h"

#if defined(__x86_64__)
#include "kernels/vec_avx512.h"

/* Two vectors wide: 24 accumulators of 32 registers. */
#define TILE_ROWS 12

#include "kernels/attention/attention_backward_tiles.h"
#include "kernels/attention/attention_backward_loops.h"

int attention_backward_avx512(const struct attention_backward *b, void *scratch,
			      size_t scratch_bytes)
{
	return backward(b, scratch, scratch_bytes);
}
#endif
