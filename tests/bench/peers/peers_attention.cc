// SPDX-License-Identifier: Apache-2.0
// LIBS: -lopenblas -ldnnl
// peers_attention.cc: prefill beside oneDNN's matmul and softmax, and beside OpenBLAS's sgemm.
#include "tests/bench/peers/peers_contest.h"

#include <cblas.h>
#include <cmath>
#include <functional>
#include <oneapi/dnnl/dnnl.hpp>

extern "C" {
#include "kernels/attention/attention_parallel.h"
#include "kernels/kernels.h"
}

using namespace peers;

/*
 * What a peer multiplies at once: rows i .. i + n - 1 of a head against the keys that they see,
 * all of them when not causal. Of the sizes below each peer is given its best.
 */
static const uint32_t causal_rows[] = {64, 128, 256};

struct call {
	struct attention a;
	const struct kernel *flash;
	std::vector<float> scores;
	float *scratch;
	size_t scratch_bytes;
};

/* Keys after a row's own, in the square at the end of a causal block. */
static void hide(float *s, uint32_t rows, uint32_t keys)
{
	for (uint32_t i = 0; i < rows; i++)
		for (uint32_t j = keys - rows + i + 1; j < keys; j++)
			s[(size_t)i * keys + j] = -INFINITY;
}

struct onednn_block {
	dnnl::memory q, k, v, s, out;
	dnnl::matmul scores, values;
	dnnl::softmax_forward softmax;
	uint32_t i, rows, keys;
};

struct onednn {
	dnnl::engine engine{dnnl::engine::kind::cpu, 0};
	dnnl::stream stream{engine};
	std::vector<onednn_block> blocks;

	onednn(const call &c, uint32_t rows)
	{
		using tag = dnnl::memory::format_tag;
		const auto f32 = dnnl::memory::data_type::f32;
		const dnnl::memory::dim d = c.a.head_dim;

		for (uint32_t i = 0; i < c.a.q_len; i += rows) {
			onednn_block b;
			dnnl::primitive_attr scaled;

			b.i = i;
			b.rows = std::min(rows, c.a.q_len - i);
			b.keys = c.a.causal ? i + b.rows : c.a.kv_len;
			dnnl::memory::dim m = b.rows, n = b.keys;
			dnnl::memory::desc mq({m, d}, f32, tag::ab), mk({d, n}, f32, tag::ba),
				ms({m, n}, f32, tag::ab), mv({n, d}, f32, tag::ab);

			scaled.set_output_scales(0, {c.a.scale});
			b.scores = dnnl::matmul({{mq, mk, ms}, scaled, engine});
			b.values = dnnl::matmul({{ms, mv, mq}, engine});
			b.softmax = dnnl::softmax_forward(
				{{dnnl::prop_kind::forward_inference, ms, 1}, engine});
			b.q = dnnl::memory(mq, engine, nullptr);
			b.k = dnnl::memory(mk, engine, nullptr);
			b.v = dnnl::memory(mv, engine, nullptr);
			b.s = dnnl::memory(ms, engine, const_cast<float *>(c.scores.data()));
			b.out = dnnl::memory(mq, engine, nullptr);
			blocks.push_back(b);
		}
	}

	void run(call &c)
	{
		for (uint32_t h = 0; h < c.a.heads; h++) {
			for (auto &b : blocks) {
				b.q.set_data_handle(const_cast<float *>(c.a.q + h * c.a.q_head +
									b.i * c.a.q_row));
				b.k.set_data_handle(const_cast<float *>(c.a.k + h * c.a.k_head));
				b.v.set_data_handle(const_cast<float *>(c.a.v + h * c.a.v_head));
				b.out.set_data_handle(c.a.out + h * c.a.o_head + b.i * c.a.o_row);
				b.scores.execute(stream, {{DNNL_ARG_SRC, b.q},
							  {DNNL_ARG_WEIGHTS, b.k},
							  {DNNL_ARG_DST, b.s}});
				if (c.a.causal)
					hide(c.scores.data(), b.rows, b.keys);
				b.softmax.execute(stream,
						  {{DNNL_ARG_SRC, b.s}, {DNNL_ARG_DST, b.s}});
				b.values.execute(stream, {{DNNL_ARG_SRC, b.s},
							  {DNNL_ARG_WEIGHTS, b.v},
							  {DNNL_ARG_DST, b.out}});
			}
		}
		stream.wait();
	}
};

