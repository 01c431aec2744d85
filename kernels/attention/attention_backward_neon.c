/* SPDX-License-Identifier: Apache-2.0 */
/* attention_backward_neon.c: attention's gradients with NEON. */
#include "kernels/attention/attention_backward.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

/* Two vectors wide: 24 accumulators of 32 registers. */
#define TILE_ROWS 12

#include "kernels/attention/attention_backward_tiles.h"
#include "kernels/attention/attention_backward_loops.h"

int attention_backward_neon(const struct attention_backward *b, void *scratch, size_t scratch_bytes)
{
	return backward(b, scratch, scratch_bytes);
}
#endif
