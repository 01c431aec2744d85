/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loops.c: the learning loops learn, and forget nothing they were to keep. Long because one
 * world to learn about serves all three.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/loops/evolution.h"
#include "kernels/loops/loop_a.h"
#include "kernels/loops/loop_b.h"
#include "kernels/loops/loop_c.h"

enum { DIM = 64, STEPS = TRAJECTORY_STEPS };
#define SIGMA 0.1f

static uint32_t random_state = 5;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

static void random_vector(float *x, int n, float scale)
{
	for (int i = 0; i < n; i++)
		x[i] = scale * random_float();
}

/* The slope of a quadratic reward, found from its values alone. */
static void the_slope_of_the_reward_is_not_found(void **state)
{
	float y[DIM], target[DIM], answers[STEPS][DIM], rewards[STEPS], g[DIM], from_codes[DIM];
	double mean[DIM] = {0}, along = 0, size = 0, want = 0;
	struct trajectory t;

	random_vector(y, DIM, 1);
	random_vector(target, DIM, 1);
	for (int round = 0; round < 3000; round++) {
		for (int s = 0; s < STEPS; s++) {
			double sum = 0;

			for (int d = 0; d < DIM; d++) {
				float off;

				answers[s][d] = y[d] + SIGMA * 1.7320508f * random_float();
				off = answers[s][d] - target[d];
				sum += off * off;
			}
			rewards[s] = (float)(-sum / DIM);
		}
		evolution_gradient(answers[0], DIM, rewards, STEPS, DIM, SIGMA, g);
		for (int d = 0; d < DIM; d++)
			mean[d] += g[d] / 3000;
	}
	for (int d = 0; d < DIM; d++) {
		double slope = y[d] - target[d];

		along += mean[d] * slope;
		size += mean[d] * mean[d];
		want += slope * slope;
	}
	assert_true(fabs(along / want - 1) < 0.05);		/* unbiased */
	assert_true(along / sqrt(size * want) > 0.95);		/* and in that direction */
	trajectory_begin(&t, quantize_i8_scalar, 1, y, DIM, 0); /* a record says nearly the same */
	trajectory_add_steps(&t, quantize_rows_i8_scalar, answers[0], STEPS, NULL, rewards, 0);
	evolution_gradient_of(&t, SIGMA, from_codes);
	along = size = want = 0;
	for (int d = 0; d < DIM; d++) {
		along += g[d] * from_codes[d];
		size += g[d] * g[d];
		want += from_codes[d] * from_codes[d];
	}
	assert_true(along / sqrt(size * want) > 0.99);
	evolution_gradient(answers[0], DIM, rewards, 1, DIM, SIGMA, g);
	for (int d = 0; d < DIM; d++)
		assert_true(g[d] == 0); /* one answer tells nothing */
}

static void a_writer_is_given_a_copy_that_is_read(void **state)
{
	struct published_reader readers[2];
	struct published p;

	published_init(&p, readers, 2, 3);
	assert_int_equal(published_acquire(&p, 0), 0);
	assert_int_equal(published_begin(&p), 1);
	published_publish(&p);
	assert_int_equal(published_acquire(&p, 1), 1);
	assert_int_equal(published_begin(&p), 2); /* 0 and 1 are read */
	published_publish(&p);
	assert_int_equal(published_begin(&p), -EBUSY);
	published_release(&p, 0);
	assert_int_equal(published_begin(&p), 0);
}

/* What a worker does: answers with noise around LoRA's, and rewards by the distance to a teacher.
 */
struct world {
	struct trajectory_ring ring;
	struct lora_shared micro;
	struct loop_a_shared shared;
	struct lora teacher;
	float weights[4][DIM];
	void *ring_memory, *micro_memory;
};

