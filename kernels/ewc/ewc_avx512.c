/* SPDX-License-Identifier: Apache-2.0 */
/* ewc_avx512.c: EWC++ with AVX-512. */
#include "kernels/ewc/ewc.h"

#if defined(__x86_64__)
#include "kernels/vec_avx512.h"
#include "kernels/ewc/ewc_loops.h"

int ewc_fisher_avx512(float *square, float *mean, const float *gradient, size_t n, float decay)
{
	return ewc_fisher(square, mean, gradient, n, decay);
}

int ewc_constrain_avx512(float *gradient, const float *theta, const struct ewc_task *tasks,
			 uint32_t ntasks, size_t n)
{
	return ewc_constrain(gradient, theta, tasks, ntasks, n);
}

int ewc_merge_avx512(float *stiffness, float *anchor, float keep, const struct ewc_task *task,
		     size_t n)
{
	return ewc_merge(stiffness, anchor, keep, task, n);
}
#endif
