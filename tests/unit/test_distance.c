/* SPDX-License-Identifier: Apache-2.0 */
/* test_distance.c: distances, means, tiles and exact search against the double reference. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/patterns/scan.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FOR_ROWS(row, kind_)                                                           \
	for (const struct kernel *row = kernels; row < kernels + kernels_count; row++) \
		if (row->kind == (kind_) && kernels_supported(row))

enum {
	MAX_DIM = 1100,
	MAX_ROWS = 70,
	PAD = 1
}; /* odd addresses: a load that wants alignment
      faults */

static const uint32_t dims[] = {1,  2,	3,  7,	8,   9,	  15,  16,  17,	 31,  32,  33,	 47,  48,
				63, 64, 65, 96, 127, 128, 130, 200, 256, 257, 512, 1000, 1024};
static uint32_t random_state = 77;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

static float *random_floats(size_t n)
{
	float *p = malloc(n * sizeof(*p));

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = random_float();
	return p;
}

static bool is_code(const struct kernel *k)
{
	return !strcmp(k->name, "distance_l2_i8");
}

static distance_fn *reference_of(const struct kernel *k)
{
	if (is_code(k))
		return distance_l2_i8_ref;
	return strcmp(k->name, "distance_ip") ? distance_l2_ref : distance_ip_ref;
}

/* Sum of |terms|, which the bound of distance.h is a share of. */
static double terms(const struct kernel *k, const void *query, const void *row, uint32_t dim)
{
	const float *q = query, *x = row;
	double s = 0;

	if (is_code(k))
		return (double)((const struct distance_code *)query)->norm2 +
		       (double)((const struct distance_code *)row)->norm2;
	for (uint32_t d = 0; d < dim; d++)
		s += strcmp(k->name, "distance_ip") ? ((double)q[d] - x[d]) * ((double)q[d] - x[d])
						    : fabs((double)q[d] * x[d]);
	return s;
}

static void compare(const struct kernel *k, const void *query, const struct distance_rows *r)
{
	float got[MAX_ROWS + 1], want[MAX_ROWS];

	assert_int_equal(reference_of(k)(query, r, want), 0);
	got[r->n] = 4711;
	assert_int_equal(k->run.distance(query, r, got), 0);
	assert_true(got[r->n] == 4711);
	for (uint32_t i = 0; i < r->n; i++) {
		const char *row = (const char *)r->rows + (r->ids ? r->ids[i] : i) * r->row_bytes;
		double bound = DISTANCE_ERROR * terms(k, query, row, r->dim);

		if (!(fabs((double)got[i] - want[i]) <= bound))
			fail_msg("%s %s dim %u row %u of %u: %g, not %g", k->name, isa_name(k->isa),
				 r->dim, i, r->n, (double)got[i], (double)want[i]);
	}
}

static void compare_shapes(const struct kernel *k, const void *query, const void *rows,
			   size_t row_bytes, uint32_t dim)
{
	static const uint32_t counts[] = {0, 1, 2, 3, 4, 5, 8, 11, 33};
	uint32_t ids[MAX_ROWS];

	for (uint32_t i = 0; i < MAX_ROWS; i++)
		ids[i] = i * 7 % 33;
	for (size_t c = 0; c < COUNT(counts); c++) {
		struct distance_rows r = {rows, row_bytes, NULL, counts[c], dim};

		compare(k, query, &r);
		r.ids = ids;
		compare(k, query, &r);
	}
}

static void floats_are_wrong_at_some_width(void **state)
{
	float *mem = random_floats(PAD + 34ul * (MAX_DIM + 3));

	FOR_ROWS(k, KERNEL_distance)
	{
		if (is_code(k))
			continue;
		for (size_t i = 0; i < COUNT(dims); i++) {
			const float *rows = mem + PAD + MAX_DIM;

			compare_shapes(k, mem + PAD, rows, dims[i] * sizeof(float), dims[i]);
			compare_shapes(k, mem + PAD, rows, (dims[i] + 3) * sizeof(float), dims[i]);
		}
	}
	free(mem);
}

