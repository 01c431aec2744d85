/* SPDX-License-Identifier: Apache-2.0 */
/* decode_wide.h: decode of eight rows that share a KV head, with vectors of eight lanes. */

/*
 * Included by a decode_<isa>.c of eight lanes after decode_tiles.h, with these of its own:
 *   vec_splat_pair(p)		two floats, one after the other in all lanes
 *   vec_sum_pairs(a, b)	sums of neighbours, those of a and of b in turn in each 128 bits
 *
 * In scores a lane is one of four rows and one of two dimensions, so that two vectors hold a pair
 * of dimensions of all eight: a key is read once, by broadcasts of a pair that serve 16 products
 * each, and one addition across lanes makes eight logits where decode_tiles.h takes seven. Logits
 * are kept [key][row]: the softmax is vertical, and the weights of a key lie side by side for the
 * values, in which a lane is a dimension again.
 *
 * Both tiles hold 12 sums in 16 registers and load 7 or 8 vectors for 12 products; those of four
 * rows and 8 sums wait for their own results.
 *
 * Of f32 alone: unpacking bf16 and int8 for the broadcasts takes what the tiles gain.
 */
enum { WIDE = 8, WIDE_LEAST = DECODE_WIDE_LEAST, WIDE_KEYS = 6 };

/* Rows that go by eights, a last group filled up; fewer than WIDE_LEAST are better off without. */
static inline uint32_t wide_rows(const enum kv_type type, const struct decode_state *t)
{
	return type == KV_F32 ? (t->rows + WIDE - WIDE_LEAST) / WIDE * WIDE : 0;
}

/* Where number e of a group's row l is in its queries: vec_sum_pairs leaves the rows in order. */
static inline size_t wide_place(uint32_t e, uint32_t l)
{
	return e / 2 * 2 * WIDE + l / 2 % 2 * WIDE + l / 4 * 4 + l % 2 * 2 + e % 2;
}

/* A pair of numbers of mk keys against the same of the group's queries. */
TILE void wide_step(const int mk, const float *q, const char *k, size_t k_row, vec acc[][2])
{
	vec a = vec_load(q), b = vec_load(q + WIDE);

	VEC_KEEP(a); /* or they are loaded again for each key */
	VEC_KEEP(b);
#pragma GCC unroll 8
	for (int u = 0; u < mk; u++) {
		vec x = vec_splat_pair(k + u * k_row);

		acc[u][0] = vec_fma(x, a, acc[u][0]);
		acc[u][1] = vec_fma(x, b, acc[u][1]);
	}
}

/* s[u][r] = key u . row r, n numbers each; a line at `ahead` and beyond is fetched for each pair.
 */
TILE void wide_score_tile(const int mk, const float *q, uint32_t n, const char *k, size_t k_row,
			  const char *ahead, float *s)
{
	vec acc[WIDE_KEYS][2];
	uint32_t e = 0;

#pragma GCC unroll 8
	for (int u = 0; u < mk; u++)
		acc[u][0] = acc[u][1] = vec_zero();
	for (; e + 2 <= n; e += 2, q += 2 * WIDE, k += 2 * sizeof(float), ahead += 64) {
		__builtin_prefetch(ahead);
		wide_step(mk, q, k, k_row, acc);
	}
	if (e < n) {
		float last[WIDE_KEYS][2] = {{0}};

		for (int u = 0; u < mk; u++)
			memcpy(last[u], k + u * k_row, sizeof(float));
		wide_step(mk, q, (const char *)last, sizeof(last[0]), acc);
	}
#pragma GCC unroll 8
	for (int u = 0; u < mk; u++)
		vec_store(s + u * WIDE, vec_sum_pairs(acc[u][0], acc[u][1]));
}

