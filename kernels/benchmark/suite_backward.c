/* SPDX-License-Identifier: Apache-2.0 */
/* suite_backward.c: attention's gradients beside the textbook loop, and the machine's peak. */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/benchmark/peak_case.h"
#include "kernels/kernels.h"

struct backward_arg {
	struct attention_backward call;
	attention_backward_fn *run;
	void *scratch;
	size_t scratch_bytes;
};

static int run_backward(void *arg)
{
	const struct backward_arg *r = arg;

	return r->run(&r->call, r->scratch, r->scratch_bytes);
}

/* A forward call, whose out and lse the gradients start from. */
static int set_forward(struct benchmark *b, struct attention *a)
{
	const struct kernel *k = kernels_select("attention_flash", benchmark_isa(b));
	size_t bytes = kernels_attention_scratch(k, a);
	void *scratch = benchmark_alloc(b, bytes);

	a->q = benchmark_floats(b, a->heads * a->q_head);
	a->k = benchmark_floats(b, a->kv_heads * a->k_head);
	a->v = benchmark_floats(b, a->kv_heads * a->v_head);
	a->out = benchmark_alloc(b, a->heads * a->o_head * sizeof(float));
	a->lse = benchmark_alloc(b, (size_t)a->heads * a->q_len * sizeof(float));
	if (!a->q || !a->k || !a->v || !a->out || !a->lse || !scratch)
		return -ENOMEM;
	return k->run.attention(a, scratch, bytes);
}

static int set_case(struct benchmark *b, const struct attention *a, const struct kernel *k,
		    struct backward_arg *arg, struct benchmark_case *c)
{
	*arg = (struct backward_arg){
		.call = {.forward = a,
			 .dout = benchmark_floats(b, a->heads * a->o_head),
			 .dq = benchmark_alloc(b, a->heads * a->q_head * sizeof(float)),
			 .dk = benchmark_alloc(b, a->kv_heads * a->k_head * sizeof(float)),
			 .dv = benchmark_alloc(b, a->kv_heads * a->v_head * sizeof(float))},
		.run = k->run.backward,
	};
	arg->scratch_bytes = attention_backward_scratch(&arg->call);
	arg->scratch = benchmark_alloc(b, arg->scratch_bytes);
	*c = (struct benchmark_case){
		.name = k->name,
		.isa = k->isa,
		.run = run_backward,
		.arg = arg,
		.flops = (double)attention_backward_flops(&arg->call),
		.bytes = (double)attention_backward_bytes(&arg->call),
		.scratch_bytes = k->isa == ISA_SCALAR ? 0 : arg->scratch_bytes,
		.baseline = k->isa == ISA_SCALAR ? "textbook" : NULL,
		.slow = k->isa == ISA_SCALAR,
	};
	if (!arg->call.dout || !arg->call.dq || !arg->call.dk || !arg->call.dv || !arg->scratch)
		return -ENOMEM;
	return 0;
}

static int peak_target(struct benchmark *b, const struct attention *a,
		       const struct benchmark_case *c, double ns)
{
	const double peak = benchmark_peak_gflops(b);
	char name[96], reason[160] = "no peak was measured";

	snprintf(name, sizeof(name), "attention backward's share of peak, S=%u D=%u H=%u%s",
		 a->q_len, a->head_dim, a->heads, a->causal ? " causal" : "");
	if (peak > 0)
		peak_words(b, 1, 2, c->flops, reason, sizeof(reason));
	return benchmark_target(b, &(struct benchmark_target){
					   .name = name,
					   .seed = "perftop, what the backward pass must reach",
					   .target = ">= 60 %",
					   .limit = 60,
					   .at_least = true,
					   .measured = peak > 0 ? 100 * c->flops / ns / peak : NAN,
					   .unit = "%",
					   .reason = reason,
				   });
}

static int by_shape(struct benchmark *b, uint32_t len, uint32_t dim, bool causal)
{
	const struct kernel *scalar = kernels_find("attention_backward", ISA_SCALAR);
	const struct kernel *best = kernels_select("attention_backward", benchmark_isa(b));
	struct benchmark_param params[4] = {
		{"S", NULL, len}, {"D", NULL, dim}, {"H", NULL, 4}, {"causal", NULL, causal}};
	struct benchmark_case cases[3];
	struct backward_arg args[2];
	struct peak_arg peak;
	uint32_t n = 1;
	struct attention a;
	double ns[3];
	int err;

	attention_set_packed(&a, 4, 4, len, len, dim);
	a.causal = causal;
	err = set_forward(b, &a);
	if (!err)
		err = set_case(b, &a, scalar, &args[0], &cases[0]);
	if (!err && best != scalar) {
		err = set_case(b, &a, best, &args[1], &cases[1]);
		cases[2] = peak_case(b, cases[1].flops, &peak);
		n = 3;
	}
	if (!err)
		err = benchmark_contest(b, "gradients of attention", params, 4, cases, n, ns);
	if (!err && n > 1)
		err = peak_target(b, &a, &cases[1], ns[1]);
	benchmark_release(b);
	return err;
}

int suite_backward(struct benchmark *b)
{
	static const uint32_t dims[] = {64, 128};
	int err = 0;

	if (benchmark_quick(b))
		return by_shape(b, 40, 16, true);
	for (uint32_t i = 0; i < 4 && !err; i++)
		err = by_shape(b, 512, dims[i / 2], i % 2);
	return err;
}
