/* SPDX-License-Identifier: Apache-2.0 */
/* decode_tiles.h: decode's register tiles over the primitives of one ISA. */

/*
 * Included once by each decode_<isa>.c, after its vec_<isa>.h and these of its own, which turn a
 * pair of vectors' worth of a stored row (PAIR numbers) into two of floats:
 *   load_pair(type, p, &a, &b)	bf16 gives the even numbers in a and the odd ones in b, since
 *				that needs no shuffle; pair_place() says so to what packs q and out
 *   vec_sums(r)		lane i is the sum of r[i]
 *   vec_top(v)			the largest lane; anything when one is NaN
 *   ivec, ivec_zero(), ivec_float(v): vectors of int32
 *   icodes, ivec_codes(p), ivec_dot(codes, q16, acc): acc + products of PAIR codes and as many
 *int16
 *
 * A lane is a dimension: rows of the store are read as they lie, in place, one after the other,
 * and what sums across lanes is shared by VEC_LANES logits at a time. A tile is mr query rows by
 * VEC_LANES / mr keys, so a key that several heads share is loaded (and converted) once for mr of
 * them.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels/decode/decode_state.h"

#define TILE  static inline __attribute__((always_inline))
#define PAIR  (2 * VEC_LANES)
#define LOG2E 1.44269504088896340736

/* Where load_pair puts number e of a pair. */
static inline uint32_t pair_place(enum kv_type type, uint32_t e)
{
	return type == KV_BF16 ? e % 2 * VEC_LANES + e / 2 : e;
}

TILE size_t type_bytes(const enum kv_type type)
{
	return type == KV_F32 ? 4 : type == KV_BF16 ? 2 : 1;
}

/* Like load_pair, of the first n numbers only: the others are zeros and not read. */
static inline const void *load_tail(const enum kv_type type, const char *p, uint32_t n, void *buf)
{
	memset(buf, 0, PAIR * type_bytes(type));
	return memcpy(buf, p, n * type_bytes(type));
}

/* Where key j is in the block of n keys from jb, or its nearer end. */
static inline uint32_t within(uint32_t j, uint32_t jb, uint32_t n)
{
	return j < jb ? 0 : j - jb < n ? j - jb : n;
}

/* Whole pairs of a row of n numbers, and what is left. */
#define WHOLE(n) ((n) / PAIR * PAIR)

/*
 * Tiles that fetch what comes next, line by line from `next` on: one that the hardware sees as a
 * stream, and runs ahead of. Those of a single row read such a stream themselves, and fetch what is
 * a little ahead in it (decode_ahead()). Of int8 a line is too many steps.
 */
#define FETCHES(type, mr) ((mr) > 1 && (type) != KV_I8)

TILE void fetch(const char *p, const size_t bytes)
{
#pragma GCC unroll 16
	for (size_t i = 0; i < bytes; i += 64)
		__builtin_prefetch(p + i);
}

/*
 * One pair of mk keys against the same of mr rows of q. With few keys all of them are loaded first,
 * with many each in its turn: so that the accumulators stay in registers beside them.
 */
TILE void score_step(const enum kv_type type, const int mr, const float *q, size_t q_row,
		     const char *const *key, size_t at, const char *next, vec *acc)
{
	const int mk = VEC_LANES / mr, group = mr == 4 ? mk : 1;

	if (FETCHES(type, mr))
		fetch(next + at * (size_t)mk, (size_t)mk * PAIR * type_bytes(type));
#pragma GCC unroll 16
	for (int u = 0; u < mk; u += group) {
		vec a[VEC_LANES], b[VEC_LANES];

#pragma GCC unroll 16
		for (int i = 0; i < group; i++)
			load_pair(type, key[u + i] + at, &a[i], &b[i]);
#pragma GCC unroll 16
		for (int r = 0; r < mr; r++) {
			vec x = vec_load(q + r * q_row), y = vec_load(q + r * q_row + VEC_LANES);

#pragma GCC unroll 16
			for (int i = 0; i < group; i++)
				acc[r * mk + u + i] = vec_fma(x, a[i], acc[r * mk + u + i]);
#pragma GCC unroll 16
			for (int i = 0; i < group; i++)
				acc[r * mk + u + i] = vec_fma(y, b[i], acc[r * mk + u + i]);
		}
	}
}

