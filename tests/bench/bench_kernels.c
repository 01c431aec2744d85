/* SPDX-License-Identifier: Apache-2.0 */
/* bench_kernels.c: every kernel variant beside its baselines and this machine's peak. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/lora/lora_shared.h"
#include "kernels/trajectory/trajectory_ring.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Rounds of all contenders in turn, so that a busy moment of the machine hits all alike. */
enum { ROUNDS = 15 };

static double peak[ISA_COUNT];

static void *alloc(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (!p) {
		fputs("bench_kernels: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

static float *random_floats(size_t n)
{
	float *p = alloc(n * sizeof(*p));

	for (size_t i = 0; i < n; i++)
		p[i] = (float)rand() / (float)RAND_MAX - 0.5f;
	return p;
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct sample {
	double ns[ROUNDS];
};

static double median(struct sample *s)
{
	qsort(s->ns, ROUNDS, sizeof(s->ns[0]), compare_double);
	return s->ns[ROUNDS / 2];
}

/*
 * The clock of the machine moves with its load, so the peak is measured again beside every round:
 * the best of them is what this contest's figures are held against.
 */
static void measure_peaks(uint64_t budget_ns)
{
	for (uint32_t i = 0; i < kernels_count; i++) {
		double gflops;

		if (kernels[i].kind != KERNEL_peak || !kernels_supported(&kernels[i]))
			continue;
		gflops = peak_measure_gflops(kernels[i].run.peak, budget_ns);
		if (gflops > peak[kernels[i].isa])
			peak[kernels[i].isa] = gflops;
	}
}

static void print_peaks(void)
{
	printf("peak GFLOP/s of one core, f32:");
	for (int i = 0; i < ISA_COUNT; i++)
		if (peak[i] > 0)
			printf("  %s %.0f", isa_name((enum isa)i), peak[i]);
	printf("\n");
}

struct contest {
	const struct kernel *kernel[32];
	struct sample sample[32];
	double median_ns[32];
	uint32_t n;
};

static double ns_of(const struct contest *c, const char *name, enum isa isa)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->kernel[i]->isa == isa && !strcmp(c->kernel[i]->name, name))
			return c->median_ns[i];
	return 0;
}

static void ratio(double other, double own)
{
	if (other > 0)
		printf(" %8.2fx", other / own);
	else
		printf(" %9s", "-");
}

static void print_attention(const struct contest *c, const struct attention *a)
{
	uint64_t flops = attention_flops(a);

	for (uint32_t i = 0; i < c->n; i++) {
		const struct kernel *k = c->kernel[i];
		double ns = c->median_ns[i], best = c->sample[i].ns[0];

		printf("%-20s %-7s %9.1f %9.1f %9.1f %6.1f%% %6.1f%%", k->name, isa_name(k->isa),
		       ns / 1e3, (double)flops / ns, (double)flops / best,
		       100 * (double)flops / ns / peak[k->isa],
		       100 * (double)flops / best / peak[k->isa]);
		ratio(ns_of(c, "attention_textbook", ISA_SCALAR), ns);
		ratio(ns_of(c, "attention_standard", k->isa), ns);
		printf(" %9zu\n", kernels_attention_scratch(k, a) / 1024);
	}
}

static void bench_attention(uint32_t s, uint32_t d, uint32_t heads, bool causal)
{
	static struct contest c;
	struct attention a;
	size_t floats, scratch_bytes;
	float *mem;
	void *scratch;

	attention_set_packed(&a, heads, heads, s, s, d);
	a.causal = causal;
	floats = (size_t)heads * s * d;
	mem = random_floats(4 * floats);
	a.q = mem;
	a.k = mem + floats;
	a.v = mem + 2 * floats;
	a.out = mem + 3 * floats;
	scratch_bytes = attention_standard_scratch(&a);
	scratch = alloc(scratch_bytes);
	memset(scratch, 0, scratch_bytes);
	c.n = 0;
	for (uint32_t i = 0; i < kernels_count; i++)
		if (kernels[i].kind == KERNEL_attention && kernels_supported(&kernels[i]))
			c.kernel[c.n++] = &kernels[i];
	memset(peak, 0, sizeof(peak));
	for (int r = -1; r < ROUNDS; r++) { /* the first one warms up */
		measure_peaks(200 * 1000);
		for (uint32_t i = 0; i < c.n; i++) {
			uint64_t t0;

			/* Scalar ones take a hundred times as long: a few rounds tell enough. */
			if (c.kernel[i]->isa == ISA_SCALAR && r > 1) {
				c.sample[i].ns[r] = c.sample[i].ns[r - 1];
				continue;
			}
			t0 = perftop_now_ns();
			if (c.kernel[i]->run.attention(&a, scratch, scratch_bytes))
				exit(1);
			if (r >= 0)
				c.sample[i].ns[r] = (double)(perftop_now_ns() - t0);
		}
	}
	for (uint32_t i = 0; i < c.n; i++)
		c.median_ns[i] = median(&c.sample[i]);
	printf("\nattention S=%u D=%u H=%u %s, %.0f MFLOP of use\n", s, d, heads,
	       causal ? "causal" : "not causal", (double)attention_flops(&a) / 1e6);
	printf("%-20s %-7s %9s %9s %9s %7s %7s %9s %9s %9s\n", "", "isa", "us", "GFLOP/s", "best",
	       "% peak", "best %", "textbook", "standard", "KiB");
	print_attention(&c, &a);
	print_peaks();
	free(scratch);
	free(mem);
}

/* Median ns of one call, many calls a clock reading. */
#define TIME(loops, body)                                                               \
	({                                                                              \
		struct sample s_;                                                       \
		for (int r_ = -1; r_ < ROUNDS; r_++) {                                  \
			uint64_t t0_ = perftop_now_ns();                                \
			for (int l_ = 0; l_ < (loops); l_++) {                          \
				body;                                                   \
				__asm__ volatile("" ::: "memory");                      \
			}                                                               \
			if (r_ >= 0)                                                    \
				s_.ns[r_] = (double)(perftop_now_ns() - t0_) / (loops); \
		}                                                                       \
		median(&s_);                                                            \
	})

static void bench_lora(uint32_t dim, uint32_t rank)
{
	float *m = random_floats((size_t)dim * (2 + 4 * rank));
	struct lora l = {dim, dim, rank, 1e-3f, m, m + (size_t)rank * dim};
	struct lora_gradient g = {m + 2ul * rank * dim, m + 3ul * rank * dim, 0};
	float *x = m + 4ul * rank * dim, *y = x + dim;

	for (uint32_t i = 0; i < kernels_count; i++) {
		const struct kernel *k = &kernels[i];
		double ns, flops;

		if (!kernels_supported(k))
			continue;
		if (k->kind == KERNEL_lora_forward) {
			ns = TIME(2000, k->run.lora_forward(&l, x, y));
			flops = (double)lora_forward_flops(&l);
		} else if (k->kind == KERNEL_lora_update) {
			ns = TIME(2000, k->run.lora_update(&l, x, y, 1e-3f, &g));
			flops = (double)lora_update_flops(&l);
		} else {
			continue;
		}
		printf("%-20s %-7s r=%u d=%-5u %9.1f ns %9.1f GFLOP/s\n", k->name, isa_name(k->isa),
		       rank, dim, ns, flops / ns);
	}
	free(m);
}

static void bench_record(void)
{
	static struct trajectory record, copy;
	float *x = random_floats((TRAJECTORY_STEPS + 1) * TRAJECTORY_DIM);
	static struct trajectory_attention attention;
	double copy_ns;

	printf("\ntrajectory: a full record of %d steps, %zu bytes\n", TRAJECTORY_STEPS,
	       sizeof(record));
	copy_ns = TIME(1000, ({
			       memcpy(&copy, &record, sizeof(record));
			       __asm__ volatile("" : : "r"(&copy), "r"(&record) : "memory");
		       }));
	printf("%-20s %-7s %9.1f ns\n", "memcpy of it", "", copy_ns);
	for (uint32_t i = 0; i < kernels_count; i++) {
		quantize_fn *q = kernels[i].run.quantize;
		double ns;

		if (kernels[i].kind != KERNEL_quantize || !kernels_supported(&kernels[i]))
			continue;
		ns = TIME(1000, ({
				  trajectory_begin(&record, q, 1, x, TRAJECTORY_DIM, 1);
				  for (int s = 1; s <= TRAJECTORY_STEPS; s++)
					  trajectory_add_step(&record, q,
							      x + (size_t)s * TRAJECTORY_DIM,
							      &attention, 1, 2);
			  }));
		printf("%-20s %-7s %9.1f ns, %.1f a step, %.2fx memcpy\n", "record",
		       isa_name(kernels[i].isa), ns, ns / TRAJECTORY_STEPS, ns / copy_ns);
	}
	free(x);
}

static void bench_ring(void)
{
	enum { SLOTS = 64 };
	void *storage = alloc(SLOTS * sizeof(struct trajectory_slot));
	struct trajectory_writer w = {0};
	struct trajectory_ring ring;

	if (trajectory_ring_init(&ring, storage, SLOTS * sizeof(struct trajectory_slot)))
		exit(1);
	printf("%-20s %-7s %9.1f ns claim, publish, peek, release; one thread\n", "ring", "",
	       TIME(10000, ({
			    trajectory_ring_claim(&ring, &w);
			    trajectory_ring_publish(&ring, &w);
			    trajectory_ring_peek(&ring);
			    trajectory_ring_release(&ring);
		    })));
	free(storage);
}

static void bench_weights(uint32_t s)
{
	float *weights = random_floats(s);
	struct trajectory_attention kept;

	for (uint32_t i = 0; i < s; i++)
		weights[i] = fabsf(weights[i]) / (float)s;
	printf("%-20s %-7s %9.1f ns of %u weights\n", "keep the heaviest", "",
	       TIME(100, trajectory_keep_weights(&kept, 0, weights, s)), s);
	free(weights);
}

int main(void)
{
	static const uint32_t dims[] = {64, 128}, lora_dims[] = {256, 1024};

	printf("instruction set in use: %s; medians of %d rounds, all contenders in turn\n",
	       isa_name(isa_best()), ROUNDS);
	for (size_t i = 0; i < COUNT(dims); i++) {
		bench_attention(512, dims[i], 8, false);
		bench_attention(512, dims[i], 8, true);
	}
	bench_attention(256, 64, 8, true);
	bench_attention(2048, 64, 2, false);
	printf("\nmicro-LoRA\n");
	for (size_t i = 0; i < COUNT(lora_dims); i++)
		for (uint32_t rank = 1; rank <= LORA_MAX_RANK; rank++)
			bench_lora(lora_dims[i], rank);
	bench_record();
	bench_weights(384);
	bench_ring();
	return 0;
}
