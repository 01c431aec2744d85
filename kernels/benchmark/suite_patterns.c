/* SPDX-License-Identifier: Apache-2.0 */
/* suite_patterns.c: k-means++ by number of trajectories, and exact search by number of patterns. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/kernels.h"
#include "kernels/patterns/kmeans.h"
#include "kernels/patterns/scan.h"

#define SONA "SONA performance benchmarks, "
enum { DIM = 256, K = 10 };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- k-means++ ------------------------------------------------------------------------------- */
struct extraction {
	struct kmeans km;
	enum isa isa;
	void *scratch;
	size_t scratch_bytes;
	struct kmeans_result result;
};

/* Seeding and all iterations. */
static int extract(void *arg)
{
	struct extraction *e = arg;

	return kmeans_run(&e->km, e->isa, e->scratch, e->scratch_bytes, &e->result);
}

static int extract_textbook(void *arg)
{
	struct extraction *e = arg;
	int err = kmeans_seed(&e->km, ISA_SCALAR, e->scratch, e->scratch_bytes);

	return err ? err : kmeans_refine_ref(&e->km, &e->result);
}

static int extraction_init(struct benchmark *b, struct extraction *e, uint32_t n, uint32_t k,
			   uint32_t iterations)
{
	*e = (struct extraction){.km = {.x_row = DIM, .n = n, .k = k, .dim = DIM, .seed = 1},
				 .isa = benchmark_isa(b)};
	e->km.max_iterations = iterations;
	e->scratch_bytes = kmeans_scratch(&e->km);
	e->scratch = benchmark_alloc(b, e->scratch_bytes);
	e->km.x = benchmark_floats(b, (size_t)n * DIM);
	e->km.centres = benchmark_alloc(b, (size_t)k * DIM * sizeof(float));
	e->km.assign = benchmark_alloc(b, n * sizeof(uint32_t));
	return e->scratch && e->km.x && e->km.centres && e->km.assign ? 0 : -ENOMEM;
}

/*
 * Distances count: of seeding to each centre, of each iteration to all, and of the assignment after
 * the last. What the triangle inequality leaves out counts as done.
 */
static double extraction_flops(const struct extraction *e)
{
	uint32_t assignments = e->result.iterations + 1;

	return (double)kmeans_iteration_flops(&e->km) * (1.5 + assignments);
}

static int extraction_targets(struct benchmark *b, const struct extraction *e, double published_ms,
			      double ns)
{
	char name[80], target[32], reason[96];
	struct benchmark_limit l = {name, SONA "k-means++ extraction", target, published_ms * 1e6,
				    reason};
	int err;

	snprintf(name, sizeof(name), "pattern extraction, %u in %u clusters", e->km.n, e->km.k);
	snprintf(target, sizeof(target), "%.0f ms", published_ms);
	snprintf(reason, sizeof(reason), "%u iterations on uniform random vectors, %s",
		 e->result.iterations, e->result.converged ? "converged" : "all that are allowed");
	err = benchmark_time_target(b, &l, ns);
	if (err || e->km.n != 1000)
		return err;
	l = (struct benchmark_limit){"pattern extraction, per 1000", SONA "targets", "< 1 s", 1e9,
				     NULL};
	err = benchmark_time_target(b, &l, ns);
	l = (struct benchmark_limit){"pattern extraction, per 1000, stretch", SONA "targets",
				     "< 500 ms", 500e6, NULL};
	return err ? err : benchmark_time_target(b, &l, ns);
}

static int by_trajectories(struct benchmark *b, uint32_t n, uint32_t k, uint32_t iterations,
			   double published_ms)
{
	const struct benchmark_param params[] = {{"n", NULL, n}, {"k", NULL, k}, {"D", NULL, DIM}};
	struct extraction mine, scalar;
	double ns[3];
	int err = extraction_init(b, &mine, n, k, iterations);

	if (!err)
		err = extract(&mine); /* tells how many iterations it is */
	if (err)
		return err;
	scalar = mine;
	scalar.isa = ISA_SCALAR;
	const struct benchmark_case cases[] = {
		{.name = "kmeans_textbook",
		 .isa = ISA_SCALAR,
		 .run = extract_textbook,
		 .arg = &scalar,
		 .flops = extraction_flops(&mine),
		 .baseline = "textbook",
		 .slow = true},
		{.name = "kmeans",
		 .isa = ISA_SCALAR,
		 .run = extract,
		 .arg = &scalar,
		 .flops = extraction_flops(&mine),
		 .scratch_bytes = mine.scratch_bytes,
		 .baseline = "scalar",
		 .slow = true},
		{.name = "kmeans",
		 .isa = benchmark_isa(b),
		 .run = extract,
		 .arg = &mine,
		 .flops = extraction_flops(&mine),
		 .scratch_bytes = mine.scratch_bytes},
	};
	const uint32_t ncases = benchmark_isa(b) == ISA_SCALAR ? 2 : 3;

	err = benchmark_contest(b, "k-means++ extraction", params, COUNT(params), cases, ncases,
				ns);
	if (!err)
		err = extraction_targets(b, &mine, published_ms, ns[ncases - 1]);
	benchmark_release(b);
	return err;
}

