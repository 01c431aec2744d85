/* SPDX-License-Identifier: Apache-2.0 */
/* decode_wide_rows.h: what decode_wide.h and decode_wide16.h have in common, included by each. */

enum {
	WIDE = 8,
	WIDE_LEAST = DECODE_WIDE_LEAST,
	WIDE_AHEAD = 8 * VEC_LANES, /* bytes to ask for with each key's values */
};

/* Rows that go by eights, a last group filled up; fewer than WIDE_LEAST are better off without. */
static inline uint32_t wide_rows(const enum kv_type type, const struct decode_state *t)
{
	return type == KV_F32 ? (t->rows + WIDE - WIDE_LEAST) / WIDE * WIDE : 0;
}

/* A few numbers of mk keys, VEC_LANES / 4, against the same of the group's queries. */
TILE void wide_step(const int mk, const float *q, const char *k, size_t k_row, vec acc[][2])
{
	vec a = vec_load(q), b = vec_load(q + VEC_LANES);

	VEC_KEEP(a); /* or they are loaded again for each key */
	VEC_KEEP(b);
#pragma GCC unroll 8
	for (int u = 0; u < mk; u++) {
		vec x = vec_splat_few(k + u * k_row);

		acc[u][0] = vec_fma(x, a, acc[u][0]);
		acc[u][1] = vec_fma(x, b, acc[u][1]);
	}
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

/* Theirs: scores of a piece of a block for a group from `row` on; its softmax; its values. */
static void wide_scores(const struct decode_state *t, const struct decode *d, uint32_t row,
			const struct decode_span *x, uint32_t at);
static void wide_softmax(const struct decode_state *t, const struct decode *d, uint32_t row,
			 uint32_t jb, uint32_t n);
static void wide_add_values(const struct wide_values *g, uint32_t n);

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
	const char *next = g->x.next + (c * sizeof(float) + (from ? WIDE_AHEAD : 0)) * g->x.n;
	float *o = g->t->o + (g->row + from) * dim + c;
	vec acc[WIDE][4];

#pragma GCC unroll 8
	for (int r = 0; r < mr; r++) {
		vec f = vec_splat(g->first ? factor[r] : 1);

#pragma GCC unroll 4
		for (int i = 0; i < np; i++)
			acc[r][i] = vec_mul(f, vec_load(o + (size_t)r * dim + i * VEC_LANES));
	}
	for (uint32_t j = 0; j < g->x.n; j++, v += v_row, next += WIDE_AHEAD, w += WIDE) {
		vec y[4];

		__builtin_prefetch(next);
		if (WIDE_AHEAD > 64)
			__builtin_prefetch(next + 64);
#pragma GCC unroll 4
		for (int i = 0; i < np; i++) {
			const float *p = (const float *)(const void *)v + i * VEC_LANES;

			y[i] = np > 1 ? vec_loadu(p) : vec_load_first(p, lanes);
			VEC_KEEP(y[i]); /* or it is loaded again for each row */
		}
#pragma GCC unroll 8
		for (int r = 0; r < mr; r++) {
			const vec p = vec_splat(w[r]);

#pragma GCC unroll 4
			for (int i = 0; i < np; i++)
				acc[r][i] = vec_fma(p, y[i], acc[r][i]);
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
		for (int i = 0; i < np; i++)
			vec_store(o + (size_t)r * dim + i * VEC_LANES, acc[r][i]);
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
