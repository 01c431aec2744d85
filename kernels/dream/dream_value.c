/* SPDX-License-Identifier: Apache-2.0 */
/* dream_value.c: novelty and phi of a dream. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/dream/dream.h"
#include "kernels/kernels.h"

enum { MOST = DREAM_MAX_PATH };

#define RIDGE 0.05

/* Cosines of the memories of a path, r[i][j] for j > i; the same codes serve all rows. */
static int cosines(const struct dream_graph *g, const struct dream *d, double r[MOST][MOST])
{
	float distance[MOST];

	for (uint32_t i = 0; i + 1 < d->length; i++) {
		const struct distance_code *q = dream_graph_code(g, d->path[i]);
		const struct distance_rows rows = {g->codes, g->code_bytes, d->path + i + 1,
						   d->length - i - 1, g->dim};
		int err = g->distance->run.distance(q, &rows, distance);

		if (err)
			return err;
		for (uint32_t j = i + 1; j < d->length; j++) {
			const struct distance_code *x = dream_graph_code(g, d->path[j]);
			double both = (double)q->norm2 + x->norm2 - distance[j - i - 1];

			r[i][j] = both / (2 * sqrt((double)q->norm2 * x->norm2));
		}
	}
	return 0;
}

/*
 * ln det of every leading block: Cholesky's, row by row, so that before[n] is that of the first n
 * rows. `step` 1 begins at the first memory, -1 at the last. Only the upper half of r is read.
 */
static void leading_determinants(double r[MOST][MOST], uint32_t n, bool from_end, double *before)
{
	double l[MOST][MOST];

	before[0] = 0;
	for (uint32_t i = 0; i < n; i++) {
		double diagonal = 1;

		for (uint32_t j = 0; j < i; j++) {
			double s = from_end ? r[n - 1 - i][n - 1 - j] : r[j][i];

			s *= 1 - RIDGE;
			for (uint32_t k = 0; k < j; k++)
				s -= l[i][k] * l[j][k];
			l[i][j] = s * l[j][j]; /* the inverse is kept there */
			diagonal -= l[i][j] * l[i][j];
		}
		/* Not below what the ridge leaves, whatever the rounding of the codes did. */
		diagonal = fmax(diagonal, RIDGE / MOST);
		l[i][i] = 1 / sqrt(diagonal);
		before[i + 1] = before[i] + log(diagonal);
	}
}

static int check(const struct dream_graph *g, const struct dream_options *o, const struct dream *d,
		 const struct dream_value *v)
{
	if (!g || !o || !d || !v || !d->length || d->length > MOST)
		return -EINVAL;
	for (uint32_t i = 0; i < d->length; i++)
		if (d->path[i] >= g->count)
			return -EINVAL;
	return 0;
}

static double novelty_of(double r[MOST][MOST], uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 1; i < n; i++)
		sum += 1 - fmin(1, fmax(0, r[i - 1][i]));
	return n > 1 ? sum / (n - 1) : 0;
}

static double information(double a, double b, double whole, uint32_t na, uint32_t nb)
{
	return (a + b - whole) / 2 / (na < nb ? na : nb);
}

static void judge(struct dream_value *v, const struct dream_options *o, double novelty, double phi)
{
	v->novelty = (float)novelty;
	v->phi = (float)fmax(0, phi);
	v->kept = v->novelty >= o->min_novelty && v->phi >= o->min_phi;
}

int dream_evaluate(const struct dream_graph *g, const struct dream_options *o,
		   const struct dream *d, struct dream_value *v)
{
	double r[MOST][MOST], head[MOST + 1], tail[MOST + 1], phi = INFINITY;
	int err = check(g, o, d, v);

	err = err ? err : cosines(g, d, r);
	if (err)
		return err;
	leading_determinants(r, d->length, false, head);
	leading_determinants(r, d->length, true, tail);
	for (uint32_t cut = 1; cut < d->length; cut++)
		phi = fmin(phi, information(head[cut], tail[d->length - cut], head[d->length], cut,
					    d->length - cut));
	judge(v, o, novelty_of(r, d->length), d->length > 1 ? phi : 0);
	return 0;
}

/* ln det of rows and columns from..to-1, by elimination. */
static double determinant_ref(double r[MOST][MOST], uint32_t from, uint32_t to)
{
	double a[MOST][MOST], sum = 0;
	const uint32_t n = to - from;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			a[i][j] = i == j ? 1 : (1 - RIDGE) * r[from + i][from + j];
	for (uint32_t k = 0; k < n; k++) {
		sum += log(fmax(a[k][k], RIDGE / MOST));
		for (uint32_t i = k + 1; i < n; i++)
			for (uint32_t j = n; j-- > k;)
				a[i][j] -= a[i][k] / a[k][k] * a[k][j];
	}
	return sum;
}

static double cosine_ref(const struct dream_graph *g, uint32_t a, uint32_t b)
{
	const struct distance_code *x = dream_graph_code(g, a), *y = dream_graph_code(g, b);
	double xy = 0, xx = 0, yy = 0;

	for (uint32_t d = 0; d < g->dim; d++) {
		xy += x->codes[d] * y->codes[d];
		xx += x->codes[d] * x->codes[d];
		yy += y->codes[d] * y->codes[d];
	}
	return xy / sqrt(xx * yy);
}

int dream_evaluate_ref(const struct dream_graph *g, const struct dream_options *o,
		       const struct dream *d, struct dream_value *v)
{
	double r[MOST][MOST], phi = INFINITY;
	int err = check(g, o, d, v);

	if (err)
		return err;
	for (uint32_t i = 0; i < d->length; i++)
		for (uint32_t j = 0; j < d->length; j++)
			r[i][j] = cosine_ref(g, d->path[i], d->path[j]);
	for (uint32_t cut = 1; cut < d->length; cut++)
		phi = fmin(phi,
			   information(determinant_ref(r, 0, cut),
				       determinant_ref(r, cut, d->length),
				       determinant_ref(r, 0, d->length), cut, d->length - cut));
	judge(v, o, novelty_of(r, d->length), d->length > 1 ? phi : 0);
	return 0;
}
