// SPDX-License-Identifier: Apache-2.0
// LIBS: -lopenblas -ldnnl
// peers_decode.cc: one query over a long store, beside OpenBLAS's sgemv, oneDNN, and plain reads.
#include "tests/bench/peers/peers_contest.h"

#include <cblas.h>
#include <oneapi/dnnl/dnnl.hpp>

#include <cmath>
#include <immintrin.h>
#include <memory>

extern "C" {
#include "kernels/kernels.h"
}

using namespace peers;

/* The kernel's decode over one random store in each type, contiguous. */
struct store {
	struct decode d[KV_TYPES];
	float *k, *v, *q, *out;
	void *scratch;
	size_t scratch_bytes, floats_each;

	store(uint32_t heads, uint32_t kv_heads, uint32_t n, uint32_t dim)
	{
		size_t rows = (size_t)kv_heads * n;

		floats_each = rows * dim;
		k = floats(2 * floats_each); /* side by side, so that a read goes over both */
		v = k + floats_each;
		q = floats(heads * dim);
		out = floats(heads * dim);
		for (int t = 0; t < KV_TYPES; t++) {
			struct kv_view *kv = &d[t].kv;
			size_t bytes = rows * dim * kv_element_bytes((enum kv_type)t);
			char *codes = t ? (char *)floats(2 * bytes / sizeof(float)) : (char *)k;
			float *scale = floats(2 * rows);

			decode_set_packed(&d[t], (enum kv_type)t, heads, kv_heads, 1, n, dim);
			for (size_t r = 0; t && r < 2 * rows; r++)
				kv_store_row(kv->type, k + r * dim, dim, codes + r * kv->row_bytes,
					     scale + r);
			kv->k = codes;
			kv->v = codes + bytes;
			kv->k_scale = scale;
			kv->v_scale = scale + rows;
			d[t].q = q;
			d[t].out = out;
		}
		scratch_bytes = decode_scratch(&d[0]);
		scratch = floats(scratch_bytes / sizeof(float));
	}
	int run(const struct kernel *kernel, int type)
	{
		return kernel->run.decode(&d[type], scratch, scratch_bytes);
	}
	~store()
	{
		std::free(k);
		for (int t = 1; t < KV_TYPES; t++)
			std::free(const_cast<void *>(d[t].kv.k));
	}
};

/* The bytes of K and V as fast as a plain loop of eight accumulators reads them. */
__attribute__((noinline)) static float read_all(const float *p, size_t n)
{
	__m256 a[8] = {};
	float out[8];

	for (size_t i = 0; i + 64 <= n; i += 64)
		for (int c = 0; c < 8; c++)
			a[c] = _mm256_add_ps(a[c], _mm256_loadu_ps(p + i + 8 * c));
	for (int c = 1; c < 8; c++)
		a[0] = _mm256_add_ps(a[0], a[c]);
	_mm256_storeu_ps(out, a[0]);
	return out[0];
}

static void softmax(float *s, uint32_t n, float scale)
{
	float max = -INFINITY, sum = 0;

	for (uint32_t j = 0; j < n; j++)
		max = std::max(max, s[j]);
	for (uint32_t j = 0; j < n; j++)
		s[j] = (s[j] - max) * scale * 1.442695041f;
	/* Our exponential, so that the peer is not held up by libm's. */
	kernels_select("exp2", isa_best())->run.exp2(s, s, n);
	for (uint32_t j = 0; j < n; j++)
		sum += s[j];
	for (uint32_t j = 0; j < n; j++)
		s[j] /= sum;
}

static void by_openblas(const store &s, float *scores)
{
	const struct decode *d = &s.d[0];
	const int n = (int)d->kv_len, dim = (int)d->head_dim;

	for (uint32_t h = 0; h < d->heads; h++) {
		size_t g = h / (d->heads / d->kv_heads);
		const float *k = s.k + g * n * dim, *v = s.v + g * n * dim;

		cblas_sgemv(CblasRowMajor, CblasNoTrans, n, dim, 1, k, dim, d->q + h * dim, 1, 0,
			    scores, 1);
		softmax(scores, d->kv_len, d->scale);
		cblas_sgemv(CblasRowMajor, CblasTrans, n, dim, 1, v, dim, scores, 1, 0,
			    s.out + h * dim, 1);
	}
}

