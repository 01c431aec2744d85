/* SPDX-License-Identifier: Apache-2.0 */
/* ewc.c: what all variants of EWC++ share, and the scalar and reference ones. */
#include "kernels/ewc/ewc.h"

#include <errno.h>

#include "kernels/scalar_only.h"

int ewc_fisher_check(const float *square, const float *gradient, float decay)
{
	return square && gradient && decay >= 0 && decay <= 1 ? 0 : -EINVAL;
}

int ewc_constrain_check(const float *gradient, const float *theta, const struct ewc_task *tasks,
			uint32_t ntasks)
{
	if (!gradient || !theta || (ntasks && !tasks))
		return -EINVAL;
	for (uint32_t t = 0; t < ntasks; t++)
		if (!tasks[t].stiffness || !tasks[t].anchor)
			return -EINVAL;
	return 0;
}

int ewc_merge_check(const float *stiffness, const float *anchor, float keep,
		    const struct ewc_task *task)
{
	if (!stiffness || !anchor || !task || !task->stiffness || !task->anchor)
		return -EINVAL;
	return keep >= 0 && keep <= 1 ? 0 : -EINVAL;
}

uint64_t ewc_fisher_bytes(size_t n, int with_mean)
{
	return (with_mean ? 5ull : 3ull) * sizeof(float) * n;
}

uint64_t ewc_constrain_bytes(size_t n, uint32_t ntasks)
{
	return (3 + 2ull * ntasks) * sizeof(float) * n;
}

#define DEFINE_EWC(SUFFIX, TYPE, ATTRIBUTE)                                                  \
	ATTRIBUTE int ewc_fisher_##SUFFIX(float *square, float *mean, const float *gradient, \
					  size_t n, float decay)                             \
	{                                                                                    \
		const TYPE d = decay, rest = 1 - (TYPE)decay;                                \
                                                                                             \
		if (ewc_fisher_check(square, gradient, decay))                               \
			return -EINVAL;                                                      \
		for (size_t i = 0; i < n; i++) {                                             \
			const TYPE g = gradient[i];                                          \
                                                                                             \
			square[i] = (float)(d * square[i] + rest * g * g);                   \
			if (mean)                                                            \
				mean[i] = (float)(d * mean[i] + rest * g);                   \
		}                                                                            \
		return 0;                                                                    \
	}                                                                                    \
	ATTRIBUTE int ewc_constrain_##SUFFIX(float *gradient, const float *theta,            \
					     const struct ewc_task *tasks, uint32_t ntasks,  \
					     size_t n)                                       \
	{                                                                                    \
		if (ewc_constrain_check(gradient, theta, tasks, ntasks))                     \
			return -EINVAL;                                                      \
		for (size_t i = 0; i < n; i++) {                                             \
			TYPE force = 0;                                                      \
                                                                                             \
			for (uint32_t t = 0; t < ntasks; t++)                                \
				force += (TYPE)tasks[t].weight * tasks[t].stiffness[i] *     \
					 ((TYPE)theta[i] - tasks[t].anchor[i]);              \
			gradient[i] = (float)(gradient[i] + force);                          \
		}                                                                            \
		return 0;                                                                    \
	}                                                                                    \
	ATTRIBUTE int ewc_merge_##SUFFIX(float *stiffness, float *anchor, float keep,        \
					 const struct ewc_task *task, size_t n)              \
	{                                                                                    \
		if (ewc_merge_check(stiffness, anchor, keep, task))                          \
			return -EINVAL;                                                      \
		for (size_t i = 0; i < n; i++) {                                             \
			const TYPE old = (TYPE)keep * stiffness[i];                          \
			const TYPE new = (TYPE)task->weight * task->stiffness[i];            \
			const TYPE sum = old + new;                                          \
			const TYPE moment = old * anchor[i] + new * task->anchor[i];         \
                                                                                             \
			stiffness[i] = (float)sum;                                           \
			anchor[i] = (float)(moment / (sum != 0 ? sum : 1));                  \
		}                                                                            \
		return 0;                                                                    \
	}

DEFINE_EWC(ref, double, )
DEFINE_EWC(scalar, float, SCALAR_ONLY)