static void world_new(struct world *w, uint32_t workers, uint64_t slots)
{
	const size_t micro = (lora_shared_bytes(workers, DIM, DIM, 1) + 63) / 64 * 64;
	struct lora start;

	memset(w, 0, sizeof(*w));
	random_vector(w->weights[0], DIM, 0.3f);
	random_vector(w->weights[1], DIM, 0.3f);
	random_vector(w->weights[2], DIM, 0.3f);
	random_vector(w->weights[3], DIM, 0.5f);
	for (int d = 0; d < DIM; d++)
		w->weights[0][d] += w->weights[2][d] / 2;
	start = (struct lora){DIM, DIM, 1, 1, w->weights[0], w->weights[1]};
	w->teacher = (struct lora){DIM, DIM, 1, 1, w->weights[2], w->weights[3]};
	w->ring_memory = aligned_alloc(64, slots * sizeof(struct trajectory_slot));
	w->micro_memory = aligned_alloc(64, micro);
	assert_non_null(w->ring_memory);
	assert_non_null(w->micro_memory);
	assert_int_equal(trajectory_ring_init(&w->ring, w->ring_memory,
					      slots * sizeof(struct trajectory_slot)),
			 0);
	assert_int_equal(lora_shared_init(&w->micro, workers, &start, w->micro_memory, micro), 0);
	w->shared = (struct loop_a_shared){
		.ring = &w->ring,
		.micro = &w->micro,
		.quantize = kernels_select("quantize_i8", isa_best())->run.quantize,
		.quantize_rows = kernels_select("quantize_rows_i8", isa_best())->run.quantize_rows,
		.sigma = SIGMA,
		.rate = 0.05f,
		.max_step = 0.05f,
		.batch = 4,
	};
	w->shared.metrics.update.kernel = kernels_select("micro_lora_update", isa_best());
}

static void world_free(struct world *w)
{
	free(w->ring_memory);
	free(w->micro_memory);
}

struct worker {
	struct world *world;
	struct loop_a a;
	float gradient[2][DIM];
	uint32_t seed;
	uint64_t done;
	double reward; /* of the last thousand */
	int err;
};

static void worker_init(struct worker *k, struct world *w, uint32_t index)
{
	memset(k, 0, sizeof(*k));
	k->world = w;
	k->seed = index + 1;
	k->a = (struct loop_a){.shared = &w->shared,
			       .reader = index,
			       .gradient = {k->gradient[0], k->gradient[1], 0}};
}

static float worker_float(struct worker *k)
{
	k->seed = k->seed * 1664525 + 1013904223;
	return (float)(k->seed >> 8) / (float)(1 << 23) - 1;
}

static int serve(struct worker *k, uint64_t id)
{
	struct world *w = k->world;
	float x[DIM], target[DIM] = {0}, mine[DIM] = {0}, answers[STEPS][DIM], rewards[STEPS];
	struct loop_a_request r = {.id = id,
				   .query = x,
				   .dim = DIM,
				   .steps = STEPS,
				   .answers = answers[0],
				   .rewards = rewards};
	float mean = 0;

	for (int d = 0; d < DIM; d++)
		x[d] = 0.5f * worker_float(k);
	lora_forward_scalar(&w->teacher, x, target);
	lora_forward_scalar(lora_shared_acquire(&w->micro, k->a.reader), x, mine);
	lora_shared_release(&w->micro, k->a.reader);
	for (int s = 0; s < STEPS; s++) {
		float sum = 0;

		for (int d = 0; d < DIM; d++) {
			answers[s][d] = mine[d] + SIGMA * 1.7320508f * worker_float(k);
			sum += (answers[s][d] - target[d]) * (answers[s][d] - target[d]);
		}
		rewards[s] = -sum / DIM;
		mean += rewards[s] / STEPS;
	}
	k->reward += (mean - k->reward) / (k->done < 1000 ? (double)k->done + 1 : 1000);
	k->done++;
	return loop_a_on_inference(&k->a, &r);
}

static void requests_teach_micro_lora_nothing(void **state)
{
	struct world w;
	struct worker k;
	double at_first;
	struct loop_a_request bad = {.dim = DIM, .steps = STEPS};

	world_new(&w, 1, 4);
	worker_init(&k, &w, 0);
	assert_int_equal(loop_a_flush(&k.a), 0); /* nothing gathered */
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(serve(&k, i), 0);
	at_first = k.reward + SIGMA * SIGMA; /* the noise costs this whatever is known */
	for (uint64_t i = 0; i < 12000; i++)
		assert_int_equal(serve(&k, i), 0);
	if (!(k.reward + SIGMA * SIGMA > at_first / 10))
		fail_msg("mean reward %g at first, %g after 12000 requests", at_first,
			 k.reward + SIGMA * SIGMA);
	/* The buffer was full all the while: that stops the recording, not the learning. */
	assert_int_equal(k.a.writer.recorded, 4);
	assert_int_equal(k.a.writer.dropped, 13000 - 4);
	assert_int_equal(loop_a_on_inference(&k.a, &bad), -EINVAL);
	world_free(&w);
}

