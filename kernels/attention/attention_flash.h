/* SPDX-License-Identifier: Apache-2.0 */
/* attention_flash.h: a block of queries over the tiles, and flash attention; after
 * attention_tiles.h. */

#define LOG2E		1.44269504088896340736
#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))

#define MAX_SPANS	(ATTENTION_MAX_BLOCK_Q / VEC_LANES / 2)

#include "kernels/attention/attention_mend.h"

/* The queries under way: rows i0 .. i0 + rows - 1 of head h, cut into spans. */
struct block {
	const struct attention *a;
	const float *k, *v; /* of the head's first key */
	float *mem;	    /* spans' queries, outputs, [4][bq] of state, a span's scores */
	uint32_t h, i0, rows;
	uint32_t bq; /* rows that mem is for */
	uint32_t spans;
	uint32_t left; /* blocks of keys after the one under way */
	struct span span[MAX_SPANS];
};

/* A square of q with n dimensions and `rows` rows, no more than lanes, turned; zeros beyond. */
static void load_part(vec r[VEC_LANES], const float *q, size_t q_row, uint32_t rows, uint32_t n,
		      vec scale)
{
	for (uint32_t l = 0; l < VEC_LANES; l++)
		r[l] = l < rows ? vec_mul(vec_load_first(q + l * q_row, n), scale) : vec_zero();
	vec_transpose(r);
}

/*
 * Rows of q to the transposed span; absent rows are zeros. So many short rows at once are more
 * streams than the hardware fetches ahead: the next vector's are asked for here.
 */
static void load_queries(const struct span *t, const float *q, size_t q_row, uint32_t rows,
			 float scale)
{
	const size_t width = t->vecs * VEC_LANES;
	const vec f = vec_splat(scale);
	vec r[VEC_LANES];

	for (uint32_t i = 0; i < width; i += VEC_LANES, q += VEC_LANES * q_row) {
		const uint32_t m = rows > i ? rows - i : 0;

		for (uint32_t d = 0; d < t->dim; d += VEC_LANES) {
			const uint32_t n = t->dim - d < VEC_LANES ? t->dim - d : VEC_LANES;
			float *to = t->qt + d * width + i;

			for (uint32_t l = 0; d % LINE == 0 && l < VEC_LANES; l++)
				__builtin_prefetch(q + (VEC_LANES + l) * q_row + d);
			if (m >= VEC_LANES && n == VEC_LANES)
				vec_load_turned(r, q + d, q_row, f);
			else
				load_part(r, q + d, q_row, m, n, f);
#pragma GCC unroll 16
			for (uint32_t l = 0; l < VEC_LANES; l++)
				if (l < n)
					vec_store(to + l * width, r[l]);
		}
	}
}

/* A square of the output with n dimensions and `rows` rows, turned back; its sum. */
static vec store_part(const float *ot, size_t width, vec factor, float *o, size_t o_row,
		      uint32_t rows, uint32_t n)
{
	vec r[VEC_LANES];

	for (uint32_t l = 0; l < VEC_LANES; l++)
		r[l] = l < n ? vec_mul(factor, vec_load(ot + l * width)) : vec_zero();
	vec_transpose(r);
	for (uint32_t l = 0; l < VEC_LANES && l < rows; l++)
		vec_store_first(o + l * o_row, r[l], n);
	return square_sum(r);
}