/* sgemm leaves the softmax to its user: this one has our exponential. */
static void softmax_rows(float *s, uint32_t rows, uint32_t keys, float *sums, exp2_fn *exp2)
{
	for (uint32_t i = 0; i < rows; i++, s += keys) {
		float max = -INFINITY, sum = 0;

#pragma omp simd reduction(max : max)
		for (uint32_t j = 0; j < keys; j++)
			max = std::max(max, s[j]);
#pragma omp simd
		for (uint32_t j = 0; j < keys; j++)
			s[j] -= max;
		exp2(s, s, keys);
#pragma omp simd reduction(+ : sum)
		for (uint32_t j = 0; j < keys; j++)
			sum += s[j];
		sums[i] = sum;
	}
}

static void openblas(call &c, uint32_t block, exp2_fn *exp2)
{
	const uint32_t d = c.a.head_dim;
	std::vector<float> sums(c.a.q_len);
	float *s = c.scores.data();

	for (uint32_t h = 0; h < c.a.heads; h++) {
		for (uint32_t i = 0; i < c.a.q_len; i += block) {
			const uint32_t rows = std::min(block, c.a.q_len - i);
			const uint32_t keys = c.a.causal ? i + rows : c.a.kv_len;
			float *out = c.a.out + h * c.a.o_head + i * d;

			cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, keys, d,
				    c.a.scale * 1.44269504f, c.a.q + h * c.a.q_head + i * d, d,
				    c.a.k + h * c.a.k_head, d, 0, s, keys);
			if (c.a.causal)
				hide(s, rows, keys);
			softmax_rows(s, rows, keys, sums.data(), exp2);
			cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, d, keys, 1, s,
				    keys, c.a.v + h * c.a.v_head, d, 0, out, d);
			for (uint32_t r = 0; r < rows; r++)
				for (uint32_t x = 0; x < d; x++)
					out[r * d + x] /= sums[r];
		}
	}
}

static void run_flash(call &c)
{
	if (c.flash->run.attention(&c.a, c.scratch, c.scratch_bytes))
		std::abort();
}

/* Contenders that compute something else are none. */
template <class F> static void agree(call &c, const char *name, F &&peer)
{
	std::vector<float> ours;

	run_flash(c);
	ours.assign(c.a.out, c.a.out + c.a.heads * c.a.o_head);
	peer();
	for (size_t i = 0; i < ours.size(); i++)
		if (!(std::fabs(ours[i] - c.a.out[i]) < 1e-4f)) {
			std::printf("%s disagrees at %zu: %g, not %g\n", name, i,
				    (double)c.a.out[i], (double)ours[i]);
			std::exit(1);
		}
}

static uint32_t best_rows(call &c, uint32_t whole, const std::function<void(uint32_t)> &run)
{
	uint32_t best = whole;
	double least = 1e300;

	if (!c.a.causal)
		return whole;
	for (uint32_t rows : causal_rows) {
		auto f = [&] { run(rows); };
		double t = std::min({time_once(f, 1), time_once(f, 1), time_once(f, 1)});

		if (t < least) {
			least = t;
			best = rows;
		}
	}
	return best;
}

