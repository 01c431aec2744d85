/* SPDX-License-Identifier: Apache-2.0 */
/* test_dream.c: walks that follow their weights, and dreams worth what the formula says. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/dream/dream.h"
#include "kernels/kernels.h"

enum { DIM = 40 };

static uint32_t random_state = 11;

static float random_float(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

static void graph_new(struct dream_graph *g, uint32_t dim, uint32_t capacity, enum isa isa)
{
	size_t bytes = dream_graph_bytes(dim, capacity);
	void *storage;

	assert_true(bytes > 0);
	storage = aligned_alloc(64, bytes);
	assert_non_null(storage);
	assert_int_equal(dream_graph_init(g, dim, capacity, isa, storage, bytes), 0);
}

static void graph_free(struct dream_graph *g)
{
	free(g->node);
}

/* Around `about` (NULL: anywhere), as far off as spread says. */
static void make_vector(float *x, const float *about, float spread)
{
	for (int d = 0; d < DIM; d++)
		x[d] = (about ? about[d] : 0) + spread * random_float();
}

static void bad_arguments_are_taken(void **state)
{
	struct dream_options o = DREAM_OPTIONS_DEFAULT, bad = o;
	struct dream d = {.length = 1, .path = {0}};
	float x[DIM] = {1}, zero[DIM] = {0};
	const uint32_t far = 5;
	struct dream_value v;
	struct dream_graph g;
	uint64_t seed = 1;

	assert_int_equal(dream_graph_bytes(0, 10), 0);
	assert_int_equal(dream_graph_bytes(DIM, 1), 0);
	assert_int_equal(dream_graph_bytes(DREAM_MAX_DIM + 1, 10), 0);
	graph_new(&g, DIM, 3, ISA_SCALAR);
	assert_int_equal(dream_graph_init(&g, DIM, 3, ISA_SCALAR, (char *)g.node, 64), -EINVAL);
	assert_int_equal(dream_walk(&g, &o, &seed, &d), -ENOENT);
	assert_int_equal(dream_graph_add(&g, NULL, 0, NULL), -EINVAL);
	assert_int_equal(dream_graph_add(&g, zero, 0, NULL), -EINVAL);
	assert_int_equal(dream_graph_add(&g, x, 1.5f, NULL), -EINVAL);
	assert_int_equal(dream_graph_put(&g, x, 0, &far, 1, NULL), -EINVAL);
	zero[3] = NAN;
	assert_int_equal(dream_graph_add(&g, zero, 0, NULL), -EINVAL);
	assert_int_equal(g.count, 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(dream_graph_put(&g, x, 0, NULL, 0, NULL), 0);
	assert_int_equal(dream_graph_put(&g, x, 0, NULL, 0, NULL), -ENOSPC);
	assert_int_equal(dream_graph_link(&g, 0, 3, 1), -EINVAL);
	assert_int_equal(dream_graph_link(&g, 0, 0, 1), -EINVAL);
	assert_int_equal(dream_graph_link(&g, 0, 1, INFINITY), -EINVAL);
	assert_int_equal(dream_graph_strengthen(&g, 0, 1, 2), -ENOENT);
	bad.length = DREAM_MAX_PATH + 1;
	assert_int_equal(dream_walk(&g, &bad, &seed, &d), -EINVAL);
	bad = o;
	bad.jump = NAN;
	assert_int_equal(dream_walk(&g, &bad, &seed, &d), -EINVAL);
	d = (struct dream){.length = 2, .path = {0, 3}};
	assert_int_equal(dream_evaluate(&g, &o, &d, &v), -EINVAL);
	assert_int_equal(dream_integrate(&g, &o, &d, &v), -EINVAL);
	graph_free(&g);
}

/* From memory 0, whose links have weights 1..8, a step goes to each in proportion. */
static void a_walk_does_not_follow_the_weights(void **state)
{
	struct dream_options o = {2, 0.25f, 0, 0, 0};
	enum { WALKS = 200000, NODES = 20 };
	uint32_t hits[NODES] = {0}, jumps = 0, from_0 = 0;
	struct dream_graph g;
	uint64_t seed = 42;

	graph_new(&g, DIM, NODES, isa_best());
	for (uint32_t i = 0; i < NODES; i++) {
		float x[DIM] = {0};

		x[i] = 1;
		assert_int_equal(dream_graph_put(&g, x, i == 0, NULL, 0, NULL), 0);
	}
	for (uint32_t i = 1; i <= 8; i++)
		assert_int_equal(dream_graph_link(&g, 0, i, (float)i), 1);
	assert_int_equal(dream_graph_check(&g), 0);
	for (int w = 0; w < WALKS; w++) {
		struct dream d;

		assert_int_equal(dream_walk(&g, &o, &seed, &d), 0);
		assert_int_equal(d.length, 2);
		assert_int_equal(d.jumps, d.jumped >> 1);
		if (d.path[0] != 0)
			continue;
		from_0++;
		jumps += d.jumps;
		hits[d.path[1]] += !d.jumps;
	}
	/* The one important memory begins 1 - (19/20)^4 of the walks. */
	assert_true(fabs((double)from_0 / WALKS - 0.1855) < 0.01);
	assert_true(fabs((double)jumps / from_0 - 0.25) < 0.01);
	for (uint32_t i = 1; i < NODES; i++) {
		double want = i <= 8 ? i / 36.0 : 0, got = hits[i] / (double)(from_0 - jumps);

		if (fabs(got - want) > 0.01)
			fail_msg("memory %u is next in %.4f of the steps, not %.4f", i, got, want);
	}
	graph_free(&g);
}

static void a_walk_comes_back_or_leaves_the_links(void **state)
{
	struct dream_options o = {DREAM_MAX_PATH, 0.1f, 0, 0, 0};
	struct dream_graph g;
	uint64_t seed = 7;
	float x[DIM];

	graph_new(&g, DIM, 100, isa_best());
	for (int i = 0; i < 100; i++) {
		make_vector(x, NULL, 1);
		assert_int_equal(dream_graph_add(&g, x, 0.5f, NULL), 0);
	}
	assert_int_equal(dream_graph_check(&g), 0);
	for (int w = 0; w < 5000; w++) {
		uint64_t again = seed;
		struct dream d, same;

		assert_int_equal(dream_walk(&g, &o, &seed, &d), 0);
		assert_int_equal(dream_walk(&g, &o, &again, &same), 0);
		assert_memory_equal(&d, &same, sizeof(d)); /* the seed says it all */
		assert_true(d.length >= 2 && d.length <= o.length);
		for (uint32_t i = 1; i < d.length; i++) {
			const struct dream_node *n = &g.node[d.path[i - 1]];
			bool linked = false;

			for (uint32_t k = 0; k < n->degree; k++)
				linked |= n->link[k] == d.path[i];
			assert_true(linked || d.jumped >> i & 1);
			for (uint32_t k = 0; k < i; k++)
				assert_int_not_equal(d.path[k], d.path[i]);
		}
	}
	graph_free(&g);
}

static void memories_are_linked_to_others_than_the_nearest(void **state)
{
	for (int isa = 0; isa < ISA_COUNT; isa++) {
		float about[5][DIM], x[DIM], back[DIM];
		struct dream_graph g;

		if (!isa_supports((enum isa)isa))
			continue;
		graph_new(&g, DIM, 50, (enum isa)isa);
		for (int c = 0; c < 5; c++)
			make_vector(about[c], NULL, 1);
		for (int i = 0; i < 50; i++) {
			double norm = 0;
			uint32_t id;

			make_vector(x, about[i % 5], 0.2f);
			assert_int_equal(dream_graph_add(&g, x, 0.5f, &id), 0);
			assert_int_equal(id, i);
			dream_graph_read(&g, id, back);
			for (int d = 0; d < DIM; d++)
				norm += x[d] * x[d];
			for (int d = 0; d < DIM; d++)
				assert_true(fabs(back[d] - x[d] / sqrt(norm)) < 1 / 254.0);
		}
		assert_int_equal(dream_graph_check(&g), 0);
		for (uint32_t i = 0; i < 50; i++) {
			assert_int_equal(g.node[i].degree, DREAM_LINKS);
			for (uint32_t k = 0; k < DREAM_LINKS; k++)
				assert_int_equal(g.node[i].link[k] % 5, i % 5);
		}
		graph_free(&g);
	}
}

static void a_forgotten_memory_is_still_linked(void **state)
{
	struct dream_graph g;
	float x[DIM];
	uint32_t id;

	graph_new(&g, DIM, 10, isa_best());
	for (int i = 0; i < 10; i++) {
		make_vector(x, NULL, 1);
		x[0] = 3;
		assert_int_equal(dream_graph_add(&g, x, i == 4 ? 0.1f : 0.9f, NULL), 0);
	}
	memset(x, 0, sizeof(x));
	x[DIM - 1] = 1; /* like none of them */
	x[0] = -1;
	assert_int_equal(dream_graph_add(&g, x, 0.9f, &id), 0);
	assert_int_equal(id, 4);
	assert_int_equal(g.count, 10);
	assert_int_equal(g.node[4].degree, 0);
	for (uint32_t i = 0; i < 10; i++)
		for (uint32_t k = 0; k < g.node[i].degree; k++)
			assert_int_not_equal(g.node[i].link[k], 4);
	assert_int_equal(dream_graph_check(&g), 0);
	graph_free(&g);
}

static void values_differ_from_the_reference(void **state)
{
	struct dream_options o = {DREAM_MAX_PATH, 0.3f, 0, 0, 0};

	for (int isa = 0; isa < ISA_COUNT; isa++) {
		float about[4][DIM], x[DIM];
		struct dream_graph g;
		uint64_t seed = 5;

		if (!isa_supports((enum isa)isa))
			continue;
		graph_new(&g, DIM, 120, (enum isa)isa);
		for (int c = 0; c < 4; c++)
			make_vector(about[c], NULL, 1);
		for (int i = 0; i < 120; i++) {
			make_vector(x, about[i % 4], (float)(i % 7) / 3);
			assert_int_equal(dream_graph_add(&g, x, 0.5f, NULL), 0);
		}
		for (int w = 0; w < 300; w++) {
			struct dream_value got, want;
			struct dream d;

			o.length = (uint32_t)(2 + w % (DREAM_MAX_PATH - 1));
			assert_int_equal(dream_walk(&g, &o, &seed, &d), 0);
			assert_int_equal(dream_evaluate(&g, &o, &d, &got), 0);
			assert_int_equal(dream_evaluate_ref(&g, &o, &d, &want), 0);
			if (fabsf(got.novelty - want.novelty) > DREAM_ERROR ||
			    fabsf(got.phi - want.phi) > DREAM_ERROR)
				fail_msg("%s: novelty %g, phi %g, not %g, %g",
					 isa_name((enum isa)isa), got.novelty, got.phi,
					 want.novelty, want.phi);
		}
		graph_free(&g);
	}
}

/*
 * What the figures are for: a path within one cluster is of one piece and stale; random jumps are
 * new and fall apart; a path over a bridge between two related clusters is both.
 */
static void a_good_dream_is_not_told_from_a_bad_one(void **state)
{
	struct dream_options o = DREAM_OPTIONS_DEFAULT;
	struct dream d = {.length = 6, .path = {0, 1, 2, 3, 4, 5}};
	struct dream_value stale, loose, good;
	struct dream_graph g;
	float x[DIM];

	graph_new(&g, DIM, 18, isa_best());
	for (int i = 0; i < 18; i++) {
		memset(x, 0, sizeof(x));
		if (i < 6) { /* nearly the same */
			x[0] = 1;
			x[1 + i] = 0.2f;
		} else if (i < 12) { /* nothing in common */
			x[10 + i] = 1;
		} else { /* each shares half with the next */
			x[i] = 1;
			x[i + 1] = 1;
		}
		assert_int_equal(dream_graph_put(&g, x, 0.5f, NULL, 0, NULL), 0);
	}
	assert_int_equal(dream_evaluate(&g, &o, &d, &stale), 0);
	for (uint32_t i = 0; i < 6; i++)
		d.path[i] = 6 + i;
	assert_int_equal(dream_evaluate(&g, &o, &d, &loose), 0);
	for (uint32_t i = 0; i < 6; i++)
		d.path[i] = 12 + i;
	assert_int_equal(dream_evaluate(&g, &o, &d, &good), 0);
	assert_true(stale.novelty < 0.1f && stale.phi > 0.1f && !stale.kept);
	assert_true(loose.novelty > 0.99f && loose.phi < 1e-4f && !loose.kept);
	assert_true(fabsf(good.novelty - 0.5f) < 0.01f && good.phi > 0.02f && good.kept);
	graph_free(&g);
}

static void a_kept_dream_changes_nothing(void **state)
{
	struct dream_options o = {4, 0, 0, 0, 0.5f};
	struct dream d = {.length = 4, .jumps = 1, .jumped = 1 << 2, .path = {0, 1, 2, 3}};
	const struct dream_value v = {0.5f, 0.4f, true};
	struct dream_graph g;

	graph_new(&g, DIM, 5, isa_best());
	for (uint32_t i = 0; i < 5; i++) {
		float x[DIM] = {0};

		x[i] = 1;
		assert_int_equal(dream_graph_put(&g, x, 0.5f, NULL, 0, NULL), 0);
	}
	assert_int_equal(dream_graph_link(&g, 0, 1, 0.8f), 1);
	assert_int_equal(dream_graph_link(&g, 1, 0, 0.8f), 1);
	assert_int_equal(dream_graph_link(&g, 2, 3, 0.6f), 1);
	assert_int_equal(dream_integrate(&g, &o, &d, &v), 2);
	assert_true(fabsf(g.weight[0][0] - 0.8f * 1.2f) < 1e-6f);		     /* followed */
	assert_true(g.node[1].link[1] == 2 && fabsf(g.weight[1][1] - 0.4f) < 1e-6f); /* jumped */
	assert_true(g.node[2].link[1] == 1 && fabsf(g.weight[2][1] - 0.3f) < 1e-6f);
	assert_true(fabsf(g.node[3].importance - 0.6f) < 1e-6f);
	assert_true(fabsf(g.node[4].importance - 0.5f) < 1e-6f);
	assert_int_equal(dream_graph_check(&g), 0);
	assert_int_equal(dream_integrate(&g, &o, &d, &v), 0); /* the links are there now */
	dream_graph_fade(&g, 0.5f);
	assert_true(fabsf(g.node[4].importance - 0.25f) < 1e-6f);
	graph_free(&g);
}

static void a_damaged_graph_is_walked(void **state)
{
	struct dream_graph g;
	float x[DIM];

	graph_new(&g, DIM, 10, isa_best());
	for (int i = 0; i < 10; i++) {
		make_vector(x, NULL, 1);
		assert_int_equal(dream_graph_add(&g, x, 0.5f, NULL), 0);
	}
	assert_int_equal(dream_graph_check(&g), 0);
	g.node[3].link[0] = 10;
	assert_int_equal(dream_graph_check(&g), -EBADMSG);
	g.node[3].link[0] = 2;
	g.node[3].alias[0] = DREAM_LINKS;
	assert_int_equal(dream_graph_check(&g), -EBADMSG);
	g.node[3].alias[0] = 0;
	g.weight[3][0] = NAN;
	assert_int_equal(dream_graph_check(&g), -EBADMSG);
	g.weight[3][0] = 1;
	assert_int_equal(dream_graph_check(&g), 0);
	g.count = 11;
	assert_int_equal(dream_graph_check(&g), -EBADMSG);
	graph_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_arguments_are_taken),
		cmocka_unit_test(a_walk_does_not_follow_the_weights),
		cmocka_unit_test(a_walk_comes_back_or_leaves_the_links),
		cmocka_unit_test(memories_are_linked_to_others_than_the_nearest),
		cmocka_unit_test(a_forgotten_memory_is_still_linked),
		cmocka_unit_test(values_differ_from_the_reference),
		cmocka_unit_test(a_good_dream_is_not_told_from_a_bad_one),
		cmocka_unit_test(a_kept_dream_changes_nothing),
		cmocka_unit_test(a_damaged_graph_is_walked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