/* False when some of it may be NaN. */
static bool store_output(const struct span *t, float *o, size_t o_row, uint32_t rows)
{
	const size_t width = t->vecs * VEC_LANES;
	vec r[VEC_LANES], all = vec_zero();
	float sum;

	for (uint32_t i = 0; i < rows; i += VEC_LANES, o += VEC_LANES * o_row) {
		const vec f = vec_div(vec_splat(1), vec_nonzero(vec_load(t->sum + i)));

		for (uint32_t d = 0; d < t->dim; d += VEC_LANES) {
			const uint32_t n = t->dim - d < VEC_LANES ? t->dim - d : VEC_LANES;
			const float *ot = t->ot + d * width + i;

			for (uint32_t l = 0; d % LINE == 0 && l < VEC_LANES; l++)
				__builtin_prefetch(o + (VEC_LANES + l) * o_row + d, 1);
			if (rows - i < VEC_LANES || n < VEC_LANES) {
				all = vec_add(all,
					      store_part(ot, width, f, o + d, o_row, rows - i, n));
				continue;
			}
			vec_load_turned(r, ot, width, f);
			all = vec_add(all, square_sum(r));
#pragma GCC unroll 16
			for (uint32_t l = 0; l < VEC_LANES; l++)
				vec_storeu(o + l * o_row + d, r[l]);
		}
	}
	sum = vec_sum(all);
	return sum == sum;
}

/* Natural log of each query's sum of exponentials; the tiles' maximum and sum are in base 2. */
static void store_lse(const struct span *t, float *lse, uint32_t rows)
{
	for (uint32_t i = 0; lse && i < rows; i++)
		lse[i] = t->sum[i] == 0 ? -INFINITY
					: (float)((t->max[i] + log2f(t->sum[i])) / LOG2E);
}

static uint32_t clamp(int64_t x, uint32_t max)
{
	return x < 0 ? 0 : x > max ? max : (uint32_t)x;
}

/* How many of n keys from jb each vector of queries from i0 sees, and where a mask has work. */
static void set_limits(struct span *t, const struct attention *a, uint32_t i0, int64_t jb,
		       uint32_t n)
{
	for (uint32_t c = 0; c < t->vecs; c++) {
		/* Keys up to the position of the vector's first query. */
		int64_t keys = (int64_t)i0 + c * VEC_LANES + a->kv_len - a->q_len + 1 - jb;

		t->seen[c] = a->causal ? clamp(keys, n) : n;
		t->limit[c] = a->causal ? clamp(keys + VEC_LANES - 1, n) : n;
		t->faded[c] = a->window ? clamp(keys + VEC_LANES - 1 - a->window, n) : 0;
	}
	/* Whole tiles, or all. */
	t->open = t->seen[0] < n ? t->seen[0] - t->seen[0] % TILE_KEYS(t->vecs) : n;
}

/* The maximum of m and of vector c's scores from key j on. */
static void take_top(const struct span *t, uint32_t c, vec m, uint32_t j)
{
	const size_t width = t->vecs * VEC_LANES;
	const float *s = t->st + c * VEC_LANES;
	vec m1 = m;

	for (; j + 2 <= t->limit[c]; j += 2) {
		m = vec_max(m, vec_load(s + j * width));
		m1 = vec_max(m1, vec_load(s + (j + 1) * width));
	}
	if (j < t->limit[c])
		m = vec_max(m, vec_load(s + j * width));
	vec_store(t->top + c * VEC_LANES, vec_max(m, m1));
}

/*
 * Key `seen + x` is hidden from the lanes below it; one that fades, from the lanes past it. The
 * tiles took the maximum of hidden scores too, so a vector that hides any takes it again: from the
 * keys that hide none on, where alpha holds what it was.
 */
static void mask_scores(const struct span *t, const struct attention *a, uint32_t i0, int64_t jb)
{
	const size_t width = t->vecs * VEC_LANES;

	for (uint32_t c = 0; c < t->vecs; c++) {
		float *s = t->st + c * VEC_LANES;
		int64_t at = jb - ((int64_t)i0 + c * VEC_LANES + a->kv_len - a->q_len);

		if (t->seen[c] == t->limit[c] && !t->faded[c])
			continue;
		for (uint32_t j = t->seen[c]; j < t->limit[c]; j++)
			vec_store(s + j * width,
				  vec_keep_from(vec_load(s + j * width), (uint32_t)(at + j)));
		for (uint32_t j = 0; j < t->faded[c]; j++)
			vec_store(s + j * width,
				  vec_keep_first(vec_load(s + j * width),
						 clamp(at + j + a->window, VEC_LANES)));
		if (t->faded[c])
			take_top(t, c, vec_load(t->max + c * VEC_LANES), 0);
		else
			take_top(t, c, vec_load(t->alpha + c * VEC_LANES), t->open);
	}
}

