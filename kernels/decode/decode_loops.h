/* SPDX-License-Identifier: Apache-2.0 */
/* decode_loops.h: decode over the tiles: blocks of keys, online softmax, parts and their merge. */

#define NEAR_FLOATS (VEC_LANES >= 16 ? DECODE_NEAR_FLOATS : DECODE_NEAR_FLOATS / 2)

/* Without a decode_wide all rows go by fours, twos and ones. */
#ifdef DECODE_WIDE
#include DECODE_WIDE
#else
enum { WIDE = 1 };
static inline uint32_t wide_rows(const enum kv_type type, const struct decode_state *t)
{
	return 0;
}
static inline size_t wide_place(uint32_t e, uint32_t l)
{
	return e;
}
static inline void wide_add(const struct decode_state *t, const struct decode *d, uint32_t g,
			    uint32_t jb, uint32_t n)
{
}
#endif

/*
 * A single row of a type and dimension known here: what is around the loads decides how far ahead
 * of the arithmetic they run, and so how much memory is on its way. Hence also functions of their
 * own, with all registers to themselves.
 */
TILE void scores_run(const enum kv_type type, const uint32_t dim, const struct decode_state *t,
		     uint32_t row, const char *k, const char *ahead, float *s)
{
	const size_t k_row = dim * type_bytes(type);

	if (type == KV_I8)
		score_tile_i8(1, t, row, dim, k, k_row, VEC_LANES, s);
	else
		score_run(type, dim > 64 ? 4 : 1, t->q + (size_t)row * t->dim, dim, k, k_row, ahead,
			  s);
}

/* The last keys by way of a whole tile: sums are in the same order wherever a page ends. */
TILE void scores_stream(const enum kv_type type, const uint32_t dim, const struct decode_state *t,
			uint32_t row, const struct decode_span *span, uint32_t at)
{
	const size_t k_row = dim * type_bytes(type);
	const char *k = span->k;
	float *s = t->s + (size_t)row * t->stride + at;
	uint32_t left = span->n;

	for (; left >= VEC_LANES; left -= VEC_LANES, k += VEC_LANES * k_row, s += VEC_LANES)
		scores_run(type, dim, t, row, k, k + t->ahead, s);
	if (left) {
		_Alignas(64) char rows[VEC_LANES * 128 * sizeof(float)] = {0};

		memcpy(rows, k, left * k_row);
		scores_run(type, dim, t, row, rows, k, s);
	}
}

#define STREAM __attribute__((noinline)) static
#define DEFINE_STREAM(type, dims)                                                       \
	STREAM void scores_##type##_##dims(const struct decode_state *t, uint32_t row,  \
					   const struct decode_span *span, uint32_t at) \
	{                                                                               \
		scores_stream(type, dims, t, row, span, at);                            \
	}
DEFINE_STREAM(KV_F32, 64)
DEFINE_STREAM(KV_F32, 128)
DEFINE_STREAM(KV_BF16, 64)
DEFINE_STREAM(KV_BF16, 128)
DEFINE_STREAM(KV_I8, 64)
DEFINE_STREAM(KV_I8, 128)

#define DEFINE_VALUES(type)                                                                       \
	STREAM void values_##type(const struct decode_state *t, uint32_t row, uint32_t c,         \
				  const struct decode_span *span, size_t v_row, const float *w,   \
				  bool first, const char *next)                                   \
	{                                                                                         \
		value_tile(type, 1, VALUE_PAIRS(1), false, t, row, c, span->v, v_row, span->n, 0, \
			   w, first, next);                                                       \
	}
DEFINE_VALUES(KV_F32)
DEFINE_VALUES(KV_BF16)
DEFINE_VALUES(KV_I8)

/* False when the dimension, or the distance of rows, is another. */
TILE bool scores_one_row(const enum kv_type type, const struct decode_state *t, uint32_t row,
			 uint32_t n, const struct decode_span *span, size_t k_row, uint32_t at)
{
	typedef void scores_fn(const struct decode_state *t, uint32_t row,
			       const struct decode_span *span, uint32_t at);
	static scores_fn *const by_type[KV_TYPES][2] = {
		[KV_F32] = {scores_KV_F32_64, scores_KV_F32_128},
		[KV_BF16] = {scores_KV_BF16_64, scores_KV_BF16_128},
		[KV_I8] = {scores_KV_I8_64, scores_KV_I8_128},
	};

	if ((n != 64 && n != 128) || k_row != n * type_bytes(type))
		return false;
	by_type[type][n == 128](t, row, span, at);
	return true;
}

