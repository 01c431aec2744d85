/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hnsw.c: an index finds what an exact search finds, through deletions and through a file.
 * Long because the cases share the vectors, and the exact search that they are compared with.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/durable.h"
#include "kernels/patterns/hnsw.h"

enum { DIM = 24, N = 1500, K = 10, EF = 64 };

static char path[] = "/tmp/perftop_hnsw_XXXXXX";
static uint32_t random_state;
static float points[N][DIM];

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

/* Around 30 places, as embeddings are; the same ones each time. */
static void random_point(float *x, uint32_t cluster)
{
	uint32_t kept = random_state;

	random_state = cluster * 7919 + 13;
	for (int d = 0; d < DIM; d++)
		x[d] = 2 * random_float();
	random_state = kept;
	for (int d = 0; d < DIM; d++)
		x[d] += 0.6f * random_float();
}

static int setup(void **state)
{
	int fd = mkstemp(path);

	random_state = 3;
	for (uint32_t i = 0; i < N; i++)
		random_point(points[i], i % 30);
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

static struct hnsw *index_new(enum hnsw_storage storage, enum isa isa, uint32_t n)
{
	struct hnsw_options o = {DIM, N, 8, 60, storage, 0, isa};
	int err = 1;
	struct hnsw *h = hnsw_new(&o, &err);
	uint32_t id;

	assert_non_null(h);
	assert_int_equal(err, 0);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(hnsw_insert(h, points[i], &id), 0);
		assert_int_equal(id, i);
	}
	return h;
}

/* Share of the exact K nearest that a search finds; checks each result on the way. */
static double recall(const struct hnsw *h, struct hnsw_searcher *s, uint32_t queries)
{
	struct neighbour got[K], want[K];
	uint32_t found = 0, all = 0;
	float q[DIM];

	random_state = 1234;
	for (uint32_t i = 0; i < queries; i++) {
		int n, m;

		random_point(q, i % 30);
		m = hnsw_search_exact(h, q, K, want);
		n = hnsw_search(h, s, q, K, EF, got);
		assert_true(n >= 0 && n <= m);
		for (int a = 0; a < n; a++) {
			double d = 0;

			assert_non_null(hnsw_vector(h, got[a].id));
			for (int j = 0; j < DIM; j++)
				d += pow((double)q[j] - hnsw_vector(h, got[a].id)[j], 2);
			assert_true(fabs(got[a].distance - d) <= 1e-5 * d);
			assert_true(!a || got[a - 1].distance <= got[a].distance);
			for (int b = 0; b < m; b++)
				found += got[a].id == want[b].id;
			for (int b = 0; b < a; b++)
				assert_int_not_equal(got[a].id, got[b].id);
		}
		all += (uint32_t)m;
	}
	return (double)found / all;
}

#define FOR_KINDS(isa, storage)                                                                   \
	for (enum isa isa = ISA_SCALAR; isa < ISA_COUNT; isa++)                                   \
		for (enum hnsw_storage storage = HNSW_F32;                                        \
		     isa_supports(isa) && kernels_find("distance_l2", isa) && storage <= HNSW_I8; \
		     storage++)

static void near_vectors_are_not_found(void **state)
{
	FOR_KINDS(isa, storage)
	{
		struct hnsw *h = index_new(storage, isa, N);
		struct hnsw_searcher *s = hnsw_searcher_new(h, EF);
		struct hnsw_stats stats;
		struct neighbour one;

		assert_true(recall(h, s, 100) >= 0.99);
		for (uint32_t i = 0; i < N; i += 50) {
			assert_int_equal(hnsw_search(h, s, points[i], 1, EF, &one), 1);
			assert_int_equal(one.id, i);
			assert_true(one.distance == 0);
			assert_memory_equal(hnsw_vector(h, i), points[i], sizeof(points[i]));
		}
		hnsw_stats(h, &stats);
		assert_int_equal(stats.count, N);
		assert_true(stats.levels >= 2);
		assert_true(stats.memory_bytes >= sizeof(points));
		assert_true(hnsw_searcher_distances(s) > 0);
		hnsw_searcher_free(s);
		hnsw_free(h);
	}
}

