/* SPDX-License-Identifier: Apache-2.0 */
/* distance.c: what all variants of the distances share, and the scalar and reference ones. */
#include "kernels/patterns/distance.h"

#include <errno.h>

#include "kernels/scalar_only.h"

int distance_check(const void *query, const struct distance_rows *r, const float *out,
		   size_t vector_bytes)
{
	if (!query || !r || !r->rows || !out || !r->dim || r->dim > DISTANCE_MAX_DIM)
		return -EINVAL;
	return r->row_bytes >= vector_bytes ? 0 : -EINVAL;
}

uint64_t distance_flops(const struct distance_rows *r)
{
	return 3ull * r->n * r->dim;
}

uint64_t distance_bytes(const struct distance_rows *r, size_t element_bytes)
{
	return (uint64_t)r->n * r->dim * element_bytes;
}

static const void *row_at(const struct distance_rows *r, uint32_t i)
{
	return (const char *)r->rows + (r->ids ? r->ids[i] : i) * r->row_bytes;
}

static float code_distance(const struct distance_code *q, const struct distance_code *x,
			   uint32_t dim, int32_t dot)
{
	return q->norm2 + x->norm2 - 2 * (q->scale * x->scale) * (float)dot;
}

#define DEFINE_DISTANCE(SUFFIX, TYPE, ATTRIBUTE)                                             \
	ATTRIBUTE int distance_l2_##SUFFIX(const void *query, const struct distance_rows *r, \
					   float *out)                                       \
	{                                                                                    \
		const float *q = query;                                                      \
                                                                                             \
		if (distance_check(query, r, out, r ? r->dim * sizeof(float) : 0))           \
			return -EINVAL;                                                      \
		for (uint32_t i = 0; i < r->n; i++) {                                        \
			const float *x = row_at(r, i);                                       \
			TYPE s = 0;                                                          \
                                                                                             \
			for (uint32_t d = 0; d < r->dim; d++)                                \
				s += ((TYPE)q[d] - x[d]) * ((TYPE)q[d] - x[d]);              \
			out[i] = (float)s;                                                   \
		}                                                                            \
		return 0;                                                                    \
	}                                                                                    \
	ATTRIBUTE int distance_ip_##SUFFIX(const void *query, const struct distance_rows *r, \
					   float *out)                                       \
	{                                                                                    \
		const float *q = query;                                                      \
                                                                                             \
		if (distance_check(query, r, out, r ? r->dim * sizeof(float) : 0))           \
			return -EINVAL;                                                      \
		for (uint32_t i = 0; i < r->n; i++) {                                        \
			const float *x = row_at(r, i);                                       \
			TYPE s = 0;                                                          \
                                                                                             \
			for (uint32_t d = 0; d < r->dim; d++)                                \
				s += (TYPE)q[d] * x[d];                                      \
			out[i] = (float)-s;                                                  \
		}                                                                            \
		return 0;                                                                    \
	}                                                                                    \
	ATTRIBUTE int mean_rows_##SUFFIX(const struct distance_rows *r, float *out)          \
	{                                                                                    \
		if (!r || !r->n || distance_check(out, r, out, r->dim * sizeof(float)))      \
			return -EINVAL;                                                      \
		for (uint32_t d = 0; d < r->dim; d++) {                                      \
			TYPE s = 0, run = 0;                                                 \
                                                                                             \
			for (uint32_t i = 0; i < r->n; i++) {                                \
				run += ((const float *)row_at(r, i))[d];                     \
				if (i % 64 == 63) {                                          \
					s += run;                                            \
					run = 0;                                             \
				}                                                            \
			}                                                                    \
			out[d] = (float)((s + run) / (TYPE)r->n);                            \
		}                                                                            \
		return 0;                                                                    \
	}
DEFINE_DISTANCE(ref, double, )
DEFINE_DISTANCE(scalar, float, SCALAR_ONLY)

int distance_l2_i8_ref(const void *query, const struct distance_rows *r, float *out)
{
	const struct distance_code *q = query;

	if (distance_check(query, r, out, r ? distance_code_bytes(r->dim) : 0))
		return -EINVAL;
	for (uint32_t i = 0; i < r->n; i++) {
		const struct distance_code *x = row_at(r, i);
		double s = 0;

		for (uint32_t d = 0; d < r->dim; d++) {
			double diff =
				(double)q->scale * q->codes[d] - (double)x->scale * x->codes[d];

			s += diff * diff;
		}
		out[i] = (float)s;
	}
	return 0;
}

SCALAR_ONLY int distance_l2_i8_scalar(const void *query, const struct distance_rows *r, float *out)
{
	const struct distance_code *q = query;

	if (distance_check(query, r, out, r ? distance_code_bytes(r->dim) : 0))
		return -EINVAL;
	for (uint32_t i = 0; i < r->n; i++) {
		const struct distance_code *x = row_at(r, i);
		int32_t dot = 0;

		for (uint32_t d = 0; d < r->dim; d++)
			dot += q->codes[d] * x->codes[d];
		out[i] = code_distance(q, x, r->dim, dot);
	}
	return 0;
}

float distance_code_norm2(const struct distance_code *c, uint32_t dim)
{
	int32_t sum = 0;

	for (uint32_t d = 0; d < dim; d++)
		sum += c->codes[d] * c->codes[d];
	return c->scale * c->scale * (float)sum;
}
