/* SPDX-License-Identifier: Apache-2.0 */
/* attention_cases.c: inputs, scratch and params of attention contests. */
#include "kernels/benchmark/attention_cases.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

const struct attention_entry attention_entries[ATTENTION_ENTRIES] = {
	[ATTENTION_TEXTBOOK] = {.kernel = "attention_textbook",
				.baseline = "textbook",
				.slow = true},
	[ATTENTION_STANDARD] = {.kernel = "attention_standard", .baseline = "standard"},
	[ATTENTION_FLASH] = {.kernel = "attention_flash"},
};

struct attention_arg {
	struct attention a;
	attention_fn *run;
	void *scratch;
	size_t scratch_bytes;
};

static int run_attention(void *arg)
{
	const struct attention_arg *r = arg;

	return r->run(&r->a, r->scratch, r->scratch_bytes);
}

static int run_fresh(void *arg)
{
	const struct attention_arg *r = arg;
	void *scratch = aligned_alloc(ATTENTION_ALIGN, (r->scratch_bytes + 63) / 64 * 64);
	int err = scratch ? r->run(&r->a, scratch, r->scratch_bytes) : -ENOMEM;

	free(scratch);
	return err;
}

static int set_inputs(struct benchmark *b, struct attention *a)
{
	a->q = benchmark_floats(b, a->heads * a->q_head);
	a->k = benchmark_floats(b, a->kv_heads * a->k_head);
	a->v = benchmark_floats(b, a->kv_heads * a->v_head);
	a->out = benchmark_alloc(b, a->heads * a->o_head * sizeof(float));
	return a->q && a->k && a->v && a->out ? 0 : -ENOMEM;
}

static uint32_t set_params(const struct attention *a, struct benchmark_param *p)
{
	uint32_t n = 0;

	p[n++] = (struct benchmark_param){"S", NULL, a->q_len};
	if (a->kv_len != a->q_len)
		p[n++] = (struct benchmark_param){"Skv", NULL, a->kv_len};
	p[n++] = (struct benchmark_param){"D", NULL, a->head_dim};
	p[n++] = (struct benchmark_param){"H", NULL, a->heads};
	if (a->kv_heads != a->heads)
		p[n++] = (struct benchmark_param){"Hkv", NULL, a->kv_heads};
	p[n++] = (struct benchmark_param){"causal", NULL, a->causal};
	return n;
}

static int set_case(struct benchmark *b, const struct attention *a, const struct attention_entry *e,
		    const struct kernel *k, struct attention_arg *arg, struct benchmark_case *c)
{
	*arg = (struct attention_arg){.a = *a, .run = k->run.attention};
	arg->scratch_bytes = kernels_attention_scratch(k, a);
	arg->scratch = e->fresh ? NULL : benchmark_alloc(b, arg->scratch_bytes);
	*c = (struct benchmark_case){
		.name = e->kernel,
		.isa = k->isa,
		.run = e->fresh ? run_fresh : run_attention,
		.arg = arg,
		.flops = (double)attention_flops(a),
		.bytes = (double)attention_bytes(a),
		.scratch_bytes = arg->scratch_bytes,
		.baseline = e->baseline,
		.slow = e->slow,
		.once = e->fresh,
	};
	return e->fresh || arg->scratch ? 0 : -ENOMEM;
}

int attention_contest(struct benchmark *b, const char *name, const struct attention *shape,
		      const struct attention_entry *entries, uint32_t nentries, double *median_ns)
{
	struct benchmark_param params[BENCHMARK_MAX_PARAMS];
	struct benchmark_case cases[BENCHMARK_MAX_CASES];
	struct attention_arg args[BENCHMARK_MAX_CASES];
	uint32_t place[BENCHMARK_MAX_CASES], n = 0;
	double medians[BENCHMARK_MAX_CASES];
	struct attention a = *shape;
	int err = nentries > BENCHMARK_MAX_CASES ? -EINVAL : set_inputs(b, &a);

	for (uint32_t i = 0; i < nentries && !err; i++) {
		const struct kernel *k = kernels_select(entries[i].kernel, benchmark_isa(b));

		if (median_ns)
			median_ns[i] = 0;
		if (!k || k->kind != KERNEL_attention)
			continue;
		place[n] = i;
		err = set_case(b, &a, &entries[i], k, &args[n], &cases[n]);
		n++;
	}
	if (!err && n)
		err = benchmark_contest(b, name, params, set_params(&a, params), cases, n, medians);
	for (uint32_t i = 0; i < n && !err && median_ns; i++)
		median_ns[place[i]] = medians[i];
	benchmark_release(b);
	return err;
}

double attention_speedup(double baseline_ns, double own_ns)
{
	return baseline_ns > 0 && own_ns > 0 ? baseline_ns / own_ns : NAN;
}
