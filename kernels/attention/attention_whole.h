/* SPDX-License-Identifier: Apache-2.0 */
/* attention_whole.h: attention by whole rows of scores, or by chunks of keys; after _flash.h. */

/*
 * Memory-efficient: a chunk of queries at a time against all its keys, so that no more than a
 * chunk's rows of scores exist (Rabe and Staats 2021, with the keys of a chunk in one piece).
 */
static void memory_efficient_rows(struct block *b)
{
	uint32_t first, end;

	block_keys(b, &first, &end);
	block_start(b);
	b->left = 0;
	if (end > first)
		block_add_keys(b, first, end - first);
	block_finish(b);
}

TILE int memory_efficient(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	uint32_t block_q, block_k;

	if (check_call(a, scratch, scratch_bytes, attention_memory_efficient_scratch))
		return -EINVAL;
	attention_blocks(a, TILE_ISA, &block_q, &block_k);
	return for_blocks(a, scratch, block_q, memory_efficient_rows);
}

/* total += part: both are weighted by the exponential of their own maximum. */
static void merge_span(const struct span *total, const struct span *part)
{
	const size_t width = part->vecs * VEC_LANES;

	for (size_t at = 0; at < width; at += VEC_LANES) {
		vec m0 = vec_load(total->max + at), m1 = vec_load(part->max + at);
		vec m = vec_max(m0, m1), f = vec_fix_max(m);
		vec w0 = vec_exp2(vec_sub(m0, f)), w1 = vec_exp2(vec_sub(m1, f));

		vec_store(total->max + at, m);
		vec_store(total->sum + at, vec_fma(vec_load(total->sum + at), w0,
						   vec_mul(vec_load(part->sum + at), w1)));
		for (uint32_t d = 0; d < part->dim; d++) {
			float *o = total->ot + d * width + at;
			vec p = vec_mul(vec_load(part->ot + d * width + at), w1);

			vec_store(o, vec_fma(vec_load(o), w0, p));
		}
	}
}

/*
 * Chunked: every chunk of keys gives a result of its own (output, maximum, sum: as if there were
 * no other keys), and the results are merged by their log-sum-exp. Chunks do not depend on each
 * other, as the blocks of flash do.
 */
static void chunked_rows(struct block *b)
{
	uint32_t first, end, block_q, block_k;
	struct block total = *b;
	float *mem;

	attention_blocks(b->a, TILE_ISA, &block_q, &block_k);
	mem = b->span[0].st + (size_t)block_k * SPAN_VECS * VEC_LANES;
	for (uint32_t i = 0, at = 0; i < b->spans; i++) {
		total.span[i].ot = mem + (size_t)b->a->head_dim * at;
		total.span[i].max = mem + (size_t)b->a->head_dim * b->bq + at;
		total.span[i].sum = total.span[i].max + b->bq;
		span_start(&total.span[i]);
		span_clear(&total.span[i]);
		at += b->span[i].vecs * VEC_LANES;
	}
	block_keys(b, &first, &end);
	block_start(b);
	for (uint32_t j = first, n; j < end; j += n) {
		n = end - j < ATTENTION_CHUNK * block_k ? end - j : ATTENTION_CHUNK * block_k;
		block_add_range(b, j, j + n, block_k);
		for (uint32_t i = 0; i < b->spans; i++) {
			merge_span(&total.span[i], &b->span[i]);
			span_start(&b->span[i]);
		}
	}
	block_finish(&total);
}

TILE int chunked(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	uint32_t block_q, block_k;

	if (check_call(a, scratch, scratch_bytes, attention_chunked_scratch))
		return -EINVAL;
	attention_blocks(a, TILE_ISA, &block_q, &block_k);
	return for_blocks(a, scratch, block_q, chunked_rows);
}

/*
 * Standard: the same tiles, but the whole S x S of a head is written, then softmaxed, then
 * multiplied: three passes over memory. It is what flash is compared with, fairly.
 */
enum { STANDARD_ROWS = 64 };
enum standard_pass { PASS_SCORES, PASS_SOFTMAX, PASS_VALUES };

static void standard_rows(struct block *b, enum standard_pass pass)
{
	const struct attention *a = b->a;
	uint32_t first, end, i = b->i0;

	block_keys(b, &first, &end);
	if (pass == PASS_SCORES)
		block_start(b);
	for (uint32_t s = 0; s < b->spans; s++) {
		struct span *t = &b->span[s];

		set_limits(t, a, i, first, end - first);
		if (pass == PASS_SCORES) {
			scores_span(t, b->k + first * a->k_row, a->k_row, b->v + first * a->v_row,
				    a->v_row);
			mask_scores(t, a, i, first);
			keep_logits(b, t, i, first, end - first);
		} else if (pass == PASS_SOFTMAX) {
			for (uint32_t c = 0; c < t->vecs; c++)
				take_top(t, c, vec_load(t->max + c * VEC_LANES), 0);
			softmax_span(t);
		} else {
			t->fresh = true;
			values_span(t, b->v + first * a->v_row, a->v_row);
			t->fresh = false;
		}
		i += t->vecs * VEC_LANES;
	}
	if (pass == PASS_VALUES)
		block_finish(b);
}

/* st holds the head's scores and, behind them, every row's maximum and sum. */
static void standard_head(struct block *b, uint32_t h, float *st)
{
	const struct attention *a = b->a;
	const size_t rows = ROUND_UP((size_t)a->q_len, STANDARD_ROWS);

	for (int pass = PASS_SCORES; pass <= PASS_VALUES; pass++) {
		for (uint32_t i = 0, at = 0; i < a->q_len; i += b->bq) {
			block_init(b, h, i, a->q_len - i < b->bq ? a->q_len - i : b->bq);
			for (uint32_t s = 0; s < b->spans; s++) {
				struct span *t = &b->span[s];

				t->st = st + (size_t)at * a->kv_len;
				t->max = st + rows * a->kv_len + at;
				t->sum = t->max + rows;
				at += t->vecs * VEC_LANES;
			}
			standard_rows(b, pass);
		}
	}
}

TILE int standard(const struct attention *a, void *scratch, size_t scratch_bytes)
{
	struct block b = {.a = a, .bq = STANDARD_ROWS, .mem = scratch};

	if (check_call(a, scratch, scratch_bytes, attention_standard_scratch))
		return -EINVAL;
	for (uint32_t h = 0; h < a->heads; h++)
		standard_head(&b, h, b.mem + block_floats(a->head_dim, STANDARD_ROWS));
	return 0;
}