/* One would make all weights NaN, and the file that they are saved in could not be read again. */
static void a_number_that_is_not_finite_is_learned(void **state)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY, 1e30f};
	float x[DIM], answers[STEPS][DIM], rewards[STEPS];
	struct loop_a_request r = {
		.query = x, .dim = DIM, .steps = STEPS, .answers = answers[0], .rewards = rewards};
	float *const places[] = {&x[DIM / 2], &answers[STEPS / 2][3], &rewards[1]};
	const struct lora *l;
	struct world w;
	struct worker k;

	world_new(&w, 1, 1000);
	worker_init(&k, &w, 0);
	for (uint32_t i = 0; i < 12; i++) {
		random_vector(x, DIM, 1);
		random_vector(answers[0], STEPS * DIM, 1);
		random_vector(rewards, STEPS, 1);
		*places[i / 4] = bad[i % 4];
		r.steps = STEPS;
		assert_int_equal(loop_a_on_inference(&k.a, &r), -EINVAL);
		r.steps = i / 4 == 1 ? STEPS / 2 + 1 : 2;
		assert_int_equal(loop_a_on_inference(&k.a, &r), -EINVAL);
	}
	assert_int_equal(k.a.writer.recorded + k.a.gradient.count, 0);
	/* Finite each, but not their products. */
	random_vector(x, DIM, 1e15f);
	random_vector(answers[0], STEPS * DIM, 1e14f);
	random_vector(rewards, STEPS, 1);
	r.steps = STEPS;
	for (uint32_t i = 0; i < 2 * w.shared.batch; i++)
		assert_int_equal(loop_a_on_inference(&k.a, &r), 0);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(serve(&k, i), 0);
	loop_a_flush(&k.a);
	l = lora_shared_acquire(&w.micro, 0);
	for (uint32_t i = 0; i < DIM; i++)
		assert_true(isfinite(l->a[i]) && isfinite(l->b[i]));
	assert_true(k.a.writer.recorded > 0);
	world_free(&w);
}

enum { WORKERS = 3, EACH = 3000 };

static void *serve_many(void *arg)
{
	struct worker *k = arg;

	for (uint64_t i = 0; i < EACH && !k->err; i++)
		k->err = serve(k, i);
	return NULL;
}

static void workers_that_learn_together_lose_updates(void **state)
{
	struct worker *k = calloc(WORKERS, sizeof(*k));
	uint64_t drained = 0, recorded = 0;
	pthread_t thread[WORKERS];
	struct world w;

	assert_non_null(k);
	world_new(&w, WORKERS, 64);
	for (uint32_t i = 0; i < WORKERS; i++) {
		worker_init(&k[i], &w, i);
		assert_int_equal(pthread_create(&thread[i], NULL, serve_many, &k[i]), 0);
	}
	for (int i = 0; i < 20000; i++) {
		if (!trajectory_ring_peek(&w.ring)) {
			sched_yield();
			continue;
		}
		drained++;
		trajectory_ring_release(&w.ring);
	}
	for (uint32_t i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(k[i].err, 0);
		assert_int_equal(k[i].a.writer.recorded + k[i].a.writer.dropped, EACH);
	}
	for (uint32_t i = 0; i < WORKERS; i++) {
		/*
		 * What a worker gathered while another had the turn (for as long as the
		 * scheduler kept that one off its CPU) is applied with its next full batch.
		 */
		for (uint32_t more = 0; more < w.shared.batch; more++)
			assert_int_equal(serve(&k[i], EACH + more), 0);
		assert_true(k[i].a.gradient.count < w.shared.batch);
		recorded += k[i].a.writer.recorded;
		loop_a_flush(&k[i].a);
		assert_int_equal(k[i].a.gradient.count, 0);
	}
	for (; trajectory_ring_peek(&w.ring); drained++)
		trajectory_ring_release(&w.ring);
	assert_int_equal(drained, recorded);
	assert_int_equal(w.shared.busy, 0);
	for (int d = 0; d < DIM; d++)
		assert_true(isfinite(w.micro.copies[w.micro.turn.current].a[d]));
	world_free(&w);
	free(k);
}

