/* SPDX-License-Identifier: Apache-2.0 */
/* suite_simd.c: matrix product, vectors, embedding rows; codes and pruning, what they save and
 * lose. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/kernels.h"
#include "kernels/lora/lora_base.h"
#include "kernels/lora/lora_bf16.h"
#include "kernels/quant/prune.h"

#define SEED_TOKENS "V3 performance engineer, 4. quantization and pruning"
#define SEED_MEMORY "V3 performance engineer, targets and 6. memory footprint"

/* What one contender works on. */
struct quant_arg {
	const struct kernel *kernel;
	const float *x, *w;
	float *y;
	uint32_t n;
	struct quant_matrix q, coded_x;
};

static int run_quant(void *arg)
{
	struct quant_arg *a = arg;
	const struct kernel *k = a->kernel;
	int err = 0;

	if (k->kind == KERNEL_quant_matvec)
		return k->run.quant_matvec(&a->q, a->x, a->y);
	if (k->kind == KERNEL_quant_matvec_i8)
		return k->run.quant_matvec_i8(&a->q, &a->coded_x, a->y);
	/* In floats, by dot products. */
	for (uint32_t r = 0; r < a->n && !err; r++)
		err = k->run.vector_dot(a->w + (size_t)r * a->n, a->x, a->n, a->y + r);
	return err;
}

/* Sum of twelve uniform ones: near enough to normal, as weights are. */
static float *normal_floats(struct benchmark *b, size_t n)
{
	float *p = benchmark_alloc(b, n * sizeof(float));
	const float *u = benchmark_floats(b, n);
	uint64_t state = 1;

	for (size_t i = 0; i < n && p && u; i++) {
		p[i] = u[i];
		for (int j = 1; j < 12; j++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			p[i] += (float)(state >> 40) / (float)(1 << 23) - 1;
		}
	}
	return p && u ? p : NULL;
}

static int saving_target(struct benchmark *b, const char *name, const char *target, double limit,
			 const char *seed, size_t was, size_t is, const struct quant_error *e)
{
	char reason[128];

	snprintf(reason, sizeof(reason), "%zu of %zu KiB; SNR %.1f dB, RMS %.4f, max %.4f of sigma",
		 is / 1024, was / 1024, e->snr_db, e->rms / 2, e->max / 2);
	return benchmark_target(
		b, &(struct benchmark_target){.name = name,
					      .seed = seed,
					      .target = target,
					      .limit = limit,
					      .at_least = true,
					      .measured = 100 * (1 - (double)is / (double)was),
					      .unit = "%",
					      .baseline = "f32",
					      .reason = reason});
}

enum { SIDE = 1024, QUICK_SIDE = 128 };

static uint32_t side(const struct benchmark *b)
{
	return benchmark_quick(b) ? QUICK_SIDE : SIDE;
}

/* Memory for q's codes and steps, and w in them. */
static int encode(struct benchmark *b, struct quant_matrix *q, const float *w)
{
	q->codes = benchmark_alloc(b, quant_code_bytes(q));
	q->steps = benchmark_alloc(b, quant_steps(q) * sizeof(*q->steps));
	return q->codes && q->steps ? quant_encode(q, w, q->cols) : -ENOMEM;
}

static int coded_saving(struct benchmark *b, struct quant_matrix *q, const float *w,
			const char *name, const char *target, double limit)
{
	const struct kernel *k = kernels_select("quant_decode", benchmark_isa(b));
	const size_t floats = (size_t)q->rows * q->cols;
	float *got = benchmark_alloc(b, floats * sizeof(*got));
	struct quant_error e;
	int err = got ? encode(b, q, w) : -ENOMEM;

	err = err ? err : k->run.quant_decode(q, got, q->cols);
	err = err ? err : quant_error_measure(&e, w, q->cols, got, q->cols, q->rows, q->cols);
	return err ? err
		   : saving_target(b, name, target, limit, SEED_MEMORY, floats * sizeof(float),
				   quant_bytes(q), &e);
}

/* Weights of base LoRA in bf16, beside those in floats. */
static int bf16_saving(struct benchmark *b)
{
	const struct lora_base f32 = {256, 256, 8, 12, 1, NULL};
	const struct lora_bf16 bf16 = {256, 256, 8, 12, 1, NULL};
	const double was = (double)lora_base_floats(&f32) * sizeof(float);
	const double is = (double)lora_bf16_words(&bf16) * sizeof(uint32_t);

	return benchmark_target(b,
				&(struct benchmark_target){
					.name = "memory reduction, bf16",
					.seed = SEED_MEMORY,
					.target = "50 %",
					.limit = 50,
					.at_least = true,
					.measured = 100 * (1 - is / was),
					.unit = "%",
					.baseline = "f32",
					.reason = "base LoRA, 12 layers; rounding: 2^-9 of each"});
}

static int savings(struct benchmark *b)
{
	const uint32_t n = side(b);
	struct quant_matrix q8 = {n, n, 32, 8, NULL, NULL, NULL},
			    q4 = {n, n, 32, 4, NULL, NULL, NULL};
	struct quant_matrix wide = {n, n, 64, 4, NULL, NULL, NULL}, mixed = q8;
	const float *w = normal_floats(b, (size_t)n * n);
	uint8_t *row_bits = benchmark_alloc(b, n);
	int err;

	if (!w || !row_bits)
		return -ENOMEM;
	err = coded_saving(b, &q8, w, "memory reduction, int8", "50 %", 50);
	err = err ? err
		  : coded_saving(b, &q4, w, "memory reduction, int4, groups of 32", "75 %", 75);
	err = err ? err
		  : coded_saving(b, &wide, w, "memory reduction, int4, groups of 64", "75 %", 75);
	err = err ? err : bf16_saving(b);
	err = err ? err : quant_choose_bits(&mixed, row_bits, w, n, 23);
	err = err ? err
		  : coded_saving(b, &mixed, w, "memory reduction, mixed for 23 dB", "60 %", 60);
	benchmark_release(b);
	return err;
}