/* Deleted ones are not found though they are nearest, all the others are; numbers come again. */
static void deleted_vectors_are_found(void **state)
{
	for (enum hnsw_storage storage = HNSW_F32; storage <= HNSW_I8; storage++) {
		struct hnsw *h = index_new(storage, isa_best(), N);
		struct hnsw_searcher *s = hnsw_searcher_new(h, EF);
		struct hnsw_stats stats;
		struct neighbour out[K];
		uint32_t id;

		for (uint32_t i = 0; i < N; i++) {
			if (i % 3 == 1)
				continue;
			assert_int_equal(hnsw_delete(h, i), 0);
			assert_int_equal(hnsw_delete(h, i), -ENOENT);
			assert_null(hnsw_vector(h, i));
			if (i % 97)
				continue;
			assert_int_equal(hnsw_search(h, s, points[i], K, EF, out), K);
			for (int a = 0; a < K; a++)
				assert_true(out[a].id > i || out[a].id % 3 == 1);
		}
		assert_true(recall(h, s, 60) >= 0.98);
		assert_int_equal(hnsw_repair(h), 0);
		assert_true(recall(h, s, 60) >= 0.98);
		hnsw_stats(h, &stats);
		assert_int_equal(stats.count, N / 3);
		assert_int_equal(stats.deleted, 0);
		assert_int_equal(hnsw_insert(h, points[0], &id), 0);
		assert_int_equal(id, 0);
		for (uint32_t i = 2; i < N; i++)
			if (i % 3 != 1)
				assert_int_equal(hnsw_insert(h, points[i], &id), 0);
		assert_int_equal(hnsw_insert(h, points[0], &id), -ENOSPC);
		assert_true(recall(h, s, 60) >= 0.98);
		hnsw_searcher_free(s);
		hnsw_free(h);
	}
}

/* A whole neighbourhood larger than ef is deleted: the search goes through it. */
static void a_hole_hides_what_is_behind(void **state)
{
	struct hnsw *h = index_new(HNSW_F32, isa_best(), N);
	struct hnsw_searcher *s = hnsw_searcher_new(h, EF);
	struct neighbour around[120], got[3];

	assert_int_equal(hnsw_search_exact(h, points[7], 120, around), 120);
	for (int i = 0; i < 120; i++)
		assert_int_equal(hnsw_delete(h, around[i].id), 0);
	assert_int_equal(hnsw_search(h, s, points[7], 3, 8, got), 3);
	assert_true(got[0].distance >= around[119].distance);
	for (uint32_t i = 0; i < N; i++)
		hnsw_delete(h, i);
	assert_int_equal(hnsw_search(h, s, points[7], 3, 8, got), 0);
	assert_int_equal(hnsw_search_exact(h, points[7], 3, got), 0);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(hnsw_insert(h, points[i], &around[0].id), 0);
	assert_int_equal(hnsw_search(h, s, points[7], 1, 8, got), 1);
	assert_true(got[0].distance == 0);
	hnsw_searcher_free(s);
	hnsw_free(h);
}

/* How many vectors a search for themselves does not find. */
static uint32_t lost(const struct hnsw *h)
{
	struct hnsw_searcher *s = hnsw_searcher_new(h, EF);
	uint32_t n = 0;

	for (uint32_t i = 0; i < N; i++) {
		struct neighbour one;

		if (hnsw_vector(h, i))
			n += hnsw_search(h, s, hnsw_vector(h, i), 1, EF, &one) != 1 ||
			     one.distance != 0;
	}
	hnsw_searcher_free(s);
	return n;
}

