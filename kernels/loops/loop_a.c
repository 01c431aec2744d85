/* SPDX-License-Identifier: Apache-2.0 */
/* loop_a.c: the instant loop. */
#include "kernels/loops/loop_a.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>

#include "kernels/loops/evolution.h"
#include "kernels/ordered.h"

static double norm2(const float *x, size_t n)
{
	float sum[16] = {0}, rest = 0;
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
		for (size_t l = 0; l < 16; l++)
			sum[l] += x[i + l] * x[i + l];
	for (; i < n; i++)
		rest += x[i] * x[i];
	for (size_t l = 0; l < 16; l++)
		rest += sum[l];
	return rest;
}

/* 0: there is no step along a gradient that is not finite. */
static float step_rate(const struct loop_a_shared *s, const struct lora *l,
		       const struct lora_gradient *g)
{
	double norm = sqrt(norm2(g->a, (size_t)l->rank * l->dim_in) +
			   norm2(g->b, (size_t)l->rank * l->dim_out)) /
		      (g->count ? g->count : 1);

	if (!isfinite(norm))
		return 0;
	return norm * s->rate <= s->max_step ? s->rate : (float)(s->max_step / norm);
}

/* The right to change the weights, if nobody has it. */
static int take_turn(struct loop_a_shared *s)
{
	uint64_t free = 0;

	if (ordered_load_64(&s->busy) || !ordered_cas_64(&s->busy, &free, 1))
		return 0;
	/* Acquire: what the worker before us wrote is seen before we read it. */
	return (int)ordered_load_64(&s->busy);
}

int loop_a_flush(struct loop_a *a)
{
	struct loop_a_shared *s = a->shared;
	struct lora *next;
	float rate;

	if (!a->gradient.count)
		return 0;
	rate = step_rate(s, s->micro->copies, &a->gradient);
	if (!(rate > 0)) {
		lora_clear(s->micro->copies, &a->gradient);
		return 0;
	}
	if (!take_turn(s))
		return 0;
	next = lora_shared_begin(s->micro);
	if (next) {
		lora_apply(next, &a->gradient, rate);
		lora_shared_publish(s->micro);
		perftop_inc(s->metrics.updates);
	}
	ordered_store_64(&s->busy, 0);
	return next != NULL;
}

static int record(struct loop_a *a, const struct loop_a_request *r)
{
	const struct loop_a_metrics *m = &a->shared->metrics;
	const struct trajectory_writer before = a->writer;
	struct trajectory *t = trajectory_ring_claim(a->shared->ring, &a->writer);
	float quality = 0;
	int err;

	perftop_inc(t ? m->recorded : m->dropped);
	perftop_add(m->cas_attempts, a->writer.cas_attempts - before.cas_attempts);
	perftop_add(m->cas_failures, a->writer.cas_failures - before.cas_failures);
	if (!t)
		return 0;
	err = trajectory_begin(t, a->shared->quantize, r->id, r->query, r->dim, r->now_ns);
	if (!err)
		err = trajectory_add_steps(t, a->shared->quantize_rows, r->answers, r->steps,
					   r->attention, r->rewards, r->now_ns);
	for (uint32_t s = 0; s < r->steps; s++)
		quality += r->rewards[s] / (float)r->steps;
	t->quality = quality;
	t->pattern = r->pattern;
	t->expected = r->expected;
	trajectory_ring_publish(a->shared->ring, &a->writer);
	return err;
}

/* One number that is not finite would make all weights so, for good. */
static bool is_finite(const struct loop_a_request *r, const float *gradient)
{
	float rewards = 0;

	for (uint32_t s = 0; s < r->steps; s++)
		rewards += r->rewards[s];
	return isfinite(rewards) && isfinite(norm2(r->query, r->dim)) &&
	       isfinite(r->steps < 2 ? norm2(r->answers, (size_t)r->steps * r->dim)
				     : norm2(gradient, r->dim));
}

int loop_a_on_inference(struct loop_a *a, const struct loop_a_request *r)
{
	struct loop_a_shared *s = a->shared;
	float gradient[TRAJECTORY_DIM];
	const struct lora *l;
	int err;

	if (!r->query || !r->answers || !r->rewards || !r->dim || r->dim > TRAJECTORY_DIM ||
	    r->steps > TRAJECTORY_STEPS || r->dim != s->micro->copies->dim_in)
		return -EINVAL;
	evolution_gradient(r->answers, r->dim, r->rewards, r->steps, r->dim, s->sigma, gradient);
	if (!is_finite(r, gradient))
		return -EINVAL;
	err = record(a, r);
	if (err || r->steps < 2)
		return err;
	l = lora_shared_acquire(s->micro, a->reader);
	err = metered_lora_update(&s->metrics.update, l, r->query, gradient, 1, &a->gradient);
	lora_shared_release(s->micro, a->reader);
	if (!err && a->gradient.count >= s->batch)
		loop_a_flush(a);
	return err;
}
