/* SPDX-License-Identifier: Apache-2.0 */
/* kmeans_seed.c: the choice of k-means++, and what need not be measured for it. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels/patterns/kmeans_state.h"

/* splitmix64, Steele et al. 2014: [0, 1). */
static double random_unit(struct kmeans_work *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (double)((z ^ z >> 31) >> 11) / (double)(1ull << 53);
}

/* A point by its share of the sum; sum 0 (all lie on centres) takes any. */
static uint32_t draw(struct kmeans_work *w, const float *share, double sum)
{
	uint32_t n = w->km->n, last = (uint32_t)(random_unit(w) * n);
	double at = random_unit(w) * sum;

	for (uint32_t i = 0; i < n && sum > 0; i++) {
		if (!(share[i] > 0))
			continue;
		last = i;
		at -= share[i];
		if (at < 0)
			break;
	}
	return last;
}

static struct distance_code *code_of(const struct kmeans_work *w, uint32_t i)
{
	return (struct distance_code *)(void *)(w->codes + i * w->code_bytes);
}

/*
 * Codes are a quarter of the points and stay in a nearer cache: a distance of codes is enough to
 * tell that a centre is out of reach. Rounding moves a component by half a step at most.
 */
static int encode_points(struct kmeans_work *w)
{
	const struct kmeans *km = w->km;
	const float half_diagonal = 0.50001f * sqrtf((float)km->dim);
	int err = 0;

	for (uint32_t i = 0; i < km->n && !err; i++) {
		struct distance_code *c = code_of(w, i);
		struct distance_rows itself = {c, w->code_bytes, NULL, 1, km->dim};
		float minus_twice;

		c->scale = w->quantize->run.quantize(kmeans_point(km, i), c->codes, km->dim);
		c->norm2 = 0;
		err = w->coded->run.distance(c, &itself, &minus_twice);
		c->norm2 = w->code_norms[i] = -minus_twice / 2;
		w->margin[i] = c->scale * half_diagonal;
	}
	return err;
}

/*
 * Which points the new centre may be nearer to: by the triangle inequality only those less than
 * twice as far from their own centre as the two centres are apart (squared: four times). The rest
 * need not be measured. Half a percent more for the rounding of the distances.
 */
static uint32_t list_reachable(const struct kmeans_work *w, const float *apart, const float *d2)
{
	uint32_t listed = 0;

	for (uint32_t i = 0; i < w->km->n; i++) {
		w->order[listed] = i;
		listed += apart[w->nearest[i]] < 4.02f * d2[i];
	}
	return listed;
}

/*
 * Of those, the ones whose code does not tell that they are too far: again the triangle inequality,
 * |x - c| >= |code of x - code of c| - both margins. NaN stays on the list.
 */
static uint32_t list_near(const struct kmeans_work *w, uint32_t chosen, uint32_t n,
			  const float *coded, const float *d2)
{
	const float margin = w->margin[chosen], norm = w->code_norms[chosen];
	uint32_t listed = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t p = w->order[i];
		float reach = sqrtf(d2[p]) + w->margin[p] + margin;
		float sure = coded[i] - 1e-5f * (w->code_norms[p] + norm);

		w->order[listed] = p;
		listed += !(sure > reach * reach * 1.0001f);
	}
	return listed;
}

/* Distances to centre j, which is a point, where it is nearer than those before. */
static int take_centre(struct kmeans_work *w, uint32_t j, uint32_t chosen, float *d2)
{
	const struct kmeans *km = w->km;
	const float *c = km->centres + (size_t)j * km->dim;
	struct distance_rows r = {km->centres, km->dim * sizeof(float), NULL, j, km->dim};
	int err;

	err = w->distance->run.distance(c, &r, w->tmp);
	if (err)
		return err;
	r = (struct distance_rows){w->codes, w->code_bytes, w->order, 0, km->dim};
	r.n = list_reachable(w, w->tmp, d2);
	err = w->coded->run.distance(code_of(w, chosen), &r, w->tmp);
	if (err)
		return err;
	r.n = list_near(w, chosen, r.n, w->tmp, d2);
	r.rows = km->x;
	r.row_bytes = km->x_row * sizeof(float);
	err = w->distance->run.distance(c, &r, w->tmp);
	for (uint32_t i = 0; i < r.n; i++) {
		uint32_t p = w->order[i];

		if (w->tmp[i] < d2[p]) {
			d2[p] = w->tmp[i];
			w->nearest[p] = j;
		}
	}
	return err;
}

int kmeans_choose_seeds(struct kmeans_work *w)
{
	const struct kmeans *km = w->km;
	struct distance_rows all = kmeans_rows(km);
	uint32_t chosen = (uint32_t)(random_unit(w) * km->n);
	float *d2 = w->score;
	int err;

	err = w->distance->run.distance(kmeans_point(km, chosen), &all, d2);
	if (!err && km->k > 1)
		err = encode_points(w);
	memset(w->nearest, 0, km->n * sizeof(*w->nearest));
	for (uint32_t j = 0; j < km->k && !err; j++) {
		if (j) {
			double sum = kmeans_sum(d2, km->n);

			if (!isfinite(sum))
				return -EINVAL;
			chosen = draw(w, d2, sum);
		}
		memcpy(km->centres + (size_t)j * km->dim, kmeans_point(km, chosen),
		       km->dim * sizeof(float));
		if (j)
			err = take_centre(w, j, chosen, d2);
	}
	return err;
}
