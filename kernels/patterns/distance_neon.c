/* SPDX-License-Identifier: Apache-2.0 */
/* distance_neon.c: distances with NEON. */
#include "kernels/patterns/distance.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"

/* Codes are at most 127, so two products, at most 32258 together, fit into 16 bits. */
static inline __attribute__((always_inline)) void code_dots(const int rows,
							    const struct distance_code *q,
							    const struct distance_code *const *x,
							    uint32_t dim, int32_t *dot)
{
	int32x4_t s[4];
	uint32_t i = 0;

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		s[r] = vdupq_n_s32(0);
	for (; i + 16 <= dim; i += 16) {
		int8x16_t c = vld1q_s8(q->codes + i);

#pragma GCC unroll 4
		for (int r = 0; r < rows; r++) {
			int8x16_t v = vld1q_s8(x[r]->codes + i);
			int16x8_t p = vmull_s8(vget_low_s8(c), vget_low_s8(v));

			s[r] = vpadalq_s16(s[r], vmlal_s8(p, vget_high_s8(c), vget_high_s8(v)));
		}
	}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++) {
		dot[r] = vaddvq_s32(s[r]);
		for (uint32_t d = i; d < dim; d++)
			dot[r] += q->codes[d] * x[r]->codes[d];
	}
}

#include "kernels/patterns/distance_loops.h"

int distance_l2_neon(const void *query, const struct distance_rows *r, float *out)
{
	return float_distances(METRIC_L2, query, r, out);
}

int distance_ip_neon(const void *query, const struct distance_rows *r, float *out)
{
	return float_distances(METRIC_IP, query, r, out);
}

int distance_l2_i8_neon(const void *query, const struct distance_rows *r, float *out)
{
	return code_distances(query, r, out);
}

int mean_rows_neon(const struct distance_rows *r, float *out)
{
	return mean_of_rows(r, out);
}
#endif
