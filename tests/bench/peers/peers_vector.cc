// SPDX-License-Identifier: Apache-2.0
// LIBS: -lopenblas -ldnnl
// peers_vector.cc: the matrix product beside OpenBLAS and oneDNN, vector operations beside
// OpenBLAS.
#include "tests/bench/peers/peers_contest.h"

#include <cblas.h>
#include <dnnl.h>

extern "C" {
#include "kernels/kernels.h"
}

using namespace peers;

static double peak_gflops()
{
	const struct kernel *k = kernels_select("peak", isa_best());

	return peak_measure_gflops(k->run.peak, 2 * 1000 * 1000);
}

static void matmul(uint32_t m, uint32_t n, uint32_t k, bool transposed)
{
	const struct kernel *row = kernels_select("vector_matmul", isa_best());
	struct vector_matmul mm = {};
	const size_t b_row = transposed ? k : n;
	size_t bytes;
	double peak = 0;
	char what[96];

	mm.m = m;
	mm.n = n;
	mm.k = k;
	mm.a = floats((size_t)m * k);
	mm.b = floats((size_t)k * n);
	mm.c = floats((size_t)m * n);
	mm.a_row = k;
	mm.b_row = b_row;
	mm.c_row = n;
	mm.b_transposed = transposed;
	bytes = vector_matmul_scratch(&mm);
	void *scratch = floats(bytes / sizeof(float) + 16);
	auto ours = [&] { row->run.vector_matmul(&mm, scratch, bytes); };
	auto t = contest(
		loops_for(ours), ours,
		[&] {
			cblas_sgemm(CblasRowMajor, CblasNoTrans,
				    transposed ? CblasTrans : CblasNoTrans, m, n, k, 1, mm.a, k,
				    mm.b, b_row, 0, mm.c, n);
		},
		[&] {
			dnnl_sgemm('N', transposed ? 'T' : 'N', m, n, k, 1, mm.a, k, mm.b, b_row, 0,
				   mm.c, n);
		},
		[&] { peak = std::max(peak, peak_gflops()); });

	snprintf(what, sizeof(what), "matmul %ux%ux%u%s, OpenBLAS", m, n, k,
		 transposed ? " B^T" : "");
	line(what, t[0], t[1], 0);
	snprintf(what, sizeof(what), "matmul %ux%ux%u%s, oneDNN", m, n, k,
		 transposed ? " B^T" : "");
	line(what, t[0], t[2], 0);
	std::printf("%-44s %6.1f%% median, %.1f%% best; target 85%% at 1024\n", "  of the FMA peak",
		    100 * (double)vector_matmul_flops(&mm) / t[0].median / peak,
		    100 * (double)vector_matmul_flops(&mm) / t[0].best / peak);
}

static void vectors(size_t n)
{
	const struct kernel *dot = kernels_select("vector_dot", isa_best());
	const struct kernel *axpy = kernels_select("vector_axpy", isa_best());
	float *x = floats(n), *y = floats(n), out = 0;
	char what[96];
	auto t = contest(
		loops_for([&] { cblas_saxpy(n, 1e-9f, x, 1, y, 1); }),
		[&] { dot->run.vector_dot(x, y, n, &out); },
		[&] { out = cblas_sdot(n, x, 1, y, 1); },
		[&] { axpy->run.vector_axpy(1e-9f, x, y, n); },
		[&] { cblas_saxpy(n, 1e-9f, x, 1, y, 1); });

	snprintf(what, sizeof(what), "dot of %zu, OpenBLAS", n);
	line(what, t[0], t[1], 0);
	snprintf(what, sizeof(what), "axpy of %zu, OpenBLAS", n);
	line(what, t[2], t[3], 0);
}

int main()
{
	printf("instruction set in use: %s\n", isa_name(isa_best()));
	head();
	for (uint32_t n : {64, 256, 512, 1024})
		matmul(n, n, n, false);
	matmul(1024, 1024, 1024, true);
	matmul(512, 64, 512, false);
	for (size_t n : {256, 10000})
		vectors(n);
	return 0;
}
