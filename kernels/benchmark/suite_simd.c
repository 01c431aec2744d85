/* SPDX-License-Identifier: Apache-2.0 */
/* suite_simd.c: vector operations of the run's instruction set beside the scalar ones. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/kernels.h"

#define SEED "performance engineer, 2. SIMD acceleration"

/* Any of the operations; each run_* takes the fields that it needs. */
struct op {
	const struct kernel *k;
	const float *a, *b;
	float *out;
	size_t n;
	const uint32_t *index;
	uint32_t vocabulary, dim;
	struct vector_matmul mm;
	void *scratch;
	size_t scratch_bytes;
};

static int run_add(void *arg)
{
	const struct op *o = arg;

	return o->k->run.vector_add(o->a, o->b, o->out, o->n);
}

static int run_dot(void *arg)
{
	const struct op *o = arg;

	return o->k->run.vector_dot(o->a, o->b, o->n, o->out);
}

static int run_scale(void *arg)
{
	const struct op *o = arg;

	return o->k->run.vector_scale(0.5f, o->a, o->out, o->n);
}

static int run_axpy(void *arg)
{
	const struct op *o = arg;

	return o->k->run.vector_axpy(1e-9f, o->a, o->out, o->n);
}

static int run_exp2(void *arg)
{
	const struct op *o = arg;

	o->k->run.exp2(o->a, o->out, o->n);
	return 0;
}

static int run_gather(void *arg)
{
	const struct op *o = arg;

	return o->k->run.vector_gather(o->a, o->vocabulary, o->dim, o->index, o->n, o->out);
}

static int run_matmul(void *arg)
{
	const struct op *o = arg;

	return o->k->run.vector_matmul(&o->mm, o->scratch, o->scratch_bytes);
}

/* As one would write it: along the rows of B and C, for the compiler to vectorize as it can. */
static int run_plain_matmul(void *arg)
{
	const struct vector_matmul *mm = &((const struct op *)arg)->mm;

	for (uint32_t i = 0; i < mm->m; i++) {
		float *restrict c = mm->c + i * mm->c_row;

		memset(c, 0, mm->n * sizeof(*c));
		for (uint32_t k = 0; k < mm->k; k++) {
			const float f = mm->a[i * mm->a_row + k], *b = mm->b + k * mm->b_row;

			for (uint32_t j = 0; j < mm->n; j++)
				c[j] += f * b[j];
		}
	}
	return 0;
}

struct spec {
	const char *kernel;
	int (*run)(void *);
	double flops, bytes;
	/* The published speed-up of that operation; NULL: none. */
	const char *name, *target;
	double limit;
	bool slow;	      /* in scalar code */
	int (*plain)(void *); /* what else to compare with, or NULL */
};

static int speed_target(struct benchmark *b, const struct spec *s, const double *ns, uint32_t n)
{
	char reason[96];

	if (n < 2)
		snprintf(reason, sizeof(reason), "this run uses scalar code");
	else if (s->plain)
		snprintf(reason, sizeof(reason), "%.2fx of plain C along the rows", ns[2] / ns[1]);
	else
		snprintf(reason, sizeof(reason), "%.0f GB/s read and written", s->bytes / ns[1]);
	return benchmark_target(b, &(struct benchmark_target){
					   .name = s->name,
					   .seed = SEED,
					   .target = s->target,
					   .limit = s->limit,
					   .at_least = true,
					   .measured = n > 1 ? ns[0] / ns[1] : NAN,
					   .unit = "x",
					   .baseline = "scalar code",
					   .reason = reason,
				   });
}

/* The scalar row, the best one of the run, and plain C, over the same operands. */
static int compare(struct benchmark *b, const char *contest, const struct spec *s,
		   const struct op *operands, const struct benchmark_param *params,
		   uint32_t nparams)
{
	const struct kernel *best = kernels_select(s->kernel, benchmark_isa(b));
	const struct kernel *scalar = kernels_find(s->kernel, ISA_SCALAR);
	struct op op[3] = {*operands, *operands, *operands};
	struct benchmark_case cases[3];
	uint32_t n = 0;
	double ns[3];
	int err;

	if (!scalar || !best)
		return -ENOENT;
	for (; n < (scalar == best ? 1 : s->plain ? 3 : 2); n++) {
		op[n].k = n == 1 ? best : scalar;
		cases[n] = (struct benchmark_case){
			.name = n == 2 ? "plain C" : s->kernel,
			.isa = op[n].k->isa,
			.run = n == 2 ? s->plain : s->run,
			.arg = &op[n],
			.flops = s->flops,
			.bytes = s->bytes,
			.baseline = n == 1   ? NULL
				    : n == 2 ? "plain C"
					     : "scalar",
			.slow = n != 1 && s->slow,
		};
	}
	err = benchmark_contest(b, contest, params, nparams, cases, n, ns);
	return err || !s->target ? err : speed_target(b, s, ns, n);
}

