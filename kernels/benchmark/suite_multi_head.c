/* SPDX-License-Identifier: Apache-2.0 */
/* suite_multi_head.c: many heads, and heads that share keys and values. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "kernels/attention/attention_parallel.h"
#include "kernels/benchmark/attention_cases.h"
#include "kernels/benchmark/peak_case.h"

static int mha_targets(struct benchmark *b, const struct attention *a, const double *ns)
{
	char name[64];
	int err;

	snprintf(name, sizeof(name), "multi-head attention, S=%u H=%u", a->q_len, a->heads);
	err = benchmark_target(b, &(struct benchmark_target){
					  .name = name,
					  .seed = "V3 benchmark results, 3.1 and appendix C",
					  .target = "< 200 ms",
					  .limit = 200,
					  .measured = ns[ATTENTION_FLASH] / 1e6,
					  .unit = "ms",
				  });
	snprintf(name, sizeof(name), "its speed-up, S=%u H=%u", a->q_len, a->heads);
	return err ? err
		   : benchmark_target(b,
				      &(struct benchmark_target){
					      .name = name,
					      .seed = "attention integration, performance targets",
					      .target = "2.49x-7.47x",
					      .limit = 2.49,
					      .at_least = true,
					      .measured = attention_speedup(ns[ATTENTION_TEXTBOOK],
									    ns[ATTENTION_FLASH]),
					      .unit = "x",
					      .baseline = "textbook loop",
				      });
}

static int by_shape(struct benchmark *b, uint32_t len, uint32_t heads)
{
	double ns[ATTENTION_ENTRIES];
	struct attention a;
	int err;

	attention_set_packed(&a, heads, heads, len, len, benchmark_quick(b) ? 16 : 64);
	err = attention_contest(b, "all heads in one call", &a, attention_entries,
				ATTENTION_ENTRIES, ns);
	return err ? err : mha_targets(b, &a, ns);
}

/* The same eight query heads over fewer key and value heads: the same FLOPs from less memory. */
static int by_sharing(struct benchmark *b, uint32_t len)
{
	static const struct attention_entry entries[] = {
		{.kernel = "attention_flash", .baseline = "mha", .kv_heads = 8},
		{.kernel = "attention_flash", .kv_heads = 4},
		{.kernel = "attention_flash", .kv_heads = 2},
		{.kernel = "attention_flash", .kv_heads = 1},
	};
	enum { COUNT = sizeof(entries) / sizeof(entries[0]) };
	double ns[COUNT];
	struct attention a;
	int err;

	attention_set_packed(&a, 8, 8, len, len, benchmark_quick(b) ? 16 : 64);
	err = attention_contest(b, "shared keys and values", &a, entries, COUNT, ns);
	for (uint32_t i = 1; i < COUNT && !err; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s time, 8 query heads on %u, S=%u",
			 entries[i].kv_heads == 1 ? "MQA" : "GQA", entries[i].kv_heads, len);
		err = benchmark_target(b, &(struct benchmark_target){
						  .name = name,
						  .seed = "V3 benchmark results, 3.2",
						  .target = "1.00x, +-5 %",
						  .limit = 0.95,
						  .at_least = true,
						  .measured = attention_speedup(ns[0], ns[i]),
						  .unit = "x",
						  .baseline = "flash, MHA",
					  });
	}
	return err;
}

/* ---- on one thread and on more -------------------------------------------------------------- */

struct threads {
	const struct kernel *k;
	struct attention a;
	uint32_t threads;
	void *scratch;
	size_t scratch_bytes;
};

static int run_threads(void *arg)
{
	const struct threads *t = arg;

	return attention_parallel(t->k, &t->a, t->threads, t->scratch, t->scratch_bytes);
}

/* The document's parallel runs gained 1.00x-1.04x: one thread ran all. */
static int parallel_target(struct benchmark *b, const struct attention *a, uint32_t threads,
			   const double *ns)
{
	char name[64], reason[128] = "this machine has one CPU";

	if (threads > 1)
		snprintf(reason, sizeof(reason),
			 "two threads; as many multiply-adds in registers, in turn with it: %.2fx",
			 ns[2] / ns[3]);
	snprintf(name, sizeof(name), "parallel speed-up, S=%u H=%u, %u threads", a->q_len, a->heads,
		 threads);
	return benchmark_target(b, &(struct benchmark_target){
					   .name = name,
					   .seed = "V3 benchmark results, 3.1; engine targets",
					   .target = "1.00x-1.04x; 1.9x",
					   .limit = 1.9,
					   .at_least = true,
					   .measured = threads > 1 ? ns[0] / ns[1] : NAN,
					   .unit = "x",
					   .baseline = "one thread",
					   .reason = reason,
				   });
}

static int by_threads(struct benchmark *b, uint32_t len, uint32_t heads)
{
	const uint32_t many = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
	struct threads t[2] = {
		{.k = kernels_select("attention_flash", benchmark_isa(b)), .threads = 1}};
	const struct benchmark_param params[] = {
		{"S", NULL, len}, {"D", NULL, 64}, {"H", NULL, heads}};
	const struct benchmark_param count[] = {{"threads", NULL, 1}, {"threads", NULL, many}};
	struct benchmark_case cases[4];
	struct attention *a = &t[0].a;
	struct peak_arg peak[2];
	double ns[4];
	int err = 0;

	attention_set_packed(a, heads, heads, len, len, 64);
	a->q = benchmark_floats(b, heads * a->q_head);
	a->k = benchmark_floats(b, heads * a->k_head);
	a->v = benchmark_floats(b, heads * a->v_head);
	a->out = benchmark_floats(b, heads * a->o_head);
	t[1] = t[0];
	t[1].threads = many;
	for (uint32_t i = 0; i < 2; i++) {
		t[i].scratch_bytes = attention_parallel_scratch(t[i].k, a, t[i].threads);
		t[i].scratch = benchmark_alloc(b, t[i].scratch_bytes);
		cases[i] = (struct benchmark_case){
			.name = "attention_flash",
			.isa = t[i].k->isa,
			.run = run_threads,
			.arg = &t[i],
			.params = &count[i],
			.nparams = 1,
			.threads = true,
			.flops = (double)attention_flops(a),
			.scratch_bytes = t[i].scratch_bytes,
			.baseline = i ? NULL : "one thread",
		};
		cases[2 + i] = peak_case(b, cases[i].flops, &peak[i]);
		cases[2 + i].params = &count[i];
		cases[2 + i].nparams = 1;
		cases[2 + i].threads = true;
		peak[i].threads = t[i].threads;
		err = t[i].scratch ? err : -ENOMEM;
	}
	if (!a->q || !a->k || !a->v || !a->out)
		err = -ENOMEM;
	if (!err)
		err = benchmark_contest(b, "sequential and parallel", params, 3, cases,
					many > 1 ? 4 : 1, ns);
	err = err ? err : parallel_target(b, a, many, ns);
	benchmark_release(b);
	return err;
}

int suite_multi_head(struct benchmark *b)
{
	static const struct {
		uint32_t len, heads;
	} shapes[] = {{128, 8}, {256, 8}, {512, 8}, {256, 16}};
	int err = 0;

	if (benchmark_quick(b)) {
		err = by_shape(b, 32, 4);
		err = err ? err : by_threads(b, 64, 4);
		return err ? err : by_sharing(b, 32);
	}
	for (uint32_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && !err; i++)
		err = by_shape(b, shapes[i].len, shapes[i].heads);
	for (uint32_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && !err; i++)
		err = by_threads(b, shapes[i].len, shapes[i].heads);
	return err ? err : by_sharing(b, 256);
}