static void softmax_span(const struct span *t)
{
	const size_t width = t->vecs * VEC_LANES;

	for (uint32_t c = 0; c < t->vecs; c++) {
		const size_t at = c * VEC_LANES;
		const uint32_t n = t->limit[c];
		vec m = vec_load(t->top + at), old = vec_load(t->max + at);
		vec l0 = vec_zero(), l1 = vec_zero(), alpha;
		float *s = t->st + at;
		uint32_t j;

		vec_store(t->max + at, m);
		m = vec_fix_max(m);
		alpha = vec_exp2(vec_sub(old, m));
		for (j = 0; j + 2 <= n; j += 2, s += 2 * width) {
			vec p0 = vec_exp2(vec_sub(vec_load(s), m));
			vec p1 = vec_exp2(vec_sub(vec_load(s + width), m));

			vec_store(s, p0);
			vec_store(s + width, p1);
			l0 = vec_add(l0, p0);
			l1 = vec_add(l1, p1);
		}
		if (j < n) {
			vec p0 = vec_exp2(vec_sub(vec_load(s), m));

			vec_store(s, p0);
			l0 = vec_add(l0, p0);
		}
		vec_store(t->alpha + at, alpha);
		vec_store(t->sum + at, vec_fma(vec_load(t->sum + at), alpha, vec_add(l0, l1)));
	}
}

/*
 * Keys in segments: on the diagonal the vectors of earlier queries drop out one by one, so work is
 * skipped a vector (not a block) at a time.
 */
static void scores_span(const struct span *t, const float *k, size_t k_row, const float *ahead,
			size_t ahead_row)
{
	const size_t bytes = t->vecs * VEC_LANES * sizeof(float);
	uint32_t j = t->open;

	memcpy(t->top, t->max, bytes);
	if (j)
		scores(t, 0, k, k_row, ahead, ahead_row, 0, j);
	memcpy(t->alpha, t->top, bytes);
	for (uint32_t c = 0; c < t->vecs; c++) {
		if (t->limit[c] <= j)
			continue;
		scores(t, c, k + j * k_row, k_row, ahead + j * ahead_row, ahead_row, j,
		       t->limit[c] - j);
		j = t->limit[c];
	}
}

/* Floats of a block's memory before its scores. */
static size_t block_floats(size_t dim, uint32_t bq)
{
	return (2 * dim + 4) * bq;
}

/* Cuts the queries into spans as even as can be: a narrow one leaves multipliers idle. */
static void block_init(struct block *b, uint32_t h, uint32_t i0, uint32_t rows)
{
	const struct attention *a = b->a;
	const uint32_t kv = h / (a->heads / a->kv_heads), dim = a->head_dim, bq = b->bq;
	const uint32_t vecs = (rows + VEC_LANES - 1) / VEC_LANES;
	float *ot = b->mem + (size_t)dim * bq, *state = ot + (size_t)dim * bq;

	b->h = h;
	b->i0 = i0;
	b->rows = rows;
	b->k = a->k + kv * a->k_head;
	b->v = a->v + kv * a->v_head;
	b->spans = (vecs + SPAN_VECS - 1) / SPAN_VECS;
	for (uint32_t i = 0, at = 0; i < b->spans; i++) {
		struct span *t = &b->span[i];

		t->vecs = vecs / b->spans + (i < vecs % b->spans);
		t->dim = dim;
		t->qt = b->mem + (size_t)dim * at;
		t->ot = ot + (size_t)dim * at;
		t->max = state + at;
		t->sum = t->max + bq;
		t->alpha = t->sum + bq;
		t->top = t->alpha + bq;
		t->st = b->mem + block_floats(dim, bq);
		at += t->vecs * VEC_LANES;
	}
}

