/* SPDX-License-Identifier: Apache-2.0 */
/* kmeans_ref.c: Lloyd's iterations in double precision, as a textbook has them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/patterns/kmeans.h"

static double distance(const float *x, const float *c, uint32_t dim)
{
	double s = 0;

	for (uint32_t d = 0; d < dim; d++)
		s += ((double)x[d] - c[d]) * ((double)x[d] - c[d]);
	return s;
}

/* Each point to its nearest centre. True when one changed. */
static bool assign(const struct kmeans *km, double *d2, double *inertia)
{
	bool changed = false;

	*inertia = 0;
	for (uint32_t i = 0; i < km->n; i++) {
		uint32_t best = 0;

		d2[i] = INFINITY;
		for (uint32_t j = 0; j < km->k; j++) {
			double s = distance(km->x + i * km->x_row,
					    km->centres + (size_t)j * km->dim, km->dim);

			if (s < d2[i]) {
				d2[i] = s;
				best = j;
			}
		}
		changed |= km->assign[i] != best;
		km->assign[i] = best;
		*inertia += d2[i];
	}
	return changed;
}

static void count(const struct kmeans *km, uint32_t *counts)
{
	memset(counts, 0, km->k * sizeof(*counts));
	for (uint32_t i = 0; i < km->n; i++)
		counts[km->assign[i]]++;
}

static uint32_t refill(const struct kmeans *km, double *d2, uint32_t *counts)
{
	uint32_t refilled = 0;

	for (uint32_t j = 0; j < km->k; j++) {
		uint32_t far = 0;
		double worst = -1;

		if (counts[j])
			continue;
		for (uint32_t i = 0; i < km->n; i++) {
			if (counts[km->assign[i]] > 1 && d2[i] > worst) {
				worst = d2[i];
				far = i;
			}
		}
		counts[km->assign[far]]--;
		counts[j] = 1;
		km->assign[far] = j;
		d2[far] = 0;
		refilled++;
	}
	return refilled;
}

static void move_centres(const struct kmeans *km, double *sums, const uint32_t *counts)
{
	memset(sums, 0, (size_t)km->k * km->dim * sizeof(*sums));
	for (uint32_t i = 0; i < km->n; i++)
		for (uint32_t d = 0; d < km->dim; d++)
			sums[(size_t)km->assign[i] * km->dim + d] +=
				(double)km->x[i * km->x_row + d];
	for (uint32_t j = 0; j < km->k; j++)
		for (uint32_t d = 0; d < km->dim; d++)
			km->centres[(size_t)j * km->dim + d] =
				(float)(sums[(size_t)j * km->dim + d] / counts[j]);
}

int kmeans_refine_ref(const struct kmeans *km, struct kmeans_result *result)
{
	double *d2 = NULL, *sums = NULL, before = INFINITY;
	uint32_t *counts = NULL;
	int err = -EINVAL;

	if (!km || !result || !km->x || !km->centres || !km->assign || !km->k || km->k > km->n ||
	    !km->dim)
		return err;
	*result = (struct kmeans_result){0};
	d2 = malloc(km->n * sizeof(*d2));
	sums = malloc((size_t)km->k * km->dim * sizeof(*sums));
	counts = malloc(km->k * sizeof(*counts));
	err = d2 && sums && counts ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < km->n; i++)
		km->assign[i] = UINT32_MAX;
	while (!err) {
		bool changed = assign(km, d2, &result->inertia);

		count(km, counts);
		result->converged =
			!changed ||
			(km->tolerance > 0 && before - result->inertia <= km->tolerance * before);
		if (result->converged || result->iterations == km->max_iterations)
			break;
		before = result->inertia;
		result->refilled += refill(km, d2, counts);
		move_centres(km, sums, counts);
		result->iterations++;
	}
	if (!err && km->counts)
		memcpy(km->counts, counts, km->k * sizeof(*counts));
	free(d2);
	free(sums);
	free(counts);
	return err;
}