/* It is nearer to each than they are to one another, and has not links for all. */
static void a_vector_in_the_middle_hides_the_others(void **state)
{
	static const float middle[DIM];

	FOR_KINDS(isa, storage)
	{
		struct hnsw *h = index_new(storage, isa, 0);
		uint32_t id;

		assert_int_equal(hnsw_insert(h, middle, &id), 0);
		for (uint32_t i = 1; i < N; i++)
			assert_int_equal(hnsw_insert(h, points[i], &id), 0);
		assert_true(lost(h) <= N / 500);
		hnsw_free(h);
	}
}

/* Every second vector is the same: more of them than a search keeps, or a node has links. */
static void equal_vectors_hide_the_others(void **state)
{
	FOR_KINDS(isa, storage)
	{
		struct hnsw *h = index_new(storage, isa, 0);
		struct hnsw_searcher *s = hnsw_searcher_new(h, EF);
		struct neighbour out[EF];
		uint32_t id;

		for (uint32_t i = 0; i < N; i++)
			assert_int_equal(hnsw_insert(h, points[i % 2 ? i : 0], &id), 0);
		for (int round = 0; round < 3; round++) {
			assert_true(lost(h) <= N / 500);
			assert_int_equal(hnsw_search(h, s, points[0], EF, EF, out), EF);
			for (int i = 0; i < EF; i++)
				assert_true(out[i].distance == 0);
			/* The first of them go, by which the others were found. */
			for (uint32_t i = 0; i < N / 4; i += 2)
				assert_int_equal(hnsw_delete(h, i + (uint32_t)round * N / 4), 0);
			hnsw_repair(h);
		}
		hnsw_searcher_free(s);
		hnsw_free(h);
	}
}

/* A vector that goes elsewhere takes the way to its neighbours along. */
static void updated_vectors_are_lost(void **state)
{
	for (enum hnsw_storage storage = HNSW_F32; storage <= HNSW_I8; storage++) {
		struct hnsw *h = index_new(storage, isa_best(), N);
		struct hnsw_searcher *s = hnsw_searcher_new(h, EF);
		float x[DIM];

		for (uint32_t i = 0; i < 6 * N; i++) {
			random_point(x, i * 17 % 31 % 30);
			assert_int_equal(hnsw_update(h, i * 7 % N, x), 0);
			assert_memory_equal(hnsw_vector(h, i * 7 % N), x, sizeof(x));
		}
		assert_true(lost(h) <= N / 500);
		assert_true(recall(h, s, 60) >= 0.98);
		assert_int_equal(hnsw_update(h, N, x), -ENOENT);
		hnsw_searcher_free(s);
		hnsw_free(h);
	}
}

static void a_file_loses_something(void **state)
{
	struct hnsw_options o = {.capacity = N + 5, .build_ef = 60};

	for (enum hnsw_storage storage = HNSW_F32; storage <= HNSW_I8; storage++) {
		struct hnsw *h = index_new(storage, isa_best(), N), *g;
		struct hnsw_searcher *s, *t;
		struct hnsw_stats a, b;
		uint32_t id;
		int err = 1;

		for (uint32_t i = 0; i < 300; i++)
			assert_int_equal(hnsw_delete(h, i * 2), 0);
		assert_int_equal(hnsw_save(h, path), 0);
		o.isa = isa_best();
		g = hnsw_load(path, &o, &err);
		assert_non_null(g);
		assert_int_equal(err, 0);
		hnsw_stats(h, &a);
		hnsw_stats(g, &b);
		assert_true(a.deleted && a.deleted == b.deleted && a.count == b.count);
		assert_true(a.levels == b.levels && a.memory_bytes == b.memory_bytes);
		s = hnsw_searcher_new(h, EF);
		t = hnsw_searcher_new(g, EF);
		for (uint32_t i = 0; i < N; i += 37) {
			struct neighbour x[K], y[K];

			assert_int_equal(hnsw_search(h, s, points[i], K, EF, x), K);
			assert_int_equal(hnsw_search(g, t, points[i], K, EF, y), K);
			assert_memory_equal(x, y, sizeof(x));
		}
		/* Both go on alike, also with the levels of what comes. */
		for (uint32_t i = 0; i < 50; i++) {
			uint32_t other;

			assert_int_equal(hnsw_insert(h, points[i], &id), 0);
			assert_int_equal(hnsw_insert(g, points[i], &other), 0);
			assert_int_equal(id, other);
		}
		assert_true(recall(g, t, 40) >= 0.98);
		hnsw_searcher_free(s);
		hnsw_searcher_free(t);
		hnsw_free(h);
		hnsw_free(g);
	}
}

