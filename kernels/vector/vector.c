/* SPDX-License-Identifier: Apache-2.0 */
/* vector.c: operations on float vectors, scalar and reference. */
#include "kernels/vector/vector.h"

#include <errno.h>
#include <string.h>

/* The scalar variants stay scalar on purpose: they are baselines. */
#if !defined(__clang__)
#pragma GCC optimize("no-tree-vectorize")
#endif

int vector_add_scalar(const float *a, const float *b, float *out, size_t n)
{
	if (!a || !b || !out)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		out[i] = a[i] + b[i];
	return 0;
}

int vector_dot_ref(const float *a, const float *b, size_t n, float *out)
{
	double s = 0;

	if (!a || !b || !out)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		s += (double)a[i] * b[i];
	*out = (float)s;
	return 0;
}

int vector_dot_scalar(const float *a, const float *b, size_t n, float *out)
{
	float s = 0;

	if (!a || !b || !out)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		s += a[i] * b[i];
	*out = s;
	return 0;
}

int vector_scale_scalar(float s, const float *x, float *out, size_t n)
{
	if (!x || !out)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		out[i] = s * x[i];
	return 0;
}

int vector_axpy_scalar(float s, const float *x, float *y, size_t n)
{
	if (!x || !y)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		y[i] += s * x[i];
	return 0;
}

int vector_check_gather(const float *table, uint32_t vocabulary, uint32_t dim,
			const uint32_t *index, size_t n, const float *out)
{
	uint32_t highest = 0;

	if (!table || !index || !out || !dim)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		highest = index[i] > highest ? index[i] : highest;
	return n && highest >= vocabulary ? -EINVAL : 0;
}

int vector_gather_scalar(const float *table, uint32_t vocabulary, uint32_t dim,
			 const uint32_t *index, size_t n, float *out)
{
	if (vector_check_gather(table, vocabulary, dim, index, n, out))
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		for (uint32_t c = 0; c < dim; c++)
			out[i * dim + c] = table[(size_t)index[i] * dim + c];
	return 0;
}
