/* SPDX-License-Identifier: Apache-2.0 */
/* matrix.c: packing for distances of many to many, and the scalar and reference variants. */
#include "kernels/patterns/matrix.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels/scalar_only.h"

uint32_t matrix_block(enum isa isa)
{
	switch (isa) {
	case ISA_AVX512:
		return 32;
	case ISA_AVX2:
		return 16;
	default:
		return 8;
	}
}

size_t matrix_packed_floats(uint32_t n, uint32_t dim, uint32_t block)
{
	return ((size_t)n + block - 1) / block * block * dim;
}

void matrix_pack(const float *x, size_t x_row, const float *origin, uint32_t n, uint32_t dim,
		 uint32_t block, float *packed)
{
	for (uint32_t from = 0; from < n; from += block, packed += (size_t)block * dim) {
		uint32_t points = n - from < block ? n - from : block;

		if (points < block) /* the lanes beyond are computed and not used */
			memset(packed, 0, (size_t)block * dim * sizeof(*packed));
		/* A line of floats of every point at a time: each line is read and written once. */
		for (uint32_t at = 0; at < dim; at += 16) {
			uint32_t end = dim - at < 16 ? dim : at + 16;

			for (uint32_t i = 0; i < points; i++) {
				const float *row = x + (from + i) * x_row;

				for (uint32_t d = at; d < end; d++)
					packed[(size_t)d * block + i] =
						origin ? row[d] - origin[d] : row[d];
			}
		}
	}
}

int matrix_check(const struct matrix *m)
{
	if (!m || !m->packed || !m->centres || !m->norms || !m->n || !m->k || !m->dim || !m->block)
		return -EINVAL;
	return m->k <= MATRIX_MAX_K ? 0 : -EINVAL;
}

uint64_t matrix_flops(const struct matrix *m)
{
	return 2ull * m->n * m->k * m->dim;
}

#define DEFINE_MATRIX(SUFFIX, TYPE, ATTRIBUTE)                                                 \
	ATTRIBUTE static TYPE score_##SUFFIX(const struct matrix *m, uint32_t i, uint32_t j)   \
	{                                                                                      \
		const float *x =                                                               \
			m->packed + (size_t)(i / m->block) * m->block * m->dim + i % m->block; \
		const float *c = m->centres + (size_t)j * m->dim;                              \
		TYPE s = 0;                                                                    \
                                                                                               \
		for (uint32_t d = 0; d < m->dim; d++)                                          \
			s += (TYPE)x[(size_t)d * m->block] * c[d];                             \
		return m->norms[j] - 2 * s;                                                    \
	}                                                                                      \
	ATTRIBUTE int matrix_##SUFFIX(const struct matrix *m)                                  \
	{                                                                                      \
		if (matrix_check(m))                                                           \
			return -EINVAL;                                                        \
		for (uint32_t i = 0; i < m->n; i++) {                                          \
			TYPE best = (TYPE)INFINITY;                                            \
			uint32_t nearest = 0;                                                  \
                                                                                               \
			for (uint32_t j = 0; j < m->k; j++) {                                  \
				TYPE s = score_##SUFFIX(m, i, j);                              \
                                                                                               \
				if (m->scores)                                                 \
					m->scores[(size_t)i * m->k + j] = (float)s;            \
				if (s < best) {                                                \
					best = s;                                              \
					nearest = j;                                           \
				}                                                              \
			}                                                                      \
			if (m->nearest)                                                        \
				m->nearest[i] = nearest;                                       \
			if (m->score)                                                          \
				m->score[i] = (float)best;                                     \
		}                                                                              \
		return 0;                                                                      \
	}
DEFINE_MATRIX(ref, double, )
DEFINE_MATRIX(scalar, float, SCALAR_ONLY)
