/* SPDX-License-Identifier: Apache-2.0 */
/* quant_i8_avx2.c: codes by codes with AVX2. */
#include "kernels/quant/quant.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* Pairs in 16 bits: 2 * 127 * 127 fits. */
static inline __m256i dot_u8_i8(__m256i a, __m256i b)
{
	return _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1));
}
#define DOT_U8_I8(a, b) dot_u8_i8(a, b)

#include "kernels/quant/quant_i8_x86.h"
#include "kernels/quant/quant_i8_loops.h"

int quant_matvec_i8_avx2(const struct quant_matrix *q, const struct quant_matrix *x, float *y)
{
	return matvec_i8(q, x, y);
}
#endif
