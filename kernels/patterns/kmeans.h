/* SPDX-License-Identifier: Apache-2.0 */
/* kmeans.h: k-means++ seeding and Lloyd's iterations. */
#ifndef KERNELS_KMEANS_H
#define KERNELS_KMEANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/isa.h"

/*
 * Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding": the first centre
 * is a point chosen uniformly, each next one a point chosen with probability D(x)^2 / sum D^2, D
 * being the distance to the nearest centre so far. Then Lloyd's iterations: each point to its
 * nearest centre, each centre to the mean of its points. A centre that lost all its points takes
 * the point that is farthest from its own centre.
 *
 * Memory is the caller's: x is [n][x_row], of which dim floats count; finite.
 */
struct kmeans {
	const float *x;
	size_t x_row;
	uint32_t n, k, dim;	 /* 1 <= k <= n */
	uint32_t max_iterations; /* 0: seeding alone, and the assignment to it */
	double tolerance; /* stop once an iteration lowers the inertia by no more than this share of
			     it; 0: only when no point changes its centre */
	uint64_t seed;	  /* the same seed gives the same result on one instruction set */
	float *centres;	  /* out: [k][dim] */
	uint32_t *assign; /* out: [n], the nearest centre of each point */
	uint32_t *counts; /* out: [k], points of each centre; NULL: not wanted */
};

struct kmeans_result {
	double inertia;	     /* sum of |x - centre|^2, summed in double precision at the end */
	uint32_t iterations; /* assignments after which centres moved */
	uint32_t refilled;   /* centres that had lost all their points */
	bool converged;	     /* stopped before max_iterations had to */
};

/* Scratch bytes, 64-byte aligned: a packed copy of the points and a few floats a point. */
size_t kmeans_scratch(const struct kmeans *km);

/*
 * Runs on one thread and allocates nothing. 0; -EINVAL for a shape or pointer out of range, less
 * scratch than needed, or points that are not finite (or whose squares are not).
 */
int kmeans_run(const struct kmeans *km, enum isa isa, void *scratch, size_t scratch_bytes,
	       struct kmeans_result *result);

/* Seeding alone: centres only. */
int kmeans_seed(const struct kmeans *km, enum isa isa, void *scratch, size_t scratch_bytes);

/* From the centres that are there, without seeding. */
int kmeans_refine(const struct kmeans *km, enum isa isa, void *scratch, size_t scratch_bytes,
		  struct kmeans_result *result);

/* kmeans_refine() in double precision, the textbook way; allocates. For tests and as a baseline. */
int kmeans_refine_ref(const struct kmeans *km, struct kmeans_result *result);

/* Multiply-adds of the distances of one iteration, two each. */
uint64_t kmeans_iteration_flops(const struct kmeans *km);

#endif
