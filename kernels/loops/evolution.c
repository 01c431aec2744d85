/* SPDX-License-Identifier: Apache-2.0 */
/* evolution.c: the slope of a reward. */
#include "kernels/loops/evolution.h"

#include <string.h>

/* factor[k]: what each answer counts. */
static void factors(const float *rewards, uint32_t k, uint32_t dim, float sigma, float *factor)
{
	float mean = 0, scale = (float)dim / (2 * sigma * sigma * ((float)k - 1));

	for (uint32_t s = 0; s < k; s++)
		mean += rewards[s] / (float)k;
	for (uint32_t s = 0; s < k; s++)
		factor[s] = -scale * (rewards[s] - mean);
}

void evolution_gradient(const float *answers, uint32_t row, const float *rewards, uint32_t k,
			uint32_t dim, float sigma, float *gradient)
{
	float factor[TRAJECTORY_STEPS];

	memset(gradient, 0, dim * sizeof(*gradient));
	if (k < 2 || k > TRAJECTORY_STEPS)
		return;
	factors(rewards, k, dim, sigma, factor);
	for (uint32_t s = 0; s < k; s++)
		for (uint32_t d = 0; d < dim; d++)
			gradient[d] += factor[s] * answers[(size_t)s * row + d];
}

void evolution_gradient_of(const struct trajectory *t, float sigma, float *gradient)
{
	float rewards[TRAJECTORY_STEPS], factor[TRAJECTORY_STEPS];

	memset(gradient, 0, t->dim * sizeof(*gradient));
	if (t->nsteps < 2)
		return;
	for (uint32_t s = 0; s < t->nsteps; s++)
		rewards[s] = t->steps[s].reward;
	factors(rewards, t->nsteps, t->dim, sigma, factor);
	for (uint32_t s = 0; s < t->nsteps; s++) {
		const struct trajectory_step *step = &t->steps[s];
		const float f = factor[s] * step->scale;

		for (uint32_t d = 0; d < t->dim; d++)
			gradient[d] += f * (float)step->activations[d];
	}
}
