// SPDX-License-Identifier: Apache-2.0
// LIBS: -lopenblas
// peers_lora.cc: micro-LoRA beside plain C at -Ofast, base LoRA beside OpenBLAS's sgemv.
#include "tests/bench/peers/peers_contest.h"

#include <cblas.h>

extern "C" {
#include "kernels/kernels.h"
}

using namespace peers;

// The textbook loops, as well as the compiler makes them for this machine.
#pragma GCC push_options
#pragma GCC optimize("Ofast")
__attribute__((noinline)) static void plain_forward(const struct lora *l, const float *__restrict x,
						    float *__restrict y)
{
	for (uint32_t r = 0; r < l->rank; r++) {
		const float *a = l->a + (size_t)r * l->dim_in, *b = l->b + (size_t)r * l->dim_out;
		float h = 0;

		for (uint32_t i = 0; i < l->dim_in; i++)
			h += a[i] * x[i];
		h *= l->scale;
		for (uint32_t i = 0; i < l->dim_out; i++)
			y[i] += h * b[i];
	}
}

__attribute__((noinline)) static void plain_update(const struct lora *l, const float *__restrict x,
						   const float *__restrict g, float weight,
						   float *__restrict ga, float *__restrict gb)
{
	const float w = weight * l->scale;

	for (uint32_t r = 0; r < l->rank; r++) {
		const float *a = l->a + (size_t)r * l->dim_in, *b = l->b + (size_t)r * l->dim_out;
		float h = 0, e = 0;

		for (uint32_t i = 0; i < l->dim_in; i++)
			h += a[i] * x[i];
		for (uint32_t i = 0; i < l->dim_out; i++)
			e += b[i] * g[i];
		for (uint32_t i = 0; i < l->dim_out; i++)
			gb[(size_t)r * l->dim_out + i] += w * h * g[i];
		for (uint32_t i = 0; i < l->dim_in; i++)
			ga[(size_t)r * l->dim_in + i] += w * e * x[i];
	}
}
#pragma GCC pop_options

/*
 * The last line is the least that a forward pass of rank 1 does: A and x are read, at two vectors
 * a cycle on Zen 3, and y += B, at two cycles for three. With nothing between the two 1024 columns
 * take 100 ns, where plain C takes 197: twice that is beyond it, unless somebody else keeps the
 * core's other thread busy. On Zen 5 (64-byte vectors, 19 and 23 ns for the two of 1024) about 25
 * cycles between them, in which h is summed, leave twice plain C's 100 ns and no more.
 */
static double micro(uint32_t d, uint32_t rank, double target)
{
	struct lora l = {d, d, rank, 1e-3f, floats(rank * d), floats(rank * d)};
	struct lora_gradient g = {floats(rank * d), floats(rank * d), 0};
	const struct kernel *fwd = kernels_select("micro_lora_forward", isa_best());
	const struct kernel *upd = kernels_select("micro_lora_update", isa_best());
	const struct kernel *read = kernels_select("read_sum", isa_best());
	const struct kernel *axpy = kernels_select("vector_axpy", isa_best());
	float *x = floats(d), *y = floats(d);
	volatile float sum;
	char what[96];
	int loops = loops_for([&] { plain_forward(&l, x, y); });
	auto t = contest(
		loops, [&] { fwd->run.lora_forward(&l, x, y); }, [&] { plain_forward(&l, x, y); },
		[&] { upd->run.lora_update(&l, x, y, 1e-3f, &g); },
		[&] { plain_update(&l, x, y, 1e-3f, g.a, g.b); },
		[&] {
			sum = read->run.read(l.a, d) + read->run.read(x, d);
			axpy->run.vector_axpy(1e-3f, l.b, y, d);
		});

	snprintf(what, sizeof(what), "micro forward r=%u d=%u, plain -Ofast", rank, d);
	line(what, t[0], t[1], target);
	if (target > 0)
		line("  A and x only read, y += B", t[4], t[1], 0);
	snprintf(what, sizeof(what), "micro update r=%u d=%u, plain -Ofast", rank, d);
	line(what, t[2], t[3], 0);
	return t[2].best;
}

/* Of this core just now, by additions that wait for one another. */
static double measure_ghz()
{
	double best = 0;

	for (int r = 0; r < 50; r++) {
		unsigned long x = 1;
		double t0 = now_ns();

		for (int i = 0; i < 100000; i++)
			__asm__ volatile("add $1, %0\n\tadd $1, %0\n\tadd $1, %0\n\tadd $1, %0"
					 : "+r"(x));
		best = std::max(best, 400000 / (now_ns() - t0));
	}
	return best;
}

