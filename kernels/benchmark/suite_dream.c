/* SPDX-License-Identifier: Apache-2.0 */
/* suite_dream.c: dreams over 1,000 to 50,000 memories: walking, judging, integrating. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/dream/dream.h"
#include "kernels/kernels.h"

#define SONA "SONA performance benchmarks, dream engine"

enum { DIM = 256, CLUSTERS_OF = 100, PATH = 15 };

struct dream_work {
	struct dream_graph g;
	struct dream_options o;
	uint64_t seed;
	struct dream d;
	uint64_t *next; /* a chain through as many cache lines as there are memories */
	uint64_t at;
};

static int walk(void *arg)
{
	struct dream_work *w = arg;

	return dream_walk(&w->g, &w->o, &w->seed, &w->d);
}

static int evaluate(void *arg)
{
	struct dream_work *w = arg;
	struct dream_value v;

	return dream_evaluate(&w->g, &w->o, &w->d, &v);
}

static int evaluate_ref(void *arg)
{
	struct dream_work *w = arg;
	struct dream_value v;

	return dream_evaluate_ref(&w->g, &w->o, &w->d, &v);
}

static int whole(void *arg)
{
	struct dream_work *w = arg;
	struct dream_value v;
	int err = dream_walk(&w->g, &w->o, &w->seed, &w->d);

	return err ? err : dream_evaluate(&w->g, &w->o, &w->d, &v);
}

/* As many dependent loads as a walk has steps: the least that any walk through memory waits. */
static int chase(void *arg)
{
	struct dream_work *w = arg;

	for (int i = 0; i < PATH; i++)
		w->at = w->next[w->at * 8];
	return 0;
}

/* One cycle through all lines in random order (Sattolo). */
static void make_chain(uint64_t *next, uint32_t n, uint64_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		next[(size_t)i * 8] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t other;
		uint64_t t = next[(size_t)i * 8];

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		other = (uint32_t)((seed >> 32) * i >> 32);
		next[(size_t)i * 8] = next[(size_t)other * 8];
		next[(size_t)other * 8] = t;
	}
}

/* Memories in clusters of a hundred, each linked to eight of its own. */
static int make_graph(struct benchmark *b, struct dream_work *w, uint32_t n)
{
	const uint32_t clusters = n / CLUSTERS_OF ? n / CLUSTERS_OF : 1;
	const size_t bytes = dream_graph_bytes(DIM, n);
	void *storage = benchmark_alloc(b, bytes);
	const float *centre = benchmark_floats(b, (size_t)clusters * DIM);
	const float *noise = benchmark_floats(b, DIM + 997);
	int err = 0;

	w->next = benchmark_alloc(b, (size_t)n * 64);
	if (!storage || !centre || !noise || !w->next)
		return -ENOMEM;
	make_chain(w->next, n, 5);
	err = dream_graph_init(&w->g, DIM, n, benchmark_isa(b), storage, bytes);
	for (uint32_t i = 0; i < n && !err; i++) {
		float x[DIM];
		uint32_t ids[DREAM_LINKS], links = 0;

		for (uint32_t d = 0; d < DIM; d++)
			x[d] = centre[(size_t)(i % clusters) * DIM + d] +
			       0.7f * noise[(i * 31) % 997 + d];
		for (uint32_t k = 1; k <= DREAM_LINKS / 2 && k * clusters <= i; k++)
			ids[links++] = i - (k + i % 5 * (k * clusters < i / 8)) * clusters;
		err = dream_graph_put(&w->g, x, fabsf(noise[i % 997]), ids, links, NULL);
	}
	return err;
}

static int by_size(struct benchmark *b, uint32_t n, double *walk_ns, double *value_ns,
		   double *chase_ns)
{
	const struct benchmark_param params[] = {{"n", NULL, n}, {"D", NULL, DIM}};
	struct dream_work w = {.o = DREAM_OPTIONS_DEFAULT, .seed = 1};
	struct benchmark_case c[5];
	double ns[5];
	int err = make_graph(b, &w, n);

	if (err)
		return err;
	dream_walk(&w.g, &w.o, &w.seed, &w.d);
	memset(c, 0, sizeof(c));
	c[0] = (struct benchmark_case){.name = "walk", .run = walk};
	c[1] = (struct benchmark_case){
		.name = "as many dependent loads", .run = chase, .baseline = "pointer chase"};
	c[2] = (struct benchmark_case){.name = "novelty and phi", .run = evaluate};
	c[3] = (struct benchmark_case){.name = "novelty and phi, by determinants",
				       .run = evaluate_ref,
				       .baseline = "textbook"};
	c[4] = (struct benchmark_case){.name = "walk, novelty and phi", .run = whole};
	for (int i = 0; i < 5; i++) {
		c[i].arg = &w;
		c[i].isa = i % 2 ? ISA_SCALAR : w.g.distance->isa;
	}
	err = benchmark_contest(b, "dream: walk", params, 2, c, 2, ns);
	err = err ? err : benchmark_contest(b, "dream: value", params, 2, c + 2, 3, ns + 2);
	*walk_ns = ns[0];
	*chase_ns = ns[1];
	*value_ns = ns[2];
	benchmark_release(b);
	return err;
}

static int targets(struct benchmark *b, double walk_ns, double value_ns, double chase_ns)
{
	char why[160];
	const struct benchmark_limit limits[] = {
		{"dream generation, 50,000 memories", SONA, "< 100 ms", 1e8, why},
		{"dream generation, stretch", SONA, "< 50 ms", 5e7, why},
		{"dream generation, as published", SONA, "85 ms", 8.5e7, why},
		{"dream walk, 50,000 memories", "goal of this engine", "<= 1.5 us", 1.5e3, why},
	};
	int err = 0;

	snprintf(why, sizeof(why),
		 "%d memories long; %d dependent loads from as many lines take %.0f ns here", PATH,
		 PATH, chase_ns);
	for (int i = 0; i < 4 && !err; i++)
		err = benchmark_time_target(b, &limits[i], walk_ns);
	return err ? err
		   : benchmark_time_target(b,
					   &(struct benchmark_limit){
						   "dream evaluation, 15 memories", SONA, "< 50 ms",
						   5e7, "novelty, and a proxy of phi (dream.h)"},
					   value_ns);
}

int suite_dream(struct benchmark *b)
{
	static const uint32_t sizes[] = {1000, 10000, 50000};
	double walk_ns = NAN, value_ns = NAN, chase_ns = NAN;
	int err = 0;

	if (benchmark_quick(b))
		return by_size(b, 200, &walk_ns, &value_ns, &chase_ns);
	for (int i = 0; i < 3 && !err; i++)
		err = by_size(b, sizes[i], &walk_ns, &value_ns, &chase_ns);
	return err ? err : targets(b, walk_ns, value_ns, chase_ns);
}