/* Q K^T, softmax, P V as its primitives, made once: all heads are the rows of one product. */
struct onednn {
	dnnl::engine engine{dnnl::engine::kind::cpu, 0};
	dnnl::stream stream{engine};
	dnnl::matmul scores, values;
	dnnl::softmax_forward softmax;
	dnnl::memory q, k, s, v, out;

	onednn(const store &st, float *mem)
	{
		using tag = dnnl::memory::format_tag;
		const auto f32 = dnnl::memory::data_type::f32;
		const struct decode *d = &st.d[0];
		dnnl::memory::dim h = d->heads, n = d->kv_len, dim = d->head_dim;
		dnnl::memory::desc mq({h, dim}, f32, tag::ab), mk({dim, n}, f32, tag::ba),
			ms({h, n}, f32, tag::ab), mv({n, dim}, f32, tag::ab),
			mo({h, dim}, f32, tag::ab);
		dnnl::primitive_attr scaled;

		scaled.set_output_scales(0, {d->scale});
		scores = dnnl::matmul({{mq, mk, ms}, scaled, engine});
		values = dnnl::matmul({{ms, mv, mo}, engine});
		softmax = dnnl::softmax_forward(
			{{dnnl::prop_kind::forward_inference, ms, 1}, engine});
		q = {mq, engine, st.q};
		k = {mk, engine, st.k};
		s = {ms, engine, mem};
		v = {mv, engine, st.v};
		out = {mo, engine, st.out};
	}
	void run()
	{
		scores.execute(stream,
			       {{DNNL_ARG_SRC, q}, {DNNL_ARG_WEIGHTS, k}, {DNNL_ARG_DST, s}});
		softmax.execute(stream, {{DNNL_ARG_SRC, s}, {DNNL_ARG_DST, s}});
		values.execute(stream,
			       {{DNNL_ARG_SRC, s}, {DNNL_ARG_WEIGHTS, v}, {DNNL_ARG_DST, out}});
		stream.wait();
	}
};

/* A peer that computes something else would be no peer. */
static void same(const char *what, const float *a, const std::vector<float> &b)
{
	for (size_t i = 0; i < b.size(); i++)
		if (!(std::fabs(a[i] - b[i]) < 1e-4f)) {
			std::printf("%s: %g, not %g\n", what, (double)a[i], (double)b[i]);
			std::exit(1);
		}
}

/*
 * The store of each call. What a call reads lies in L3 as the one before left it, by the order of
 * reading of both: that is not what memory delivers. So of a large store there are two, and no call
 * has the one that was just read. Contenders are three, so each has each store by turns (where one
 * lies in memory makes 8 % of reading).
 */
struct stores {
	enum { FAR_BYTES = 64 << 20 }; /* more than is left in L3 after as much again was read */
	std::vector<std::unique_ptr<store>> all;
	unsigned calls = 0;

	stores(uint32_t n, uint32_t dim)
	{
		do
			all.push_back(std::make_unique<store>(8, 8, n, dim));
		while (all.size() < 2 && 2 * sizeof(float) * all[0]->floats_each >= FAR_BYTES);
	}
	store &next()
	{
		return *all[calls++ % all.size()];
	}
};