static void code_fill(struct distance_code *c, uint32_t dim, bool extreme)
{
	c->scale = 0.01f + fabsf(random_float()) / 100;
	for (uint32_t d = 0; d < dim; d++)
		c->codes[d] = (int8_t)(extreme ? (random_float() < 0 ? -127 : 127)
					       : (int)(random_float() * 127));
	c->norm2 = distance_code_norm2(c, dim);
}

static void codes_are_wrong_at_some_width(void **state)
{
	const size_t most = (distance_code_bytes(MAX_DIM) + 7) / 4 * 4;
	char *mem = malloc(35 * most + 4), *rows = mem + 4 + most;

	assert_non_null(mem);
	for (int extreme = 0; extreme < 2; extreme++) {
		for (size_t i = 0; i < COUNT(dims); i++) {
			size_t row_bytes = (distance_code_bytes(dims[i]) + 3) / 4 * 4;

			code_fill((void *)(mem + 4), dims[i], extreme);
			for (size_t row = 0; row < 33; row++)
				code_fill((void *)(rows + row * row_bytes), dims[i], extreme);
			FOR_ROWS(k, KERNEL_distance)
			{
				if (is_code(k))
					compare_shapes(k, mem + 4, rows, row_bytes, dims[i]);
			}
		}
	}
	free(mem);
}

/* A corrupt or huge component reaches the result: it never looks near. */
static void infinities_are_lost(void **state)
{
	enum { DIM = 37 };
	float *q = random_floats(DIM), *x = random_floats(5 * DIM), out[5];
	struct distance_rows r = {x, DIM * sizeof(float), NULL, 5, DIM};

	for (uint32_t at = 0; at < DIM; at += 6) {
		x[at] = INFINITY;
		x[DIM + at] = NAN;
		x[2 * DIM + at] = 3e30f;
		FOR_ROWS(k, KERNEL_distance)
		{
			if (is_code(k) || !strcmp(k->name, "distance_ip"))
				continue;
			assert_int_equal(k->run.distance(q, &r, out), 0);
			assert_true(isinf(out[0]) && out[0] > 0);
			assert_true(isnan(out[1]));
			assert_true(isinf(out[2]) && out[2] > 0);
			assert_true(isfinite(out[3]) && isfinite(out[4]));
		}
		x[at] = x[DIM + at] = x[2 * DIM + at] = 0;
	}
	free(q);
	free(x);
}

static void means_are_wrong_at_some_width(void **state)
{
	static const uint32_t counts[] = {1, 2, 63, 64, 65, 300};
	float *x = random_floats(PAD + 300ul * MAX_DIM), got[MAX_DIM + 1], want[MAX_DIM];
	uint32_t ids[300];

	for (uint32_t i = 0; i < 300; i++)
		ids[i] = i * 7 % 300;
	FOR_ROWS(k, KERNEL_mean)
	{
		for (size_t i = 0; i < COUNT(dims); i++) {
			uint32_t dim = dims[i];
			struct distance_rows r = {x + PAD, dim * sizeof(float), i % 2 ? ids : NULL,
						  counts[i % COUNT(counts)], dim};

			got[dim] = 4711;
			assert_int_equal(mean_rows_ref(&r, want), 0);
			assert_int_equal(k->run.mean(&r, got), 0);
			assert_true(got[dim] == 4711);
			for (uint32_t d = 0; d < dim; d++)
				assert_true(fabs((double)got[d] - want[d]) <= MEAN_ERROR);
		}
		assert_int_equal(k->run.mean(NULL, got), -EINVAL);
		assert_int_equal(k->run.mean(&(struct distance_rows){x, 4, NULL, 0, 1}, got),
				 -EINVAL);
	}
	free(x);
}

static void a_bad_distance_is_accepted(void **state)
{
	float x[8] = {0}, out[2];
	const struct distance_rows good = {x, 4 * sizeof(float), NULL, 2, 4};
	struct distance_rows bad;

	FOR_ROWS(k, KERNEL_distance)
	{
		assert_int_equal(k->run.distance(NULL, &good, out), -EINVAL);
		assert_int_equal(k->run.distance(x, NULL, out), -EINVAL);
		assert_int_equal(k->run.distance(x, &good, NULL), -EINVAL);
		bad = good;
		bad.dim = 0;
		assert_int_equal(k->run.distance(x, &bad, out), -EINVAL);
		bad.dim = DISTANCE_MAX_DIM + 1;
		bad.row_bytes = bad.dim * sizeof(float);
		assert_int_equal(k->run.distance(x, &bad, out), -EINVAL);
		bad = good;
		bad.row_bytes = 3;
		assert_int_equal(k->run.distance(x, &bad, out), -EINVAL);
	}
}

