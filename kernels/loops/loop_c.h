/* SPDX-License-Identifier: Apache-2.0 */
/* loop_c.h: the deep loop: dreams, and consolidation of what was learned. */
#ifndef KERNELS_LOOP_C_H
#define KERNELS_LOOP_C_H

#include <stdint.h>

#include "kernels/loops/learned.h"

struct loop_c_options {
	uint32_t dreams; /* of a cycle */
	struct dream_options dream;
	float fade;	       /* what importance of a memory stays with each cycle */
	float same;	       /* patterns at least this similar become one */
	uint64_t half_life_ns; /* of a pattern's worth, when nothing confirms it */
};

/* 50 dreams are what the SONA benchmarks give for a cycle. */
#define LOOP_C_OPTIONS_DEFAULT \
	((struct loop_c_options){50, DREAM_OPTIONS_DEFAULT, 0.98f, 0.98f, 86400ull * 1000000000})

/* A pattern that a dream left, beside 0 for one of what happened. */
enum { LOOP_C_PATTERN_DREAM = 1 };

struct loop_c_result {
	uint32_t dreams, kept, links;
	uint32_t patterns_gone; /* pruned or merged */
	float novelty, phi;	/* means over all dreams */
	uint64_t dream_ns, phi_ns, integrate_ns, memory_ns, ewc_ns;
};

/*
 * Dreams, judges, keeps the good ones (as links, and as a pattern where the middle of the dream
 * is), lets memories fade, prunes and merges patterns, and ends the task under way: what base LoRA
 * is now becomes what later tasks may not forget. *seed is the dreams'.
 */
int loop_c_cycle(struct learned *l, const struct loop_c_options *o, uint64_t *seed, uint64_t now_ns,
		 struct loop_c_result *r);

#endif
