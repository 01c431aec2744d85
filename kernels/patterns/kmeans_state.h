/* SPDX-License-Identifier: Apache-2.0 */
/* kmeans_state.h: how a run of k-means lies in its scratch; private to kmeans*.c. */
#ifndef KERNELS_KMEANS_STATE_H
#define KERNELS_KMEANS_STATE_H

#include "kernels/kernels.h"
#include "kernels/patterns/kmeans.h"

/* All in the caller's scratch, in this order, each on a line of its own. */
struct kmeans_work {
	const struct kmeans *km;
	const struct kernel *distance, *coded, *quantize, *mean, *matrix;
	float *packed;	    /* points less origin */
	float *origin;	    /* [dim]: their mean, so that |x|^2 - 2 x.c + |c|^2 does not cancel */
	float *centres;	    /* [k][dim], less origin */
	float *norms;	    /* [k]: of those */
	float *point_norms; /* [n]: |x - origin|^2 */
	float *score;	    /* [n] */
	float *tmp;	    /* [n] or [k] distances */
	uint32_t *nearest;  /* [n] */
	uint32_t *order;    /* [n]: points by centre */
	uint32_t *start;    /* [k + 1]: where those of a centre begin in order */
	uint32_t *changed;  /* [k]: points came or went */
	char *codes;	    /* [n][code_bytes]: for seeding */
	size_t code_bytes;
	float *code_norms; /* [n] */
	float *margin;	   /* [n]: a point is no farther than this from what its code says */
	uint64_t random;
};

static inline const float *kmeans_point(const struct kmeans *km, uint32_t i)
{
	return km->x + i * km->x_row;
}

static inline struct distance_rows kmeans_rows(const struct kmeans *km)
{
	return (struct distance_rows){km->x, km->x_row * sizeof(float), NULL, km->n, km->dim};
}

double kmeans_sum(const float *p, uint32_t n);
/* km->centres become points, chosen as kmeans.h says. */
int kmeans_choose_seeds(struct kmeans_work *w);

#endif