/* Values of a single row, of as many dimensions as a tile holds. */
TILE void values_one_row(const enum kv_type type, const struct decode_state *t, uint32_t row,
			 uint32_t c, const struct decode_span *span, size_t v_row, const float *w,
			 bool first, const char *next)
{
	if (type == KV_F32)
		values_KV_F32(t, row, c, span, v_row, w, first, next);
	else if (type == KV_BF16)
		values_KV_BF16(t, row, c, span, v_row, w, first, next);
	else
		values_KV_I8(t, row, c, span, v_row, w, first, next);
}

/*
 * What a single row's tile at c fetches: what is ahead in the same columns; or, of rows of several
 * whole tiles, the part that comes next, since parts are no stream to the hardware: of the same
 * keys, and in the end the first of those to come.
 */
TILE const char *values_next(const enum kv_type type, const struct decode_state *t, uint32_t n,
			     const struct decode_span *span, size_t v_row, uint32_t c)
{
	const uint32_t tile = VALUE_PAIRS(1) * PAIR;

	if (n <= tile || n % tile)
		return span->v + c * type_bytes(type) + t->ahead;
	if (c + tile < n)
		return span->v + (c + tile) * type_bytes(type);
	return span->v + span->n * v_row;
}

/* Rows of the pass in fours, twos and ones; keys in as many as a tile takes. */
TILE void scores_rows(const enum kv_type type, const int mr, const struct decode_state *t,
		      uint32_t row, uint32_t n, const struct decode_span *span, size_t k_row,
		      uint32_t at)
{
	const uint32_t mk = VEC_LANES / mr;

	if (mr == 1 && scores_one_row(type, t, row, n, span, k_row, at))
		return;
	for (uint32_t j = 0; j < span->n; j += mk) {
		float *s = t->s + (size_t)row * t->stride + at + j;
		const char *k = span->k + j * k_row;
		uint32_t keys = span->n - j;

		/* A single row is bound by what is around its loads: whole tiles check nothing. */
		if (type == KV_I8 && mr == 1 && keys >= mk)
			score_tile_i8(mr, t, row, n, k, k_row, mk, s);
		else if (type == KV_I8)
			score_tile_i8(mr, t, row, n, k, k_row, keys, s);
		else if (mr == 1 && keys >= mk)
			score_tile(type, mr, t, row, n, k, k_row, mk, span->next + j * k_row, s);
		else
			score_tile(type, mr, t, row, n, k, k_row, keys, span->next + j * k_row, s);
	}
}

TILE void values_keys(const enum kv_type type, const int mr, const struct decode_state *t,
		      uint32_t row, uint32_t n, const struct decode_span *span, size_t v_row,
		      const float *w, bool first)
{
	const uint32_t whole = WHOLE(n);
	const int np = VALUE_PAIRS(mr);
	const char *next = span->next;
	uint32_t c = 0;

	for (; c + np * PAIR <= whole; c += np * PAIR) {
		if (mr == 1)
			values_one_row(type, t, row, c, span, v_row, w, first,
				       values_next(type, t, n, span, v_row, c));
		else
			value_tile(type, mr, np, false, t, row, c, span->v, v_row, span->n, 0, w,
				   first, next);
	}
	for (; c < n; c += PAIR) {
		if (mr == 1)
			next = values_next(type, t, n, span, v_row, c);
		if (c < whole)
			value_tile(type, mr, 1, false, t, row, c, span->v, v_row, span->n, 0, w,
				   first, next);
		else
			value_tile(type, mr, 1, true, t, row, c, span->v, v_row, span->n, n - c, w,
				   first, next);
	}
}

/* Keys that a single row of more than one tile takes at once: 16 KiB of values, that stay near. */
enum { VALUE_KEYS = 32 };

