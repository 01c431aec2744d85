/* SPDX-License-Identifier: Apache-2.0 */
/* test_kmeans.c: k-means++ seeds by D^2, and Lloyd's iterations against the double reference. */
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
#include "kernels/patterns/kmeans.h"

static uint32_t random_state = 5;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

struct fixture {
	struct kmeans km;
	float *x;
	void *scratch;
	size_t scratch_bytes;
};

/* Points around `blobs` places, all of it `away` from the origin. */
static void fixture_init(struct fixture *f, uint32_t n, uint32_t k, uint32_t dim, uint32_t blobs,
			 float spread, float away)
{
	float *place = calloc((size_t)blobs * dim, sizeof(float));

	*f = (struct fixture){.km = {.x_row = dim + 1, .n = n, .k = k, .dim = dim, .seed = 1}};
	f->x = calloc((size_t)n * (dim + 1), sizeof(float));
	f->km.x = f->x;
	f->km.centres = calloc((size_t)k * dim, sizeof(float));
	f->km.assign = calloc(n, sizeof(uint32_t));
	f->km.counts = calloc(k, sizeof(uint32_t));
	f->scratch_bytes = kmeans_scratch(&f->km);
	f->scratch = aligned_alloc(64, f->scratch_bytes);
	assert_true(place && f->x && f->km.centres && f->km.assign && f->km.counts && f->scratch);
	memset(f->scratch, 0xff, f->scratch_bytes);
	for (uint32_t i = 0; i < blobs * dim; i++)
		place[i] = random_float();
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t d = 0; d < dim; d++)
			f->x[i * (dim + 1) + d] =
				away + place[i % blobs * dim + d] + spread * random_float();
		f->x[i * (dim + 1) + dim] = NAN; /* between the rows: not to be read */
	}
	free(place);
}

static void fixture_fini(struct fixture *f)
{
	free(f->x);
	free(f->km.centres);
	free(f->km.assign);
	free(f->km.counts);
	free(f->scratch);
}

static void run(struct fixture *f, enum isa isa, struct kmeans_result *r)
{
	assert_int_equal(kmeans_run(&f->km, isa, f->scratch, f->scratch_bytes, r), 0);
}

#define FOR_ISAS(isa)                                           \
	for (enum isa isa = ISA_SCALAR; isa < ISA_COUNT; isa++) \
		if (isa_supports(isa) && kernels_find("matrix", isa))

/*
 * Where the blobs are far apart the assignment leaves no room for rounding: centres, counts and
 * iterations are those of the reference, also far from the origin, where scores would cancel.
 */
static void clusters_differ_from_the_reference(void **state)
{
	static const float away[] = {0, 100};

	FOR_ISAS(isa)
	{
		for (int a = 0; a < 2; a++) {
			struct fixture f, g;
			struct kmeans_result got, want;

			random_state = 5;
			fixture_init(&f, 333, 12, 37, 12, 0.2f, away[a]);
			f.km.max_iterations = 20;
			assert_int_equal(kmeans_seed(&f.km, isa, f.scratch, f.scratch_bytes), 0);
			g = f;
			g.km.centres = calloc(12 * 37, sizeof(float));
			g.km.assign = calloc(333, sizeof(uint32_t));
			g.km.counts = calloc(12, sizeof(uint32_t));
			memcpy(g.km.centres, f.km.centres, 12ul * 37 * sizeof(float));
			assert_int_equal(kmeans_refine_ref(&g.km, &want), 0);
			assert_int_equal(
				kmeans_refine(&f.km, isa, f.scratch, f.scratch_bytes, &got), 0);
			assert_true(got.converged && want.converged);
			assert_int_equal(got.iterations, want.iterations);
			assert_memory_equal(f.km.assign, g.km.assign, 333 * sizeof(uint32_t));
			assert_memory_equal(f.km.counts, g.km.counts, 12 * sizeof(uint32_t));
			for (int i = 0; i < 12 * 37; i++)
				assert_true(fabsf(f.km.centres[i] - g.km.centres[i]) <=
					    1e-5f * (1 + away[a]));
			assert_true(fabs(got.inertia - want.inertia) <=
				    (a ? 1e-3 : 1e-5) * want.inertia);
			free(g.km.centres);
			free(g.km.assign);
			free(g.km.counts);
			fixture_fini(&f);
		}
	}
}

