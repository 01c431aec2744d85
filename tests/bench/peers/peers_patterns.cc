// SPDX-License-Identifier: Apache-2.0
// LIBS: -lfaiss -lopenblas
// peers_patterns.cc: k-means and exact search beside faiss, HNSW beside hnswlib.
#include "tests/bench/peers/peers_contest.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <hnswlib/hnswlib.h>
#include <omp.h>
#include <time.h>
#include <unistd.h>

extern "C" {
#include "kernels/kernels.h"
#include "kernels/patterns/hnsw.h"
#include "kernels/patterns/kmeans.h"
#include "kernels/patterns/scan.h"
}

using namespace peers;

// Points around `clusters` places: standard normal places, `spread` times that around each.
static float *clustered(uint32_t n, uint32_t dim, uint32_t clusters, float spread, unsigned seed,
			uint32_t more)
{
	std::mt19937 random(seed);
	std::normal_distribution<float> normal;
	std::vector<float> place((size_t)clusters * dim);
	float *x = floats((size_t)(n + more) * dim);

	for (float &p : place)
		p = normal(random);
	for (size_t i = 0; i < n + more; i++) {
		const float *c = &place[random() % clusters * dim];

		for (uint32_t d = 0; d < dim; d++)
			x[i * dim + d] = c[d] + spread * normal(random);
	}
	return x;
}

// Mixtures of a few directions and a little noise: clusters run into each other, and k-means goes
// on for longer than on uniform vectors, where it stops after some iterations.
static float *mixed(uint32_t n, uint32_t dim)
{
	const uint32_t directions = 8;
	float *x = floats((size_t)n * dim), *to = floats((size_t)directions * dim);

	for (uint32_t i = 0; i < n; i++) {
		const float *share = floats(directions);

		for (uint32_t d = 0; d < dim; d++) {
			x[(size_t)i * dim + d] *= 0.1f;
			for (uint32_t j = 0; j < directions; j++)
				x[(size_t)i * dim + d] += share[j] * to[j * dim + d];
		}
	}
	return x;
}

static double inertia_of(const float *x, const float *centres, uint32_t n, uint32_t k, uint32_t dim)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		double best = INFINITY;

		for (uint32_t j = 0; j < k; j++) {
			double s = 0;

			for (uint32_t d = 0; d < dim; d++) {
				double diff = (double)x[i * dim + d] - centres[j * dim + d];

				s += diff * diff;
			}
			best = std::min(best, s);
		}
		sum += best;
	}
	return sum;
}

// From the same centres, the same number of iterations.
static void kmeans_case(uint32_t n, uint32_t k, double target)
{
	const uint32_t dim = 256, iterations = 15;
	float *x = mixed(n, dim);
	float *seeds = floats(k * dim), *centres = floats(k * dim);
	std::vector<uint32_t> assign(n), counts(k);
	struct kmeans km = {
		x, dim, n, k, dim, iterations, 0, 42, centres, assign.data(), counts.data()};
	struct kmeans_result result;
	size_t bytes = kmeans_scratch(&km);
	void *scratch = std::aligned_alloc(64, bytes);
	std::vector<float> theirs, nearest(n);
	std::vector<faiss::Index::idx_t> labels(n);
	const enum isa isa = isa_best();

	if (kmeans_seed(&km, isa, scratch, bytes))
		std::abort();
	std::memcpy(seeds, centres, k * dim * sizeof(float));
	auto lloyd = [&] {
		std::memcpy(centres, seeds, k * dim * sizeof(float));
		if (kmeans_refine(&km, isa, scratch, bytes, &result))
			std::abort();
	};
	auto seeding = [&] { kmeans_seed(&km, isa, scratch, bytes); };
	auto peer = [&] {
		faiss::ClusteringParameters p;

		p.niter = (int)iterations;
		p.min_points_per_centroid = 1;
		p.max_points_per_centroid = (int)n;
		faiss::Clustering c((int)dim, (int)k, p);
		faiss::IndexFlatL2 index(dim);

		c.centroids.assign(seeds, seeds + k * dim);
		c.train(n, x, index);
		// ours ends with each point's centre: theirs has to be asked for it
		index.search(n, x, 1, nearest.data(), labels.data());
		theirs = c.centroids;
	};
	auto t = contest(1, lloyd, peer, seeding);
	char what[96];

	lloyd(); // its centres were the last seeding's
	snprintf(what, sizeof(what), "k-means n=%u k=%u d=256 15 steps, faiss", n, k);
	line(what, t[0], t[1], target);
	// The assignment after the last step is one more than there are steps.
	printf("    ours: %u iterations (%s) %.2f ms, best %.2f, %.1f GFLOP/s; seeding %.2f ms; "
	       "inertia ours / faiss %.5f\n",
	       result.iterations, result.converged ? "converged" : "all", t[0].median / 1e6,
	       t[0].best / 1e6,
	       (double)kmeans_iteration_flops(&km) * (result.iterations + !result.converged) /
		       t[0].median,
	       t[2].median / 1e6,
	       inertia_of(x, centres, n, k, dim) / inertia_of(x, theirs.data(), n, k, dim));
}