/* ---- exact search ---------------------------------------------------------------------------- */
struct scan {
	const struct kernel *kernel;
	struct distance_rows rows;
	const void *query;
};

static int scan(void *arg)
{
	const struct scan *s = arg;
	struct neighbour found[K];
	int n = scan_nearest(s->kernel, s->query, &s->rows, K, found);

	return n < 0 ? n : 0;
}

/* The vectors and nothing more: what a search that looks at all of them cannot do without. */
static int read_all(void *arg)
{
	const struct scan *s = arg;

	s->kernel->run.read(s->rows.rows, (size_t)s->rows.n * DIM);
	return 0;
}

/* The same vectors as codes, a query behind them. */
static int scan_codes(struct benchmark *b, struct scan *s, const float *x, uint32_t n)
{
	const struct kernel *quantize = kernels_select("quantize_i8", benchmark_isa(b));
	size_t row_bytes = (distance_code_bytes(DIM) + 3) / 4 * 4;
	char *mem = benchmark_alloc(b, (n + 1ul) * row_bytes);

	if (!mem)
		return -ENOMEM;
	for (uint32_t i = 0; i <= n; i++) {
		struct distance_code *c = (void *)(mem + i * row_bytes);

		c->scale = quantize->run.quantize(x + (size_t)i * DIM, c->codes, DIM);
		c->norm2 = distance_code_norm2(c, DIM);
	}
	*s = (struct scan){kernels_select("distance_l2_i8", benchmark_isa(b)),
			   {mem, row_bytes, NULL, n, DIM},
			   mem + n * row_bytes};
	return 0;
}

static int scan_target(struct benchmark *b, uint32_t n, double ns, double read_ns)
{
	char name[64], reason[128];
	struct benchmark_limit l = {name, SONA "targets", "< 1 ms", 1e6, reason};

	snprintf(name, sizeof(name), "pattern search, exact, of %u", n);
	snprintf(reason, sizeof(reason),
		 "%.1f GB/s; merely reading every vector: %.2f ms; the index is for this",
		 (double)n * DIM * sizeof(float) / ns, read_ns / 1e6);
	return benchmark_time_target(b, &l, ns);
}

static int by_patterns(struct benchmark *b, uint32_t n)
{
	const struct benchmark_param params[] = {{"n", NULL, n}, {"k", NULL, K}, {"D", NULL, DIM}};
	const float *x = benchmark_floats(b, (n + 1ul) * DIM);
	const enum isa isa = benchmark_isa(b);
	struct scan scans[4];
	double ns[4];
	int err;

	if (!x)
		return -ENOMEM;
	scans[0] = (struct scan){kernels_find("distance_l2", ISA_SCALAR),
				 {x, DIM * sizeof(float), NULL, n, DIM},
				 x + (size_t)n * DIM};
	scans[1] = scans[0];
	scans[1].kernel = kernels_select("distance_l2", isa);
	scans[3] = scans[0];
	scans[3].kernel = kernels_select("read_sum", isa);
	err = scan_codes(b, &scans[2], x, n);
	if (err)
		return err;
	const double flops = (double)distance_flops(&scans[0].rows);
	const struct benchmark_case cases[] = {
		{.name = "scan_l2",
		 .isa = ISA_SCALAR,
		 .run = scan,
		 .arg = &scans[0],
		 .flops = flops,
		 .bytes = (double)distance_bytes(&scans[0].rows, sizeof(float)),
		 .baseline = "textbook",
		 .slow = true},
		{.name = "merely reading them",
		 .isa = isa,
		 .run = read_all,
		 .arg = &scans[3],
		 .bytes = (double)n * DIM * sizeof(float)},
		{.name = "scan_l2_i8",
		 .isa = isa,
		 .run = scan,
		 .arg = &scans[2],
		 .bytes = (double)n * (double)scans[2].rows.row_bytes},
		{.name = "scan_l2",
		 .isa = isa,
		 .run = scan,
		 .arg = &scans[1],
		 .flops = flops,
		 .bytes = (double)distance_bytes(&scans[1].rows, sizeof(float))},
	};

	err = benchmark_contest(b, "exact search", params, COUNT(params), cases,
				isa == ISA_SCALAR ? 3 : 4, ns);
	if (!err)
		err = scan_target(b, n, ns[isa == ISA_SCALAR ? 0 : 3], ns[1]);
	benchmark_release(b);
	return err;
}

int suite_patterns(struct benchmark *b)
{
	static const struct {
		uint32_t n, k, iterations;
		double ms;
	} published[] = {
		{100, 10, 8, 12}, {500, 25, 12, 95}, {1000, 50, 15, 380}, {5000, 100, 20, 2450}};
	static const uint32_t patterns[] = {1000, 10000, 100000};
	int err = 0;

	if (benchmark_quick(b)) {
		err = by_trajectories(b, 100, 10, 8, 12);
		return err ? err : by_patterns(b, 200);
	}
	for (uint32_t i = 0; i < COUNT(published) && !err; i++)
		err = by_trajectories(b, published[i].n, published[i].k, published[i].iterations,
				      published[i].ms);
	for (uint32_t i = 0; i < COUNT(patterns) && !err; i++)
		err = by_patterns(b, patterns[i]);
	return err;
}