/*
 * 12 ns at 4.2 GHz are 50 cycles. One update at d=256 loads 8 vectors for each one of a row: with
 * AVX-512 and two loads a cycle that is 64 cycles by itself, with AVX2 128. Four updates in a call
 * need 5 loads each.
 */
static void update_cycles(double update_ns, double batch_ns)
{
	const double ghz = measure_ghz(), lanes = isa_best() == ISA_AVX512 ? 16 : 8;

	std::printf(
		"update d=256: %.0f cycles at %.2f GHz, loads alone %.0f; of 8: %.0f, loads alone "
		"%.0f; at 64-byte vectors and 4.2 GHz %.1f and %.1f ns, target 12 ns\n",
		update_ns * ghz, ghz, 256 / lanes * 8 / 2, batch_ns * ghz, 256 / lanes * 5 / 2,
		update_ns * ghz * lanes / 16 / 4.2, batch_ns * ghz * lanes / 16 / 4.2);
}

/* Eight requests, or eight signals, by one call; ns of one of them. */
static double micro_batch(uint32_t d, uint32_t rank)
{
	enum { ROWS = 8 };
	struct lora l = {d, d, rank, 1e-3f, floats(rank * d), floats(rank * d)};
	struct lora_gradient g = {floats(rank * d), floats(rank * d), 0};
	const struct kernel *fwd = kernels_select("micro_lora_batch", isa_best());
	const struct kernel *upd = kernels_select("micro_lora_update_batch", isa_best());
	float *x = floats(ROWS * d), *y = floats(ROWS * d), *w = floats(ROWS);
	char what[96];
	auto plain = [&] {
		for (int i = 0; i < ROWS; i++)
			plain_forward(&l, x + i * d, y + i * d);
	};
	auto t = contest(
		loops_for(plain), [&] { fwd->run.lora_forward_batch(&l, x, d, y, d, ROWS); }, plain,
		[&] { upd->run.lora_update_batch(&l, x, d, y, d, w, ROWS, &g); },
		[&] {
			for (int i = 0; i < ROWS; i++)
				plain_update(&l, x + i * d, y + i * d, w[i], g.a, g.b);
		});

	snprintf(what, sizeof(what), "micro forward of 8 r=%u d=%u, plain -Ofast", rank, d);
	line(what, t[0], t[1], 0, ROWS);
	snprintf(what, sizeof(what), "micro update of 8 r=%u d=%u, plain -Ofast", rank, d);
	line(what, t[2], t[3], 0, ROWS);
	return t[2].best / ROWS;
}

/* OpenBLAS has A and B as it likes them best, [rank][dim] both. */
struct plain_layer {
	const float *a, *b;
};

static struct quant_matrix encoded(uint32_t rows, uint32_t cols, uint32_t bits, const float *w)
{
	struct quant_matrix q = {rows, cols, 32, bits, nullptr, nullptr, nullptr};

	q.codes = static_cast<uint8_t *>(std::malloc(quant_code_bytes(&q)));
	q.steps = static_cast<uint16_t *>(std::malloc(quant_steps(&q) * sizeof(*q.steps)));
	if (!q.codes || !q.steps || quant_encode(&q, w, cols))
		std::abort();
	return q;
}

/*
 * As many layers as fill half of a 512 KiB L2, one after the other, as a model asks for them. All
 * ratios are of one request through one layer. The last line is the ceiling of f32: no layer is
 * done before its weights have been read. On Zen 3 (32 bytes a cycle from L2, 29 measured) that is
 * 1.28 to 1.63 times OpenBLAS, least where weights are most beside x and y: 1.4 is beyond it for
 * ranks of 16 and for 8 at 2048. Asking ahead for weights, also past L2, gains nothing. On Zen 5
 * one run of memory comes at 46 to 61 bytes a cycle, as the last line has it, but at 32 where two
 * pieces or more are read in turn, as a layer's A and B are beside x and y: 560 ns for rank 8 at
 * 1024.
 */