/* The logits of a tile to their rows. */
TILE void keep_sums(const int mr, const struct decode_state *t, vec sums, float *s)
{
	const int mk = VEC_LANES / mr;
	_Alignas(64) float x[VEC_LANES];

	if (mr == 1) {
		vec_storeu(s, sums);
		return;
	}
	vec_store(x, sums);
#pragma GCC unroll 16
	for (int i = 0; i < VEC_LANES; i++)
		s[(size_t)(i / mk) * t->stride + i % mk] = x[i];
}

/* s[r][u] = q row r . key u, for mr rows and VEC_LANES / mr keys, of which `keys` exist. */
TILE void score_tile(const enum kv_type type, const int mr, const struct decode_state *t,
		     uint32_t row, uint32_t n, const char *k, size_t k_row, uint32_t keys,
		     const char *next, float *s)
{
	const int mk = VEC_LANES / mr;
	const float *q = t->q + (size_t)row * t->dim;
	_Alignas(64) char tail[VEC_LANES][PAIR * sizeof(float)];
	const char *key[VEC_LANES];
	vec acc[VEC_LANES];
	uint32_t c = 0;

#pragma GCC unroll 16
	for (int u = 0; u < mk; u++)
		key[u] = k + ((uint32_t)u < keys ? (uint32_t)u : 0) * k_row;
#pragma GCC unroll 16
	for (int i = 0; i < VEC_LANES; i++)
		acc[i] = vec_zero();
	for (; c + PAIR <= n; c += PAIR)
		score_step(type, mr, q + c, t->dim, key, c * type_bytes(type), next, acc);
	if (c < n) {
		for (int u = 0; u < mk; u++)
			key[u] = load_tail(type, key[u] + c * type_bytes(type), n - c, tail[u]);
		score_step(type, mr, q + c, t->dim, key, 0, next, acc);
	}
	keep_sums(mr, t, vec_sums(acc), s);
}

/*
 * Logits of one row and as many keys as there are lanes, for a dimension known here: `split`
 * vectors of a key side by side, each with a sum of its own. Long rows are read so, or the next
 * line of each of eight rows is no stream that the hardware would run ahead of. As many bytes are
 * fetched from `ahead` on.
 */
TILE void score_run(const enum kv_type type, const int split, const float *q, const uint32_t n,
		    const char *k, size_t k_row, const char *ahead, float *s)
{
	const int mk = VEC_LANES / split, pairs = split > 2 ? split / 2 : 1;
	vec sums[VEC_LANES];

#pragma GCC unroll 4
	for (int g = 0; g < split; g++, k += (size_t)mk * k_row, ahead += (size_t)mk * k_row) {
		vec acc[VEC_LANES];

#pragma GCC unroll 16
		for (int i = 0; i < VEC_LANES; i++)
			acc[i] = vec_zero();
#pragma GCC unroll 16
		for (uint32_t c = 0; c < n; c += (uint32_t)pairs * PAIR) {
#pragma GCC unroll 16
			for (int i = 0; i < mk * pairs; i++) {
				const uint32_t e = c + (uint32_t)(i % pairs) * PAIR;
				const size_t line = (c / PAIR * (uint32_t)mk + (uint32_t)i) * PAIR *
						    type_bytes(type);
				vec *to = acc + i / pairs * split, a, b;

				if (line % 64 == 0)
					fetch(ahead + line, PAIR * type_bytes(type));
				load_pair(type, k + i / pairs * k_row + e * type_bytes(type), &a,
					  &b);
				to += i % pairs * 2 % split;
				*to = vec_fma(vec_load(q + e), a, *to);
				to += split > 1;
				*to = vec_fma(vec_load(q + e + VEC_LANES), b, *to);
			}
		}
#pragma GCC unroll 16
		for (int u = 0; u < mk; u++) {
			vec *a = acc + u * split, x = a[0];

			if (split == 4)
				x = vec_add(vec_add(a[0], a[1]), vec_add(a[2], a[3]));
			VEC_KEEP(
				x); /* now, or the sums of all take more registers than there are */
			sums[g * mk + u] = x;
		}
	}
	vec_storeu(s, vec_sums(sums));
}