static void an_empty_index_is_no_file(void **state)
{
	struct hnsw_options o = {.dim = DIM, .capacity = 10, .isa = isa_best()};
	struct hnsw *h = hnsw_new(&o, NULL);
	struct hnsw_searcher *s;
	struct neighbour out;
	uint32_t id;

	assert_non_null(h);
	assert_int_equal(hnsw_save(h, path), 0);
	hnsw_free(h);
	h = hnsw_load(path, &o, NULL);
	assert_non_null(h);
	s = hnsw_searcher_new(h, 10);
	assert_int_equal(hnsw_search(h, s, points[0], 1, 10, &out), 0);
	assert_int_equal(hnsw_insert(h, points[0], &id), 0);
	assert_int_equal(hnsw_search(h, s, points[0], 1, 10, &out), 1);
	hnsw_searcher_free(s);
	hnsw_free(h);
}

/* Words of the payload changed, with the right checksum or none at all: refused, or harmless. */
static void a_corrupt_file_does_harm(void **state)
{
	struct hnsw_options o = {.capacity = 100, .build_ef = 20, .isa = isa_best()};
	struct hnsw *h = index_new(HNSW_F32, isa_best(), 80);
	uint32_t *data, *copy, refused = 0, tried = 0;
	void *loaded = NULL;
	size_t size = 0;
	int err = 0;

	hnsw_delete(h, 3);
	assert_int_equal(hnsw_save(h, path), 0);
	hnsw_free(h);
	assert_int_equal(durable_load(path, "hnsw", 1, 1 << 20, &loaded, &size), 0);
	data = loaded;
	copy = malloc(size);
	for (size_t at = 0; at < size / 4; at += at < 60 ? 1 : 29) {
		static const uint32_t wild[] = {0, 0xffffffff, 79, 80, 0x7fc00000, 0x01010101};

		for (int w = 0; w < 6; w++) {
			struct hnsw_searcher *s;
			struct neighbour out[K];

			memcpy(copy, data, size);
			copy[at] = wild[w];
			if (at == 3 && wild[w] == 0xffffffff)
				continue; /* a capacity is a capacity */
			h = hnsw_parse(copy, size, &o, &err);
			tried++;
			refused += !h;
			if (!h) {
				assert_true(err == -EBADMSG);
				continue;
			}
			s = hnsw_searcher_new(h, EF);
			assert_true(hnsw_search(h, s, points[0], K, EF, out) >= 0);
			hnsw_searcher_free(s);
			hnsw_free(h);
		}
	}
	assert_true(refused > tried / 10);
	for (size_t n = 0; n < size; n += 13)
		assert_null(hnsw_parse(data, n, &o, &err));
	assert_int_equal(truncate(path, (off_t)size / 2), 0);
	assert_null(hnsw_load(path, &o, &err));
	assert_int_equal(err, -EBADMSG);
	assert_null(hnsw_load("/nonexistent/x", &o, &err));
	assert_int_equal(err, -ENOENT);
	free(copy);
	free(data);
}

struct reader {
	const struct hnsw *h;
	double recall;
};

static void *read_index(void *arg)
{
	struct reader *r = arg;
	struct hnsw_searcher *s = hnsw_searcher_new(r->h, EF);
	struct neighbour out[K];

	r->recall = 0;
	for (uint32_t i = 0; i < N && s; i += 3)
		r->recall += hnsw_search(r->h, s, points[i], K, EF, out) == K && out[0].id == i;
	hnsw_searcher_free(s);
	return NULL;
}