static void base(uint32_t d, uint32_t rank, double target)
{
	const uint32_t layers = std::max(1u, 32768u / (rank * d));
	struct lora_base l = {d, d, rank, layers, 1e-3f, nullptr};
	std::vector<plain_layer> plain;
	const struct kernel *forward = kernels_select("lora_base_forward", isa_best());
	float *x = floats(d), *y = floats(d), *m = floats(2ul * rank * d * layers);
	float h[LORA_BASE_MAX_RANK];
	char what[96];

	l.weights = floats(lora_base_floats(&l));
	for (uint32_t i = 0; i < layers; i++) {
		plain.push_back({m + 2ul * i * rank * d, m + (2ul * i + 1) * rank * d});
		lora_base_set(&l, i, plain[i].a, plain[i].b);
	}
	auto ours = [&] {
		for (uint32_t i = 0; i < layers; i++)
			forward->run.lora_base_forward(&l, i, x, d, y, d, 1);
	};
	auto blas = [&] {
		for (const plain_layer &p : plain) {
			cblas_sgemv(CblasRowMajor, CblasNoTrans, rank, d, 1, p.a, d, x, 1, 0, h, 1);
			cblas_sgemv(CblasRowMajor, CblasTrans, rank, d, l.scale, p.b, d, h, 1, 1, y,
				    1);
		}
	};
	std::vector<quant_matrix> codes[2][2];
	const struct kernel *coded = kernels_select("lora_base_coded", isa_best());
	struct lora_base_coded c[2];
	for (int i = 0; i < 2; i++) {
		for (const plain_layer &p : plain) {
			codes[i][0].push_back(encoded(rank, d, i ? 4 : 8, p.a));
			codes[i][1].push_back(encoded(rank, d, i ? 4 : 8, p.b));
		}
		c[i] = {d, d, rank, layers, 1e-3f, codes[i][0].data(), codes[i][1].data()};
	}
	const struct kernel *bf16 = kernels_select("lora_bf16_forward", isa_best());
	struct lora_bf16 half = {d, d, rank, layers, 1e-3f, nullptr};
	half.words = reinterpret_cast<uint32_t *>(floats(lora_bf16_words(&half)));
	if (lora_bf16_encode(&half, &l))
		std::abort();
	auto by_codes = [&](const struct lora_base_coded *l) {
		for (uint32_t i = 0; i < layers; i++)
			coded->run.lora_base_coded(l, i, x, y);
	};
	const struct kernel *read = kernels_select("read_sum", isa_best());
	volatile float sum;
	auto t = contest(
		loops_for(ours), ours, blas, [&] { by_codes(&c[0]); }, [&] { by_codes(&c[1]); },
		[&] {
			for (uint32_t i = 0; i < layers; i++)
				bf16->run.lora_bf16_forward(&half, i, x, y);
		},
		[&] { sum = read->run.read(l.weights, lora_base_floats(&l)); });

	snprintf(what, sizeof(what), "base forward r=%u d=%u, OpenBLAS sgemv x2", rank, d);
	line(what, t[0], t[1], target, layers);
	line("  in bf16", t[4], t[1], target, layers);
	line("  in 8-bit codes", t[2], t[1], 0, layers);
	line("  in 4-bit codes", t[3], t[1], 0, layers);
	line("  weights in f32 only read", t[5], t[1], 0, layers);
}

static void base_batch(uint32_t d, uint32_t rank, uint32_t rows)
{
	struct lora_base l = {d, d, rank, 1, 1e-3f, nullptr};
	const struct kernel *forward = kernels_select("lora_base_forward", isa_best());
	float *x = floats(rows * d), *y = floats(rows * d), *h = floats(rows * rank);
	float *a = floats(rank * d), *b = floats(rank * d);
	char what[96];

	l.weights = floats(lora_base_floats(&l));
	lora_base_set(&l, 0, a, b);
	auto ours = [&] { forward->run.lora_base_forward(&l, 0, x, d, y, d, rows); };
	auto blas = [&] {
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, rank, d, 1, x, d, a, d,
			    0, h, rank);
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, d, rank, l.scale, h,
			    rank, b, d, 1, y, d);
	};
	auto t = contest(loops_for(ours), ours, blas);

	snprintf(what, sizeof(what), "base forward of %u r=%u d=%u, sgemm x2", rows, rank, d);
	line(what, t[0], t[1], 0, rows);
}

int main()
{
	double update_ns = 0, batch_ns = 0;

	printf("instruction set in use: %s\n", isa_name(isa_best()));
	head();
	for (uint32_t rank = 1; rank <= 2; rank++) {
		for (uint32_t d : {256, 512, 1024, 2048}) {
			double t = micro(d, rank,
					 rank == 1 ? (d == 256	  ? 1.25
						      : d >= 1024 ? 2
								  : 0)
						   : 0);

			update_ns = d == 256 && rank == 1 ? t : update_ns;
		}
	}
	for (uint32_t rank = 1; rank <= 2; rank++) {
		for (uint32_t d : {256, 1024}) {
			double t = micro_batch(d, rank);

			batch_ns = d == 256 && rank == 1 ? t : batch_ns;
		}
	}
	update_cycles(update_ns, batch_ns);
	for (uint32_t rank : {4, 8, 16})
		for (uint32_t d : {512, 1024, 2048})
			base(d, rank, 1.4);
	for (uint32_t rank : {4, 8, 16})
		base_batch(1024, rank, 32);
	return 0;
}
