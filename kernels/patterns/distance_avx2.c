/* SPDX-License-Identifier: Apache-2.0 */
/* distance_avx2.c: distances with AVX2. */
#include "kernels/patterns/distance.h"

#if defined(__x86_64__)
#include "kernels/vec_avx2.h"

static inline __attribute__((always_inline)) __m256i code_load(const int8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/*
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs in 16 bits: |q| by x with the sign
 * of q. Codes are at most 127, so a pair is at most 32258 and does not saturate.
 */
static inline __attribute__((always_inline)) void code_step(const int rows, __m256i c,
							    const struct distance_code *const *x,
							    size_t at, __m256i *s)
{
	const __m256i ones = _mm256_set1_epi16(1), a = _mm256_abs_epi8(c);

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++) {
		__m256i p =
			_mm256_maddubs_epi16(a, _mm256_sign_epi8(code_load(x[r]->codes + at), c));

		s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(p, ones));
	}
}

static inline __attribute__((always_inline)) __m128i sums_of_four(const __m256i *s)
{
	__m256i t = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));

	return _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
}

static inline __attribute__((always_inline)) int32_t sum_of_one(__m256i s)
{
	__m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));

	t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
	t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1));
	return _mm_cvtsi128_si32(t);
}

/* Out of line: unrolled inline it would take the registers of all others. */
static __attribute__((noinline)) void short_dots(int rows, const struct distance_code *q,
						 const struct distance_code *const *x, uint32_t dim,
						 int32_t *dot)
{
	for (int r = 0; r < rows; r++) {
		dot[r] = 0;
		for (uint32_t d = 0; d < dim; d++)
			dot[r] += q->codes[d] * x[r]->codes[d];
	}
}

/* What is left after whole vectors is the end of one that overlaps: of the query with zeros before.
 */
static inline __attribute__((always_inline)) void code_dots(const int rows,
							    const struct distance_code *q,
							    const struct distance_code *const *x,
							    uint32_t dim, int32_t *dot)
{
	static const int8_t keep[64] = {
		[32] = -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
		-1,	   -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	};
	const size_t whole = dim / 32 * 32, left = dim - whole;
	__m256i s[4];

	if (!whole) {
		short_dots(rows, q, x, dim, dot);
		return;
	}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		s[r] = _mm256_setzero_si256();
	for (size_t i = 0; i < whole; i += 32)
		code_step(rows, code_load(q->codes + i), x, i, s);
	if (left)
		code_step(rows,
			  _mm256_and_si256(code_load(q->codes + dim - 32), code_load(keep + left)),
			  x, dim - 32, s);
	if (rows == 4)
		_mm_storeu_si128((__m128i *)(void *)dot, sums_of_four(s));
	else
		dot[0] = sum_of_one(s[0]);
}

#include "kernels/patterns/distance_loops.h"

int distance_l2_avx2(const void *query, const struct distance_rows *r, float *out)
{
	return float_distances(METRIC_L2, query, r, out);
}

int distance_ip_avx2(const void *query, const struct distance_rows *r, float *out)
{
	return float_distances(METRIC_IP, query, r, out);
}

int distance_l2_i8_avx2(const void *query, const struct distance_rows *r, float *out)
{
	return code_distances(query, r, out);
}

int mean_rows_avx2(const struct distance_rows *r, float *out)
{
	return mean_of_rows(r, out);
}
#endif
