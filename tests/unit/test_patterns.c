/* SPDX-License-Identifier: Apache-2.0 */
/* test_patterns.c: the pattern store keeps what was learned, merges, forgets and finds again. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/durable.h"
#include "kernels/patterns/pattern_store.h"

enum { DIM = 16, CAPACITY = 3000 };

static char path[] = "/tmp/perftop_patterns_XXXXXX";
static uint32_t random_state = 21;

static int setup(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

static void random_vector(float *x)
{
	for (int i = 0; i < DIM; i++) {
		random_state = random_state * 1664525 + 1013904223;
		x[i] = (float)(random_state >> 8) / (float)(1 << 23) - 1;
	}
}

static struct pattern_store *store_new(uint32_t capacity, float merge)
{
	struct pattern_store_options o = {DIM, capacity, merge, isa_best()};
	int err = 1;
	struct pattern_store *s = pattern_store_new(&o, &err);

	assert_non_null(s);
	assert_int_equal(err, 0);
	return s;
}

static uint64_t add(struct pattern_store *s, const float *x, float quality, uint32_t count,
		    uint64_t now, int want)
{
	uint64_t id = 0;

	assert_int_equal(pattern_store_add(s, x, quality, count, 5, now, &id), want);
	assert_true(id != 0);
	return id;
}

static void the_most_similar_is_not_found(void **state)
{
	struct pattern_store *s = store_new(CAPACITY, 2);
	struct pattern_searcher *p = pattern_searcher_new(s);
	struct pattern_found f[5];
	uint64_t id[CAPACITY];
	uint32_t missed = 0;
	float x[DIM], y[DIM];

	for (uint32_t i = 0; i < CAPACITY; i++) { /* beyond PATTERN_EXACT_MAX too */
		random_vector(x);
		id[i] = add(s, x, 0.5f, 1, i, 0);
	}
	random_state = 21;
	for (uint32_t i = 0; i < CAPACITY; i++) {
		random_vector(x);
		for (int d = 0; d < DIM; d++)
			y[d] = 3 * x[d]; /* length does not matter */
		assert_int_equal(pattern_store_find(s, p, y, 5, f), 5);
		missed += f[0].pattern.id != id[i];
		assert_true(f[0].pattern.id != id[i] || fabsf(f[0].similarity - 1) < 1e-5f);
		for (int j = 1; j < 5; j++)
			assert_true(f[j].similarity <= f[j - 1].similarity);
	}
	assert_true(missed <= CAPACITY / 100);
	assert_int_equal(pattern_store_count(s), CAPACITY);
	assert_true(pattern_store_bytes(s) > CAPACITY * DIM * sizeof(float));
	pattern_searcher_free(p);
	pattern_store_free(s);
}

static void observations_do_not_merge(void **state)
{
	struct pattern_store *s = store_new(10, 0.9f);
	float x[DIM] = {1}, y[DIM] = {1, 0.2f}, z[DIM] = {0, 0, 1};
	const struct pattern *p;
	const float *e;
	uint64_t a, b;

	a = add(s, x, 0.8f, 3, 100, 0);
	b = add(s, z, 0.1f, 1, 110, 0);
	assert_true(a != b);
	assert_true(add(s, y, 0.4f, 1, 120, 1) == a);
	assert_int_equal(pattern_store_count(s), 2);
	p = pattern_store_at(s, (uint32_t)pattern_store_position(s, a));
	e = pattern_store_embedding(s, (uint32_t)pattern_store_position(s, a));
	assert_int_equal(p->count, 4);
	assert_true(fabsf(p->quality - 0.7f) < 1e-6f);
	assert_int_equal(p->created_ns, 100);
	assert_int_equal(p->updated_ns, 120);
	assert_int_equal(p->kind, 5);
	assert_true(e[1] > 0.03f && e[1] < 0.08f); /* a quarter of the way */
	assert_true(fabsf(e[0] * e[0] + e[1] * e[1] - 1) < 1e-5f);

	assert_int_equal(pattern_store_use(s, b, 0.7f, 130), 0);
	p = pattern_store_at(s, (uint32_t)pattern_store_position(s, b));
	assert_int_equal(p->uses, 1);
	assert_int_equal(p->count, 1);
	assert_true(fabsf(p->quality - 0.4f) < 1e-6f);
	assert_int_equal(pattern_store_use(s, b + 1, 0.7f, 130), -ENOENT);
	assert_int_equal(pattern_store_use(s, b, NAN, 130), -EINVAL);
	pattern_store_free(s);
}

