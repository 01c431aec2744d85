/* SPDX-License-Identifier: Apache-2.0 */
/* trajectory.c: compact records. */
#include "kernels/trajectory/trajectory.h"

#include <errno.h>
#include <math.h>
#include <string.h>

float quantize_i8_scalar(const float *x, int8_t *codes, uint32_t n)
{
	float max = 0, inv;

	for (uint32_t i = 0; i < n; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	/* Below this the inverse overflows: such a vector is all zeros. */
	inv = max > 1e-36f ? 127 / max : 0;
	for (uint32_t i = 0; i < n; i++)
		codes[i] = (int8_t)lrintf(x[i] * inv);
	return max / 127;
}

void quantize_each_row(const struct quantize_rows *q, quantize_fn *quantize)
{
	for (uint32_t r = 0; r < q->rows; r++) {
		struct trajectory_step *to = &q->to[r];

		trajectory_copy_attention(&to->attention, q->attention);
		to->scale = quantize(q->x + r * q->x_row, to->activations, q->n);
	}
}

void quantize_rows_i8_scalar(const struct quantize_rows *q)
{
	quantize_each_row(q, quantize_i8_scalar);
}

int trajectory_begin(struct trajectory *t, quantize_fn *quantize, uint64_t id, const float *query,
		     uint32_t dim, uint64_t now_ns)
{
	if (!dim || dim > TRAJECTORY_DIM)
		return -EINVAL;
	t->id = id;
	t->start_ns = now_ns;
	t->quality = 0;
	t->pattern = 0;
	t->expected = 0;
	t->spare = 0;
	t->dim = dim;
	t->nsteps = 0;
	t->query_scale = quantize(query, t->query, dim);
	return 0;
}

static const struct trajectory_attention no_attention;

int trajectory_add_step(struct trajectory *t, quantize_fn *quantize, const float *activations,
			const struct trajectory_attention *attention, float reward, uint64_t now_ns)
{
	struct trajectory_step *s;

	if (t->nsteps >= TRAJECTORY_STEPS)
		return -ENOSPC;
	s = &t->steps[t->nsteps++];
	s->time_ns = now_ns;
	s->reward = reward;
	trajectory_copy_attention(&s->attention, attention ? attention : &no_attention);
	s->scale = quantize(activations, s->activations, t->dim);
	return 0;
}

int trajectory_add_steps(struct trajectory *t, quantize_rows_fn *quantize, const float *activations,
			 uint32_t steps, const struct trajectory_attention *attention,
			 const float *rewards, uint64_t now_ns)
{
	struct trajectory_step *s = &t->steps[t->nsteps];

	if (steps > TRAJECTORY_STEPS - t->nsteps)
		return -ENOSPC;
	quantize(&(struct quantize_rows){activations, t->dim, steps, t->dim,
					 attention ? attention : &no_attention, s});
	for (uint32_t i = 0; i < steps; i++) {
		s[i].time_ns = now_ns;
		s[i].reward = rewards[i];
	}
	t->nsteps += steps;
	return 0;
}

enum { COLUMNS = 32 };

/*
 * The eighth largest of the maxima of columns: at least eight weights are no less, so none that is
 * less is among the eight heaviest. *sum is that of all.
 */
static float eighth_of_columns(const float *weights, uint32_t n, float *sum)
{
	float max[COLUMNS] = {0}, total[COLUMNS] = {0}, top[TRAJECTORY_TOP] = {0};
	uint32_t i = 0;

	for (; i + COLUMNS <= n; i += COLUMNS) {
		for (uint32_t c = 0; c < COLUMNS; c++) {
			max[c] = weights[i + c] > max[c] ? weights[i + c] : max[c];
			total[c] += weights[i + c];
		}
	}
	for (uint32_t c = 0; i + c < n; c++) {
		max[c] = weights[i + c] > max[c] ? weights[i + c] : max[c];
		total[c] += weights[i + c];
	}
	*sum = 0;
	for (uint32_t c = 0; c < COLUMNS; c++) {
		float m = max[c];

		*sum += total[c];
		/* Into its place, without a branch to guess. */
		for (uint32_t k = 0; k < TRAJECTORY_TOP; k++) {
			float high = m > top[k] ? m : top[k];

			m = m > top[k] ? top[k] : m;
			top[k] = high;
		}
	}
	return top[TRAJECTORY_TOP - 1];
}

/* Of the few that may be among the heaviest, each is inserted in order; the first of equals stays.
 */
void trajectory_keep_weights(struct trajectory_attention *a, uint32_t head, const float *weights,
			     uint32_t n)
{
	float best[TRAJECTORY_TOP] = {0}, rest;
	uint16_t keys[TRAJECTORY_TOP] = {0};
	const float least = eighth_of_columns(weights, n, &rest);

	for (uint32_t i = 0; i < n; i++) {
		const float w = weights[i];
		int at = TRAJECTORY_TOP - 1;

		if (w < least || w <= best[at])
			continue;
		for (; at > 0 && best[at - 1] < w; at--) {
			best[at] = best[at - 1];
			keys[at] = keys[at - 1];
		}
		best[at] = w;
		keys[at] = (uint16_t)i;
	}
	for (int i = 0; i < TRAJECTORY_TOP; i++) {
		rest -= best[i];
		a->top[head][i] = (struct trajectory_weight){
			keys[i], (uint16_t)lrintf(fminf(best[i], 1) * 65535)};
	}
	a->rest[head] = (uint16_t)lrintf(fmaxf(0, fminf(rest, 1)) * 65535);
}

static void read_codes(const int8_t *codes, float scale, uint32_t n, float *x)
{
	for (uint32_t i = 0; i < n; i++)
		x[i] = (float)codes[i] * scale;
}

void trajectory_read_query(const struct trajectory *t, float *query)
{
	read_codes(t->query, t->query_scale, t->dim, query);
}

int trajectory_read_step(const struct trajectory *t, uint32_t step, float *activations)
{
	if (step >= t->nsteps)
		return -EINVAL;
	read_codes(t->steps[step].activations, t->steps[step].scale, t->dim, activations);
	return 0;
}

size_t trajectory_bytes(const struct trajectory *t)
{
	return offsetof(struct trajectory, steps) + t->nsteps * sizeof(t->steps[0]);
}
