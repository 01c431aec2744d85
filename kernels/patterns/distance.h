/* SPDX-License-Identifier: Apache-2.0 */
/* distance.h: distances of a query to many vectors, in f32 and in int8 codes; smaller is nearer. */
#ifndef KERNELS_DISTANCE_H
#define KERNELS_DISTANCE_H

#include <stddef.h>
#include <stdint.h>

enum { DISTANCE_MAX_DIM = 1 << 16 }; /* products of codes add up in 32 bits up to here */

/*
 * Rows lie row_bytes apart from `rows` on. With ids, out[i] is the distance to row ids[i], and rows
 * ahead are prefetched: they may lie anywhere. Without (NULL), out[i] is that of row i, and memory
 * is walked in order. Memory is the caller's; floats at multiples of 4 bytes, no more is needed.
 */
struct distance_rows {
	const void *rows;
	size_t row_bytes;
	const uint32_t *ids;
	uint32_t n, dim;
};

/*
 * f32: query and rows are float[dim].
 *   L2: out = sum (q - x)^2, not the root;  IP: out = -(q . x)
 * Held to |got - ref| <= DISTANCE_ERROR * sum |terms|, where a term is (q - x)^2 or q x.
 *
 * int8: query and rows are struct distance_code, and the result is exactly that of the vectors
 * scale * code, up to float rounding: DISTANCE_ERROR * (norm2 of both). Codes are -127..127.
 *
 * 0; -EINVAL for a null pointer, dim 0 or above DISTANCE_MAX_DIM, or rows that overlap.
 */
#define DISTANCE_ERROR 4e-6
typedef int distance_fn(const void *query, const struct distance_rows *r, float *out);

/* A vector as codes: x[i] ~ scale * codes[i], norm2 = scale^2 * sum codes^2. */
struct distance_code {
	float scale, norm2;
	int8_t codes[];
};

/* Bytes of a code with its header, not rounded up. */
static inline size_t distance_code_bytes(uint32_t dim)
{
	return sizeof(struct distance_code) + dim;
}

distance_fn distance_l2_ref, distance_l2_scalar, distance_l2_avx2, distance_l2_avx512;
distance_fn distance_l2_neon;
distance_fn distance_ip_ref, distance_ip_scalar, distance_ip_avx2, distance_ip_avx512;
distance_fn distance_ip_neon;
distance_fn distance_l2_i8_ref, distance_l2_i8_scalar, distance_l2_i8_avx2, distance_l2_i8_avx512;
distance_fn distance_l2_i8_neon;

/* norm2 of codes that are there. */
float distance_code_norm2(const struct distance_code *c, uint32_t dim);
int distance_check(const void *query, const struct distance_rows *r, const float *out,
		   size_t vector_bytes);

/* Multiply-adds count two, a subtraction one; bytes of the rows once each. */
uint64_t distance_flops(const struct distance_rows *r);
uint64_t distance_bytes(const struct distance_rows *r, size_t element_bytes);

/* The mean of rows of floats, out[dim]; n >= 1. Summed in runs of 64, so that many rows add little
 * error: MEAN_ERROR * mean |x| + the rounding of n / 64 additions. */
#define MEAN_ERROR 8e-6
typedef int mean_fn(const struct distance_rows *r, float *out);
mean_fn mean_rows_ref, mean_rows_scalar, mean_rows_avx2, mean_rows_avx512;
mean_fn mean_rows_neon;

#endif