TILE void values_rows(const enum kv_type type, const int mr, const struct decode_state *t,
		      uint32_t row, uint32_t n, const struct decode_span *span, size_t v_row,
		      uint32_t at)
{
	const float *w = t->s + (size_t)row * t->stride + at;
	struct decode_span piece = *span;

	if (mr > 1 || n <= VALUE_PAIRS(1) * PAIR) {
		values_keys(type, mr, t, row, n, span, v_row, w, !at);
		return;
	}
	for (uint32_t j = 0; j < span->n; j += VALUE_KEYS, piece.v += VALUE_KEYS * v_row) {
		piece.n = span->n - j < VALUE_KEYS ? span->n - j : VALUE_KEYS;
		values_keys(type, mr, t, row, n, &piece, v_row, w + j, !at && !j);
	}
}

/*
 * Logits of one row and block to weights; `n` computed, of which the row sees from..seen - 1. The
 * first of the values, from `ahead` on, are fetched meanwhile: memory would have a rest.
 */
TILE void softmax_row(const enum kv_type type, const struct decode_state *t, uint32_t r, uint32_t n,
		      uint32_t from, uint32_t seen, const char *ahead)
{
	float *s = t->s + (size_t)r * t->stride;
	const uint32_t end = (n + VEC_LANES - 1) / VEC_LANES * VEC_LANES;
	vec top = vec_splat(-INFINITY), total = vec_zero(), m;
	const vec scale = vec_splat(type == KV_I8 ? t->q_scale[r] : 1);
	float old = t->max[r], max;

	if (type == KV_I8)
		for (uint32_t j = 0; j < n; j += VEC_LANES)
			vec_store(s + j, vec_mul(vec_load(s + j),
						 vec_mul(scale, vec_load(t->k_scale + j))));
	for (uint32_t j = 0; j < from; j++)
		s[j] = -INFINITY;
	for (uint32_t j = seen; j < end; j++)
		s[j] = -INFINITY;
	for (uint32_t j = 0; j < end; j += VEC_LANES)
		top = vec_max(top, vec_load(s + j));
	max = vec_top(top);
	max = old > max ? old : max;
	t->max[r] = max;
	m = vec_fix_max(vec_splat(max));
	for (uint32_t j = 0; j < end; j += VEC_LANES) {
		vec p = vec_exp2(vec_sub(vec_load(s + j), m));

		__builtin_prefetch(ahead + (size_t)j / VEC_LANES * 64);

		total = vec_add(total, p);
		if (type == KV_I8)
			p = vec_mul(p, vec_load(t->v_scale + j));
		vec_store(s + j, p);
	}
	t->factor[r] = exp2f(old - (max == -INFINITY ? 0 : max));
	t->sum[r] = t->sum[r] * t->factor[r] + vec_sum(total);
}

/* Keys jb to jb + n of KV head g. */
TILE void block_add(const enum kv_type type, const struct decode_state *t, const struct decode *d,
		    uint32_t g, uint32_t jb, uint32_t n)
{
	const size_t kv_row = d->kv.row_bytes;
	const uint32_t dim = d->head_dim, wide = wide_rows(type, t);
	struct decode_span span;
	const char *v;

	if (wide)
		wide_add(t, d, g, jb, n);
	if (wide >= t->rows)
		return;
	for (uint32_t at = 0, r = wide; at < n; at += span.n, r = wide) {
		span = decode_span_at(type, &d->kv, g, jb + at, jb + n);
		span.next = decode_next(type, d, g, &span, jb + n + at, false);
		if (type == KV_I8) {
			memcpy(t->k_scale + at, span.k_scale, span.n * sizeof(float));
			memcpy(t->v_scale + at, span.v_scale, span.n * sizeof(float));
		}
		for (; r + 4 <= t->rows; r += 4)
			scores_rows(type, 4, t, r, dim, &span, kv_row, at);
		for (; r + 2 <= t->rows; r += 2)
			scores_rows(type, 2, t, r, dim, &span, kv_row, at);
		for (; r < t->rows; r++)
			scores_rows(type, 1, t, r, dim, &span, kv_row, at);
	}
	v = decode_span_at(type, &d->kv, g, jb, jb + n).v;
	for (uint32_t r = wide; r < t->rows; r++) {
		uint32_t first, last;

		decode_visible(d, r, &first, &last);
		softmax_row(type, t, r, n, within(first, jb, n), within(last, jb, n), v);
	}
	for (uint32_t at = 0, r = wide; at < n; at += span.n, r = wide) {
		span = decode_span_at(type, &d->kv, g, jb + at, jb + n);
		span.next = decode_next(type, d, g, &span, jb + n + at, true);
		for (; r + 4 <= t->rows; r += 4)
			values_rows(type, 4, t, r, dim, &span, kv_row, at);
		for (; r + 2 <= t->rows; r += 2)
			values_rows(type, 2, t, r, dim, &span, kv_row, at);
		for (; r < t->rows; r++)
			values_rows(type, 1, t, r, dim, &span, kv_row, at);
	}
}