typedef int prune_with(const struct prune *p, float *scratch);

static int by_magnitude(const struct prune *p, float *scratch)
{
	return prune_magnitude(p, (size_t)p->rows * p->cols / 2, scratch);
}
static int two_of_four(const struct prune *p, float *scratch)
{
	return prune_n_of_m(p, 2, 4);
}
static int by_blocks(const struct prune *p, float *scratch)
{
	const size_t blocks = ((p->rows - 1ul) / 4 + 1) * ((p->cols - 1ul) / 16 + 1);

	return prune_blocks(p, 4, 16, blocks * 3 / 10, scratch);
}
static int by_rows(const struct prune *p, float *scratch)
{
	return prune_rows(p, p->rows * 3 / 10, scratch);
}

static int prunings(struct benchmark *b)
{
	static const struct {
		const char *name;
		prune_with *run;
	} ways[] = {{"pruning, the smaller half by magnitude", by_magnitude},
		    {"pruning, 2:4", two_of_four},
		    {"pruning, 3 of 10 blocks of 4x16", by_blocks},
		    {"pruning, 3 of 10 rows", by_rows}};
	const uint32_t n = side(b);
	const size_t floats = (size_t)n * n;
	const float *w = normal_floats(b, floats);
	float *pruned = benchmark_alloc(b, floats * sizeof(*pruned));
	float *scratch = benchmark_alloc(b, 2 * floats * sizeof(*scratch));
	int err = w && pruned && scratch ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]) && !err; i++) {
		const struct prune p = {pruned, n, n, n};
		struct quant_error e;

		memcpy(pruned, w, floats * sizeof(*w));
		err = ways[i].run(&p, scratch);
		err = err ? err : quant_error_measure(&e, w, n, pruned, n, n, n);
		err = err ? err
			  : saving_target(b, ways[i].name, "20-40 %", 20, SEED_TOKENS,
					  floats * sizeof(float), prune_packed_bytes(&p), &e);
		if (!err && ways[i].run == by_magnitude)
			err = saving_target(b, "memory reduction, pruning", "30 %", 30, SEED_MEMORY,
					    floats * sizeof(float), prune_packed_bytes(&p), &e);
	}
	benchmark_release(b);
	return err;
}

/* A matrix times a vector: floats, codes with a vector in floats, and all in codes. */
static int products(struct benchmark *b)
{
	static const char *const names[] = {"vector_dot", "quant_matvec", "quant_matvec",
					    "quant_matvec_i8", "quant_matvec_i8"};
	static const char *const titles[] = {"vector_dot by rows", "quant_matvec, int8",
					     "quant_matvec, int4", "quant_matvec_i8, int8",
					     "quant_matvec_i8, int4"};
	static const char *const dtypes[] = {"f32", "int8", "int4", "int8*int8", "int4*int8"};
	enum { WAYS = 5 };
	struct benchmark_param params[] = {{"n", NULL, side(b)}}, dtype[WAYS];
	struct benchmark_case cases[WAYS];
	struct quant_arg args[WAYS] = {0};
	const uint32_t n = side(b);
	const float *w = normal_floats(b, (size_t)n * n), *x = benchmark_floats(b, n);
	int err = w && x ? 0 : -ENOMEM;

	for (int i = 0; i < WAYS && !err; i++) {
		struct quant_arg *a = &args[i];

		a->kernel = kernels_select(names[i], benchmark_isa(b));
		a->n = n;
		a->x = x;
		a->w = w;
		a->y = benchmark_alloc(b, n * sizeof(float));
		a->q = (struct quant_matrix){n, n, 32, i % 2 ? 8 : 4, NULL, NULL, NULL};
		a->coded_x = (struct quant_matrix){1, n, 32, 8, NULL, NULL, NULL};
		err = a->y ? encode(b, &a->q, w) : -ENOMEM;
		err = err ? err : encode(b, &a->coded_x, x);
		dtype[i] = (struct benchmark_param){"dtype", dtypes[i], 0};
		cases[i] = (struct benchmark_case){.name = titles[i],
						   .isa = a->kernel->isa,
						   .run = run_quant,
						   .arg = a,
						   .flops = 2.0 * n * n,
						   .bytes = i ? (double)quant_matvec_bytes(&a->q)
							      : 4.0 * n * (n + 2.0),
						   .baseline = i ? NULL : "f32",
						   .params = &dtype[i],
						   .nparams = 1};
	}
	err = err ? err
		  : benchmark_contest(b, "matrix by vector, in codes", params, 1, cases, WAYS,
				      NULL);
	benchmark_release(b);
	return err;
}

int suite_quant(struct benchmark *b)
{
	static const struct benchmark_absent rows[] = {
		{"distillation", SEED_TOKENS, "60-80 %", "%",
		 "there is no teacher whose answers a smaller model could learn"},
		{"memory reduction, sharing weights", SEED_MEMORY, "20 %", "%",
		 "no two layers are alike: each adapter has learned its own"},
		{"memory reduction, compression", SEED_MEMORY, "40 %", "%",
		 "codes are not packed further: int8 and int4 above save more than this"},
	};
	int err = products(b);

	err = err ? err : savings(b);
	err = err ? err : prunings(b);
	return err ? err : benchmark_targets_absent(b, rows, sizeof(rows) / sizeof(rows[0]));
}
