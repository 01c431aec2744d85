/* SPDX-License-Identifier: Apache-2.0 */
/* kmeans.c: scratch, and Lloyd's iterations over tiles of many to many. */
#include "kernels/patterns/kmeans.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "kernels/patterns/kmeans_state.h"

static size_t most(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Places an array, or only counts its bytes when mem is NULL. */
static void *place(char *mem, size_t *used, size_t elements)
{
	void *p = mem ? mem + *used : NULL;

	*used += (elements * 4 + 63) / 64 * 64;
	return p;
}

static size_t work_place(struct kmeans_work *w, const struct kmeans *km, char *mem)
{
	size_t used = 0, n = km->n, k = km->k, dim = km->dim;

	/* The widest block, so that the size does not hang on the instruction set. */
	w->packed =
		place(mem, &used, matrix_packed_floats(km->n, km->dim, matrix_block(ISA_AVX512)));
	w->origin = place(mem, &used, dim);
	w->centres = place(mem, &used, k * dim);
	w->norms = place(mem, &used, k);
	w->point_norms = place(mem, &used, n);
	w->score = place(mem, &used, n);
	w->tmp = place(mem, &used, most(n, k));
	w->nearest = place(mem, &used, n);
	w->order = place(mem, &used, n);
	w->start = place(mem, &used, k + 1);
	w->changed = place(mem, &used, k);
	w->code_bytes = (distance_code_bytes(km->dim) + 3) / 4 * 4;
	w->codes = place(mem, &used, n * w->code_bytes / 4);
	w->code_norms = place(mem, &used, n);
	w->margin = place(mem, &used, n);
	return used;
}

size_t kmeans_scratch(const struct kmeans *km)
{
	struct kmeans_work w;

	return work_place(&w, km, NULL);
}

uint64_t kmeans_iteration_flops(const struct kmeans *km)
{
	return 2ull * km->n * km->k * km->dim;
}

static int work_init(struct kmeans_work *w, const struct kmeans *km, enum isa isa, void *scratch,
		     size_t scratch_bytes)
{
	if (!km || !km->x || !km->centres || !km->assign || !scratch || (uintptr_t)scratch % 64)
		return -EINVAL;
	if (!km->k || km->k > km->n || km->k > MATRIX_MAX_K || !km->dim ||
	    km->dim > DISTANCE_MAX_DIM || km->x_row < km->dim || !(km->tolerance >= 0))
		return -EINVAL;
	if (scratch_bytes < work_place(w, km, scratch))
		return -EINVAL;
	w->km = km;
	w->distance = kernels_select("distance_l2", isa);
	w->coded = kernels_select("distance_l2_i8", isa);
	w->quantize = kernels_select("quantize_i8", isa);
	w->mean = kernels_select("mean_rows", isa);
	w->matrix = kernels_select("matrix", isa);
	w->random = km->seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull;
	return w->distance && w->coded && w->quantize && w->mean && w->matrix ? 0 : -EINVAL;
}

double kmeans_sum(const float *p, uint32_t n)
{
	double s[4] = {0};

	for (uint32_t i = 0; i < n; i++)
		s[i % 4] += (double)p[i];
	return s[0] + s[1] + (s[2] + s[3]);
}

/* The points around their mean, once for all iterations. */
static int pack_points(struct kmeans_work *w)
{
	const struct kmeans *km = w->km;
	struct distance_rows all = kmeans_rows(km);
	int err;

	err = w->mean->run.mean(&all, w->origin);
	if (!err)
		err = w->distance->run.distance(w->origin, &all, w->point_norms);
	if (!err && !isfinite(kmeans_sum(w->point_norms, km->n)))
		err = -EINVAL;
	if (!err)
		matrix_pack(km->x, km->x_row, w->origin, km->n, km->dim,
			    matrix_block(w->matrix->isa), w->packed);
	return err;
}

static int find_nearest(struct kmeans_work *w)
{
	const struct kmeans *km = w->km;
	struct distance_rows r = {km->centres, km->dim * sizeof(float), NULL, km->k, km->dim};
	struct matrix m = {
		.packed = w->packed,
		.block = matrix_block(w->matrix->isa),
		.centres = w->centres,
		.norms = w->norms,
		.n = km->n,
		.k = km->k,
		.dim = km->dim,
		.nearest = w->nearest,
		.score = w->score,
	};
	int err = w->distance->run.distance(w->origin, &r, w->norms);

	if (err)
		return err;
	for (uint32_t j = 0; j < km->k; j++)
		for (uint32_t d = 0; d < km->dim; d++)
			w->centres[(size_t)j * km->dim + d] =
				km->centres[(size_t)j * km->dim + d] - w->origin[d];
	return w->matrix->run.matrix(&m);
}

/* Points sorted by centre (a counting sort keeps their order); start[j + 1] - start[j] each. */
static void sort_by_centre(struct kmeans_work *w)
{
	const struct kmeans *km = w->km;
	uint32_t *start = w->start, sum = 0;

	memset(start, 0, (km->k + 1) * sizeof(*start));
	for (uint32_t i = 0; i < km->n; i++)
		start[km->assign[i]]++;
	for (uint32_t j = 0; j <= km->k; j++) {
		uint32_t here = start[j];

		start[j] = sum;
		sum += here;
	}
	for (uint32_t i = 0; i < km->n; i++)
		w->order[start[km->assign[i]]++] = i;
	for (uint32_t j = km->k; j > 0; j--)
		start[j] = start[j - 1];
	start[0] = 0;
}

/* A centre without points takes the farthest one of a centre that has others. */
static uint32_t refill(struct kmeans_work *w)
{
	const struct kmeans *km = w->km;
	uint32_t refilled = 0;

	for (uint32_t j = 0; j < km->k; j++) {
		uint32_t far = 0;
		float worst = -1;

		if (w->start[j + 1] != w->start[j])
			continue;
		for (uint32_t i = 0; i < km->n; i++) {
			uint32_t c = km->assign[i];
			float d = w->score[i] + w->point_norms[i];

			if (w->start[c + 1] - w->start[c] > 1 && d > worst) {
				worst = d;
				far = i;
			}
		}
		w->changed[km->assign[far]] = w->changed[j] = 1;
		km->assign[far] = j;
		w->score[far] = -w->point_norms[far]; /* at distance 0 now */
		refilled++;
		sort_by_centre(w);
	}
	return refilled;
}

/* Those whose points are the same as before are there already. */
static int move_centres(struct kmeans_work *w)
{
	const struct kmeans *km = w->km;
	struct distance_rows r = kmeans_rows(km);
	int err = 0;

	for (uint32_t j = 0; j < km->k && !err; j++) {
		if (!w->changed[j])
			continue;
		r.ids = w->order + w->start[j];
		r.n = w->start[j + 1] - w->start[j];
		err = w->mean->run.mean(&r, km->centres + (size_t)j * km->dim);
	}
	return err;
}

/* By differences: exact where the scores would cancel. */
static int measure(struct kmeans_work *w, struct kmeans_result *result)
{
	const struct kmeans *km = w->km;
	struct distance_rows r = kmeans_rows(km);
	int err = 0;

	result->inertia = 0;
	for (uint32_t j = 0; j < km->k && !err; j++) {
		r.ids = w->order + w->start[j];
		r.n = w->start[j + 1] - w->start[j];
		err = w->distance->run.distance(km->centres + (size_t)j * km->dim, &r, w->tmp);
		if (!err)
			result->inertia += kmeans_sum(w->tmp, r.n);
		if (km->counts)
			km->counts[j] = r.n;
	}
	return err;
}

/* Takes over the assignment; true when it is not the one before. */
static bool assign(struct kmeans_work *w)
{
	const struct kmeans *km = w->km;
	bool any = false;

	memset(w->changed, 0, km->k * sizeof(*w->changed));
	for (uint32_t i = 0; i < km->n; i++) {
		uint32_t from = km->assign[i], to = w->nearest[i];

		if (from == to)
			continue;
		if (from < km->k) /* the first time there is none */
			w->changed[from] = 1;
		w->changed[to] = 1;
		km->assign[i] = to;
		any = true;
	}
	return any;
}

static int iterate(struct kmeans_work *w, struct kmeans_result *result)
{
	const struct kmeans *km = w->km;
	double before = INFINITY;
	int err = 0;

	*result = (struct kmeans_result){0};
	for (uint32_t i = 0; i < km->n; i++)
		km->assign[i] = UINT32_MAX;
	for (;;) {
		double inertia;
		bool changed;

		err = find_nearest(w);
		if (err)
			return err;
		changed = assign(w);
		inertia = kmeans_sum(w->score, km->n) + kmeans_sum(w->point_norms, km->n);
		sort_by_centre(w);
		result->converged = !changed || (km->tolerance > 0 &&
						 before - inertia <= km->tolerance * before);
		if (result->converged || result->iterations == km->max_iterations)
			return measure(w, result);
		before = inertia;
		result->refilled += refill(w);
		err = move_centres(w);
		if (err)
			return err;
		result->iterations++;
	}
}

int kmeans_seed(const struct kmeans *km, enum isa isa, void *scratch, size_t scratch_bytes)
{
	struct kmeans_work w;
	int err = work_init(&w, km, isa, scratch, scratch_bytes);

	return err ? err : kmeans_choose_seeds(&w);
}

int kmeans_refine(const struct kmeans *km, enum isa isa, void *scratch, size_t scratch_bytes,
		  struct kmeans_result *result)
{
	struct kmeans_work w;
	int err = work_init(&w, km, isa, scratch, scratch_bytes);

	if (!err && !result)
		err = -EINVAL;
	if (!err)
		err = pack_points(&w);
	return err ? err : iterate(&w, result);
}

int kmeans_run(const struct kmeans *km, enum isa isa, void *scratch, size_t scratch_bytes,
	       struct kmeans_result *result)
{
	int err = kmeans_seed(km, isa, scratch, scratch_bytes);

	return err ? err : kmeans_refine(km, isa, scratch, scratch_bytes, result);
}