/* ---- many to many ---------------------------------------------------------------------------- */
struct points {
	struct matrix m;
	float *packed, *x, *centres, *norms, *score, *scores;
	uint32_t *nearest;
};

static void points_init(struct points *p, uint32_t n, uint32_t k, uint32_t dim)
{
	*p = (struct points){.m = {.n = n, .k = k, .dim = dim}};
	p->x = random_floats((size_t)n * (dim + 1));
	p->centres = random_floats((size_t)k * dim);
	p->norms = calloc(k, sizeof(float));
	p->score = calloc(n, sizeof(float));
	p->scores = calloc((size_t)n * k, sizeof(float));
	p->nearest = calloc(n, sizeof(uint32_t));
	p->packed = aligned_alloc(64, (matrix_packed_floats(n, dim, 32) * sizeof(float) + 63) / 64 *
					      64);
	assert_true(p->norms && p->score && p->scores && p->nearest && p->packed);
	for (uint32_t j = 0; j < k; j++)
		for (uint32_t d = 0; d < dim; d++)
			p->norms[j] += p->centres[j * dim + d] * p->centres[j * dim + d];
	p->m.packed = p->packed;
	p->m.centres = p->centres;
	p->m.norms = p->norms;
	p->m.score = p->score;
	p->m.scores = p->scores;
	p->m.nearest = p->nearest;
}

static void points_fini(struct points *p)
{
	free(p->packed);
	free(p->x);
	free(p->centres);
	free(p->norms);
	free(p->score);
	free(p->scores);
	free(p->nearest);
}

static double score_of(const struct points *p, uint32_t i, uint32_t j, double *bound)
{
	double s = p->norms[j];

	*bound = p->norms[j];
	for (uint32_t d = 0; d < p->m.dim; d++) {
		double xc = (double)p->x[i * (p->m.dim + 1) + d] * p->centres[j * p->m.dim + d];

		s -= 2 * xc;
		*bound += 2 * fabs(xc);
	}
	*bound *= MATRIX_ERROR;
	return s;
}

static void check_matrix(const struct kernel *k, struct points *p)
{
	struct matrix *m = &p->m;

	m->block = matrix_block(k->isa);
	matrix_pack(p->x, m->dim + 1, NULL, m->n, m->dim, m->block, p->packed);
	assert_int_equal(k->run.matrix(m), 0);
	for (uint32_t i = 0; i < m->n; i++) {
		double bound, slack = 0, least = INFINITY;

		for (uint32_t j = 0; j < m->k; j++) {
			double want = score_of(p, i, j, &bound);

			if (!(fabs(p->scores[i * m->k + j] - want) <= bound))
				fail_msg("%s %s n%u k%u dim%u point %u centre %u: %g, not %g",
					 k->name, isa_name(k->isa), m->n, m->k, m->dim, i, j,
					 (double)p->scores[i * m->k + j], want);
			least = fmin(least, want);
			slack = fmax(slack, bound);
		}
		assert_true(p->nearest[i] < m->k);
		assert_true(p->scores[i * m->k + p->nearest[i]] == p->score[i]);
		assert_true(fabs(p->score[i] - least) <= slack);
	}
}

static void tiles_are_wrong_at_some_shape(void **state)
{
	static const uint32_t ns[] = {1, 7, 8, 15, 16, 17, 33, 70};
	static const uint32_t ks[] = {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 25, 50};

	FOR_ROWS(k, KERNEL_matrix)
	{
		for (size_t i = 0; i < COUNT(ns); i++) {
			for (size_t j = 0; j < COUNT(ks); j++) {
				struct points p;

				points_init(&p, ns[i], ks[j], dims[(i * 5 + j) % 20]);
				check_matrix(k, &p);
				points_fini(&p);
			}
		}
	}
}