static void readers_disturb_each_other(void **state)
{
	struct hnsw *h = index_new(HNSW_I8, isa_best(), N);
	pthread_t thread[4];
	struct reader r[4];

	for (int i = 0; i < 4; i++) {
		r[i].h = h;
		assert_int_equal(pthread_create(&thread[i], NULL, read_index, &r[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		assert_true(r[i].recall >= 0.33 * N);
	}
	hnsw_free(h);
}

static void bad_arguments_are_accepted(void **state)
{
	const struct hnsw_options good = {.dim = DIM, .capacity = 4, .isa = isa_best()};
	struct hnsw *h = hnsw_new(&good, NULL);
	struct hnsw_searcher *s = hnsw_searcher_new(h, 10);
	struct hnsw_options bad;
	struct neighbour out[20];
	float q[DIM] = {0};
	uint32_t id;
	int err;

#define REFUSED(change)                            \
	({                                         \
		bad = good;                        \
		change;                            \
		assert_null(hnsw_new(&bad, &err)); \
		assert_int_equal(err, -EINVAL);    \
	})
	REFUSED(bad.dim = 0);
	REFUSED(bad.dim = HNSW_MAX_DIM + 1);
	REFUSED(bad.capacity = 0);
	REFUSED(bad.links = 1);
	REFUSED(bad.links = HNSW_MAX_LINKS + 1);
	REFUSED(bad.build_ef = HNSW_MAX_EF + 1);
	assert_null(hnsw_new(NULL, &err));
	assert_int_equal(hnsw_insert(h, q, &id), 0);
	assert_int_equal(hnsw_search(h, s, q, 1, 10, out), 1);
	assert_int_equal(hnsw_search(h, s, q, 0, 10, out), -EINVAL);
	assert_int_equal(hnsw_search(h, s, q, 1, 11, out), -EINVAL);
	assert_int_equal(hnsw_search(h, s, q, 11, 10, out), -EINVAL);
	assert_int_equal(hnsw_search(h, s, NULL, 1, 10, out), -EINVAL);
	assert_int_equal(hnsw_search(h, NULL, q, 1, 10, out), -EINVAL);
	assert_int_equal(hnsw_search(NULL, s, q, 1, 10, out), -EINVAL);
	assert_int_equal(hnsw_search(h, s, q, 1, 10, NULL), -EINVAL);
	q[3] = NAN;
	assert_int_equal(hnsw_search(h, s, q, 1, 10, out), -EINVAL);
	assert_int_equal(hnsw_insert(h, q, &id), -EINVAL);
	q[3] = INFINITY;
	assert_int_equal(hnsw_insert(h, q, &id), -EINVAL);
	assert_int_equal(hnsw_insert(h, NULL, &id), -EINVAL);
	assert_int_equal(hnsw_delete(h, 1), -ENOENT);
	assert_int_equal(hnsw_delete(h, 4711), -ENOENT);
	assert_null(hnsw_vector(h, 4711));
	assert_null(hnsw_searcher_new(h, 0));
	assert_int_equal(hnsw_save(h, NULL), -EINVAL);
	hnsw_searcher_free(NULL);
	hnsw_free(NULL);
	hnsw_searcher_free(s);
	hnsw_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(near_vectors_are_not_found),
		cmocka_unit_test(deleted_vectors_are_found),
		cmocka_unit_test(a_hole_hides_what_is_behind),
		cmocka_unit_test(a_vector_in_the_middle_hides_the_others),
		cmocka_unit_test(equal_vectors_hide_the_others),
		cmocka_unit_test(updated_vectors_are_lost),
		cmocka_unit_test(a_file_loses_something),
		cmocka_unit_test(an_empty_index_is_no_file),
		cmocka_unit_test(a_corrupt_file_does_harm),
		cmocka_unit_test(readers_disturb_each_other),
		cmocka_unit_test(bad_arguments_are_accepted),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
