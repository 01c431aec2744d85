/* SPDX-License-Identifier: Apache-2.0 */
/* vector_loops.h: vector operations over the vec_* primitives; included by vector_<isa>.c. */
#include <errno.h>

#define LOOP  static inline __attribute__((always_inline))
#define LANES ((size_t)VEC_LANES)

/* Loads of four vectors before their stores, which the compiler must take to overlap. */
enum { UNROLL = 4 };

LOOP uint32_t tail(size_t left)
{
	return left < LANES ? (uint32_t)left : (uint32_t)LANES;
}

LOOP int vector_add(const float *a, const float *b, float *out, size_t n)
{
	size_t i = 0;

	if (!a || !b || !out)
		return -EINVAL;
	for (; i + UNROLL * LANES <= n; i += UNROLL * LANES) {
		vec v[UNROLL];

#pragma GCC unroll 4
		for (int u = 0; u < UNROLL; u++)
			v[u] = vec_add(vec_loadu(a + i + u * LANES), vec_loadu(b + i + u * LANES));
#pragma GCC unroll 4
		for (int u = 0; u < UNROLL; u++)
			vec_storeu(out + i + u * LANES, v[u]);
	}
	for (; i < n; i += LANES) {
		const uint32_t k = tail(n - i);

		vec_store_first(out + i,
				vec_add(vec_load_first(a + i, k), vec_load_first(b + i, k)), k);
	}
	return 0;
}

LOOP int vector_dot(const float *a, const float *b, size_t n, float *out)
{
	enum { SUMS = 8 };
	vec s[SUMS];
	size_t i = 0;

	if (!a || !b || !out)
		return -EINVAL;
#pragma GCC unroll 8
	for (int u = 0; u < SUMS; u++)
		s[u] = vec_zero();
	for (; i + SUMS * LANES <= n; i += SUMS * LANES) {
#pragma GCC unroll 8
		for (int u = 0; u < SUMS; u++)
			s[u] = vec_fma(vec_loadu(a + i + u * LANES), vec_loadu(b + i + u * LANES),
				       s[u]);
	}
	for (; i < n; i += LANES) {
		const uint32_t k = tail(n - i);

		s[0] = vec_fma(vec_load_first(a + i, k), vec_load_first(b + i, k), s[0]);
	}
#pragma GCC unroll 4
	for (int u = 0; u < SUMS / 2; u++)
		s[u] = vec_add(s[u], s[u + SUMS / 2]);
	*out = vec_sum(vec_add(vec_add(s[0], s[1]), vec_add(s[2], s[3])));
	return 0;
}

LOOP int vector_scale(float by, const float *x, float *out, size_t n)
{
	const vec f = vec_splat(by);
	size_t i = 0;

	if (!x || !out)
		return -EINVAL;
	for (; i + UNROLL * LANES <= n; i += UNROLL * LANES) {
		vec v[UNROLL];

#pragma GCC unroll 4
		for (int u = 0; u < UNROLL; u++)
			v[u] = vec_mul(f, vec_loadu(x + i + u * LANES));
#pragma GCC unroll 4
		for (int u = 0; u < UNROLL; u++)
			vec_storeu(out + i + u * LANES, v[u]);
	}
	for (; i < n; i += LANES) {
		const uint32_t k = tail(n - i);

		vec_store_first(out + i, vec_mul(f, vec_load_first(x + i, k)), k);
	}
	return 0;
}

LOOP int vector_axpy(float by, const float *x, float *y, size_t n)
{
	const vec f = vec_splat(by);
	size_t i = 0;

	if (!x || !y)
		return -EINVAL;
	for (; i + UNROLL * LANES <= n; i += UNROLL * LANES) {
		vec v[UNROLL];

#pragma GCC unroll 4
		for (int u = 0; u < UNROLL; u++)
			v[u] = vec_fma(f, vec_loadu(x + i + u * LANES),
				       vec_loadu(y + i + u * LANES));
#pragma GCC unroll 4
		for (int u = 0; u < UNROLL; u++)
			vec_storeu(y + i + u * LANES, v[u]);
	}
	for (; i < n; i += LANES) {
		const uint32_t k = tail(n - i);

		vec_store_first(y + i,
				vec_fma(f, vec_load_first(x + i, k), vec_load_first(y + i, k)), k);
	}
	return 0;
}

LOOP void copy_row(const float *from, float *to, size_t n)
{
	size_t i = 0;

	for (; i + UNROLL * LANES <= n; i += UNROLL * LANES) {
		vec v[UNROLL];

#pragma GCC unroll 4
		for (int u = 0; u < UNROLL; u++)
			v[u] = vec_loadu(from + i + u * LANES);
#pragma GCC unroll 4
		for (int u = 0; u < UNROLL; u++)
			vec_storeu(to + i + u * LANES, v[u]);
	}
	for (; i < n; i += LANES)
		vec_store_first(to + i, vec_load_first(from + i, tail(n - i)), tail(n - i));
}

LOOP int vector_gather(const float *table, uint32_t vocabulary, uint32_t dim, const uint32_t *index,
		       size_t n, float *out)
{
	/* A line of 64 bytes holds 16 floats; about 64 lines are on their way at a time. */
	size_t ahead;

	if (vector_check_gather(table, vocabulary, dim, index, n, out))
		return -EINVAL;
	ahead = 1024 / dim + 1;
	for (size_t i = 0; i < n; i++) {
		if (i + ahead < n) {
			const float *next = table + (size_t)index[i + ahead] * dim;

			for (uint32_t c = 0; c < dim; c += 16)
				__builtin_prefetch(next + c);
		}
		copy_row(table + (size_t)index[i] * dim, out + i * dim, dim);
	}
	return 0;
}