static void worth_decides_nothing(void **state)
{
	struct pattern_store *s = store_new(100, 2);
	uint64_t id[20];
	float x[DIM];

	for (uint32_t i = 0; i < 20; i++) {
		random_vector(x);
		id[i] = add(s, x, (float)(i % 10) / 10, 1 + i, 1000 * i, 0);
	}
	/* quality 0.0 and 0.1 go, whatever their number */
	assert_int_equal(pattern_store_prune(s, 100, 0.15f, 0, 0), 4);
	for (int i = 0; i < 20; i++)
		assert_int_equal(pattern_store_position(s, id[i]) < 0, i % 10 < 2);
	assert_int_equal(pattern_store_prune(s, 1, 0, 0, 0), 15);
	assert_true(pattern_store_at(s, 0)->id == id[19]);
	/* with a short half life the new one is worth more than the good one */
	random_vector(x);
	id[0] = add(s, x, 0.2f, 1, 1000000, 0);
	assert_int_equal(pattern_store_prune(s, 1, 0, 10000, 1000000), 1);
	assert_true(pattern_store_at(s, 0)->id == id[0]);
	assert_null(pattern_store_at(s, 1));
	assert_int_equal(pattern_store_prune(s, 0, 0, 0, 0), 1);
	assert_int_equal(pattern_store_prune(s, 0, 0, 0, 0), 0);
	assert_int_equal(pattern_store_prune(s, 0, NAN, 0, 0), -EINVAL);
	pattern_store_free(s);
}

/* Long past capacity: there is always room for a new one, and good ones stay. */
static void a_full_store_refuses(void **state)
{
	struct pattern_store *s = store_new(50, 2);
	float x[DIM];
	uint64_t good, last = 0;

	random_vector(x);
	good = add(s, x, 10, 100, 0, 0);
	for (uint32_t i = 1; i < 2000; i++) {
		uint64_t id;

		random_vector(x);
		id = add(s, x, 0.5f, 1, i, 0);
		assert_true(id > last); /* none comes twice */
		last = id;
		assert_true(pattern_store_count(s) <= 50);
		assert_true(pattern_store_count(s) > 48 || i < 50);
	}
	assert_true(pattern_store_position(s, good) >= 0);
	pattern_store_free(s);
}

static void twins_stay_apart(void **state)
{
	struct pattern_store *s = store_new(100, 2);
	uint64_t kept = 0, id;
	float x[DIM];

	for (int i = 0; i < 40; i++) {
		if (i % 4 == 0)
			random_vector(x);
		x[0] += 1e-4f;
		id = add(s, x, (float)i, i % 4 == 2 ? 9 : 1, 0, 0);
		if (i == 2)
			kept = id;
	}
	assert_int_equal(pattern_store_consolidate(s, 0.999f, 7), 30);
	assert_int_equal(pattern_store_count(s), 10);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(pattern_store_at(s, i)->count, 12);
	assert_true(pattern_store_position(s, kept) >= 0);
	assert_true(fabsf(pattern_store_at(s, (uint32_t)pattern_store_position(s, kept))->quality -
			  (0 + 1 + 2 * 9 + 3) / 12.0f) < 1e-5f);
	assert_int_equal(pattern_store_consolidate(s, 0.999f, 7), 0);
	pattern_store_free(s);
}

static void a_file_loses_patterns(void **state)
{
	struct pattern_store_options o = {.capacity = 500, .merge_similarity = 2};
	struct pattern_store *s = store_new(400, 2), *t;
	uint64_t id[300];
	float x[DIM];
	int err = 1;

	o.isa = isa_best();
	for (uint32_t i = 0; i < 300; i++) {
		random_vector(x);
		id[i] = add(s, x, (float)i / 300, 1 + i, i, 0);
	}
	for (uint32_t i = 0; i < 300; i += 3)
		assert_int_equal(pattern_store_remove(s, id[i]), 0);
	assert_int_equal(pattern_store_remove(s, id[0]), -ENOENT);
	assert_int_equal(pattern_store_save(s, path), 0);
	t = pattern_store_load(path, &o, &err);
	assert_non_null(t);
	assert_int_equal(err, 0);
	assert_int_equal(pattern_store_count(t), 200);
	for (uint32_t i = 0; i < 300; i++) {
		int a = pattern_store_position(s, id[i]), b = pattern_store_position(t, id[i]);

		assert_int_equal(a < 0, i % 3 == 0);
		assert_int_equal(b < 0, i % 3 == 0);
		if (a < 0)
			continue;
		assert_memory_equal(pattern_store_at(s, (uint32_t)a),
				    pattern_store_at(t, (uint32_t)b), sizeof(struct pattern));
		assert_memory_equal(pattern_store_embedding(s, (uint32_t)a),
				    pattern_store_embedding(t, (uint32_t)b), DIM * sizeof(float));
	}
	random_vector(x);
	assert_true(add(t, x, 1, 1, 1, 0) >> 32 == 301); /* ids go on */
	pattern_store_free(s);
	pattern_store_free(t);
}