static void block_add_f32(const struct decode_state *t, const struct decode *d, uint32_t g,
			  uint32_t jb, uint32_t n)
{
	block_add(KV_F32, t, d, g, jb, n);
}

static void block_add_bf16(const struct decode_state *t, const struct decode *d, uint32_t g,
			   uint32_t jb, uint32_t n)
{
	block_add(KV_BF16, t, d, g, jb, n);
}

static void block_add_i8(const struct decode_state *t, const struct decode *d, uint32_t g,
			 uint32_t jb, uint32_t n)
{
	block_add(KV_I8, t, d, g, jb, n);
}

/* A row of q, times scale * log2(e), in the order that load_pair reads the store in. */
static void pack_row(const struct decode *d, struct decode_state *t, uint32_t r, const float *q)
{
	const float scale = (float)(d->scale * LOG2E);
	float *x = t->q + (size_t)r * t->dim, max = 0, bad = 0;

	for (uint32_t e = 0; e < d->head_dim; e++) {
		float f = q[e] * scale;

		x[e / PAIR * PAIR + pair_place(d->kv.type, e % PAIR)] = f;
		max = fabsf(f) > max ? fabsf(f) : max;
		bad += f * 0;
	}
	if (d->kv.type != KV_I8)
		return;
	t->q_scale[r] = bad == 0 ? max / 32767 : NAN;
	for (uint32_t e = 0; e < t->dim; e++)
		t->q16[(size_t)r * t->dim + e] =
			(int16_t)(bad == 0 && max >= 0x1p-110f ? lrintf(x[e] / max * 32767) : 0);
}

/* The same of a row of f32 that goes with seven others. */
static void pack_wide(const struct decode *d, struct decode_state *t, uint32_t r, const float *q)
{
	float *x = t->q + (size_t)(r / WIDE * WIDE) * t->dim;

	for (uint32_t e = 0; e < d->head_dim; e++)
		x[wide_place(e, r % WIDE)] = q[e] * (float)(d->scale * LOG2E);
}

static void part_start(struct decode_state *t, const struct decode *d, uint32_t g, void *mem)
{
	const uint32_t shared = d->heads / d->kv_heads;

	decode_state_init(t, d, NEAR_FLOATS, mem);
	t->ahead = decode_ahead(d, VEC_LANES);
	memset(t->q, 0, t->room * (size_t)t->dim * sizeof(float));
	memset(t->o, 0, t->room * (size_t)t->dim * sizeof(float));
	for (uint32_t r = 0; r < t->room; r++) {
		t->max[r] = -INFINITY;
		t->sum[r] = 0;
	}
	for (uint32_t r = 0; r < t->rows; r++) {
		uint32_t h = g * shared + r % shared;
		const float *q = d->q + h * d->q_head + r / shared * d->q_row;

		if (r < wide_rows(d->kv.type, t))
			pack_wide(d, t, r, q);
		else
			pack_row(d, t, r, q);
	}
}

/* Cut `cut` of KV head g's keys. */
static void part_run(struct decode_state *t, const struct decode *d, uint32_t g, uint32_t cut,
		     uint32_t cuts)
{
	/* Whole blocks a part. */
	const uint32_t first = decode_first_key(d);
	uint32_t blocks = (d->kv_len - first + t->block - 1) / t->block;
	uint32_t from = first + (uint32_t)((uint64_t)blocks * cut / cuts) * t->block;
	uint32_t to = first + (uint32_t)((uint64_t)blocks * (cut + 1) / cuts) * t->block;

	to = to > d->kv_len ? d->kv_len : to;
	for (uint32_t j = from; j < to; j += t->block) {
		uint32_t n = to - j < t->block ? to - j : t->block;

		if (d->kv.type == KV_F32)
			block_add_f32(t, d, g, j, n);
		else if (d->kv.type == KV_BF16)
			block_add_bf16(t, d, g, j, n);
		else
			block_add_i8(t, d, g, j, n);
	}
}

