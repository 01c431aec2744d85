/* SPDX-License-Identifier: Apache-2.0 */
/* attention_flash.h: flash and standard attention over the tiles; after attention_tiles.h. */

#define LOG2E		1.44269504088896340736
#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))

/* Vectors of dim x rows floats, to and from the transposed block; absent rows are zeros. */
static void load_queries(struct tiles *t, const float *q, size_t q_row, uint32_t rows, float scale)
{
	vec r[VEC_LANES];

	for (uint32_t c = 0; c < t->vecs; c++) {
		for (uint32_t d = 0; d < t->dim; d += VEC_LANES) {
			uint32_t n = t->dim - d < VEC_LANES ? t->dim - d : VEC_LANES;

			for (uint32_t l = 0; l < VEC_LANES; l++) {
				uint32_t row = c * VEC_LANES + l;

				r[l] = row < rows ? vec_mul(vec_load_first(q + row * q_row + d, n),
							    vec_splat(scale))
						  : vec_zero();
			}
			vec_transpose(r);
			for (uint32_t l = 0; l < n; l++)
				vec_store(t->qt + (size_t)(d + l) * t->bq + c * VEC_LANES, r[l]);
		}
	}
}

static void store_output(const struct tiles *t, float *o, size_t o_row, uint32_t rows)
{
	vec r[VEC_LANES];

	for (uint32_t c = 0; c < t->vecs; c++) {
		vec l = vec_load(t->sum + c * VEC_LANES);
		vec inv = vec_div(vec_splat(1), vec_nonzero(l));

		for (uint32_t d = 0; d < t->dim; d += VEC_LANES) {
			uint32_t n = t->dim - d < VEC_LANES ? t->dim - d : VEC_LANES;

			for (uint32_t i = 0; i < VEC_LANES; i++)
				r[i] = i < n ? vec_mul(inv,
						       vec_load(t->ot + (size_t)(d + i) * t->bq +
								c * VEC_LANES))
					     : vec_zero();
			vec_transpose(r);
			for (uint32_t i = 0; i < VEC_LANES && c * VEC_LANES + i < rows; i++)
				vec_store_first(o + (c * VEC_LANES + i) * o_row + d, r[i], n);
		}
	}
}

/* Natural log of each query's sum of exponentials; the tiles' maximum and sum are in base 2. */
static void store_lse(const struct tiles *t, float *lse, uint32_t rows)
{
	for (uint32_t i = 0; lse && i < rows; i++)
		lse[i] = t->sum[i] == 0 ? -INFINITY
					: (float)((t->max[i] + log2f(t->sum[i])) / LOG2E);
}

static uint32_t clamp(int64_t x, uint32_t max)
{
	return x < 0 ? 0 : x > max ? max : (uint32_t)x;
}

/* The first key that some query of the block at i0 sees. */
static uint32_t first_key(const struct attention *a, uint32_t i0)
{
	uint32_t first, end;

	attention_visible(a, i0, &first, &end);
	return first;
}

/* How many of n keys from jb each vector of queries from i0 sees, and where a mask has work. */
static void set_limits(struct tiles *t, const struct attention *a, uint32_t i0, int64_t jb,
		       uint32_t n)
{
	for (uint32_t c = 0; c < t->vecs; c++) {
		/* Keys up to the position of the vector's first query. */
		int64_t keys = (int64_t)i0 + c * VEC_LANES + a->kv_len - a->q_len + 1 - jb;

		t->seen[c] = a->causal ? clamp(keys, n) : n;
		t->limit[c] = a->causal ? clamp(keys + VEC_LANES - 1, n) : n;
		t->faded[c] = a->window ? clamp(keys + VEC_LANES - 1 - a->window, n) : 0;
	}
}

/* Key `seen + x` is hidden from the lanes below it; one that fades, from the lanes past it. */
static void mask_scores(const struct tiles *t, const struct attention *a, uint32_t i0, int64_t jb)
{
	for (uint32_t c = 0; c < t->vecs; c++) {
		float *s = t->st + c * VEC_LANES;
		int64_t at = jb - ((int64_t)i0 + c * VEC_LANES + a->kv_len - a->q_len);

		for (uint32_t j = t->seen[c]; j < t->limit[c]; j++)
			vec_store(s + (size_t)j * t->bq,
				  vec_keep_from(vec_load(s + (size_t)j * t->bq),
						(uint32_t)(at + j)));
		for (uint32_t j = 0; j < t->faded[c]; j++)
			vec_store(s + (size_t)j * t->bq,
				  vec_keep_first(vec_load(s + (size_t)j * t->bq),
						 clamp(at + j + a->window, VEC_LANES)));
	}
}

