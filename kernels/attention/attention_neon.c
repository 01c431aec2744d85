/* SPDX-License-Identifier: Apache-2.0 */
/* attention_neon.c: flash, memory-efficient, chunked and standard attention with NEON. */
#include "kernels/attention/attention.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

#define TILE_ISA  ISA_NEON
#define SPAN_VECS 4
/* 24 accumulators of 32 registers: 4 vectors by 6 keys, 3 by 8, 2 by 12; 1 by 14 hides latency. */
#define TILE_KEYS(nr) ((nr) == 4 ? 6 : (nr) == 3 ? 8 : (nr) == 2 ? 12 : 14)

#include "kernels/attention/attention_tiles.h"
#include "kernels/attention/attention_flash.h"
#include "kernels/attention/attention_whole.h"

int attention_flash_neon(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return flash(a, scratch, scratch_bytes);
}

int attention_standard_neon(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return standard(a, scratch, scratch_bytes);
}

int attention_memory_efficient_neon(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return memory_efficient(a, scratch, scratch_bytes);
}

int attention_chunked_neon(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return chunked(a, scratch, scratch_bytes);
}

void exp2_neon(const float *x, float *y, size_t n)
{
	for (size_t i = 0; i < n; i += VEC_LANES) {
		uint32_t k = n - i < VEC_LANES ? (uint32_t)(n - i) : VEC_LANES;

		vec_store_first(y + i, vec_exp2(vec_load_first(x + i, k)), k);
	}
}
#endif
