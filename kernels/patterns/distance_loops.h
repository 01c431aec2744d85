/* SPDX-License-Identifier: Apache-2.0 */
/* distance_loops.h: distances over the vec_* primitives of one ISA; included by distance_<isa>.c.
 */
#include <errno.h>

/*
 * The ISA's file defines before: code_dots(rows, q, x, dim, dot), the sums of products of codes of
 * a query with `rows` (1 or 4) vectors.
 */
#define LOOP  static inline __attribute__((always_inline))
#define LANES ((uint32_t)VEC_LANES)

/*
 * Rows at a time: the query is loaded once for them, and so many sums hide the latency of FMA. A
 * batch of rows is asked of memory while the two before are worked on, BATCH_BYTES of each: the CPU
 * goes on by itself from there. Twice, since what finds no room among the requests is dropped.
 */
enum { BATCH = 4, LINE = 64, BATCH_BYTES = 8 * LINE, MEAN_AHEAD = 6, AHEAD_BYTES = 4096 };

enum metric { METRIC_L2, METRIC_IP };

LOOP const char *row_at(const struct distance_rows *r, uint32_t i)
{
	return (const char *)r->rows + (r->ids ? r->ids[i] : i) * r->row_bytes;
}

LOOP vec one_step(const enum metric metric, vec q, vec x, vec sum)
{
	vec diff;

	if (metric == METRIC_IP)
		return vec_fma(q, x, sum);
	diff = vec_sub(q, x);
	return vec_fma(diff, diff, sum);
}

/* out[0..rows) for the rows x[]. A single row has as many sums as two of a batch. */
LOOP void float_rows(const enum metric metric, const int rows, const float *q,
		     const float *const *x, uint32_t dim, float *out)
{
	const int unroll = rows == 1 ? 4 : 2;
	vec s[BATCH][4];
	uint32_t i = 0;

#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (int u = 0; u < unroll; u++)
			s[r][u] = vec_zero();
	for (; i + (uint32_t)unroll * LANES <= dim; i += (uint32_t)unroll * LANES) {
#pragma GCC unroll 4
		for (int u = 0; u < unroll; u++) {
			vec v = vec_loadu(q + i + (uint32_t)u * LANES);

#pragma GCC unroll 4
			for (int r = 0; r < rows; r++)
				s[r][u] = one_step(metric, v,
						   vec_loadu(x[r] + i + (uint32_t)u * LANES),
						   s[r][u]);
		}
	}
	for (; i < dim; i += LANES) {
		uint32_t k = dim - i < LANES ? dim - i : LANES;
		vec v = vec_load_first(q + i, k);

#pragma GCC unroll 4
		for (int r = 0; r < rows; r++)
			s[r][0] = one_step(metric, v, vec_load_first(x[r] + i, k), s[r][0]);
	}
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++) {
		vec sum = vec_add(s[r][0], s[r][1]);

		if (unroll == 4)
			sum = vec_add(sum, vec_add(s[r][2], s[r][3]));
		out[r] = metric == METRIC_IP ? -vec_sum(sum) : vec_sum(sum);
	}
}

/* Rows that ids name lie anywhere: no prefetcher of the CPU finds them. */
LOOP void ask_for(const struct distance_rows *r, uint32_t from, size_t vector_bytes)
{
	const size_t bytes = vector_bytes < BATCH_BYTES ? vector_bytes : BATCH_BYTES;
	const char *p[BATCH];

	if (from >= r->n)
		return;
#pragma GCC unroll 4
	for (uint32_t i = 0; i < BATCH; i++)
		p[i] = row_at(r, r->n - from > i ? from + i : from);
	for (size_t b = 0; b < bytes; b += LINE)
#pragma GCC unroll 4
		for (int i = 0; i < BATCH; i++)
			__builtin_prefetch(p[i] + b);
}

/*
 * Rows in order are walked one by one: a single stream is what comes fastest from memory, a page
 * ahead of the CPU's own prefetcher, which stops at the end of each.
 */
