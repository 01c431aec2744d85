/* SPDX-License-Identifier: Apache-2.0 */
/* suite_tune.c: block sizes of flash attention timed on this machine, and its threads. */
#include <errno.h>

#include "kernels/attention/attention_parallel.h"
#include "kernels/benchmark/benchmark.h"
#include "kernels/kernels.h"

enum { THREADS = 2, CASES = 3 };

/* One call: with these blocks on one thread, or on several. */
struct tune_arg {
	const struct kernel *kernel;
	struct attention a;
	uint32_t threads;
	void *scratch;
	size_t scratch_bytes;
	struct benchmark_param params[3];
};

static int run_call(void *arg)
{
	const struct tune_arg *t = arg;

	if (t->threads == 1)
		return t->kernel->run.attention(&t->a, t->scratch, t->scratch_bytes);
	return attention_parallel(t->kernel, &t->a, t->threads, t->scratch, t->scratch_bytes);
}

static int set_call(struct benchmark *b, struct tune_arg *t, const char *name,
		    struct benchmark_case *c)
{
	uint32_t block_q, block_k;

	attention_blocks(&t->a, t->kernel->isa, &block_q, &block_k);
	t->scratch_bytes = t->threads == 1
				   ? kernels_attention_scratch(t->kernel, &t->a)
				   : attention_parallel_scratch(t->kernel, &t->a, t->threads);
	t->scratch = benchmark_alloc(b, t->scratch_bytes);
	t->params[0] = (struct benchmark_param){"block_q", NULL, block_q};
	t->params[1] = (struct benchmark_param){"block_k", NULL, block_k};
	t->params[2] = (struct benchmark_param){"threads", NULL, t->threads};
	*c = (struct benchmark_case){
		.name = name,
		.isa = t->kernel->isa,
		.run = run_call,
		.arg = t,
		.flops = (double)attention_flops(&t->a),
		.bytes = (double)attention_bytes(&t->a),
		.scratch_bytes = t->scratch_bytes,
		.params = t->params,
		.nparams = 3,
	};
	return t->scratch ? 0 : -ENOMEM;
}

/* The blocks that suit a best, within a third of a second; quick: every candidate once. */
static int tune(struct benchmark *b, const struct kernel *k, struct attention *a)
{
	const uint64_t budget_ns = benchmark_quick(b) ? 0 : 300 * 1000 * 1000;
	size_t bytes = attention_tune_scratch(k, a);
	void *scratch = benchmark_alloc(b, bytes);

	if (!scratch)
		return -ENOMEM;
	return attention_tune(k, a, budget_ns, scratch, bytes, &a->block_q, &a->block_k);
}

static int tune_shape(struct benchmark *b, const struct kernel *k, uint32_t s, uint32_t d,
		      bool causal)
{
	const struct benchmark_param params[] = {
		{"S", NULL, s}, {"D", NULL, d}, {"H", NULL, 8}, {"causal", NULL, causal}};
	struct tune_arg calls[CASES];
	struct benchmark_case cases[CASES];
	struct attention a;
	int err;

	attention_set_packed(&a, 8, 8, s, s, d);
	a.causal = causal;
	a.q = benchmark_floats(b, a.heads * a.q_head);
	a.k = benchmark_floats(b, a.heads * a.k_head);
	a.v = benchmark_floats(b, a.heads * a.v_head);
	a.out = benchmark_alloc(b, a.heads * a.o_head * sizeof(float));
	if (!a.q || !a.k || !a.v || !a.out)
		return -ENOMEM;
	for (uint32_t i = 0; i < CASES; i++)
		calls[i] = (struct tune_arg){.kernel = k, .a = a, .threads = i == 2 ? THREADS : 1};
	err = tune(b, k, &calls[1].a);
	if (!err)
		err = set_call(b, &calls[0], "attention_flash", &cases[0]);
	if (!err)
		err = set_call(b, &calls[1], "attention_flash tuned", &cases[1]);
	if (!err)
		err = set_call(b, &calls[2], "attention_flash threads", &cases[2]);
	cases[0].baseline = "defaults";
	if (!err)
		err = benchmark_contest(b, "tuned attention", params, 4, cases, CASES, NULL);
	return err;
}

int suite_tune(struct benchmark *b)
{
	static const uint32_t lengths[] = {256, 512, 2048}, dims[] = {64, 128};
	const struct kernel *k = kernels_select("attention_flash", benchmark_isa(b));
	int err = 0;

	for (uint32_t n = 0; n < 12 && !err; n++) {
		if (benchmark_quick(b) && n)
			break;
		err = tune_shape(b, k, lengths[n / 4], dims[n / 2 % 2], n % 2);
	}
	return err;
}