static void scan_case(uint32_t n)
{
	const uint32_t dim = 256, k = 10;
	float *x = floats((size_t)n * dim), *q = floats(dim);
	struct distance_rows r = {x, dim * sizeof(float), NULL, n, dim};
	const struct kernel *l2 = kernels_select("distance_l2", isa_best());
	struct neighbour out[10];
	faiss::IndexFlatL2 index(dim);
	float distances[10];
	faiss::Index::idx_t labels[10];
	char what[96];

	index.add(n, x);
	auto ours = [&] { scan_nearest(l2, q, &r, k, out); };
	auto peer = [&] { index.search(1, q, k, distances, labels); };
	auto t = contest(loops_for(ours), ours, peer);

	for (uint32_t i = 0; i < k; i++)
		if (labels[i] != out[i].id)
			printf("    differs at %u\n", i);
	snprintf(what, sizeof(what), "exact nearest 10 of %u d=256, faiss Flat", n);
	line(what, t[0], t[1], 0);
	printf("    %.1f GB/s\n", (double)n * dim * 4 / t[0].median);
}

// ---- HNSW ------------------------------------------------------------------------------------
// Building takes long enough to be interrupted by others: time of this thread, not of the clock.
static double cpu_ns()
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

constexpr uint32_t DIM = 256, K = 10, LINKS = 16, BUILD_EF = 200, QUERIES = 400, MAX_EF = 2048;

struct contender {
	const char *name;
	double build_ns;
	std::function<void(const float *, uint32_t, uint32_t *)> search; // query, ef, ids[K]
	uint32_t ef;
	double recall, best_ns;
	std::vector<double> round_ns;
};

static double recall_of(contender &c, uint32_t ef, const float *queries,
			const std::vector<uint32_t> &truth)
{
	uint32_t got[K], found = 0;

	for (uint32_t q = 0; q < QUERIES; q++) {
		c.search(queries + q * DIM, ef, got);
		for (uint32_t i = 0; i < K; i++)
			for (uint32_t j = 0; j < K; j++)
				found += got[i] == truth[q * K + j];
	}
	return (double)found / (QUERIES * K);
}

// The smallest ef that reaches the recall, in steps of a tenth.
static void tune(contender &c, double wish, const float *queries,
		 const std::vector<uint32_t> &truth)
{
	for (c.ef = K; c.ef < MAX_EF; c.ef += std::max(1u, c.ef / 10)) {
		c.recall = recall_of(c, c.ef, queries, truth);
		if (c.recall >= wish)
			return;
	}
}

static struct hnsw *empty(uint32_t n, enum hnsw_storage storage)
{
	struct hnsw_options o = {DIM, n, LINKS, BUILD_EF, storage, 7, isa_best()};
	struct hnsw *h = hnsw_new(&o, NULL);

	if (!h)
		std::abort();
	return h;
}

// 100,000 vectors take minutes: who waits at a terminal sees how many there are.
static void progress(uint32_t done, uint32_t n)
{
	if (isatty(2))
		fprintf(stderr, done < n ? "\r%u of %u inserted" : "\r\033[K", done, n);
}

// In turn, some at a time: a busy minute of the machine hits all alike.
static void build(const float *x, uint32_t n, struct hnsw **index,
		  hnswlib::HierarchicalNSW<float> &peer, std::vector<contender> &all)
{
	const uint32_t step = std::max(1u, n / 100);

	for (uint32_t from = 0, turn = 0; from < n; from += step, turn++) {
		const uint32_t to = std::min(n, from + step);

		for (uint32_t k = 0; k < 3; k++) {
			const uint32_t c = (turn + k) % 3;
			double t0 = cpu_ns();
			uint32_t id;

			for (uint32_t i = from; i < to; i++) {
				const float *v = x + (size_t)i * DIM;

				if (c == 2)
					peer.addPoint(v, i);
				else if (hnsw_insert(index[c], v, &id) || id != i)
					std::abort();
			}
			all[c].build_ns += cpu_ns() - t0;
		}
		progress(to, n);
	}
}