LOOP int float_distances(const enum metric metric, const void *query, const struct distance_rows *r,
			 float *out)
{
	const size_t vector_bytes = r ? r->dim * sizeof(float) : 0;
	const float *x[BATCH];
	uint32_t i = 0;

	if (!r || distance_check(query, r, out, vector_bytes))
		return -EINVAL;
	for (; r->ids && i + BATCH <= r->n; i += BATCH) {
		ask_for(r, i + BATCH, vector_bytes);
		ask_for(r, i + 2 * BATCH, vector_bytes);
		for (uint32_t b = 0; b < BATCH; b++)
			x[b] = (const float *)(const void *)row_at(r, i + b);
		float_rows(metric, BATCH, query, x, r->dim, out + i);
	}
	for (; i < r->n; i++) {
		for (size_t b = 0; !r->ids && b < vector_bytes; b += LINE)
			__builtin_prefetch(row_at(r, i) + AHEAD_BYTES + b);
		x[0] = (const float *)(const void *)row_at(r, i);
		float_rows(metric, 1, query, x, r->dim, out + i);
	}
	return 0;
}

LOOP void code_rows(const int rows, const struct distance_code *q,
		    const struct distance_code *const *x, uint32_t dim, float *out)
{
	int32_t dot[BATCH];

	code_dots(rows, q, x, dim, dot);
#pragma GCC unroll 4
	for (int r = 0; r < rows; r++)
		out[r] = q->norm2 + x[r]->norm2 - 2 * (q->scale * x[r]->scale) * (float)dot[r];
}

LOOP int code_distances(const void *query, const struct distance_rows *r, float *out)
{
	const size_t vector_bytes = r ? distance_code_bytes(r->dim) : 0;
	const struct distance_code *x[BATCH];
	uint32_t i = 0;

	if (!r || distance_check(query, r, out, vector_bytes))
		return -EINVAL;
	for (; i + BATCH <= r->n; i += BATCH) {
		ask_for(r, i + BATCH, vector_bytes);
		ask_for(r, i + 2 * BATCH, vector_bytes);
		for (uint32_t b = 0; b < BATCH; b++)
			x[b] = (const struct distance_code *)(const void *)row_at(r, i + b);
		code_rows(BATCH, query, x, r->dim, out + i);
	}
	for (; i < r->n; i++) {
		x[0] = (const struct distance_code *)(const void *)row_at(r, i);
		code_rows(1, query, x, r->dim, out + i);
	}
	return 0;
}

/* Columns at a time: their sums stay in registers while the rows go by. */
LOOP void mean_columns(const int vecs, const struct distance_rows *r, uint32_t at, uint32_t last,
		       float *out)
{
	vec total[8], run[8], share = vec_splat(1 / (float)r->n);

#pragma GCC unroll 8
	for (int v = 0; v < vecs; v++)
		total[v] = vec_zero();
	for (uint32_t from = 0; from < r->n; from += 64) {
		uint32_t to = r->n - from < 64 ? r->n : from + 64;

#pragma GCC unroll 8
		for (int v = 0; v < vecs; v++)
			run[v] = vec_zero();
		for (uint32_t i = from; i < to; i++) {
			const float *x = (const float *)(const void *)row_at(r, i) + at;

			if (r->ids && i + MEAN_AHEAD < r->n)
				for (uint32_t v = 0; v < (uint32_t)vecs * LANES; v += 16)
					__builtin_prefetch((const float *)(const void *)row_at(
								   r, i + MEAN_AHEAD) +
							   at + v);
#pragma GCC unroll 8
			for (int v = 0; v < vecs; v++)
				run[v] = vec_add(run[v], last ? vec_load_first(x, last)
							      : vec_loadu(x + (uint32_t)v * LANES));
		}
#pragma GCC unroll 8
		for (int v = 0; v < vecs; v++)
			total[v] = vec_add(total[v], run[v]);
	}
#pragma GCC unroll 8
	for (int v = 0; v < vecs; v++) {
		total[v] = vec_mul(total[v], share);
		if (last)
			vec_store_first(out + at, total[v], last);
		else
			vec_storeu(out + at + (uint32_t)v * LANES, total[v]);
	}
}

LOOP int mean_of_rows(const struct distance_rows *r, float *out)
{
	uint32_t at = 0;

	if (!r || !r->n || distance_check(out, r, out, r->dim * sizeof(float)))
		return -EINVAL;
	for (; at + 8 * LANES <= r->dim; at += 8 * LANES)
		mean_columns(8, r, at, 0, out);
	for (; at + LANES <= r->dim; at += LANES)
		mean_columns(1, r, at, 0, out);
	if (at < r->dim)
		mean_columns(1, r, at, r->dim - at, out);
	return 0;
}
