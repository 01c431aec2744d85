/* SPDX-License-Identifier: Apache-2.0 */
/* ewc_tasks.h: what a learner remembers of earlier tasks: moments, tasks, and their sum. */
#ifndef KERNELS_EWC_TASKS_H
#define KERNELS_EWC_TASKS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/ewc/ewc.h"
#include "kernels/isa.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { EWC_MAX_TASKS = 8 };

struct ewc_config {
	size_t n; /* weights */
	uint32_t
		max_tasks; /* kept apart, 1 to EWC_MAX_TASKS; with one more, the two oldest merge */
	float decay;	   /* of the moments, in (0, 1) */
	float lambda;	   /* weight of a new task's penalty, > 0 */
	float keep;	   /* share of earlier penalties that stays with each new task, in [0, 1] */
};

/*
 * Tasks are kept apart for those who want to see them, and in one sum, which asks for the same
 * force (ewc_constrain_fn) in a time that does not grow with their number. One thread at a time.
 */
struct ewc {
	struct ewc_config config;
	uint64_t observed; /* gradients of the task under way */
	uint64_t finished; /* tasks ever */
	uint32_t ntasks;   /* kept apart now */
	float *square, *mean;
	float *stiffness, *anchor; /* the sum of all tasks, lambda included */
	struct ewc_task task[EWC_MAX_TASKS];
	float *task_stiffness[EWC_MAX_TASKS], *task_anchor[EWC_MAX_TASKS];
	ewc_fisher_fn *fisher;
	ewc_constrain_fn *constrain;
	ewc_merge_fn *merge;
};

/* Bytes of storage, or 0 for a shape out of range. */
size_t ewc_bytes(size_t n, uint32_t max_tasks);
/* No task yet. Storage is the caller's, 64-byte aligned, and outlives e. -EINVAL for bad values. */
int ewc_init(struct ewc *e, const struct ewc_config *config, enum isa isa, void *storage,
	     size_t bytes);

/* One gradient of the task under way into the moments. */
int ewc_observe(struct ewc *e, const float *gradient);
/*
 * How unlike the task under way a gradient is: the mean of (g - mean)^2 over the mean of variances.
 * About 1 for one more of the same kind; far above at the border of a task. 1 before there are two
 * gradients to tell from.
 */
double ewc_surprise(const struct ewc *e, const float *gradient);
/*
 * The task under way is over, with these weights: its Fisher information (the moments, corrected
 * for having begun at zero) becomes a penalty, and the moments begin anew. Nothing before the
 * first gradient. -EINVAL for a null pointer.
 */
int ewc_finish_task(struct ewc *e, const float *theta);
/* Adds the force of all tasks to a gradient: in one pass over the sum, or task by task. */
int ewc_apply(const struct ewc *e, const float *theta, float *gradient);
int ewc_apply_tasks(const struct ewc *e, const float *theta, float *gradient);
/* All tasks kept apart become one; what they ask for together stays the same. */
void ewc_consolidate(struct ewc *e);

/* The penalty itself, of all tasks kept apart; for tests and reports. */
double ewc_penalty(const struct ewc *e, const float *theta);

#ifdef __cplusplus
}
#endif

#endif
