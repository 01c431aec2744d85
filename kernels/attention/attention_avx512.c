/* SPDX-License-Identifier: Apache-2.0 */
/* attention_avx512.c: flash, memory-efficient, chunked and standard attention with AVX-512 (F, DQ).
 */
#include "kernels/attention/attention.h"

#if defined(__x86_64__)
#include "kernels/vec_avx512.h"

#define TILE_ISA  ISA_AVX512
#define SPAN_VECS 4
/*
 * 24 accumulators of 32 registers: 4 vectors by 6 keys, 3 by 8, 2 by 12; and no more rows at once
 * than L1 has ways, for those of 1024 dimensions all fall into one set.
 */
#define TILE_KEYS(nr) ((nr) == 4 ? 6 : (nr) == 3 ? 8 : 12)
#define TILE_STEPS    2 /* at once; and with them keys and values are asked for ahead */

#include "kernels/attention/attention_tiles.h"
#include "kernels/attention/attention_flash.h"
#include "kernels/attention/attention_whole.h"

int attention_flash_avx512(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return flash(a, scratch, scratch_bytes);
}

int attention_standard_avx512(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return standard(a, scratch, scratch_bytes);
}

int attention_memory_efficient_avx512(const struct attention *a, void *scratch,
				      size_t scratch_bytes)
{
	return memory_efficient(a, scratch, scratch_bytes);
}

int attention_chunked_avx512(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return chunked(a, scratch, scratch_bytes);
}

void exp2_avx512(const float *x, float *y, size_t n)
{
	for (size_t i = 0; i < n; i += VEC_LANES) {
		uint32_t k = n - i < VEC_LANES ? (uint32_t)(n - i) : VEC_LANES;

		vec_store_first(y + i, vec_exp2(vec_load_first(x + i, k)), k);
	}
}
#endif