/* While keys are multiplied their values are fetched: those come next. */
static void wide_scores(const struct decode_state *t, const struct decode *d, uint32_t row,
			const struct decode_span *x, uint32_t at)
{
	const size_t k_row = d->kv.row_bytes;
	const float *q = t->q + (size_t)row * t->dim;
	float *s = t->s + (size_t)row * t->stride + (size_t)at * WIDE;
	uint32_t j = 0;

#define WIDE_SCORES(mk)                                                                \
	for (; j + (mk) <= x->n; j += (mk))                                            \
	wide_score_tile(mk, q, d->head_dim, x->k + j * k_row, k_row, x->v + j * k_row, \
			s + (size_t)j * WIDE)
	WIDE_SCORES(WIDE_KEYS);
	WIDE_SCORES(4);
	WIDE_SCORES(2);
	WIDE_SCORES(1);
#undef WIDE_SCORES
}

/* Keys jb .. jb + n - 1 that a row does not see weigh nothing for it. */
static void wide_mask(const struct decode_state *t, const struct decode *d, uint32_t row,
		      uint32_t jb, uint32_t n)
{
	float *s = t->s + (size_t)row * t->stride;
	_Alignas(64) float from[WIDE], end[WIDE];
	bool all = true;

	for (uint32_t l = 0; l < WIDE; l++) {
		uint32_t first = 0, last = d->kv_len;

		if (row + l < t->rows)
			decode_visible(d, row + l, &first, &last);
		from[l] = (float)within(first, jb, n);
		end[l] = (float)within(last, jb, n);
		all &= from[l] == 0 && end[l] == (float)n;
	}
	for (uint32_t j = 0; j < n && !all; j++) {
		const vec at = vec_splat((float)j), hidden = vec_splat(-INFINITY);
		vec x = vec_load(s + (size_t)j * WIDE);

		x = vec_select_less(at, vec_load(from), hidden, x);
		x = vec_select_less(at, vec_load(end), x, hidden);
		vec_store(s + (size_t)j * WIDE, x);
	}
}

/* As softmax_row, of eight rows at once. */
static void wide_softmax(const struct decode_state *t, const struct decode *d, uint32_t row,
			 uint32_t jb, uint32_t n)
{
	float *s = t->s + (size_t)row * t->stride;
	const vec old = vec_load(t->max + row);
	vec top = old, total = vec_zero(), max, factor;

	wide_mask(t, d, row, jb, n);
	for (uint32_t j = 0; j < n; j++)
		top = vec_max(top, vec_load(s + (size_t)j * WIDE));
	max = vec_fix_max(top);
	factor = vec_exp2(vec_sub(old, max));
	for (uint32_t j = 0; j < n; j++) {
		vec p = vec_exp2(vec_sub(vec_load(s + (size_t)j * WIDE), max));

		total = vec_add(total, p);
		vec_store(s + (size_t)j * WIDE, p);
	}
	vec_store(t->max + row, top);
	vec_store(t->factor + row, factor);
	vec_store(t->sum + row, vec_fma(vec_load(t->sum + row), factor, total));
}

/* A group's values of a piece of a block. */
struct wide_values {
	const struct decode_state *t;
	uint32_t row; /* the group's first */
	struct decode_span x;
	size_t v_row;
	const float *w; /* [key][row] */
	bool first;	/* of the block */
};

/*
 * As value_tile, of the group's rows from `from` on and np vectors from c on, the last of `lanes`
 * numbers.
 */