/* Each iteration may only lower it; every point is at its nearest centre in the end. */
static void inertia_rises(void **state)
{
	FOR_ISAS(isa)
	{
		struct fixture f;
		struct kmeans_result r;
		double before = INFINITY;
		uint32_t total = 0;

		random_state = 6;
		fixture_init(&f, 500, 20, 19, 500, 1, 0); /* no clusters at all: many iterations */
		for (uint32_t i = 0; i <= 12; i++) {
			f.km.max_iterations = i;
			run(&f, isa, &r);
			assert_true(r.inertia <= before * (1 + 1e-6));
			assert_true(r.iterations == i || r.converged);
			before = r.inertia;
		}
		f.km.max_iterations = 1000;
		run(&f, isa, &r);
		assert_true(r.converged && r.inertia <= before);
		for (uint32_t j = 0; j < f.km.k; j++) {
			assert_true(f.km.counts[j] > 0);
			total += f.km.counts[j];
		}
		assert_int_equal(total, f.km.n);
		f.km.tolerance = 0.05;
		run(&f, isa, &r);
		assert_true(r.converged && r.iterations < 12);
		fixture_fini(&f);
	}
}

static void the_same_seed_gives_another_result(void **state)
{
	struct fixture f;
	struct kmeans_result a, b;
	uint32_t assign[200];

	fixture_init(&f, 200, 7, 16, 9, 0.5f, 0);
	f.km.max_iterations = 5;
	run(&f, isa_best(), &a);
	memcpy(assign, f.km.assign, sizeof(assign));
	memset(f.scratch, 0x55, f.scratch_bytes);
	run(&f, isa_best(), &b);
	assert_true(a.inertia == b.inertia);
	assert_memory_equal(assign, f.km.assign, sizeof(assign));
	f.km.seed = 2;
	run(&f, isa_best(), &b);
	assert_memory_not_equal(assign, f.km.assign, sizeof(assign));
	fixture_fini(&f);
}

/*
 * Points on a line at 0, 1, 2, 3, 4: given the first centre, the second is chosen with probability
 * D^2 / sum D^2, so over many seeds the pairs are known. Chi-square of 20 ordered pairs: 19 degrees
 * of freedom, beyond 43.8 once in a thousand. The seeds are fixed: it cannot fail by chance.
 */
static void seeds_are_not_drawn_by_square_of_distance(void **state)
{
	enum { POINTS = 5, TRIALS = 20000 };
	uint32_t seen[POINTS][POINTS] = {0};
	double chi2 = 0;
	struct fixture f;

	fixture_init(&f, POINTS, 2, 1, 1, 0, 0);
	for (uint32_t i = 0; i < POINTS; i++)
		f.x[i * 2] = (float)i;
	for (uint32_t t = 0; t < TRIALS; t++) {
		f.km.seed = t;
		assert_int_equal(kmeans_seed(&f.km, isa_best(), f.scratch, f.scratch_bytes), 0);
		seen[(int)f.km.centres[0]][(int)f.km.centres[1]]++;
	}
	for (int a = 0; a < POINTS; a++) {
		double sum = 0;

		for (int b = 0; b < POINTS; b++)
			sum += (a - b) * (a - b);
		assert_int_equal(seen[a][a], 0);
		for (int b = 0; b < POINTS; b++) {
			double want = (double)TRIALS / POINTS * (a - b) * (a - b) / sum;

			if (a != b)
				chi2 += (seen[a][b] - want) * (seen[a][b] - want) / want;
		}
	}
	assert_true(chi2 < 43.8);
	fixture_fini(&f);
}

static double unit(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (double)((z ^ z >> 31) >> 11) / (double)(1ull << 53);
}

/* The same draws with every distance measured, in double precision. */
static void seed_plainly(const struct kmeans *km, float *centres)
{
	uint64_t state = km->seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull;
	uint32_t chosen = (uint32_t)(unit(&state) * km->n);
	double d2[300], sum, at;

	for (uint32_t i = 0; i < km->n; i++)
		d2[i] = INFINITY;
	for (uint32_t j = 0; j < km->k; j++) {
		memcpy(centres + j * km->dim, km->x + chosen * km->x_row, km->dim * sizeof(float));
		sum = 0;
		for (uint32_t i = 0; i < km->n; i++) {
			double s = 0;

			for (uint32_t d = 0; d < km->dim; d++)
				s += pow((double)km->x[i * km->x_row + d] -
						 centres[j * km->dim + d],
					 2);
			d2[i] = fmin(d2[i], s);
			sum += d2[i];
		}
		(void)unit(&state); /* for when all points lie on centres */
		at = unit(&state) * sum;
		for (chosen = 0; chosen < km->n - 1 && at >= d2[chosen]; chosen++)
			at -= d2[chosen];
	}
}

