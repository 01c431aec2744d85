/* SPDX-License-Identifier: Apache-2.0 */
/* ewc_neon.c: EWC++ with NEON. */
#include "kernels/ewc/ewc.h"

#if defined(__aarch64__) || defined(KERNELS_EMULATED)
#include "kernels/vec_neon.h"
#include "kernels/ewc/ewc_loops.h"

int ewc_fisher_neon(float *square, float *mean, const float *gradient, size_t n, float decay)
{
	return ewc_fisher(square, mean, gradient, n, decay);
}

int ewc_constrain_neon(float *gradient, const float *theta, const struct ewc_task *tasks,
		       uint32_t ntasks, size_t n)
{
	return ewc_constrain(gradient, theta, tasks, ntasks, n);
}

int ewc_merge_neon(float *stiffness, float *anchor, float keep, const struct ewc_task *task,
		   size_t n)
{
	return ewc_merge(stiffness, anchor, keep, task, n);
}
#endif
