/* SPDX-License-Identifier: Apache-2.0 */
/* engine_worker.c: a thread that takes queries, answers them, and records what it did. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "kernels/engine_state.h"
#include "kernels/ordered.h"

/* How long a sleeping worker may take to notice that it is to stop. */
#define NAP_NS (20 * 1000 * 1000ull)

/*
 * The scheduled arrival of the next query: open loop, one Poisson stream for all workers. Whoever
 * moves arrival_ns on serves the query that was due then, however late that is, so a queue that
 * builds up is seen in the response times (no coordinated omission).
 */
static uint64_t take_arrival(struct engine *e, uint64_t *seed)
{
	uint64_t due = ordered_load_64(&e->arrival_ns), next;

	if (e->options.load_qps <= 0)
		return perftop_now_ns();
	do
		next = due + (uint64_t)(-log(engine_random(seed)) * 1e9 / e->options.load_qps);
	while (!ordered_cas_64(&e->arrival_ns, &due, next));
	return due;
}

/* Sleep until then; false when the engine stops first. */
static bool wait_until(const struct engine *e, uint64_t due_ns)
{
	while (!ordered_load_64(&e->stop)) {
		uint64_t now = perftop_now_ns(), until = due_ns;
		struct timespec ts;

		if (now >= due_ns)
			return true;
		if (until > now + NAP_NS)
			until = now + NAP_NS;
		ts.tv_sec = (time_t)(until / 1000000000u);
		ts.tv_nsec = (long)(until % 1000000000u);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	}
	return false;
}

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

/*
 * The answer of each step: base + noise + LoRA(x). Its target is base + teacher(x), so LoRA has
 * something to find, and only rewards tell it what.
 */
static int answer(struct engine_worker *w, const struct attention *a, const float *x)
{
	struct engine *e = w->engine;
	float base[ENGINE_DIM];
	const struct lora *lora;
	int err;

	base_answer(w, a, base);
	memcpy(w->target, base, sizeof(base));
	err = e->metrics.lora_forward.kernel->run.lora_forward(&e->teacher, x, w->target);
	for (uint32_t s = 0; s < TRAJECTORY_STEPS; s++) {
		uint64_t draw = (uint64_t)(engine_random(&w->seed) * (ENGINE_NOISE - ENGINE_DIM));

		for (uint32_t d = 0; d < ENGINE_DIM; d++)
			w->answer[s][d] = base[d] + e->noise[draw + d];
	}
	lora = lora_shared_acquire(&e->shared, w->index);
	err = err ? err
		  : metered_lora_forward(&e->metrics.lora_forward, lora, x, 0, w->answer[0],
					 ENGINE_DIM, TRAJECTORY_STEPS);
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

static void count_claim(struct engine_worker *w, const struct trajectory_writer *before,
			bool recorded)
{
	const struct engine_metrics *m = &w->engine->metrics;

	perftop_inc(recorded ? m->recorded : m->dropped);
	perftop_add(m->cas_attempts, w->writer.cas_attempts - before->cas_attempts);
	perftop_add(m->cas_failures, w->writer.cas_failures - before->cas_failures);
}

/* Loop A: what learning adds to each request. */
static int learn_from(struct engine_worker *w, const struct attention *a, const float *x,
		      uint64_t id)
{
	struct engine *e = w->engine;
	struct trajectory_writer before = w->writer;
	quantize_fn *quantize = e->quantize->run.quantize;
	struct trajectory *t = trajectory_ring_claim(&e->ring, &w->writer);
	uint64_t now = perftop_now_ns();
	int err;

	count_claim(w, &before, t != NULL);
	if (!t)
		return 0;
	err = trajectory_begin(t, quantize, id, x, ENGINE_DIM, now);
	for (uint32_t h = 0; h < a->heads && !err; h++) {
		err = e->weights->run.weights(a, h, a->q_len - 1, w->weights);
		trajectory_keep_weights(&w->kept, h, w->weights, a->kv_len);
	}
	for (uint32_t s = 0; s < TRAJECTORY_STEPS && !err; s++) {
		float reward = reward_of(w->answer[s], w->target);

		t->quality += reward / TRAJECTORY_STEPS;
		err = trajectory_add_step(t, quantize, w->answer[s], &w->kept, reward, now);
	}
	trajectory_ring_publish(&e->ring, &w->writer);
	return err;
}

static int serve(struct engine_worker *w)
{
	const struct engine_metrics *m = &w->engine->metrics;
	uint64_t id = ordered_fetch_add_64(&w->engine->issued, 1);
	const float *x = w->engine->tokens + id * 104729 % (ENGINE_DIM * 63);
	struct attention a;
	int err;

	set_attention(w, id, &a);
	err = metered_attention(&m->attention, &a, w->scratch, w->scratch_bytes);
	err = err ? err : answer(w, &a, x);
	if (!err) {
		PERFTOP_SCOPE(m->loop_a);
		err = learn_from(w, &a, x, id);
	}
	return err;
}

/* Returns NULL, or what failed (a constant string): a programming error, not a state of the world.
 */
void *engine_worker_run(void *arg)
{
	struct engine_worker *w = arg;
	const struct engine_metrics *m = &w->engine->metrics;

	for (;;) {
		uint64_t due = take_arrival(w->engine, &w->seed), start, end;

		if (!wait_until(w->engine, due))
			return NULL;
		start = perftop_now_ns();
		if (serve(w))
			return (void *)"a kernel refused its arguments";
		end = perftop_now_ns();
		perftop_record(m->service, end - start);
		perftop_record(m->response, end - due);
		perftop_inc(m->completed);
	}
}