static void learner_new(struct learned *l, struct loop_b *b, struct loop_b_options o)
{
	const struct learned_options options = {DIM, 4, 1, 1, 256, 256, 7, isa_best()};

	assert_int_equal(learned_init(l, &options), 0);
	assert_int_equal(loop_b_init(b, l, &o, NULL), 0);
}

static void learner_free(struct learned *l, struct loop_b *b)
{
	loop_b_fini(b);
	learned_fini(l);
}

/* Queries of one of a few topics, answered by base LoRA, rewarded by a teacher. Mean loss. */
static double live(struct learned *l, struct loop_b *b, const struct lora *teacher, int topic,
		   int n)
{
	const struct lora_base *base = learned_acquire(l, 0);
	double loss = 0;

	for (int i = 0; i < n; i++) {
		float x[DIM], target[DIM] = {0}, mine[DIM] = {0}, answers[STEPS][DIM],
			      rewards[STEPS];
		struct trajectory t;

		/* Each topic has floats of its own, so that tasks are about different weights. */
		memset(x, 0, sizeof(x));
		random_vector(x + topic * DIM / 4, DIM / 4, 1);
		lora_forward_scalar(teacher, x, target);
		assert_int_equal(lora_base_forward_scalar(base, 0, x, DIM, mine, DIM, 1), 0);
		trajectory_begin(&t, quantize_i8_scalar, (uint64_t)i, x, DIM, 0);
		for (int s = 0; s < STEPS; s++) {
			double sum = 0;

			for (int d = 0; d < DIM; d++) {
				double off;

				answers[s][d] = mine[d] + SIGMA * 1.7320508f * random_float();
				off = (double)answers[s][d] - target[d];
				sum += off * off / DIM;
			}
			rewards[s] = (float)-sum;
			t.quality += rewards[s] / STEPS;
		}
		for (int d = 0; d < DIM; d++)
			loss += (mine[d] - target[d]) * (mine[d] - target[d]) / DIM / n;
		trajectory_add_steps(&t, quantize_rows_i8_scalar, answers[0], STEPS, NULL, rewards,
				     0);
		assert_int_equal(loop_b_stage(b, &t), 0);
	}
	learned_release(l, 0);
	return loss;
}

static void cycles_teach_base_lora_nothing(void **state)
{
	struct loop_b_options o = LOOP_B_OPTIONS_DEFAULT;
	float a[DIM], c[DIM];
	const struct lora teacher = {DIM, DIM, 1, 1, a, c};
	double first = 0, last = 0;
	struct loop_b_result r;
	struct learned l;
	struct loop_b b;

	o.trajectories = 200;
	o.clusters = 8;
	o.batch = 20;
	o.rate = 0.05f;
	o.max_step = 0.2f;
	random_vector(a, DIM, 1);
	random_vector(c, DIM, 1);
	learner_new(&l, &b, o);
	assert_int_equal(loop_b_cycle(&b, 1, &r), 0);
	assert_int_equal(r.trajectories, 0); /* nothing to learn from */
	for (int cycle = 0; cycle < 60; cycle++) {
		last = live(&l, &b, &teacher, cycle % 2, 200);
		first = cycle < 2 ? fmax(first, last) : first;
		assert_int_equal(loop_b_cycle(&b, (uint64_t)cycle, &r), 0);
		assert_int_equal(r.trajectories, 200);
		assert_int_equal(r.clusters, 8);
		assert_int_equal(b.staged, 0);
	}
	if (!(last < first / 4))
		fail_msg("loss %g at first, %g after 60 cycles", first, last);
	assert_int_equal(l.cycles_b, 60);
	assert_true(pattern_store_count(l.patterns) >= 8);
	assert_true(l.graph.count >= 8);
	assert_int_equal(dream_graph_check(&l.graph), 0);
	assert_true(l.ewc.observed > 0 || l.ewc.finished > 0);
	learner_free(&l, &b);
}

