/* SPDX-License-Identifier: Apache-2.0 */
/* ewc.h: EWC++: what weights may change without earlier tasks being forgotten; the kernels. */
#ifndef KERNELS_EWC_H
#define KERNELS_EWC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Elastic weight consolidation (Kirkpatrick et al. 2017, PNAS 114:3521) holds each weight to what
 * it was after an earlier task t, as firmly as that task's loss curves there: the diagonal of the
 * Fisher information F_t. Its online form (Schwarz et al. 2018, "Progress & Compress") keeps
 * running sums, with forgetting, in place of one more pair of vectors a task.
 *
 *	penalty = sum over t of  weight_t / 2 * sum over i of F_t[i] * (theta[i] - theta_t[i])^2
 *
 * Arrays are the caller's, n floats each; no alignment needed; none may overlap another.
 */

/*
 * One gradient into the running moments, by which F is estimated:
 *	square = decay * square + (1 - decay) * gradient^2	this is F
 *	mean   = decay * mean   + (1 - decay) * gradient
 * The variance under the same weights is square - mean^2: two vectors carry all three figures.
 * mean may be NULL: only F then, with 12 bytes moved a weight in place of 20. 0, or -EINVAL for a
 * null pointer or a decay outside [0, 1].
 */
typedef int ewc_fisher_fn(float *square, float *mean, const float *gradient, size_t n, float decay);

/* What an earlier task asks for: each weight near `anchor`, with a force of weight * stiffness. */
struct ewc_task {
	const float *stiffness; /* its Fisher information, not negative */
	const float *anchor;	/* the weights after it */
	float weight;
};

/*
 * The gradient of the penalty, added:
 *	gradient += sum over t of weight_t * stiffness_t * (theta - anchor_t)
 * Quadratics add up to one quadratic, so any number of tasks merged by ewc_merge_fn is one task
 * here, and asks for the same force in 20 bytes a weight where five tasks move 52.
 * -EINVAL for a null pointer.
 */
typedef int ewc_constrain_fn(float *gradient, const float *theta, const struct ewc_task *tasks,
			     uint32_t ntasks, size_t n);

/*
 * One more task into a sum, of which `keep` in [0, 1] stays (Schwarz's gamma; 1: nothing is
 * forgotten):
 *	sum' = keep * sum + weight * stiffness
 *	anchor' = (keep * sum * anchor + weight * stiffness * task's anchor) / sum',  0 where sum'
 *is The point of rest and the force are those of all tasks together. -EINVAL as above.
 */
typedef int ewc_merge_fn(float *stiffness, float *anchor, float keep, const struct ewc_task *task,
			 size_t n);

/*
 * Bounds, against a double-precision reference: fisher |got - ref| <= 3 * EWC_ERROR * (decay *
 * |old|
 * + (1 - decay) * |new|); constrain <= EWC_ERROR * (3 + 2 * ntasks) * (|gradient| + sum |weight *
 * stiffness| * (|theta| + |anchor|)); merge 4 * EWC_ERROR of the sum, and of max |anchor|.
 */
#define EWC_ERROR 6e-8

ewc_fisher_fn ewc_fisher_ref, ewc_fisher_scalar, ewc_fisher_avx2, ewc_fisher_avx512;
ewc_fisher_fn ewc_fisher_neon;
ewc_constrain_fn ewc_constrain_ref, ewc_constrain_scalar, ewc_constrain_avx2, ewc_constrain_avx512;
ewc_constrain_fn ewc_constrain_neon;
ewc_merge_fn ewc_merge_ref, ewc_merge_scalar, ewc_merge_avx2, ewc_merge_avx512;
ewc_merge_fn ewc_merge_neon;

/* For all variants: 0 or -EINVAL. */
int ewc_fisher_check(const float *square, const float *gradient, float decay);
int ewc_constrain_check(const float *gradient, const float *theta, const struct ewc_task *tasks,
			uint32_t ntasks);
int ewc_merge_check(const float *stiffness, const float *anchor, float keep,
		    const struct ewc_task *task);

/* Bytes moved for n weights, each operand and result once. */
uint64_t ewc_fisher_bytes(size_t n, int with_mean);
uint64_t ewc_constrain_bytes(size_t n, uint32_t ntasks);

#ifdef __cplusplus
}
#endif

#endif