TILE void wide_value_tile(const int mr, const int np, const struct wide_values *g, uint32_t from,
			  uint32_t c, uint32_t lanes)
{
	const size_t dim = g->t->dim, v_row = g->v_row;
	const float *w = g->w + from, *factor = g->t->factor + g->row + from;
	const char *v = g->x.v + c * sizeof(float);
	const char *next = g->x.next + (c * sizeof(float) + (from ? 64 : 0)) * g->x.n;
	float *o = g->t->o + (g->row + from) * dim + c;
	vec acc[WIDE][3];

#pragma GCC unroll 8
	for (int r = 0; r < mr; r++) {
		vec f = vec_splat(g->first ? factor[r] : 1);

#pragma GCC unroll 3
		for (int i = 0; i < np; i++)
			acc[r][i] = vec_mul(f, vec_load(o + (size_t)r * dim + i * VEC_LANES));
	}
	for (uint32_t j = 0; j < g->x.n; j++, v += v_row, next += 64, w += WIDE) {
		vec y[3];

		__builtin_prefetch(next);
#pragma GCC unroll 3
		for (int i = 0; i < np; i++) {
			const float *p = (const float *)(const void *)v + i * VEC_LANES;

			y[i] = np > 1 ? vec_loadu(p) : vec_load_first(p, lanes);
			VEC_KEEP(y[i]); /* or it is loaded again for each row */
		}
#pragma GCC unroll 8
		for (int r = 0; r < mr; r++) {
			const vec p = vec_splat(w[r]);

#pragma GCC unroll 3
			for (int i = 0; i < np; i++)
				acc[r][i] = vec_fma(p, y[i], acc[r][i]);
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < mr; r++)
#pragma GCC unroll 3
		for (int i = 0; i < np; i++)
			vec_store(o + (size_t)r * dim + i * VEC_LANES, acc[r][i]);
}

/* Vectors in threes for four rows, in twos where ones would be left, a single one for eight. */
static void wide_add_values(const struct wide_values *g, uint32_t n)
{
	const uint32_t whole = n / VEC_LANES * VEC_LANES;
	uint32_t c = 0;

	while (c < n) {
		const uint32_t left = (whole - c) / VEC_LANES;

		if (left < 2) {
			wide_value_tile(WIDE, 1, g, 0, c, left ? VEC_LANES : n - c);
			c += VEC_LANES;
		} else if (left == 2 || left == 4) {
			wide_value_tile(4, 2, g, 0, c, VEC_LANES);
			wide_value_tile(4, 2, g, 4, c, VEC_LANES);
			c += 2 * VEC_LANES;
		} else {
			wide_value_tile(4, 3, g, 0, c, VEC_LANES);
			wide_value_tile(4, 3, g, 4, c, VEC_LANES);
			c += 3 * VEC_LANES;
		}
	}
}

/* Keys of a block for all groups. */
static void wide_block_scores(const struct decode_state *t, const struct decode *d, uint32_t g,
			      uint32_t jb, uint32_t n)
{
	struct decode_span span;

	for (uint32_t at = 0; at < n; at += span.n) {
		span = decode_span_at(KV_F32, &d->kv, g, jb + at, jb + n);
		for (uint32_t row = 0; row < wide_rows(KV_F32, t); row += WIDE)
			wide_scores(t, d, row, &span, at);
	}
}

/* And its values, while the keys of the next block are fetched. */
static void wide_block_values(const struct decode_state *t, const struct decode *d, uint32_t g,
			      uint32_t jb, uint32_t n)
{
	struct wide_values v = {.t = t, .v_row = d->kv.row_bytes};

	for (uint32_t at = 0; at < n; at += v.x.n) {
		v.x = decode_span_at(KV_F32, &d->kv, g, jb + at, jb + n);
		v.x.next = decode_next(KV_F32, d, g, &v.x, jb + n + at, true);
		v.first = !at;
		for (v.row = 0; v.row < wide_rows(KV_F32, t); v.row += WIDE) {
			v.w = t->s + (size_t)v.row * t->stride + (size_t)at * WIDE;
			wide_add_values(&v, d->head_dim);
		}
	}
}

/* Keys jb to jb + n of KV head g for all rows that go by eights. */
static void wide_add(const struct decode_state *t, const struct decode *d, uint32_t g, uint32_t jb,
		     uint32_t n)
{
	wide_block_scores(t, d, g, jb, n);
	for (uint32_t row = 0; row < wide_rows(KV_F32, t); row += WIDE)
		wide_softmax(t, d, row, jb, n);
	wide_block_values(t, d, g, jb, n);
}