/* More than it can keep: what is kept is spread evenly over what came. */
static void a_cycle_learns_only_from_the_last_or_the_first(void **state)
{
	struct loop_b_options o = LOOP_B_OPTIONS_DEFAULT;
	int quarter[4] = {0};
	struct trajectory t;
	struct learned l;
	struct loop_b b;
	float x[DIM] = {1};

	o.trajectories = 400;
	learner_new(&l, &b, o);
	trajectory_begin(&t, quantize_i8_scalar, 1, x, DIM, 0);
	for (int i = 0; i < 4000; i++) {
		t.quality = (float)-i;
		assert_int_equal(loop_b_stage(&b, &t), 0);
	}
	assert_int_equal(b.staged, 400);
	assert_int_equal(b.offered, 4000);
	for (int i = 0; i < 400; i++)
		quarter[(int)-b.reward[i] / 1000]++;
	for (int q = 0; q < 4; q++)
		assert_in_range(quarter[q], 65, 135); /* 100 +- 4 sigma */
	t.dim = DIM - 1;
	assert_int_equal(loop_b_stage(&b, &t), -EINVAL);
	t.dim = DIM;
	t.quality = NAN;
	assert_int_equal(loop_b_stage(&b, &t), -EINVAL);
	assert_int_equal(b.offered, 4000);
	learner_free(&l, &b);
}

/* Each number is finite, and a gradient of them is not. */
static void a_gradient_too_large_spoils_the_weights(void **state)
{
	struct loop_b_result r;
	struct trajectory t;
	struct learned l;
	struct loop_b b;
	float x[DIM];

	learner_new(&l, &b, LOOP_B_OPTIONS_DEFAULT);
	for (uint64_t i = 0; i < 100; i++) {
		random_vector(x, DIM, 1e16f);
		trajectory_begin(&t, quantize_i8_scalar, i, x, DIM, 0);
		for (int s = 0; s < 3; s++) {
			random_vector(x, DIM, 1e30f);
			trajectory_add_step(&t, quantize_i8_scalar, x, NULL, (float)-s, 0);
		}
		t.quality = -1;
		assert_int_equal(loop_b_stage(&b, &t), 0);
	}
	assert_int_equal(loop_b_cycle(&b, 1, &r), 0);
	for (size_t i = 0; i < l.ewc.config.n; i++) {
		assert_true(isfinite(learned_current(&l)->weights[i]));
		assert_true(isfinite(l.ewc.square[i]));
	}
	learner_free(&l, &b);
}

static void a_query_does_not_find_its_pattern(void **state)
{
	struct loop_b_options o = LOOP_B_OPTIONS_DEFAULT;
	float a[DIM] = {0}, x[DIM] = {0};
	const struct lora teacher = {DIM, DIM, 1, 1, a, a};
	struct pattern_searcher *s;
	struct pattern_found found[4];
	struct loop_b_result r;
	struct learned l;
	struct loop_b b;

	learner_new(&l, &b, o);
	s = pattern_searcher_new(l.patterns);
	assert_non_null(s);
	x[3] = 1;
	assert_int_equal(learned_find(&l, s, x, 4, found), 0);
	for (int topic = 0; topic < 4; topic++)
		live(&l, &b, &teacher, topic, 100);
	assert_int_equal(loop_b_cycle(&b, 9, &r), 0);
	assert_true(r.patterns_new > 4);
	assert_int_equal(learned_find(&l, s, x, 4, found), 4);
	assert_true(found[0].similarity >= found[1].similarity && found[0].similarity > 0);
	assert_true(found[0].pattern.id != 0);
	/* The teacher asks for nothing: only the noise costs. */
	assert_true(fabsf(found[0].pattern.quality - expf(-SIGMA * SIGMA)) < 0.01f);
	pthread_rwlock_wrlock(&l.patterns_lock);
	assert_int_equal(learned_find(&l, s, x, 4, found), -EAGAIN); /* it does not wait */
	pthread_rwlock_unlock(&l.patterns_lock);
	pattern_searcher_free(s);
	learner_free(&l, &b);
}

