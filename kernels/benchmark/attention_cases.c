/* SPDX-License-Identifier: Apache-2.0 */
/* attention_cases.c: inputs, scratch and params of attention contests. */
#include "kernels/benchmark/attention_cases.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/benchmark/peak_case.h"

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
	struct benchmark_param kv_heads;
	struct peak_arg peak;
};

static int run_attention(void *arg)
{
	const struct attention_arg *r = arg;

	return r->run(&r->a, r->scratch, r->scratch_bytes);
}

static int set_inputs(struct benchmark *b, struct attention *a)
{
	a->q = benchmark_floats(b, a->heads * a->q_head);
	a->k = benchmark_floats(b, a->kv_heads * a->k_head);
	a->v = benchmark_floats(b, a->kv_heads * a->v_head);
	a->out = benchmark_alloc(b, a->heads * a->o_head * sizeof(float));
	return a->q && a->k && a->v && a->out ? 0 : -ENOMEM;
}

/* What all contenders share; Hkv is each one's own. */
static uint32_t set_params(const struct attention *a, struct benchmark_param *p)
{
	uint32_t n = 0;

	p[n++] = (struct benchmark_param){"S", NULL, a->q_len};
	if (a->kv_len != a->q_len)
		p[n++] = (struct benchmark_param){"Skv", NULL, a->kv_len};
	p[n++] = (struct benchmark_param){"D", NULL, a->head_dim};
	p[n++] = (struct benchmark_param){"H", NULL, a->heads};
	p[n++] = (struct benchmark_param){"causal", NULL, a->causal};
	if (a->window)
		p[n++] = (struct benchmark_param){"window", NULL, a->window};
	return n;
}

static int set_case(struct benchmark *b, const struct attention *a, const struct attention_entry *e,
		    const struct kernel *k, struct attention_arg *arg, struct benchmark_case *c)
{
	if (k->kind == KERNEL_peak) {
		*c = peak_case(b, (double)attention_flops(a), &arg->peak);
		return 0;
	}
	*arg = (struct attention_arg){.a = *a, .run = k->run.attention};
	if (e->kv_heads)
		arg->a.kv_heads = e->kv_heads;
	arg->kv_heads = (struct benchmark_param){"Hkv", NULL, arg->a.kv_heads};
	arg->scratch_bytes = kernels_attention_scratch(k, &arg->a);
	arg->scratch = benchmark_alloc(b, arg->scratch_bytes);
	*c = (struct benchmark_case){
		.name = e->kernel,
		.isa = k->isa,
		.run = run_attention,
		.arg = arg,
		.flops = (double)attention_flops(&arg->a),
		.bytes = (double)attention_bytes(&arg->a),
		.scratch_bytes = arg->scratch_bytes,
		.baseline = e->baseline,
		.params = &arg->kv_heads,
		.nparams = 1,
		.slow = e->slow,
	};
	return arg->scratch ? 0 : -ENOMEM;
}

static const struct kernel *select_row(const struct benchmark *b, const char *name)
{
	const struct kernel *k = kernels_select(name, benchmark_isa(b));

	return k && (k->kind == KERNEL_attention || k->kind == KERNEL_peak) ? k : NULL;
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
		const struct kernel *k = select_row(b, entries[i].kernel);

		if (median_ns)
			median_ns[i] = 0;
		if (!k)
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

static size_t resident_bytes(void *p, size_t bytes)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (bytes + page - 1) / page;
	unsigned char *in = calloc(pages, 1);
	size_t n = 0;

	if (in && !mincore(p, bytes, in))
		for (size_t i = 0; i < pages; i++)
			n += in[i] & 1;
	free(in);
	return n * page;
}

size_t attention_touched_bytes(struct benchmark *b, const char *kernel,
			       const struct attention *shape)
{
	const struct kernel *k = select_row(b, kernel);
	struct attention a = *shape;
	size_t bytes, touched = 0;
	void *scratch;

	if (!k || set_inputs(b, &a))
		return 0;
	bytes = kernels_attention_scratch(k, &a);
	scratch = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (scratch != MAP_FAILED) {
		madvise(scratch, bytes, MADV_NOHUGEPAGE); /* a touch is a page, not 2 MiB */
		if (!k->run.attention(&a, scratch, bytes))
			touched = resident_bytes(scratch, bytes);
		munmap(scratch, bytes);
	}
	benchmark_release(b);
	return touched;
}

double attention_speedup(double baseline_ns, double own_ns)
{
	return baseline_ns > 0 && own_ns > 0 ? baseline_ns / own_ns : NAN;
}