static void softmax_block(struct tiles *t)
{
	for (uint32_t c = 0; c < t->vecs; c++) {
		float *s = t->st + c * VEC_LANES;
		const uint32_t n = t->limit[c];
		const size_t bq = t->bq;
		vec old = vec_load(t->max + c * VEC_LANES), m = old, m1 = old;
		vec l0 = vec_zero(), l1 = vec_zero(), alpha;
		uint32_t j;

		for (j = 0; j + 2 <= n; j += 2) {
			m = vec_max(m, vec_load(s + j * bq));
			m1 = vec_max(m1, vec_load(s + (j + 1) * bq));
		}
		if (j < n)
			m = vec_max(m, vec_load(s + j * bq));
		m = vec_max(m, m1);
		vec_store(t->max + c * VEC_LANES, m);
		m = vec_fix_max(m);
		alpha = vec_exp2(vec_sub(old, m));
		for (j = 0; j + 2 <= n; j += 2) {
			vec p0 = vec_exp2(vec_sub(vec_load(s + j * bq), m));
			vec p1 = vec_exp2(vec_sub(vec_load(s + (j + 1) * bq), m));

			vec_store(s + j * bq, p0);
			vec_store(s + (j + 1) * bq, p1);
			l0 = vec_add(l0, p0);
			l1 = vec_add(l1, p1);
		}
		if (j < n) {
			vec p0 = vec_exp2(vec_sub(vec_load(s + j * bq), m));

			vec_store(s + j * bq, p0);
			l0 = vec_add(l0, p0);
		}
		vec_store(t->alpha + c * VEC_LANES, alpha);
		l0 = vec_add(l0, l1);
		vec_store(t->sum + c * VEC_LANES,
			  vec_fma(vec_load(t->sum + c * VEC_LANES), alpha, l0));
	}
}

/*
 * Keys in segments: on the diagonal the vectors of earlier queries drop out one by one, so work is
 * skipped a vector (not a block) at a time. The first segment holds every vector still in play, so
 * it alone rescales O.
 */
static void scores_block(const struct tiles *t, const float *k, size_t k_row)
{
	for (uint32_t c = 0, j = 0; c < t->vecs; j = t->limit[c++])
		if (t->limit[c] > j)
			scores(t, c, t->vecs, k, k_row, j, t->limit[c] - j);
}

static void values_block(const struct tiles *t, const float *v, size_t v_row, const float *ones)
{
	const float *alpha = t->alpha;

	for (uint32_t c = 0, j = 0; c < t->vecs; j = t->limit[c++]) {
		if (t->limit[c] <= j)
			continue;
		values(t, c, t->vecs, v, v_row, j, t->limit[c] - j, alpha);
		alpha = ones;
	}
}

static void tiles_init(struct tiles *t, const struct attention *a, float *mem, uint32_t bq)
{
	size_t dim = ROUND_UP(a->head_dim, 16);

	t->bq = bq;
	t->dim = a->head_dim;
	t->qt = mem;
	t->ot = t->qt + dim * bq;
	t->max = t->ot + dim * bq;
	t->sum = t->max + bq;
	t->alpha = t->sum + bq;
	t->st = t->alpha + 2 * bq; /* a vector of ones follows alpha */
	for (uint32_t i = 0; i < bq; i++)
		t->alpha[bq + i] = 1;
}

static void tiles_start(struct tiles *t, const struct attention *a, uint32_t h, uint32_t i0,
			uint32_t rows)
{
	t->vecs = (rows + VEC_LANES - 1) / VEC_LANES;
	load_queries(t, a->q + h * a->q_head + i0 * a->q_row, a->q_row, rows,
		     (float)(a->scale * LOG2E));
	memset(t->ot, 0, (size_t)t->dim * t->bq * sizeof(float));
	memset(t->sum, 0, t->bq * sizeof(float));
	for (uint32_t i = 0; i < t->bq; i++)
		t->max[i] = -INFINITY;
}

