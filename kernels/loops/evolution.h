/* SPDX-License-Identifier: Apache-2.0 */
/* evolution.h: the slope of a reward, from answers that differ by noise. */
#ifndef KERNELS_EVOLUTION_H
#define KERNELS_EVOLUTION_H

#include <stdint.h>

#include "kernels/trajectory/trajectory.h"

/*
 * Evolution strategies (Salimans et al. 2017): k answers y_s to the same query differ by noise of
 * standard deviation sigma, and each got a reward, the mean over dim dimensions of minus the
 *squared error. The gradient of the loss (half the sum of squared errors) by y is then estimated as
 *	-dim / (2 sigma^2 (k - 1)) * sum over s of (reward_s - mean reward) * y_s
 * What the answers have in common falls out, since the factors add up to 0. answers are `row`
 *floats apart. Nothing is learned from fewer than two: the gradient is then 0.
 */
void evolution_gradient(const float *answers, uint32_t row, const float *rewards, uint32_t k,
			uint32_t dim, float sigma, float *gradient);
/* The same from a record, whose answers are codes. gradient[t->dim]. */
void evolution_gradient_of(const struct trajectory *t, float sigma, float *gradient);

#endif
