/* SPDX-License-Identifier: Apache-2.0 */
/* engine_process.c: one query: patterns, attention, LoRA, rewards, and what is learned from it. */
#include <errno.h>
#include <string.h>

#include "kernels/engine_state.h"

static void set_attention(const struct engine_worker *w, uint64_t query, struct attention *a)
{
	const struct engine_options *o = &w->engine->options;
	size_t floats = (size_t)o->heads * o->seq * o->dim;

	attention_set_packed(a, o->heads, o->kv_heads, o->seq, o->seq, o->dim);
	a->causal = o->causal;
	a->q = w->engine->tokens + query * 7919 % floats;
	a->k = w->engine->context;
	a->v = w->engine->context + floats;
	a->out = w->out;
	a->weights = o->learning == ENGINE_LEARN_NONE ? NULL : w->weights;
}

/* Attention of the last token, folded to the width of an embedding: what LoRA adds to. */
static void base_answer(const struct engine_worker *w, const struct attention *a, float *y)
{
	uint32_t at = 0;

	memset(y, 0, ENGINE_DIM * sizeof(*y));
	for (uint32_t h = 0; h < a->heads; h++) {
		const float *o = w->out + h * a->o_head + (a->q_len - 1) * a->o_row;

		for (uint32_t d = 0; d < a->head_dim; d++, at = (at + 1) % ENGINE_DIM)
			y[at] += o[d];
	}
}

/* What is known about queries like this one; while the learner is at it, nothing. */
static void find_pattern(struct engine_worker *w, const float *x, struct engine_answer *answer)
{
	const struct engine_metrics *m = &w->engine->metrics;
	struct pattern_found found[ENGINE_FOUND];
	const struct pattern_work before = pattern_searcher_work(w->searcher);
	struct pattern_work after;
	int n;
	PERFTOP_SCOPE(m->pattern_search.ns);

	n = learned_find(&w->engine->learned, w->searcher, x, ENGINE_FOUND, found);
	after = pattern_searcher_work(w->searcher);
	perftop_add_both(m->pattern_search.flops, after.flops - before.flops,
			 m->pattern_search.bytes, after.bytes - before.bytes);
	perftop_inc(n == -EAGAIN ? m->skipped : m->searches);
	if (n <= 0)
		return;
	perftop_inc(m->found);
	answer->pattern = found[0].pattern.id;
	answer->expected = found[0].pattern.quality;
}

/* base += base LoRA(x) + micro-LoRA(x), by the weights of this moment. */
static int adapt(struct engine_worker *w, const float *x, float *base)
{
	struct engine *e = w->engine;
	const struct lora_base *b;
	const struct lora *micro;
	int err = 0;

	if (e->options.learning == ENGINE_LEARN_FULL) {
		b = learned_acquire(&e->learned, w->index);
		for (uint32_t layer = 0; layer < b->layers && !err; layer++)
			err = metered_lora_base_forward(&e->metrics.base_forward, b, layer, x,
							ENGINE_DIM, base, ENGINE_DIM, 1);
		learned_release(&e->learned, w->index);
	}
	micro = lora_shared_acquire(&e->shared, w->index);
	err = err ? err
		  : metered_lora_forward(&e->metrics.lora_forward, micro, x, ENGINE_DIM, base,
					 ENGINE_DIM, 1);
	lora_shared_release(&e->shared, w->index);
	return err;
}

static float reward_of(const float *y, const float *target)
{
	float sum[16] = {0}, total = 0;

	for (uint32_t d = 0; d < ENGINE_DIM; d += 16)
		for (uint32_t l = 0; l < 16; l++)
			sum[l] += (y[d + l] - target[d + l]) * (y[d + l] - target[d + l]);
	for (uint32_t l = 0; l < 16; l++)
		total += sum[l];
	return -total / ENGINE_DIM;
}

/*
 * The answer of each step: base + LoRA(x) + noise. Its target is base + teacher(x), so LoRA has
 * something to find, and only rewards tell it what.
 */
static int explore(struct engine_worker *w, const float *x, float *base)
{
	struct engine *e = w->engine;
	const float *noise;
	int err;

	memcpy(w->target, base, sizeof(w->target));
	err = e->metrics.lora_forward.kernel->run.lora_forward(&e->teacher, x, w->target);
	err = err ? err : adapt(w, x, base);
	/* One place for all steps: a stream, where each step's own would be waited for. */
	noise = e->noise + (uint64_t)(engine_random(&w->seed) *
				      (ENGINE_NOISE - TRAJECTORY_STEPS * ENGINE_DIM));
	for (uint32_t s = 0; s < TRAJECTORY_STEPS; s++, noise += ENGINE_DIM) {
		for (uint32_t d = 0; d < ENGINE_DIM; d++)
			w->answer[s][d] = base[d] + noise[d];
		w->reward[s] = reward_of(w->answer[s], w->target);
	}
	return err;
}

static int learn(struct engine_worker *w, const struct engine_query *q, const struct attention *a,
		 float *base, struct engine_answer *answer)
{
	const struct loop_a_request r = {
		.id = q->id,
		.query = q->x,
		.dim = ENGINE_DIM,
		.steps = TRAJECTORY_STEPS,
		.answers = w->answer[0],
		.rewards = w->reward,
		.attention = &w->kept,
		.pattern = answer->pattern,
		.expected = answer->expected,
		.now_ns = perftop_now_ns(),
	};
	int err = explore(w, q->x, base);

	for (uint32_t h = 0; h < a->heads; h++)
		trajectory_keep_weights(&w->kept, h, a->weights + (size_t)h * a->kv_len, a->kv_len);
	for (uint32_t s = 0; s < TRAJECTORY_STEPS; s++)
		answer->reward += w->reward[s] / TRAJECTORY_STEPS;
	return err ? err : loop_a_on_inference(&w->a, &r);
}

int engine_process(struct engine_worker *w, const struct engine_query *q,
		   struct engine_answer *answer)
{
	struct engine *e = w->engine;
	const enum engine_learning learning = e->options.learning;
	float base[ENGINE_DIM];
	uint64_t start;
	struct attention a;
	int err;

	*answer = (struct engine_answer){.y = w->answer[0]};
	if (learning == ENGINE_LEARN_FULL) {
		start = perftop_now_ns();
		find_pattern(w, q->x, answer);
		answer->learning_ns = perftop_now_ns() - start;
	}
	set_attention(w, q->id, &a);
	err = metered_attention(&e->metrics.attention, &a, w->scratch, w->scratch_bytes);
	base_answer(w, &a, base);
	if (err || learning == ENGINE_LEARN_NONE) {
		memcpy(w->answer[0], base, sizeof(base));
		return err;
	}
	start = perftop_now_ns();
	err = learn(w, q, &a, base, answer);
	answer->learning_ns += perftop_now_ns() - start;
	perftop_record(e->metrics.loop_a, answer->learning_ns);
	metered_settle();
	return err;
}