static void flash_rows(struct tiles *t, const struct attention *a, uint32_t h, uint32_t i0,
		       uint32_t rows, uint32_t block_k)
{
	const uint32_t kv = h / (a->heads / a->kv_heads);
	const int64_t offset = (int64_t)a->kv_len - a->q_len;
	int64_t end = a->causal ? (int64_t)i0 + rows + offset : a->kv_len;

	tiles_start(t, a, h, i0, rows);
	for (int64_t jb = first_key(a, i0); jb < end; jb += block_k) {
		uint32_t n = end - jb < block_k ? (uint32_t)(end - jb) : block_k;

		set_limits(t, a, i0, jb, n);
		scores_block(t, a->k + kv * a->k_head + jb * a->k_row, a->k_row);
		mask_scores(t, a, i0, jb);
		softmax_block(t);
		values_block(t, a->v + kv * a->v_head + jb * a->v_row, a->v_row, t->alpha + t->bq);
	}
	store_output(t, a->out + h * a->o_head + i0 * a->o_row, a->o_row, rows);
	store_lse(t, a->lse ? a->lse + (size_t)h * a->q_len + i0 : NULL, rows);
}

TILE int flash(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	uint32_t block_q, block_k;
	struct tiles t;
	int err = attention_check(a);

	if (err)
		return err;
	if (!scratch || (uintptr_t)scratch % ATTENTION_ALIGN ||
	    scratch_bytes < attention_flash_scratch(a))
		return -EINVAL;
	attention_blocks(a, &block_q, &block_k);
	tiles_init(&t, a, scratch, block_q);
	for (uint32_t h = 0; h < a->heads; h++)
		for (uint32_t i = 0; i < a->q_len; i += block_q)
			flash_rows(&t, a, h, i, a->q_len - i < block_q ? a->q_len - i : block_q,
				   block_k);
	return 0;
}

/*
 * The standard kernel: the same tiles, but the whole S x S of a head is written, then softmaxed,
 * then multiplied: three passes over memory. It is what flash is compared with, fairly.
 */
static void standard_head(struct tiles *t, const struct attention *a, uint32_t h, float *sums)
{
	const uint32_t kv = h / (a->heads / a->kv_heads), bq = t->bq;
	const int64_t offset = (int64_t)a->kv_len - a->q_len;
	struct tiles b = *t;

	for (int pass = 0; pass < 3; pass++) {
		for (uint32_t i = 0; i < a->q_len; i += bq) {
			uint32_t rows = a->q_len - i < bq ? a->q_len - i : bq;
			int64_t end = a->causal ? (int64_t)i + rows + offset : a->kv_len;
			size_t j = first_key(a, i);

			b.st = t->st + (size_t)i * a->kv_len;
			b.sum = sums + i;
			b.vecs = (rows + VEC_LANES - 1) / VEC_LANES;
			set_limits(&b, a, i, (int64_t)j, clamp(end - (int64_t)j, a->kv_len));
			if (pass == 0) {
				tiles_start(&b, a, h, i, rows);
				scores_block(&b, a->k + kv * a->k_head + j * a->k_row, a->k_row);
				mask_scores(&b, a, i, (int64_t)j);
			} else if (pass == 1) {
				for (uint32_t l = 0; l < bq; l++)
					b.max[l] = -INFINITY;
				softmax_block(&b);
				store_lse(&b, a->lse ? a->lse + (size_t)h * a->q_len + i : NULL,
					  rows);
			} else {
				memset(b.ot, 0, (size_t)b.dim * bq * sizeof(float));
				values_block(&b, a->v + kv * a->v_head + j * a->v_row, a->v_row,
					     b.alpha + bq);
				store_output(&b, a->out + h * a->o_head + i * a->o_row, a->o_row,
					     rows);
			}
		}
	}
}

TILE int standard(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	struct tiles t;
	float *sums;
	int err = attention_check(a);

	if (err)
		return err;
	if (!scratch || (uintptr_t)scratch % ATTENTION_ALIGN ||
	    scratch_bytes < attention_standard_scratch(a))
		return -EINVAL;
	tiles_init(&t, a, scratch, ATTENTION_MAX_BLOCK_Q);
	sums = t.st + ROUND_UP(a->q_len, ATTENTION_MAX_BLOCK_Q) * (size_t)a->kv_len;
	for (uint32_t h = 0; h < a->heads; h++)
		standard_head(&t, a, h, sums);
	return 0;
}