/* Adds part b to a: exact but for rounding, since a sum of exponentials knows its maximum. */
static void part_merge(struct decode_state *a, const struct decode_state *b)
{
	for (uint32_t r = 0; r < a->rows; r++) {
		float max = a->max[r] > b->max[r] ? a->max[r] : b->max[r];
		float fix = max == -INFINITY ? 0 : max;
		float wa = exp2f(a->max[r] - fix), wb = exp2f(b->max[r] - fix);
		float *o = a->o + (size_t)r * a->dim;

		a->max[r] = max;
		a->sum[r] = a->sum[r] * wa + b->sum[r] * wb;
		for (uint32_t c = 0; c < a->dim; c++)
			o[c] = o[c] * wa + b->o[(size_t)r * a->dim + c] * wb;
	}
}

/*
 * A row that is NaN though its sum is not may be so by the value of a key that only later queries
 * see, which weighed 0 for it: then by itself, once more.
 */
static void mend_row(const struct decode *d, uint32_t g, uint32_t r, const float *out, float sum)
{
	bool bad = false;

	for (uint32_t e = 0; e < d->head_dim; e++)
		bad |= out[e] != out[e];
	if (bad && sum == sum)
		decode_row(d, g, r);
}

static void part_finish(const struct decode_state *t, const struct decode *d, uint32_t g)
{
	const uint32_t shared = d->heads / d->kv_heads;

	for (uint32_t r = 0; r < t->rows; r++) {
		float *out = d->out + (g * shared + r % shared) * d->o_head + r / shared * d->o_row;
		const float *o = t->o + (size_t)r * t->dim;
		float inverse = t->sum[r] == 0 ? 0 : 1 / t->sum[r];

		for (uint32_t e = 0; e < d->head_dim; e++)
			out[e] = o[e / PAIR * PAIR + pair_place(d->kv.type, e % PAIR)] * inverse;
		if (d->q_len > 1)
			mend_row(d, g, r, out, t->sum[r]);
	}
}

/* Worker w of `workers`: every workers-th part, each in a state of its own when heads are cut. */
static void work(const struct decode *d, char *scratch, uint32_t w, uint32_t workers)
{
	const uint32_t cuts = decode_cuts(d), parts = d->kv_heads * cuts;
	const size_t bytes = decode_state_bytes(d);

	for (uint32_t i = w; i < parts; i += workers) {
		struct decode_state t;

		part_start(&t, d, i / cuts, scratch + (cuts > 1 ? i : w) * bytes);
		part_run(&t, d, i / cuts, i % cuts, cuts);
		if (cuts == 1)
			part_finish(&t, d, i);
	}
}

static int decode(const struct decode *d, void *scratch, size_t scratch_bytes)
{
	uint32_t workers, cuts;
	int err = decode_check(d);

	if (err)
		return err;
	if (!scratch || (uintptr_t)scratch % DECODE_ALIGN || scratch_bytes < decode_scratch(d))
		return -EINVAL;
	workers = d->threads > 1 ? d->threads : 1;
	cuts = decode_cuts(d);
#pragma omp parallel for num_threads(workers) schedule(static, 1) if (workers > 1)
	for (uint32_t w = 0; w < workers; w++)
		work(d, scratch, w, workers);
	for (uint32_t g = 0; cuts > 1 && g < d->kv_heads; g++) {
		char *mem = (char *)scratch + g * cuts * decode_state_bytes(d);
		struct decode_state t, part;

		decode_state_init(&t, d, NEAR_FLOATS, mem);
		for (uint32_t c = 1; c < cuts; c++) {
			decode_state_init(&part, d, NEAR_FLOATS, mem + c * decode_state_bytes(d));
			part_merge(&t, &part);
		}
		part_finish(&t, d, g);
	}
	return 0;
}
