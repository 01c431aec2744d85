/* SPDX-License-Identifier: Apache-2.0 */
/* engine_learner.c: the thread that drains trajectories and teaches micro-LoRA. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "kernels/engine_state.h"
#include "kernels/ordered.h"

/*
 * Down the mean gradient, by at most MAX_STEP: a gradient from ten samples in 256 dimensions is
 * mostly noise. Stable below 2 / (var(x) |B|^2), about 1 for the data of make_data(); one in a
 * hundred of it lets the noise average out, and rewards level off after half a minute at 500 QPS.
 */
#define RATE	 0.01f
#define MAX_STEP 0.02f

/* A pause is cut into these, so that stopping does not wait for a long one. */
#define NAP_NS (20 * 1000 * 1000ull)

struct batch {
	uint64_t drained;
	double reward;
};

/*
 * Evolution strategies (Salimans et al. 2017): the steps of a trajectory answered the same query
 * with different noise, so  gradient of loss by y = -mean((reward - mean reward) * noise) /
 * sigma^2, the noise being a step's activations less their mean. Baselines of K samples cost K / (K
 * - 1).
 */
static void gradient_of(const struct trajectory *t, float *grad)
{
	float steps[TRAJECTORY_STEPS][ENGINE_DIM], mean[ENGINE_DIM] = {0};
	const float k = (float)t->nsteps;
	float reward = 0;

	memset(grad, 0, ENGINE_DIM * sizeof(*grad));
	for (uint32_t s = 0; s < t->nsteps; s++) {
		trajectory_read_step(t, s, steps[s]);
		reward += t->steps[s].reward / k;
		for (uint32_t d = 0; d < t->dim; d++)
			mean[d] += steps[s][d] / k;
	}
	for (uint32_t s = 0; s < t->nsteps; s++) {
		/* Rewards are a mean over dimensions; the loss is their half sum. */
		float f = -(t->steps[s].reward - reward) * ENGINE_DIM /
			  (2 * ENGINE_SIGMA * ENGINE_SIGMA * (k - 1));

		for (uint32_t d = 0; d < t->dim; d++)
			grad[d] += f * (steps[s][d] - mean[d]);
	}
}

static void learn_one(struct engine *e, const struct lora *lora, const struct trajectory *t)
{
	float x[ENGINE_DIM], grad[ENGINE_DIM];

	if (t->nsteps < 2 || t->dim != ENGINE_DIM)
		return;
	trajectory_read_query(t, x);
	gradient_of(t, grad);
	metered_lora_update(&e->metrics.lora_update, lora, x, grad, 1, &e->gradient);
}

static float step_rate(const struct lora *l, const struct lora_gradient *g)
{
	double sum = 0, norm;

	for (size_t i = 0; i < (size_t)l->rank * l->dim_in; i++)
		sum += (double)g->a[i] * g->a[i];
	for (size_t i = 0; i < (size_t)l->rank * l->dim_out; i++)
		sum += (double)g->b[i] * g->b[i];
	norm = sqrt(sum) / (g->count ? g->count : 1);
	return norm * RATE <= MAX_STEP ? RATE : (float)(MAX_STEP / norm);
}

/* All that is there now, then one step of the weights. */
static void drain(struct engine *e, struct batch *b)
{
	const uint64_t start = perftop_now_ns(), most = e->ring.capacity;
	const struct trajectory *t;
	struct lora *next = NULL;

	b->drained = 0;
	b->reward = 0;
	while (b->drained < most && (t = trajectory_ring_peek(&e->ring))) {
		if (!next)
			next = lora_shared_begin(&e->shared);
		b->reward += t->quality;
		learn_one(e, next, t);
		trajectory_ring_release(&e->ring);
		b->drained++;
	}
	if (!next)
		return;
	lora_apply(next, &e->gradient, step_rate(next, &e->gradient));
	lora_shared_publish(&e->shared);
	perftop_add(e->metrics.drained, b->drained);
	perftop_record(e->metrics.drain, perftop_now_ns() - start);
}

/* Sleeps in pieces, and keeps the gauge of the buffer fresh while it does. */
static void pause_for(const struct engine *e, uint64_t ns)
{
	const uint64_t end = perftop_now_ns() + ns;
	uint64_t now;

	while (!ordered_load_64(&e->stop_learner) && (now = perftop_now_ns()) < end) {
		uint64_t nap = end - now < NAP_NS ? end - now : NAP_NS;
		struct timespec ts = {(time_t)(nap / 1000000000u), (long)(nap % 1000000000u)};

		nanosleep(&ts, NULL);
		perftop_set(e->metrics.used, (int64_t)trajectory_ring_used(&e->ring));
	}
}

void *engine_learner_run(void *arg)
{
	struct engine *e = arg;
	double reward = 0;
	bool any = false, last = false;
	struct batch b;

	while (!last) {
		last = ordered_load_64(&e->stop_learner);
		pause_for(e, e->options.drain_delay_ns);
		drain(e, &b);
		perftop_set(e->metrics.used, (int64_t)trajectory_ring_used(&e->ring));
		if (!b.drained)
			continue;
		/* A running mean over about the last 16 drains. */
		b.reward /= (double)b.drained;
		reward = any ? reward + (b.reward - reward) / 16 : b.reward;
		any = true;
		perftop_set(e->metrics.reward, (int64_t)(reward * 1000));
	}
	return NULL;
}
