/* SPDX-License-Identifier: Apache-2.0 */
/* qe_coverage.c: coverage analysis as a search: the HNSW index beside the exact scan. */
#include "kernels/benchmark/qe.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "kernels/kernels.h"
#include "kernels/patterns/hnsw.h"

enum { DIM = 384, K = 10, EF = 64, QUERIES = 100, PER_CLUSTER = 100 };

struct search {
	const float *x, *queries;
	uint32_t n;
	struct hnsw *index;
	struct hnsw_searcher *searcher;
};

/* Each contender has a counter of its own, so both see the same queries. */
struct contender {
	const struct search *s;
	const struct kernel *scan;
	uint32_t next;
};

static int find_by_index(void *arg)
{
	struct contender *c = arg;
	const float *q = c->s->queries + (size_t)(c->next++ % QUERIES) * DIM;
	struct neighbour found[K];
	int n = hnsw_search(c->s->index, c->s->searcher, q, K, EF, found);

	return n < 0 ? n : 0;
}

static int find_by_scan(void *arg)
{
	struct contender *c = arg;
	const struct distance_rows r = {c->s->x, DIM * sizeof(float), NULL, c->s->n, DIM};
	const float *q = c->s->queries + (size_t)(c->next++ % QUERIES) * DIM;
	struct neighbour found[K];
	int n = scan_nearest(c->scan, q, &r, K, found);

	return n < 0 ? n : 0;
}

/* A hundred vectors around each of n / 100 places, as embeddings of similar code lie. */
static int make_vectors(struct benchmark *b, struct search *s)
{
	const uint32_t all = s->n + QUERIES, places = s->n / PER_CLUSTER + 1;
	float *x = benchmark_floats(b, ((size_t)all + places) * DIM);

	if (!x)
		return -ENOMEM;
	for (size_t i = 0; i < all; i++)
		for (size_t d = 0; d < DIM; d++)
			x[i * DIM + d] = x[(all + i % places) * DIM + d] + x[i * DIM + d] / 2;
	s->x = x;
	s->queries = x + (size_t)s->n * DIM;
	return 0;
}

static int build(struct benchmark *b, struct search *s)
{
	const struct hnsw_options o = {
		.dim = DIM,
		.capacity = s->n,
		.build_ef = 100,
		.storage = HNSW_I8,
		.isa = benchmark_isa(b),
	};
	uint32_t id;
	int err = 0;

	s->index = hnsw_new(&o, &err);
	for (uint32_t i = 0; i < s->n && !err; i++)
		err = hnsw_insert(s->index, s->x + (size_t)i * DIM, &id);
	if (err)
		return err;
	s->searcher = hnsw_searcher_new(s->index, EF);
	return s->searcher ? 0 : -ENOMEM;
}

static double recall(const struct search *s)
{
	uint32_t hits = 0;

	for (uint32_t i = 0; i < QUERIES; i++) {
		const float *q = s->queries + (size_t)i * DIM;
		struct neighbour got[K], want[K];
		int n = hnsw_search(s->index, s->searcher, q, K, EF, got);
		int m = hnsw_search_exact(s->index, q, K, want);

		for (int g = 0; g < n; g++)
			for (int w = 0; w < m; w++)
				hits += got[g].id == want[w].id;
	}
	return (double)hits / (QUERIES * K);
}

static int index_target(struct benchmark *b, const char *name, const char *target, double limit,
			double ratio, const char *reason)
{
	return benchmark_target(b, &(struct benchmark_target){
					   .name = name,
					   .seed = QE_SEED,
					   .target = target,
					   .limit = limit,
					   .at_least = true,
					   .measured = ratio,
					   .unit = "x",
					   .baseline = "same-ISA exact scan",
					   .reason = reason,
				   });
}

static int compare(struct benchmark *b, const struct search *s)
{
	const struct kernel *best = kernels_select("distance_l2", benchmark_isa(b));
	const double found = recall(s);
	struct contender by_textbook = {s, kernels_find("distance_l2", ISA_SCALAR), 0};
	struct contender by_scan = {s, best, 0}, by_index = {s, best, 0};
	const struct benchmark_param recall_at = {"recall", NULL, found};
	const struct benchmark_param params[] = {
		{"n", NULL, s->n}, {"D", NULL, DIM}, {"k", NULL, K}, {"data", "clustered", 0}};
	struct benchmark_case cases[] = {
		{.name = "hnsw_search",
		 .isa = best->isa,
		 .run = find_by_index,
		 .arg = &by_index,
		 .params = &recall_at,
		 .nparams = 1},
		{.name = "exact scan",
		 .isa = best->isa,
		 .run = find_by_scan,
		 .arg = &by_scan,
		 .baseline = "exact scan",
		 .bytes = 4.0 * s->n * DIM},
		{.name = "textbook scan",
		 .isa = ISA_SCALAR,
		 .run = find_by_scan,
		 .arg = &by_textbook,
		 .baseline = "textbook",
		 .slow = true,
		 .bytes = 4.0 * s->n * DIM},
	};
	char reason[128];
	double ns[3];
	int err = benchmark_contest(b, "coverage-analysis, search", params, 4, cases, 3, ns);

	if (err)
		return err;
	snprintf(reason, sizeof(reason), "recall@10 %.3f; %.0fx of the textbook scan", found,
		 ns[2] / ns[0]);
	err = index_target(b, "coverage-analysis, HNSW", "50x-100x", 50, ns[1] / ns[0], reason);
	return err ? err
		   : index_target(b, "coverage-analysis, recommended", "150x-12500x", 150,
				  ns[1] / ns[0], reason);
}

int qe_coverage_search(struct benchmark *b)
{
	struct search s = {.n = benchmark_quick(b) ? 500 : 100000};
	int err = make_vectors(b, &s);

	err = err ? err : build(b, &s);
	err = err ? err : compare(b, &s);
	if (s.searcher)
		hnsw_searcher_free(s.searcher);
	if (s.index)
		hnsw_free(s.index);
	benchmark_release(b);
	return err;
}