/* Nothing seen so far; the output is written by the first keys. */
static void span_start(struct span *t)
{
	const uint32_t width = t->vecs * VEC_LANES;

	t->fresh = true;
	memset(t->sum, 0, width * sizeof(float));
	for (uint32_t l = 0; l < width; l++)
		t->max[l] = -INFINITY;
}

/* Zeros where no keys came. */
static void span_clear(struct span *t)
{
	if (t->fresh)
		memset(t->ot, 0, (size_t)t->dim * t->vecs * VEC_LANES * sizeof(float));
	t->fresh = false;
}

static void block_start(struct block *b)
{
	const struct attention *a = b->a;
	const float *q = a->q + b->h * a->q_head + b->i0 * a->q_row;

	for (uint32_t i = 0, at = 0; i < b->spans; i++) {
		load_queries(&b->span[i], q + at * a->q_row, a->q_row, b->rows - at,
			     (float)(a->scale * LOG2E));
		span_start(&b->span[i]);
		at += b->span[i].vecs * VEC_LANES;
	}
}

/* The lane of the head's last query, when the span that begins with query i has it; else -1. */
static int64_t last_query(const struct attention *a, const struct span *t, uint32_t i)
{
	const int64_t lane = (int64_t)a->q_len - 1 - i;

	return a->weights && lane >= 0 && lane < t->vecs * VEC_LANES ? lane : -1;
}

/* Its logits of n keys from jb, of which it sees all that the window does not hide. */
static void keep_logits(const struct block *b, const struct span *t, uint32_t i, uint32_t jb,
			uint32_t n)
{
	const int64_t lane = last_query(b->a, t, i);
	const size_t width = t->vecs * VEC_LANES;

	if (lane < 0)
		return;
	for (uint32_t j = 0; j < n; j++)
		b->a->weights[(size_t)b->h * b->a->kv_len + jb + j] = t->st[j * width + lane];
}

/* Its logits to weights. */
static void keep_weights(const struct block *b, const struct span *t, uint32_t i)
{
	const struct attention *a = b->a;
	const int64_t lane = last_query(a, t, i);
	float *w = a->weights + (size_t)b->h * a->kv_len;
	uint32_t first, end;
	vec max, inv;

	if (lane < 0)
		return;
	attention_visible(a, a->q_len - 1, &first, &end);
	memset(w, 0, first * sizeof(*w));
	max = vec_fix_max(vec_splat(t->max[lane]));
	inv = vec_div(vec_splat(1), vec_nonzero(vec_splat(t->sum[lane])));
	for (uint32_t j = first; j < end; j += VEC_LANES) {
		const uint32_t m = end - j < VEC_LANES ? end - j : VEC_LANES;
		const vec p = vec_exp2(vec_sub(vec_load_first(w + j, m), max));

		vec_store_first(w + j, vec_mul(p, inv), m);
	}
}

static void block_finish(struct block *b)
{
	const struct attention *a = b->a;

	for (uint32_t i = 0, at = 0; i < b->spans; i++) {
		struct span *t = &b->span[i];
		const uint32_t width = t->vecs * VEC_LANES;
		const uint32_t rows = b->rows - at < width ? b->rows - at : width;
		const size_t row = b->i0 + at;

		span_clear(t);
		if (!store_output(t, a->out + b->h * a->o_head + row * a->o_row, a->o_row, rows) &&
		    (a->causal || a->window))
			mend_rows(a, t, b->h, b->i0 + at, rows);
		store_lse(t, a->lse ? a->lse + (size_t)b->h * a->q_len + row : NULL, rows);
		keep_weights(b, t, b->i0 + at);
		at += width;
	}
}

/* Keys that some query of the block sees. */
static void block_keys(const struct block *b, uint32_t *first, uint32_t *end)
{
	uint32_t ignored;

	attention_visible(b->a, b->i0, first, &ignored);
	attention_visible(b->a, b->i0 + b->rows - 1, &ignored, end);
}

