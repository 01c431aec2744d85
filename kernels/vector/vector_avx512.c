/* SPDX-License-Identifier: Apache-2.0 */
/* vector_avx512.c: operations on float vectors with AVX-512. */
#include "kernels/vector/vector.h"

#if defined(__x86_64__)
#include "kernels/vec_avx512.h"
#include "kernels/vector/vector_loops.h"

int vector_add_avx512(const float *a, const float *b, float *out, size_t n)
{
	return vector_add(a, b, out, n);
}

int vector_dot_avx512(const float *a, const float *b, size_t n, float *out)
{
	return vector_dot(a, b, n, out);
}

int vector_scale_avx512(float s, const float *x, float *out, size_t n)
{
	return vector_scale(s, x, out, n);
}

int vector_axpy_avx512(float s, const float *x, float *y, size_t n)
{
	return vector_axpy(s, x, y, n);
}

int vector_gather_avx512(const float *table, uint32_t vocabulary, uint32_t dim,
			 const uint32_t *index, size_t n, float *out)
{
	return vector_gather(table, vocabulary, dim, index, n, out);
}
#endif
