/* SPDX-License-Identifier: Apache-2.0 */
/* scan.h: the k nearest of all rows, exactly. */
#ifndef KERNELS_SCAN_H
#define KERNELS_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/patterns/distance.h"

struct kernel;

struct neighbour {
	float distance;
	uint32_t id;
};

/*
 * The k rows of r nearest to the query by a `distance` row of kernels.def, nearest first, the lower
 * id first of equals; a NaN distance is never among them. r->ids must be NULL. Memory is read once,
 * in order. Returns how many there are, at most k; -EINVAL as the kernel, and for k of 0 or a null
 * pointer. Nothing is allocated.
 */
int scan_nearest(const struct kernel *distance, const void *query, const struct distance_rows *r,
		 uint32_t k, struct neighbour *out);

/*
 * One more into the k best, which lie in order: *n of them are there. True when it is among them.
 * For callers that walk what they search themselves.
 */
bool scan_offer(struct neighbour *best, uint32_t *n, uint32_t k, float distance, uint32_t id);

#endif
