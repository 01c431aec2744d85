/* SPDX-License-Identifier: Apache-2.0 */
/* quant_avx2.c: products of coded matrices with AVX2. */
#include "kernels/quant/quant.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

static inline vec load_codes(const uint8_t *p)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

static inline void load_halves(const uint8_t *p, vec *low, vec *high)
{
	__m256i w = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));

	*low = _mm256_cvtepi32_ps(_mm256_and_si256(w, _mm256_set1_epi32(15)));
	*high = _mm256_cvtepi32_ps(_mm256_srli_epi32(w, 4));
}

#include "kernels/quant/quant_loops.h"

int quant_matvec_avx2(const struct quant_matrix *q, const float *x, float *y)
{
	return matvec(q, x, y);
}

int quant_expand_avx2(const struct quant_matrix *q, const float *h, float *y)
{
	return expand(q, h, y);
}

int quant_decode_avx2(const struct quant_matrix *q, float *w, size_t w_row)
{
	return decode(q, w, w_row);
}
#endif