static int vectors(struct benchmark *b, uint32_t n, bool published)
{
	const double f = 4.0 * n;
	const struct spec specs[] = {
		{.kernel = "vector_add",
		 .run = run_add,
		 .flops = n,
		 .bytes = 3 * f,
		 .name = "vector addition, n=10,000",
		 .target = published ? "4x" : NULL,
		 .limit = 4},
		{.kernel = "vector_dot", .run = run_dot, .flops = 2.0 * n, .bytes = 2 * f},
		{.kernel = "vector_scale", .run = run_scale, .flops = n, .bytes = 2 * f},
		{.kernel = "vector_axpy", .run = run_axpy, .flops = 2.0 * n, .bytes = 3 * f},
		{.kernel = "exp2", .run = run_exp2, .bytes = 2 * f},
	};
	const struct benchmark_param p = {"n", NULL, n};
	struct op o = {.n = n,
		       .a = benchmark_floats(b, n),
		       .b = benchmark_floats(b, n),
		       .out = benchmark_floats(b, n)};
	int err = o.a && o.b && o.out ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < sizeof(specs) / sizeof(specs[0]) && !err; i++)
		err = compare(b, "vectors", &specs[i], &o, &p, 1);
	benchmark_release(b);
	return err;
}

/* The seed's size, where a call of the triple loop takes 20 s: against plain C along the rows. */
static int compare_plain(struct benchmark *b, const struct spec *s, const struct op *operands,
			 const struct benchmark_param *p)
{
	const struct kernel *k = kernels_select(s->kernel, benchmark_isa(b));
	struct op op = *operands;
	const struct benchmark_case cases[] = {
		{.name = s->kernel,
		 .isa = k->isa,
		 .run = s->run,
		 .arg = &op,
		 .flops = s->flops,
		 .bytes = s->bytes},
		{.name = "plain C",
		 .isa = ISA_SCALAR,
		 .run = s->plain,
		 .arg = &op,
		 .flops = s->flops,
		 .bytes = s->bytes,
		 .baseline = "plain C",
		 .slow = true},
	};
	double ns[2];
	int err;

	op.k = k;
	err = benchmark_contest(b, "matrix product", p, 1, cases, 2, ns);
	return err ? err
		   : benchmark_target(
			     b, &(struct benchmark_target){
					.name = "matrix product, n=1024",
					.seed = SEED,
					.target = s->target,
					.limit = s->limit,
					.at_least = true,
					.measured = k->isa == ISA_SCALAR ? NAN : ns[1] / ns[0],
					.unit = "x",
					.baseline = "plain C along the rows",
					.reason = k->isa == ISA_SCALAR ? "this run uses scalar code"
								       : NULL,
				});
}

static int matrices(struct benchmark *b, uint32_t n, bool large)
{
	struct op o = {.mm = {.m = n, .n = n, .k = n, .a_row = n, .b_row = n, .c_row = n}};
	const struct benchmark_param p = {"n", NULL, n};
	struct spec s = {.kernel = "vector_matmul",
			 .run = run_matmul,
			 .name = "matrix product, n=256",
			 .target = "4-8x",
			 .limit = 4,
			 .slow = true,
			 .plain = run_plain_matmul};
	int err;

	o.mm.a = benchmark_floats(b, (size_t)n * n);
	o.mm.b = benchmark_floats(b, (size_t)n * n);
	o.mm.c = benchmark_floats(b, (size_t)n * n);
	o.scratch_bytes = vector_matmul_scratch(&o.mm);
	o.scratch = benchmark_alloc(b, o.scratch_bytes);
	s.flops = (double)vector_matmul_flops(&o.mm);
	s.bytes = (double)vector_matmul_bytes(&o.mm);
	err = o.mm.a && o.mm.b && o.mm.c && o.scratch ? 0 : -ENOMEM;
	if (!err)
		err = large ? compare_plain(b, &s, &o, &p)
			    : compare(b, "matrix product", &s, &o, &p, 1);
	benchmark_release(b);
	return err;
}

/* Rows at random out of a table that no cache holds. */
static int embeddings(struct benchmark *b, uint32_t vocabulary, uint32_t dim, uint32_t rows)
{
	struct op o = {.vocabulary = vocabulary, .dim = dim, .n = rows};
	const struct benchmark_param p[] = {
		{"vocabulary", NULL, vocabulary}, {"D", NULL, dim}, {"n", NULL, rows}};
	struct spec s = {.kernel = "vector_gather",
			 .run = run_gather,
			 .name = "embedding look-up, vocabulary 50,000",
			 .target = "2-4x",
			 .limit = 2,
			 .bytes = 8.0 * rows * dim};
	uint32_t *index = benchmark_alloc(b, rows * sizeof(*index));
	float *draw = benchmark_floats(b, rows);
	int err;

	o.a = benchmark_floats(b, (size_t)vocabulary * dim);
	o.out = benchmark_floats(b, (size_t)rows * dim);
	for (uint32_t i = 0; i < rows && index && draw; i++)
		index[i] = (uint32_t)((draw[i] + 1) / 2 * (float)(vocabulary - 1));
	o.index = index;
	err = index && draw && o.a && o.out ? compare(b, "embeddings", &s, &o, p, 3) : -ENOMEM;
	benchmark_release(b);
	return err;
}

int suite_simd(struct benchmark *b)
{
	const bool quick = benchmark_quick(b);
	int err = vectors(b, 1024, false);

	err = err ? err : vectors(b, quick ? 2000 : 10000, true);
	err = err ? err : matrices(b, quick ? 64 : 256, false);
	err = err ? err : matrices(b, quick ? 100 : 1024, true);
	return err ? err : embeddings(b, quick ? 1000 : 50000, 256, quick ? 50 : 1000);
}