static void hnsw_case(const char *kind, const float *x, uint32_t n, double recall, bool judged)
{
	const float *queries = x + (size_t)n * DIM;
	struct hnsw *index[2];
	struct hnsw_searcher *searcher[2];
	std::vector<contender> all(3);
	std::vector<uint32_t> truth(QUERIES * K);
	hnswlib::L2Space space(DIM);
	hnswlib::HierarchicalNSW<float> peer(&space, n, LINKS, BUILD_EF);
	char what[96];

	for (int i = 0; i < 2; i++) {
		index[i] = empty(n, i ? HNSW_I8 : HNSW_F32);
		searcher[i] = hnsw_searcher_new(index[i], MAX_EF);
		all[i].name = i ? "int8+refine" : "f32";
		all[i].search = [=](const float *q, uint32_t ef, uint32_t *ids) {
			struct neighbour out[K];

			if (hnsw_search(index[i], searcher[i], q, K, ef, out) != K)
				std::abort();
			for (uint32_t j = 0; j < K; j++)
				ids[j] = out[j].id;
		};
	}
	build(x, n, index, peer, all);
	all[2].name = "hnswlib";
	all[2].search = [&](const float *q, uint32_t ef, uint32_t *ids) {
		peer.setEf(ef);
		auto r = peer.searchKnn(q, K);
		for (; !r.empty(); r.pop())
			*ids++ = (uint32_t)r.top().second;
	};
	for (uint32_t q = 0; q < QUERIES; q++) {
		struct neighbour out[K];

		hnsw_search_exact(index[0], queries + q * DIM, K, out);
		for (uint32_t j = 0; j < K; j++)
			truth[q * K + j] = out[j].id;
	}
	for (contender &c : all)
		tune(c, recall, queries, truth);
	for (int round = -1; round < 11; round++) {
		for (contender &c : all) {
			uint32_t ids[K];
			double t = cpu_ns();

			for (uint32_t q = 0; q < QUERIES; q++)
				c.search(queries + q * DIM, c.ef, ids);
			if (round >= 0)
				c.round_ns.push_back((cpu_ns() - t) / QUERIES);
		}
	}
	for (contender &c : all)
		std::sort(c.round_ns.begin(), c.round_ns.end());
	for (int i = 0; i < 2; i++) {
		result ours{all[i].build_ns, all[i].build_ns},
			theirs{all[2].build_ns, all[2].build_ns};

		snprintf(what, sizeof(what), "HNSW build %s %u %s, hnswlib", all[i].name, n, kind);
		line(what, ours, theirs, judged ? 1.5 : 0, n);
		ours = {all[i].round_ns[5], all[i].round_ns[0]};
		theirs = {all[2].round_ns[5], all[2].round_ns[0]};
		snprintf(what, sizeof(what), "HNSW search %s %u %s, hnswlib", all[i].name, n, kind);
		line(what, ours, theirs, judged ? (i ? 1.7 : 1.3) : 0);
	}
	for (int i = 0; i < 3; i++) {
		uint64_t d = i < 2 ? hnsw_searcher_distances(searcher[i]) : 0;

		recall_of(all[i], all[i].ef, queries, truth);
		printf("    %-12s ef %4u recall@10 %.4f (wanted %.4f)%s", all[i].name, all[i].ef,
		       all[i].recall, recall, all[i].ef >= MAX_EF ? " NOT REACHED" : "");
		if (i < 2)
			printf(" %.0f distances a query",
			       (double)(hnsw_searcher_distances(searcher[i]) - d) / QUERIES);
		printf("\n");
	}
	for (int i = 0; i < 2; i++) {
		hnsw_searcher_free(searcher[i]);
		hnsw_free(index[i]);
	}
}

static bool wanted(int argc, char **argv, const char *what)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], what))
			return true;
	return argc == 1;
}

// Arguments pick of: kmeans scan hnsw10000 hnsw20000 hnsw100000 random; none is all but the smaller
// indices. Times told are the thread's, so a run may be stopped and go on. On 3 GHz without company
// hnsw10000 takes 10 s, hnsw100000 four minutes, nearly all of it the three builds.
int main(int argc, char **argv)
{
	setvbuf(stdout, nullptr, _IOLBF, 0);
	omp_set_num_threads(1);
	printf("instruction set in use: %s; peak %.0f GFLOP/s\n", isa_name(isa_best()),
	       peak_measure_gflops(kernels_select("peak", isa_best())->run.peak, 20000000));
	head();
	if (wanted(argc, argv, "kmeans")) {
		kmeans_case(1000, 50, 2.5);
		kmeans_case(5000, 100, 0);
	}
	if (wanted(argc, argv, "scan"))
		for (uint32_t n : {1000, 10000, 100000})
			scan_case(n);
	// In units of a standard normal place, points spread 0.5 around a hundredth of their
	// number.
	for (uint32_t n : {10000u, 20000u, 100000u}) {
		char name[32];

		snprintf(name, sizeof(name), "hnsw%u", n);
		if (n == 100000 ? wanted(argc, argv, name) : argc > 1 && wanted(argc, argv, name)) {
			float *x = clustered(n, DIM, n / 100, 0.5f, 11, QUERIES);

			hnsw_case("clustered", x, n, 0.998, true);
			std::free(x);
		}
	}
	if (wanted(argc, argv, "random")) {
		float *x = floats((10000 + QUERIES) * (size_t)DIM);

		hnsw_case("random", x, 10000, 0.9, false);
	}
	return 0;
}