static void ties_or_nan_choose_at_random(void **state)
{
	struct points p;

	FOR_ROWS(k, KERNEL_matrix)
	{
		points_init(&p, 20, 13, 9);
		for (uint32_t j = 0; j < 13; j++) /* 1, 5 and 9 are the same; 0 is NaN */
			if (j == 5 || j == 9) {
				memcpy(p.centres + j * 9ul, p.centres + 9, 9 * sizeof(float));
				p.norms[j] = p.norms[1];
			}
		p.norms[0] = NAN;
		p.x[3 * 10] = NAN; /* point 3 is near nothing */
		p.m.block = matrix_block(k->isa);
		matrix_pack(p.x, 10, NULL, 20, 9, p.m.block, p.packed);
		assert_int_equal(k->run.matrix(&p.m), 0);
		for (uint32_t i = 0; i < 20; i++) {
			assert_int_not_equal(p.nearest[i], 5);
			assert_int_not_equal(p.nearest[i], 9);
			assert_true(i == 3 ? p.nearest[i] == 0 && isinf(p.score[i])
					   : p.nearest[i] != 0);
		}
		p.m.k = 0;
		assert_int_equal(k->run.matrix(&p.m), -EINVAL);
		p.m.k = 13;
		p.m.packed = NULL;
		assert_int_equal(k->run.matrix(&p.m), -EINVAL);
		assert_int_equal(k->run.matrix(NULL), -EINVAL);
		points_fini(&p);
	}
}

/* ---- exact search ---------------------------------------------------------------------------- */
static void a_nearer_row_is_missed(void **state)
{
	enum { N = 1000, DIM = 24, K = 17 };
	float *x = random_floats((N + 1) * DIM), *q = x + N * DIM, all[N];
	struct distance_rows r = {x, DIM * sizeof(float), NULL, N, DIM};
	struct neighbour got[K];

	memcpy(x + 500ul * DIM, x + 20ul * DIM, DIM * sizeof(float)); /* a tie */
	x[30 * DIM] = NAN;
	memcpy(q, x + 20ul * DIM, DIM * sizeof(float));
	q[0] += 0.01f;
	FOR_ROWS(k, KERNEL_distance)
	{
		if (is_code(k))
			continue;
		assert_int_equal(k->run.distance(q, &r, all), 0);
		assert_int_equal(scan_nearest(k, q, &r, K, got), K);
		for (int i = 0; i < K; i++) {
			uint32_t nearer = 0;

			assert_true(got[i].distance == all[got[i].id]);
			for (uint32_t j = 0; j < N; j++)
				nearer += all[j] < got[i].distance ||
					  (j < got[i].id && all[j] == got[i].distance);
			assert_int_equal(nearer, i);
		}
	}
	free(x);
}

static void a_bad_scan_is_accepted(void **state)
{
	const struct kernel *k = kernels_select("distance_l2", isa_best());
	float x[6] = {0, 0, 3, 4, 1, 1};
	uint32_t ids[3] = {0};
	struct distance_rows r = {x, 8, NULL, 3, 2};
	struct neighbour out[5];

	assert_int_equal(scan_nearest(k, x, &r, 5, out), 3);
	assert_int_equal(out[0].id, 0);
	assert_int_equal(out[1].id, 2);
	assert_int_equal(out[2].id, 1);
	assert_true(out[2].distance == 25);
	r.n = 0;
	assert_int_equal(scan_nearest(k, x, &r, 5, out), 0);
	assert_int_equal(scan_nearest(k, x, &r, 0, out), -EINVAL);
	assert_int_equal(scan_nearest(NULL, x, &r, 1, out), -EINVAL);
	assert_int_equal(scan_nearest(kernels_select("peak", isa_best()), x, &r, 1, out), -EINVAL);
	r.ids = ids;
	assert_int_equal(scan_nearest(k, x, &r, 1, out), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(floats_are_wrong_at_some_width),
		cmocka_unit_test(codes_are_wrong_at_some_width),
		cmocka_unit_test(infinities_are_lost),
		cmocka_unit_test(means_are_wrong_at_some_width),
		cmocka_unit_test(a_bad_distance_is_accepted),
		cmocka_unit_test(tiles_are_wrong_at_some_shape),
		cmocka_unit_test(ties_or_nan_choose_at_random),
		cmocka_unit_test(a_nearer_row_is_missed),
		cmocka_unit_test(a_bad_scan_is_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