TILE void score_step_i8(const int mr, const int16_t *q, size_t q_row, const char *const *key,
			size_t at, ivec *acc)
{
	const int mk = VEC_LANES / mr;

#pragma GCC unroll 16
	for (int u = 0; u < mk; u++) {
		icodes codes = ivec_codes(key[u] + at);

#pragma GCC unroll 16
		for (int r = 0; r < mr; r++)
			acc[r * mk + u] = ivec_dot(codes, q + r * q_row, acc[r * mk + u]);
	}
}

/* The same in integers, exact: a code times an int16 twice, 2^23 at most, up to 16 of them. */
TILE void score_tile_i8(const int mr, const struct decode_state *t, uint32_t row, uint32_t n,
			const char *k, size_t k_row, uint32_t keys, float *s)
{
	const int mk = VEC_LANES / mr;
	const int16_t *q = t->q16 + (size_t)row * t->dim;
	_Alignas(64) char tail[VEC_LANES][PAIR];
	const char *key[VEC_LANES];
	ivec acc[VEC_LANES];
	vec f[VEC_LANES];
	uint32_t c = 0;

#pragma GCC unroll 16
	for (int u = 0; u < mk; u++)
		key[u] = k + ((uint32_t)u < keys ? (uint32_t)u : 0) * k_row;
#pragma GCC unroll 16
	for (int i = 0; i < VEC_LANES; i++)
		acc[i] = ivec_zero();
	for (; c + PAIR <= n; c += PAIR)
		score_step_i8(mr, q + c, t->dim, key, c, acc);
	if (c < n) {
		for (int u = 0; u < mk; u++)
			key[u] = load_tail(KV_I8, key[u] + c, n - c, tail[u]);
		score_step_i8(mr, q + c, t->dim, key, 0, acc);
	}
#pragma GCC unroll 16
	for (int i = 0; i < VEC_LANES; i++)
		f[i] = ivec_float(acc[i]);
	keep_sums(mr, t, vec_sums(f), s);
}

/*
 * o[r][c] = o[r][c] * factor[r] + sum over n keys of w[r][j] * v[j][c], for mr rows and np pairs.
 * Of several rows `next` is a stream, of a single one as many rows as are read.
 */
TILE void value_tile(const enum kv_type type, const int mr, const int np, const bool tail,
		     const struct decode_state *t, uint32_t row, uint32_t c, const char *v,
		     size_t v_row, uint32_t n, uint32_t left, const float *w, bool first,
		     const char *next)
{
	const size_t share = (size_t)np * PAIR * type_bytes(type);
	vec acc[8][8];
	float *o = t->o + (size_t)row * t->dim + c;

	v += c * type_bytes(type);
	next += mr > 1 ? c * type_bytes(type) * n : 0;
#pragma GCC unroll 16
	for (int r = 0; r < mr; r++) {
		vec f = vec_splat(first ? t->factor[row + r] : 1);

#pragma GCC unroll 16
		for (int x = 0; x < 2 * np; x++)
			acc[r][x] = vec_mul(f, vec_load(o + (size_t)r * t->dim + x * VEC_LANES));
	}
	for (uint32_t j = 0; j < n; j++, v += v_row) {
		_Alignas(64) char buf[PAIR * sizeof(float)];

		if (FETCHES(type, mr))
			fetch(next + j * share, share);
		else if (type != KV_I8)
			fetch(next + j * v_row, share);
#pragma GCC unroll 16
		for (int x = 0; x < np; x++) {
			const char *p = v + (size_t)x * PAIR * type_bytes(type);
			vec a, b;

			load_pair(type, tail ? load_tail(type, p, left, buf) : p, &a, &b);
#pragma GCC unroll 16
			for (int r = 0; r < mr; r++) {
				vec f = vec_splat(w[(size_t)r * t->stride + j]);

				acc[r][2 * x] = vec_fma(f, a, acc[r][2 * x]);
				acc[r][2 * x + 1] = vec_fma(f, b, acc[r][2 * x + 1]);
			}
		}
	}
#pragma GCC unroll 16
	for (int r = 0; r < mr; r++)
#pragma GCC unroll 16
		for (int x = 0; x < 2 * np; x++)
			vec_store(o + (size_t)r * t->dim + x * VEC_LANES, acc[r][x]);
}
