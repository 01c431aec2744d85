/* SPDX-License-Identifier: Apache-2.0 */
/* dream.h: dreams: walks over memories, what they are worth, and what becomes of them. */
#ifndef KERNELS_DREAM_H
#define KERNELS_DREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/dream/dream_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DREAM_MAX_PATH = 32 };

struct dream_options {
	uint32_t length;   /* memories of a dream, 2..DREAM_MAX_PATH */
	float jump;	   /* probability that a step is a creative jump, 0..1 */
	float min_novelty; /* a dream of less is not kept */
	float min_phi;
	float rate; /* how much a kept dream changes, 0..1 */
};

/* 15 memories, one jump in five steps: the lengths that the SONA benchmarks give for 50,000. */
#define DREAM_OPTIONS_DEFAULT ((struct dream_options){15, 0.2f, 0.15f, 0.02f, 0.5f})

struct dream {
	uint32_t length, jumps;
	uint32_t jumped; /* bit i: path[i] was reached by a jump */
	uint32_t path[DREAM_MAX_PATH];
};

/*
 * A random walk that visits no memory twice. It begins at the most important of four drawn at
 * random; each step follows a link with probability in proportion to its weight, or, with
 * probability `jump`, jumps to any memory. A step that would come back jumps instead; when that
 * fails too, the dream ends there. O(length), whatever the size of the graph. *seed is the state of
 * the generator (splitmix64), any value. -EINVAL for options out of range; -ENOENT for a graph with
 * fewer than two memories.
 */
int dream_walk(const struct dream_graph *g, const struct dream_options *o, uint64_t *seed,
	       struct dream *d);

/*
 * What a dream is worth.
 *
 * novelty: how far its steps lead, the mean of 1 - max(0, cosine) of neighbours on the path. Along
 * links it is small; jumps to what has nothing to do with it make it 1.
 *
 * phi: a proxy for integrated information (Tononi 2004), which asks by how much a whole is more
 * than its parts, at the cut that loses least. It is no measure of Φ itself, which needs the
 * system's dynamics. As in Barrett and Seth 2011, the memories are taken as Gaussian variables,
 * with their cosines as correlations R (of which 1/20 is replaced by the identity, so that R has an
 * inverse), and the information that two parts share is
 *	I(A; B) = (ln det R_A + ln det R_B - ln det R) / 2	nats.
 * phi is the least I(A; B) / min(|A|, |B|) over the cuts of the path in two. A dream that falls
 * into unrelated pieces has phi 0, whatever the pieces are.
 *
 * A dream is kept when it is novel and yet of one piece: both figures at least as asked for.
 */
struct dream_value {
	float novelty, phi;
	bool kept;
};

/* O(length^2 dim). -EINVAL for a path that the graph does not have. */
int dream_evaluate(const struct dream_graph *g, const struct dream_options *o,
		   const struct dream *d, struct dream_value *v);
/* In double precision, each cut's determinants by themselves, from the floats of the codes. */
int dream_evaluate_ref(const struct dream_graph *g, const struct dream_options *o,
		       const struct dream *d, struct dream_value *v);
#define DREAM_ERROR 2e-4 /* of both figures */

/*
 * Makes a kept dream part of memory: jumps become links of `rate` times the heaviest of their ends,
 * followed links gain by 1 + rate * phi, and its memories matter more. Returns how many links are
 * new; -EINVAL.
 */
int dream_integrate(struct dream_graph *g, const struct dream_options *o, const struct dream *d,
		    const struct dream_value *v);

#ifdef __cplusplus
}
#endif

#endif