static void a_corrupt_file_is_believed(void **state)
{
	struct pattern_store_options o = {.capacity = 40, .merge_similarity = 2};
	struct pattern_store *s = store_new(40, 2);
	struct pattern_found f[3];
	unsigned char *data, *copy;
	void *loaded = NULL;
	size_t size = 0;
	float x[DIM];
	int err;

	for (uint32_t i = 0; i < 30; i++) {
		random_vector(x);
		add(s, x, 1, 1, i, 0);
	}
	assert_int_equal(pattern_store_save(s, path), 0);
	pattern_store_free(s);
	assert_int_equal(durable_load(path, "patterns", 1, 1 << 20, &loaded, &size), 0);
	data = loaded;
	copy = malloc(size);
	for (size_t at = 0; at < size; at++) {
		struct pattern_searcher *p;

		if (at >= 6 && at < 8) /* a capacity of gigabytes is only a wish */
			continue;
		memcpy(copy, data, size);
		copy[at] ^= 0x81;
		s = pattern_store_parse(copy, size, &o, &err);
		if (!s) {
			assert_true(err == -EBADMSG || err == -EINVAL);
			continue;
		}
		p = pattern_searcher_new(s);
		assert_true(pattern_store_find(s, p, x, 3, f) >= 0);
		pattern_searcher_free(p);
		pattern_store_free(s);
	}
	for (size_t n = 0; n < size; n += 7)
		assert_null(pattern_store_parse(data, n, &o, &err));
	assert_int_equal(truncate(path, 100), 0);
	assert_null(pattern_store_load(path, &o, &err));
	assert_int_equal(err, -EBADMSG);
	free(copy);
	free(data);
}

static void bad_arguments_are_accepted(void **state)
{
	struct pattern_store_options bad = {0, 10, 0.9f, ISA_SCALAR};
	struct pattern_store *s = store_new(10, 0.9f);
	struct pattern_searcher *p = pattern_searcher_new(s);
	struct pattern_found f[2];
	float x[DIM] = {1}, none[DIM] = {0}, wild[DIM] = {INFINITY};
	int err;

	assert_null(pattern_store_new(&bad, &err));
	assert_int_equal(err, -EINVAL);
	bad.dim = DIM;
	bad.capacity = 0;
	assert_null(pattern_store_new(&bad, &err));
	assert_int_equal(err, -EINVAL);
	assert_null(pattern_store_new(NULL, &err));
	assert_int_equal(pattern_store_add(s, none, 1, 1, 0, 0, NULL), -EINVAL);
	assert_int_equal(pattern_store_add(s, wild, 1, 1, 0, 0, NULL), -EINVAL);
	assert_int_equal(pattern_store_add(s, x, NAN, 1, 0, 0, NULL), -EINVAL);
	assert_int_equal(pattern_store_add(s, x, 1, 0, 0, 0, NULL), -EINVAL);
	assert_int_equal(pattern_store_find(s, p, x, 1, f), 0);
	assert_int_equal(pattern_store_add(s, x, 1, 1, 0, 0, NULL), 0);
	assert_int_equal(pattern_store_find(s, p, x, 2, f), 1);
	assert_int_equal(pattern_store_find(s, p, none, 1, f), -EINVAL);
	assert_int_equal(pattern_store_find(s, p, x, 0, f), -EINVAL);
	assert_int_equal(pattern_store_find(s, p, x, PATTERN_MAX_K + 1, f), -EINVAL);
	assert_int_equal(pattern_store_find(s, NULL, x, 1, f), -EINVAL);
	assert_int_equal(pattern_store_remove(s, 0), -ENOENT);
	pattern_store_free(NULL);
	pattern_searcher_free(NULL);
	pattern_searcher_free(p);
	pattern_store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_most_similar_is_not_found),
		cmocka_unit_test(observations_do_not_merge),
		cmocka_unit_test(worth_decides_nothing),
		cmocka_unit_test(a_full_store_refuses),
		cmocka_unit_test(twins_stay_apart),
		cmocka_unit_test(a_file_loses_patterns),
		cmocka_unit_test(a_corrupt_file_is_believed),
		cmocka_unit_test(bad_arguments_are_accepted),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
