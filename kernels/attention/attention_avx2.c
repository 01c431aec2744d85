/* SPDX-License-Identifier: Apache-2.0 */
/* attention_avx2.c: flash, memory-efficient, chunked and standard attention with AVX2 and FMA. */
#include "kernels/attention/attention.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

#include "kernels/attention/attention_row_avx2.h"

#define TILE_ISA  ISA_AVX2
#define SPAN_VECS 3
/* 12 accumulators of 16 registers: 3 vectors by 4 keys, 2 by 6; 1 by 10 hides latency. */
#define TILE_KEYS(nr) ((nr) >= 3 ? 4 : (nr) == 2 ? 6 : 10)

#define TILE_STEPS    2 /* at once: less to count; 4 are slower beyond 256 dimensions */
#define TILE_ROW      tile_row

#include "kernels/attention/attention_tiles.h"
#include "kernels/attention/attention_flash.h"
#include "kernels/attention/attention_whole.h"

int attention_flash_avx2(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return flash(a, scratch, scratch_bytes);
}

int attention_standard_avx2(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return standard(a, scratch, scratch_bytes);
}

int attention_memory_efficient_avx2(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return memory_efficient(a, scratch, scratch_bytes);
}

int attention_chunked_avx2(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	return chunked(a, scratch, scratch_bytes);
}

void exp2_avx2(const float *x, float *y, size_t n)
{
	for (size_t i = 0; i < n; i += VEC_LANES) {
		uint32_t k = n - i < VEC_LANES ? (uint32_t)(n - i) : VEC_LANES;

		vec_store_first(y + i, vec_exp2(vec_load_first(x + i, k)), k);
	}
}
#endif
