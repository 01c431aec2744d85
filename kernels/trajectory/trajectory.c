/* SPDX-License-Identifier: Apache-2.0 */
/* trajectory.c: compact records. */
#include "kernels/trajectory/trajectory.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

enum { LANES = 4, COLUMNS = 32 };

/*
 * No more than the eighth largest weight, and near it: each of four lanes has two columns whose
 * maxima are no less than the second of its own, so the least of these seconds is reached by
 * eight. Of a number of weights that is no multiple of COLUMNS, the rest is left out. *sum is that
 * of all.
 */
static float below_eighth(const float *weights, uint32_t n, float *sum)
{
	float max[COLUMNS] = {0}, total[COLUMNS] = {0}, first[LANES] = {0}, second[LANES] = {0};
	float least;
	uint32_t i = 0;

	for (; i + COLUMNS <= n; i += COLUMNS) {
		for (uint32_t c = 0; c < COLUMNS; c++) {
			max[c] = weights[i + c] > max[c] ? weights[i + c] : max[c];
			total[c] += weights[i + c];
		}
	}
	for (; i < n; i++)
		total[0] += weights[i];
	for (uint32_t c = 0; c < COLUMNS; c += LANES) {
		for (uint32_t l = 0; l < LANES; l++) {
			float m = max[c + l], low = m < first[l] ? m : first[l];

			first[l] = m > first[l] ? m : first[l];
			second[l] = low > second[l] ? low : second[l];
		}
	}
	*sum = 0;
	for (uint32_t c = 0; c < COLUMNS; c++)
		*sum += total[c];
	least = second[0];
	for (uint32_t l = 1; l < LANES; l++)
		least = second[l] < least ? second[l] : least;
	return least;
}

/* Which of COLUMNS weights are no less: bit c is of the one at c. */
static uint32_t marks_from(const float *weights, float least)
{
	uint32_t marks = 0;

#if defined(__SSE2__) /* which is in every x86-64; of the loop the compiler makes 32 branches */
	const __m128 limit = _mm_set1_ps(least);

	for (uint32_t c = 0; c < COLUMNS; c += 4)
		marks |= (uint32_t)_mm_movemask_ps(_mm_cmpge_ps(_mm_loadu_ps(weights + c), limit))
			 << c;
#else
	for (uint32_t c = 0; c < COLUMNS; c++)
		marks |= (uint32_t)(weights[c] >= least) << c;
#endif
	return marks;
}

/*
 * A weight above its key: for numbers above 0 their bits are in the same order, and of equal
 * weights the first key is the greater.
 */
static uint64_t pack_weight(float weight, uint32_t key)
{
	uint32_t bits;

	memcpy(&bits, &weight, sizeof(bits));
	return (uint64_t)bits << 32 | (UINT32_MAX - key);
}

static float packed_weight(uint64_t packed)
{
	const uint32_t bits = (uint32_t)(packed >> 32);
	float weight;

	memcpy(&weight, &bits, sizeof(weight));
	return weight;
}

/* Into its place in the order, without a branch to guess. */
static inline void offer_weight(uint64_t top[TRAJECTORY_TOP], uint64_t packed)
{
#pragma GCC unroll 8
	for (int i = 0; i < TRAJECTORY_TOP; i++) {
		const uint64_t other = top[i];

		top[i] = packed > other ? packed : other;
		packed = packed > other ? other : packed;
	}
}

static uint16_t share_of(float x)
{
	return (uint16_t)((x > 0 ? x < 1 ? x : 1 : 0) * 65535 + 0.5f);
}

void trajectory_keep_weights(struct trajectory_attention *a, uint32_t head, const float *weights,
			     uint32_t n)
{
	uint64_t top[TRAJECTORY_TOP];
	float rest, least = below_eighth(weights, n, &rest);
	uint32_t i = 0;

	least = least > 0 ? least : FLT_TRUE_MIN;
	for (int k = 0; k < TRAJECTORY_TOP; k++)
		top[k] = UINT32_MAX; /* key 0, of no weight */
	for (; i + COLUMNS <= n; i += COLUMNS) {
		for (uint32_t m = marks_from(weights + i, least); m; m &= m - 1) {
			const uint32_t key = i + (uint32_t)__builtin_ctz(m);

			offer_weight(top, pack_weight(weights[key], key));
		}
	}
	for (; i < n; i++)
		if (weights[i] >= least)
			offer_weight(top, pack_weight(weights[i], i));
	for (int k = 0; k < TRAJECTORY_TOP; k++) {
		const float weight = packed_weight(top[k]);

		rest -= weight;
		a->top[head][k] = (struct trajectory_weight){
			(uint16_t)(UINT32_MAX - (uint32_t)top[k]), share_of(weight)};
	}
	a->rest[head] = share_of(rest);
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
