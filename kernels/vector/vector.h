/* SPDX-License-Identifier: Apache-2.0 */
/* vector.h: operations on float vectors: add, dot, scale, axpy, and rows of an embedding table. */
#ifndef KERNELS_VECTOR_H
#define KERNELS_VECTOR_H

#include <stddef.h>
#include <stdint.h>

/*
 * All: 0, or -EINVAL for a null pointer (also with n 0). No alignment needed. An output may be the
 * same as an input, not overlap it otherwise.
 */

/* out = a + b, exact to the last bit. */
typedef int vector_add_fn(const float *a, const float *b, float *out, size_t n);
/* *out = a . b, held to |got - ref| <= VECTOR_ERROR * sum |a b|. */
#define VECTOR_ERROR 1e-5
typedef int vector_dot_fn(const float *a, const float *b, size_t n, float *out);
/* out = s * x, exact to the last bit. */
typedef int vector_scale_fn(float s, const float *x, float *out, size_t n);
/* y += s * x, each element rounded once or twice. */
typedef int vector_axpy_fn(float s, const float *x, float *y, size_t n);
/*
 * out[i][dim] = table[index[i]][dim] for i < n; rows of the table are dim floats apart. -EINVAL,
 * with nothing written, for an index at or above `vocabulary`. Rows that the cache lacks are asked
 * for some rows ahead.
 */
typedef int vector_gather_fn(const float *table, uint32_t vocabulary, uint32_t dim,
			     const uint32_t *index, size_t n, float *out);

vector_add_fn vector_add_scalar, vector_add_avx2, vector_add_avx512, vector_add_neon;
vector_dot_fn vector_dot_ref, vector_dot_scalar, vector_dot_avx2, vector_dot_avx512,
	vector_dot_neon;
vector_scale_fn vector_scale_scalar, vector_scale_avx2, vector_scale_avx512, vector_scale_neon;
vector_axpy_fn vector_axpy_scalar, vector_axpy_avx2, vector_axpy_avx512, vector_axpy_neon;
vector_gather_fn vector_gather_scalar, vector_gather_avx2, vector_gather_avx512, vector_gather_neon;

/* For the variants: 0, or -EINVAL. */
int vector_check_gather(const float *table, uint32_t vocabulary, uint32_t dim,
			const uint32_t *index, size_t n, const float *out);

#endif