static void shape(uint32_t s, uint32_t d, bool causal)
{
	const double of_peak = causal ? 75 : d == 64 ? 80 : s >= 512 ? 85 : 0;
	const double ratio = causal ? (s <= 256 ? 1.4 : 1.15) : d == 128 && s >= 512 ? 1.08 : 0;
	const uint32_t heads = s > 512 ? 2 : 8; // a head is like another: less to wait for
	exp2_fn *exp2 = kernels_select("exp2", isa_best())->run.exp2;
	const struct kernel *peak_row = kernels_select("peak", isa_best());
	double peak = 0;
	char what[96];
	call c;

	attention_set_packed(&c.a, heads, heads, s, s, d);
	c.a.causal = causal;
	c.a.q = floats((size_t)heads * s * d);
	c.a.k = floats((size_t)heads * s * d);
	c.a.v = floats((size_t)heads * s * d);
	c.a.out = floats((size_t)heads * s * d);
	c.scores.resize((size_t)s * s);
	c.flash = kernels_select("attention_flash", isa_best());
	c.scratch_bytes = kernels_attention_scratch(c.flash, &c.a);
	c.scratch = floats(c.scratch_bytes / sizeof(float));

	uint32_t blas_rows = best_rows(c, s, [&](uint32_t rows) { openblas(c, rows, exp2); });
	uint32_t dnnl_rows = best_rows(c, s, [&](uint32_t rows) { onednn(c, rows).run(c); });
	onednn peer(c, dnnl_rows);

	agree(c, "oneDNN", [&] { peer.run(c); });
	agree(c, "OpenBLAS", [&] { openblas(c, blas_rows, exp2); });
	auto t = contest(
		1, [&] { run_flash(c); }, [&] { peer.run(c); },
		[&] { openblas(c, blas_rows, exp2); },
		[&] { peak = std::max(peak, peak_measure_gflops(peak_row->run.peak, 300000)); });
	const double flops = (double)attention_flops(&c.a);

	snprintf(what, sizeof(what), "S=%u D=%u H=%u%s, oneDNN", s, d, heads,
		 causal ? " causal" : "");
	line(what, t[0], t[1], ratio);
	snprintf(what, sizeof(what), "S=%u D=%u H=%u%s, OpenBLAS", s, d, heads,
		 causal ? " causal" : "");
	line(what, t[0], t[2], ratio);
	std::printf("%-44s %9.1f %% median, %.1f %% best of %.0f GFLOP/s", "  of the FMA peak",
		    100 * flops / t[0].median / peak, 100 * flops / t[0].best / peak, peak);
	if (of_peak > 0)
		std::printf(", target %.0f %%%s", of_peak,
			    100 * flops / t[0].median / peak < of_peak ? "  MISSED" : "");
	std::printf("\n");
}

/* Two threads against one; OMP_NUM_THREADS does not matter, the call says how many. */
static void threads(uint32_t s, uint32_t d, bool causal)
{
	const struct kernel *flash = kernels_select("attention_flash", isa_best());
	struct attention a;
	char what[96];

	attention_set_packed(&a, 8, 8, s, s, d);
	a.causal = causal;
	a.q = floats(8ul * s * d);
	a.k = floats(8ul * s * d);
	a.v = floats(8ul * s * d);
	a.out = floats(8ul * s * d);
	size_t bytes = attention_parallel_scratch(flash, &a, 2);
	float *scratch = floats(bytes / sizeof(float));
	auto t = contest(
		1, [&] { attention_parallel(flash, &a, 2, scratch, bytes); },
		[&] { attention_parallel(flash, &a, 1, scratch, bytes); });

	snprintf(what, sizeof(what), "S=%u D=%u H=8%s, two threads to one", s, d,
		 causal ? " causal" : "");
	line(what, t[0], t[1], 1.9);
}

int main()
{
	static const uint32_t lengths[] = {256, 512, 1024, 2048}, dims[] = {64, 128};

	setvbuf(stdout, nullptr, _IOLBF, 0);
	head();
	for (bool causal : {false, true})
		for (uint32_t d : dims)
			for (uint32_t s : lengths)
				shape(s, d, causal);
	threads(512, 64, false);
	threads(512, 64, true);
	threads(512, 128, false);
	return 0;
}