/*
 * Rows to ask for while span s is at its scores: these keys' values, and at the last keys the next
 * block's queries and where this one's output goes, if there are but two spans one block of keys
 * earlier; or nothing, a distance of 0. Rows longer than 1 KiB the hardware follows by itself.
 */
static const float *ask_ahead(const struct block *b, uint32_t s, uint32_t jb, size_t *row)
{
	const struct attention *a = b->a;
	const bool ask = a->head_dim <= 256;

	if (ask && !b->left && s == 1) {
		*row = a->q_row;
		return a->q + b->h * a->q_head + (b->i0 + b->rows) * a->q_row;
	}
	if (ask && (b->spans == 2 ? b->left == 1 && s == 1 : !b->left && s == 2)) {
		*row = a->o_row;
		return a->out + b->h * a->o_head + b->i0 * a->o_row;
	}
	*row = ask && s == 0 ? a->v_row : 0;
	return b->v + jb * a->v_row;
}

/* Keys jb .. jb + n - 1 into the block's running maximum, sum and output. */
static void block_add_keys(struct block *b, uint32_t jb, uint32_t n)
{
	const struct attention *a = b->a;
	const float *ahead;
	size_t ahead_row;
	uint32_t i = b->i0;

	for (uint32_t s = 0; s < b->spans; s++) {
		struct span *t = &b->span[s];

		set_limits(t, a, i, jb, n);
		ahead = ask_ahead(b, s, jb, &ahead_row);
		scores_span(t, b->k + jb * a->k_row, a->k_row, ahead, ahead_row);
		mask_scores(t, a, i, jb);
		keep_logits(b, t, i, jb, n);
		softmax_span(t);
		values_span(t, b->v + jb * a->v_row, a->v_row);
		t->fresh = false;
		i += t->vecs * VEC_LANES;
	}
}

/* Keys j .. end - 1 in equal blocks, none longer than block_k. */
static void block_add_range(struct block *b, uint32_t j, uint32_t end, uint32_t block_k)
{
	const uint32_t blocks = (end - j + block_k - 1) / block_k;

	for (uint32_t i = 0, n; i < blocks; i++, j += n) {
		n = (end - j + blocks - i - 1) / (blocks - i);
		b->left = blocks - i - 1;
		block_add_keys(b, j, n);
	}
}

/* Calls rows(b) for every block of queries, cut evenly as well. */
TILE int for_blocks(const struct attention *a, float *mem, uint32_t block_q,
		    void (*rows)(struct block *b))
{
	const uint32_t blocks = (a->q_len + block_q - 1) / block_q;
	const uint32_t even = ROUND_UP((a->q_len + blocks - 1) / blocks, VEC_LANES);
	struct block b = {.a = a, .mem = mem, .bq = block_q};

	for (uint32_t h = 0; h < a->heads; h++) {
		for (uint32_t i = 0; i < a->q_len; i += even) {
			block_init(&b, h, i, a->q_len - i < even ? a->q_len - i : even);
			rows(&b);
		}
	}
	return 0;
}

static void flash_rows(struct block *b)
{
	uint32_t first, end, block_q, block_k;

	attention_blocks(b->a, TILE_ISA, &block_q, &block_k);
	block_keys(b, &first, &end);
	block_start(b);
	block_add_range(b, first, end, block_k);
	block_finish(b);
}

static int check_call(const struct attention *a, const void *scratch, size_t scratch_bytes,
		      size_t (*need)(const struct attention *a))
{
	if (attention_check(a))
		return -EINVAL;
	if (!scratch || (uintptr_t)scratch % ATTENTION_ALIGN || scratch_bytes < need(a))
		return -EINVAL;
	return 0;
}

TILE int flash(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	uint32_t block_q, block_k;

	if (check_call(a, scratch, scratch_bytes, attention_flash_scratch))
		return -EINVAL;
	attention_blocks(a, TILE_ISA, &block_q, &block_k);
	return for_blocks(a, scratch, block_q, flash_rows);
}