static uint32_t patterns_of_dreams(const struct pattern_store *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < pattern_store_count(s); i++)
		n += pattern_store_at(s, i)->kind == LOOP_C_PATTERN_DREAM;
	return n;
}

static void a_deep_cycle_dreams_of_nothing_or_forgets(void **state)
{
	struct loop_c_options o = LOOP_C_OPTIONS_DEFAULT;
	struct loop_b_options ob = LOOP_B_OPTIONS_DEFAULT;
	float a[DIM], c[DIM];
	const struct lora teacher = {DIM, DIM, 1, 1, a, c};
	struct loop_b_result rb;
	struct loop_c_result r;
	struct learned l;
	uint64_t seed = 3;
	struct loop_b b;
	uint32_t kept = 0;

	learner_new(&l, &b, ob);
	assert_int_equal(loop_c_cycle(&l, &o, &seed, 1, &r), 0);
	assert_int_equal(r.dreams, 0); /* no memories yet */
	random_vector(a, DIM, 1);
	random_vector(c, DIM, 1);
	for (int cycle = 0; cycle < 8; cycle++) {
		live(&l, &b, &teacher, cycle % 2, 100);
		assert_int_equal(loop_b_cycle(&b, (uint64_t)cycle, &rb), 0);
		assert_int_equal(loop_c_cycle(&l, &o, &seed, (uint64_t)cycle, &r), 0);
		assert_int_equal(r.dreams, o.dreams);
		assert_true(r.novelty > 0 && r.novelty <= 1 && r.phi >= 0);
		kept += r.kept;
		assert_int_equal(l.ewc.observed, 0); /* the task is over */
	}
	assert_true(kept > 0);
	assert_int_equal(l.dreams_kept, kept);
	assert_int_equal(l.dreams, 8 * o.dreams);
	assert_int_equal(l.cycles_c, 9);
	assert_true(l.ewc.finished >= 8 && l.ewc.ntasks < LEARNED_TASKS);
	assert_true(pattern_store_count(l.patterns) <= 256);
	assert_int_equal(dream_graph_check(&l.graph), 0);
	assert_true(patterns_of_dreams(l.patterns) > 0);
	o.fade = 0;
	assert_int_equal(loop_c_cycle(&l, &o, &seed, 9, &r), 0);
	for (uint32_t i = 0; i < l.graph.count; i++)
		assert_true(l.graph.node[i].importance == 0);
	learner_free(&l, &b);
}

static void bad_options_are_taken(void **state)
{
	struct learned_options lo = {DIM, 4, 1, 1, 256, 256, 7, ISA_SCALAR};
	struct loop_b_options o = LOOP_B_OPTIONS_DEFAULT;
	struct learned l;
	struct loop_b b;

	lo.rank = LORA_BASE_MAX_RANK + 1;
	assert_int_equal(learned_init(&l, &lo), -EINVAL);
	lo.rank = 4;
	lo.memories = 0;
	assert_int_equal(learned_init(&l, &lo), -EINVAL);
	lo.memories = 256;
	assert_int_equal(learned_init(&l, &lo), 0);
	o.clusters = o.trajectories + 1;
	assert_int_equal(loop_b_init(&b, &l, &o, NULL), -EINVAL);
	o.clusters = 10;
	o.sigma = 0;
	assert_int_equal(loop_b_init(&b, &l, &o, NULL), -EINVAL);
	loop_b_fini(&b);
	learned_fini(&l);
	learned_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_slope_of_the_reward_is_not_found),
		cmocka_unit_test(a_writer_is_given_a_copy_that_is_read),
		cmocka_unit_test(requests_teach_micro_lora_nothing),
		cmocka_unit_test(workers_that_learn_together_lose_updates),
		cmocka_unit_test(cycles_teach_base_lora_nothing),
		cmocka_unit_test(a_cycle_learns_only_from_the_last_or_the_first),
		cmocka_unit_test(a_number_that_is_not_finite_is_learned),
		cmocka_unit_test(a_gradient_too_large_spoils_the_weights),
		cmocka_unit_test(a_query_does_not_find_its_pattern),
		cmocka_unit_test(a_deep_cycle_dreams_of_nothing_or_forgets),
		cmocka_unit_test(bad_options_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
