/* SPDX-License-Identifier: Apache-2.0 */
/* ewc_tasks.c: what a learner remembers of earlier tasks. */
#include "kernels/ewc/ewc_tasks.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

/* Arrays begin on cache lines. */
static size_t padded(size_t n)
{
	return (n + 15) / 16 * 16;
}

size_t ewc_bytes(size_t n, uint32_t max_tasks)
{
	if (!n || n > SIZE_MAX / 1024 || !max_tasks || max_tasks > EWC_MAX_TASKS)
		return 0;
	return (4 + 2 * (size_t)max_tasks) * padded(n) * sizeof(float);
}

int ewc_init(struct ewc *e, const struct ewc_config *c, enum isa isa, void *storage, size_t bytes)
{
	size_t need = c ? ewc_bytes(c->n, c->max_tasks) : 0, step = need ? padded(c->n) : 0;
	float *at = storage;

	if (!e || !need || !storage || (uintptr_t)storage % 64 || bytes < need)
		return -EINVAL;
	if (!(c->decay > 0 && c->decay < 1 && c->lambda > 0 && c->keep >= 0 && c->keep <= 1))
		return -EINVAL;
	memset(e, 0, sizeof(*e));
	memset(storage, 0, need);
	e->config = *c;
	e->square = at;
	e->mean = at + step;
	e->stiffness = at + 2 * step;
	e->anchor = at + 3 * step;
	for (uint32_t t = 0; t < c->max_tasks; t++) {
		e->task_stiffness[t] = at + (4 + 2 * t) * step;
		e->task_anchor[t] = at + (5 + 2 * t) * step;
	}
	e->fisher = kernels_select("ewc_fisher", isa)->run.ewc_fisher;
	e->constrain = kernels_select("ewc_constrain", isa)->run.ewc_constrain;
	e->merge = kernels_select("ewc_merge", isa)->run.ewc_merge;
	return 0;
}

int ewc_observe(struct ewc *e, const float *gradient)
{
	int err = e->fisher(e->square, e->mean, gradient, e->config.n, e->config.decay);

	if (!err)
		e->observed++;
	return err;
}

/* What a moment that began at zero has to be multiplied by (Kingma and Ba 2015, section 3). */
static double correction(const struct ewc *e)
{
	return 1 / (1 - pow(e->config.decay, (double)e->observed));
}

double ewc_surprise(const struct ewc *e, const float *gradient)
{
	double distance = 0, variance = 0, c;

	if (e->observed < 2)
		return 1;
	c = correction(e);
	for (size_t i = 0; i < e->config.n; i++) {
		double mean = c * e->mean[i], off = gradient[i] - mean;

		distance += off * off;
		variance += c * e->square[i] - mean * mean;
	}
	return variance > 0 ? distance / variance : distance > 0 ? INFINITY : 1;
}

/* The two oldest tasks become one, and leave a place at the end. */
static void merge_oldest(struct ewc *e)
{
	float *stiffness = e->task_stiffness[0], *anchor = e->task_anchor[0];
	const uint32_t last = e->config.max_tasks - 1;

	/* Weights go into the sum, whose own is then 1. */
	for (size_t i = 0; i < e->config.n; i++)
		stiffness[i] *= e->task[0].weight;
	e->merge(stiffness, anchor, 1, &e->task[1], e->config.n);
	e->task[0].weight = 1;
	stiffness = e->task_stiffness[1];
	anchor = e->task_anchor[1];
	for (uint32_t t = 1; t < last; t++) {
		e->task[t] = e->task[t + 1];
		e->task_stiffness[t] = e->task_stiffness[t + 1];
		e->task_anchor[t] = e->task_anchor[t + 1];
	}
	e->task_stiffness[last] = stiffness;
	e->task_anchor[last] = anchor;
	e->ntasks--;
}

/* Makes room for one more; the only task there is gives way into the sum. */
static void make_room(struct ewc *e)
{
	if (e->ntasks < e->config.max_tasks)
		return;
	if (e->config.max_tasks > 1)
		merge_oldest(e);
	else
		e->ntasks = 0;
}

int ewc_finish_task(struct ewc *e, const float *theta)
{
	const float c = (float)correction(e);
	struct ewc_task *task;
	uint32_t at;
	int err;

	if (!theta)
		return -EINVAL;
	if (!e->observed)
		return 0;
	for (uint32_t t = 0; t < e->ntasks; t++)
		e->task[t].weight *= e->config.keep;
	make_room(e);
	at = e->ntasks++;
	for (size_t i = 0; i < e->config.n; i++)
		e->task_stiffness[at][i] = c * e->square[i];
	memcpy(e->task_anchor[at], theta, e->config.n * sizeof(float));
	task = &e->task[at];
	*task = (struct ewc_task){e->task_stiffness[at], e->task_anchor[at], e->config.lambda};
	err = e->merge(e->stiffness, e->anchor, e->config.keep, task, e->config.n);
	if (e->config.max_tasks == 1) { /* it stands for all: it is the sum */
		memcpy(e->task_stiffness[0], e->stiffness, e->config.n * sizeof(float));
		memcpy(e->task_anchor[0], e->anchor, e->config.n * sizeof(float));
		task->weight = 1;
	}
	memset(e->square, 0, e->config.n * sizeof(float));
	memset(e->mean, 0, e->config.n * sizeof(float));
	e->observed = 0;
	e->finished++;
	return err;
}

int ewc_apply(const struct ewc *e, const float *theta, float *gradient)
{
	const struct ewc_task sum = {e->stiffness, e->anchor, 1};

	return e->constrain(gradient, theta, &sum, e->finished ? 1 : 0, e->config.n);
}

int ewc_apply_tasks(const struct ewc *e, const float *theta, float *gradient)
{
	return e->constrain(gradient, theta, e->task, e->ntasks, e->config.n);
}

void ewc_consolidate(struct ewc *e)
{
	while (e->ntasks > 1)
		merge_oldest(e);
}

double ewc_penalty(const struct ewc *e, const float *theta)
{
	double sum = 0;

	for (uint32_t t = 0; t < e->ntasks; t++)
		for (size_t i = 0; i < e->config.n; i++) {
			double off = (double)theta[i] - e->task[t].anchor[i];

			sum += e->task[t].weight / 2 * e->task[t].stiffness[i] * off * off;
		}
	return sum;
}