/*
 * Seeding measures only what may change: the triangle inequality, by centres and by codes, leaves
 * the rest out. No seed may differ for it, whether the data has clusters or none.
 */
static void what_is_left_out_changes_the_seeds(void **state)
{
	static const float spread[] = {0.1f, 0.5f, 4};

	FOR_ISAS(isa)
	{
		for (int kind = 0; kind < 3; kind++) {
			struct fixture f;
			float want[40 * 24];

			random_state = 8;
			fixture_init(&f, 300, 40, 24, 20, spread[kind], (float)kind);
			for (uint64_t seed = 0; seed < 20; seed++) {
				f.km.seed = seed;
				assert_int_equal(
					kmeans_seed(&f.km, isa, f.scratch, f.scratch_bytes), 0);
				seed_plainly(&f.km, want);
				for (int i = 0; i < 40 * 24; i++)
					assert_true(f.km.centres[i] == want[i]);
			}
			fixture_fini(&f);
		}
	}
}

static void an_empty_cluster_stays_empty(void **state)
{
	FOR_ISAS(isa)
	{
		struct fixture f;
		struct kmeans_result r;

		random_state = 9;
		fixture_init(&f, 90, 6, 5, 3, 0.1f, 0);
		f.km.max_iterations = 50;
		for (uint32_t j = 0; j < 6; j++) /* four of them nowhere near */
			for (uint32_t d = 0; d < 5; d++)
				f.km.centres[j * 5 + d] = j < 2 ? f.x[j * 6 + d] : 1000;
		assert_int_equal(kmeans_refine(&f.km, isa, f.scratch, f.scratch_bytes, &r), 0);
		assert_true(r.refilled >= 4);
		for (uint32_t j = 0; j < 6; j++)
			assert_true(f.km.counts[j] > 0);
		fixture_fini(&f);
	}
}

/* More centres than places: the rest lie on points that are there already, and nothing hangs. */
static void equal_points_are_too_much(void **state)
{
	FOR_ISAS(isa)
	{
		struct fixture f;
		struct kmeans_result r;

		fixture_init(&f, 30, 10, 4, 3, 0, 0);
		f.km.max_iterations = 100;
		run(&f, isa, &r);
		assert_true(r.inertia < 1e-10);
		f.km.k = 1;
		run(&f, isa, &r);
		assert_true(r.converged && f.km.counts[0] == 30);
		fixture_fini(&f);
	}
}

static void a_bad_problem_is_accepted(void **state)
{
	struct fixture f;
	struct kmeans_result r;
	struct kmeans bad;
	void *s;

	fixture_init(&f, 20, 4, 8, 4, 0.1f, 0);
	s = f.scratch;
#define REFUSED(change)                                                                          \
	({                                                                                       \
		bad = f.km;                                                                      \
		change;                                                                          \
		assert_int_equal(kmeans_run(&bad, isa_best(), s, f.scratch_bytes, &r), -EINVAL); \
	})
	REFUSED(bad.x = NULL);
	REFUSED(bad.centres = NULL);
	REFUSED(bad.assign = NULL);
	REFUSED(bad.k = 0);
	REFUSED(bad.k = 21);
	REFUSED(bad.dim = 0);
	REFUSED(bad.x_row = 7);
	REFUSED(bad.tolerance = NAN);
	assert_int_equal(kmeans_run(NULL, isa_best(), s, f.scratch_bytes, &r), -EINVAL);
	assert_int_equal(kmeans_run(&f.km, isa_best(), NULL, f.scratch_bytes, &r), -EINVAL);
	assert_int_equal(kmeans_run(&f.km, isa_best(), s, f.scratch_bytes - 64, &r), -EINVAL);
	assert_int_equal(kmeans_run(&f.km, isa_best(), s, f.scratch_bytes, NULL), -EINVAL);
	f.x[9 * 3] = INFINITY;
	assert_int_equal(kmeans_run(&f.km, isa_best(), s, f.scratch_bytes, &r), -EINVAL);
	f.x[9 * 3] = 1e30f; /* its square is not finite */
	assert_int_equal(kmeans_run(&f.km, isa_best(), s, f.scratch_bytes, &r), -EINVAL);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clusters_differ_from_the_reference),
		cmocka_unit_test(inertia_rises),
		cmocka_unit_test(the_same_seed_gives_another_result),
		cmocka_unit_test(seeds_are_not_drawn_by_square_of_distance),
		cmocka_unit_test(what_is_left_out_changes_the_seeds),
		cmocka_unit_test(an_empty_cluster_stays_empty),
		cmocka_unit_test(equal_points_are_too_much),
		cmocka_unit_test(a_bad_problem_is_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