static void heads(uint32_t n, uint32_t dim, double bandwidth_target)
{
	const struct kernel *ours = kernels_select("attention_decode", isa_best());
	stores turn(n, dim);
	const size_t each = turn.all[0]->floats_each;
	float *scores = floats(n);
	volatile float sink;
	char what[96];
	auto run = [&] { turn.next().run(ours, KV_F32); };

	for (auto &s : turn.all) {
		s->run(ours, KV_F32);
		const std::vector<float> want(s->out, s->out + 8 * dim);
		by_openblas(*s, scores);
		same("OpenBLAS", s->out, want);
	}
	auto f32 = contest(
		loops_for(run), run, [&] { by_openblas(turn.next(), scores); },
		[&] { sink = read_all(turn.next().k, 2 * each); });
	auto types = contest(
		loops_for(run), run, [&] { turn.next().run(ours, KV_BF16); },
		[&] { turn.next().run(ours, KV_I8); });
	(void)sink;
	snprintf(what, sizeof(what), "H=8 D=%u keys=%u f32, OpenBLAS sgemv", dim, n);
	line(what, f32[0], f32[1], 1.15);
	snprintf(what, sizeof(what), "H=8 D=%u keys=%u f32, reading K and V", dim, n);
	line(what, f32[0], f32[2], bandwidth_target);
	snprintf(what, sizeof(what), "H=8 D=%u keys=%u bf16, our f32", dim, n);
	line(what, types[1], types[0], 1);
	snprintf(what, sizeof(what), "H=8 D=%u keys=%u int8, our f32", dim, n);
	line(what, types[2], types[0], 1);
	std::printf("%44s %.1f GB/s of K and V by us, %.1f by reading alone\n", "",
		    8 * each / f32[0].median, 8 * each / f32[2].median);
	std::free(scores);
}

static void shared(uint32_t kv_heads, uint32_t n, uint32_t dim, double target)
{
	const struct kernel *ours = kernels_select("attention_decode", isa_best());
	store s(8, kv_heads, n, dim);
	float *scores = floats(8 * n);
	std::vector<float> want(8 * dim);
	char what[96];
	onednn peer(s, scores);
	auto run = [&] { s.run(ours, KV_F32); };

	run();
	want.assign(s.out, s.out + 8 * dim);
	peer.run();
	same("oneDNN", s.out, want);
	by_openblas(s, scores);
	same("OpenBLAS", s.out, want);
	auto t = contest(
		loops_for(run), run, [&] { peer.run(); }, run, [&] { by_openblas(s, scores); });
	auto types = contest(
		loops_for(run), run, [&] { s.run(ours, KV_BF16); }, [&] { s.run(ours, KV_I8); });
	snprintf(what, sizeof(what), "MQA 8:%u D=%u keys=%u f32, oneDNN", kv_heads, dim, n);
	line(what, t[0], t[1], target);
	snprintf(what, sizeof(what), "MQA 8:%u D=%u keys=%u f32, OpenBLAS sgemv", kv_heads, dim, n);
	line(what, t[2], t[3], 1.15);
	snprintf(what, sizeof(what), "MQA 8:%u D=%u keys=%u bf16, our f32", kv_heads, dim, n);
	line(what, types[1], types[0], 0);
	snprintf(what, sizeof(what), "MQA 8:%u D=%u keys=%u int8, our f32", kv_heads, dim, n);
	line(what, types[2], types[0], 0);
	std::printf("%44s %.1f GFLOP/s by us at best, %.1f by oneDNN\n", "",
		    (double)decode_flops(&s.d[0]) / t[0].best,
		    (double)decode_flops(&s.d[0]) / t[1].best);
	std::free(scores);
}

int main()
{
	const size_t big = (size_t)64 << 20;
	float *p = floats(big);
	volatile float sink;
	auto t = contest(1, [&] { sink = read_all(p, big); });

	(void)sink;
	std::printf("instruction set in use: %s; 256 MiB read at %.1f GB/s, at best %.1f\n",
		    isa_name(isa_best()), 4.0 * big / t[0].median, 4.0 * big / t[0].best);
	std::free(p);
	head();
	shared(1, 4096, 128, 1.3);
	for (uint32_t n : {1024, 2048, 4096})
		heads(n, 64, 0.8);
	heads(16384, 64, 0.95);
	return 0;
}
