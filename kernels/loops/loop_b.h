/* SPDX-License-Identifier: Apache-2.0 */
/* loop_b.h: the background loop: patterns, memories and base LoRA from what was recorded. */
#ifndef KERNELS_LOOP_B_H
#define KERNELS_LOOP_B_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "kernels/loops/learned.h"

struct loop_b_options {
	uint32_t trajectories; /* most that a cycle learns from; of more, a fair sample */
	uint32_t clusters;     /* most that are looked for, one for ten trajectories */
	uint32_t batch;	       /* trajectories of a step of base LoRA */
	float sigma;	       /* of the noise between a request's answers */
	float rate, max_step;  /* of a step */
	float surprise;	       /* of a gradient (ewc_surprise), above which a new task begins */
};

/* 1000 trajectories and 50 clusters are what the SONA benchmarks give for a cycle. */
#define LOOP_B_OPTIONS_DEFAULT ((struct loop_b_options){1000, 50, 50, 0.1f, 0.01f, 0.02f, 8})

struct loop_b_metrics {
	/* Calls of the kernels, as a dashboard shows. */
	struct metered gradient, fisher, constrain, kmeans;
};

/* The learner's alone. Between cycles it holds what was drained: a query and a gradient each. */
struct loop_b {
	struct loop_b_options options;
	struct learned *learned;
	struct loop_b_metrics metrics;
	uint64_t offered; /* since the last cycle */
	uint32_t staged;  /* of them that are kept */
	uint64_t seed;
	float *query, *gradient; /* [trajectories][dim] */
	float *reward;
	uint64_t *pattern;
	float *centres, *mean; /* [clusters][dim]; [dim] */
	uint32_t *assign, *counts;
	struct lora_base_gradient sum;
	void *scratch; /* of k-means */
	size_t scratch_bytes;
	void *arena;
};

struct loop_b_result {
	uint64_t offered;
	uint32_t trajectories, clusters, patterns_new, iterations;
	bool task_over;
	uint64_t extract_ns; /* k-means++, and the patterns and memories from it */
	uint64_t gradient_ns, constrain_ns, update_ns, fisher_ns;
};

/* Shapes come from learned. -EINVAL, -ENOMEM. */
int loop_b_init(struct loop_b *b, struct learned *l, const struct loop_b_options *o,
		const struct loop_b_metrics *m);
void loop_b_fini(struct loop_b *b);

/* Keeps what a cycle needs of a record (reservoir sampling, Vitter 1985). -EINVAL for its dim,
 * and for one that is not finite. */
int loop_b_stage(struct loop_b *b, const struct trajectory *t);
/* Learns from all that is staged, and holds nothing afterwards. Nothing below two trajectories. */
int loop_b_cycle(struct loop_b *b, uint64_t now_ns, struct loop_b_result *r);

#endif
