/* SPDX-License-Identifier: Apache-2.0 */
/* quant_i8_avxvnni.c: codes by codes with AVX-VNNI. */
#include "kernels/quant/quant.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define DOT_U8_I8(a, b) _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), a, b)

#include "kernels/quant/quant_i8_x86.h"
#include "kernels/quant/quant_i8_loops.h"

int quant_matvec_i8_avxvnni(const struct quant_matrix *q, const struct quant_matrix *x, float *y)
{
	return matvec_i8(q, x, y);
}
#endif
