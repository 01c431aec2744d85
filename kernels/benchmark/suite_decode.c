/* SPDX-License-Identifier: Apache-2.0 */
/* suite_decode.c: one query over a long store of keys and values, and prompts that begin alike. */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/kernels.h"
#include "kernels/kvcache/kvcache.h"

struct decode_arg {
	struct decode d;
	decode_fn *run;
	void *scratch;
	size_t scratch_bytes;
	struct benchmark_param dtype;
};

/*
 * Decode and reading what it reads, in turn. Calls find in L3 what the one before left of their
 * store, by its order of reading and theirs: that is not what memory delivers. So of a large store
 * there are two, and no call has the one that was just read. Three contenders have each by turns,
 * since where a store lies in memory makes some 8 %.
 */
struct beside_arg {
	struct decode_arg *decode;
	read_fn *read;
	const float *stores[2]; /* K and V, side by side */
	uint32_t calls;
	float sum; /* kept, or the read would be for nothing */
};

static int run_decode(void *arg)
{
	const struct decode_arg *r = arg;

	return r->run(&r->d, r->scratch, r->scratch_bytes);
}

/* Floats of K or of V. */
static size_t store_half(const struct decode *d)
{
	return (size_t)d->kv_heads * d->kv_len * d->head_dim;
}

static const float *next_store(struct beside_arg *r)
{
	return r->stores[r->calls++ % 2];
}

static int run_decode_beside(void *arg)
{
	struct beside_arg *r = arg;
	struct decode *d = &r->decode->d;
	const float *k = next_store(r);

	d->kv.k = k;
	d->kv.v = k + store_half(d);
	return run_decode(r->decode);
}

/* K and V, one after the other. */
static int run_read(void *arg)
{
	struct beside_arg *r = arg;

	r->sum = r->read(next_store(r), 2 * store_half(&r->decode->d));
	return 0;
}

/* As decode of a single query reads them: 512 keys of a head, and their values. */
static int run_read_in_turn(void *arg)
{
	struct beside_arg *r = arg;
	const struct decode *d = &r->decode->d;
	const size_t all = store_half(d);
	const float *k = next_store(r), *v = k + all;
	size_t n = 512 * (size_t)d->head_dim;

	for (size_t at = 0; at < all; at += n) {
		n = all - at < n ? all - at : n;
		r->sum += r->read(k + at, n) + r->read(v + at, n);
	}
	return 0;
}

/* rows of keys, then of values: as the f32 store itself, or rounded into one of its own. */
static int set_store(struct benchmark *b, struct decode *d, const float *rows)
{
	const size_t n = (size_t)d->kv_heads * d->kv_len, row = d->kv.row_bytes;
	char *to = (char *)rows;
	float *scales;

	if (d->kv.type != KV_F32) {
		to = benchmark_alloc(b, 2 * n * row);
		scales = benchmark_alloc(b, 2 * n * sizeof(float));
		if (!to || !scales)
			return -ENOMEM;
		for (size_t i = 0; i < 2 * n; i++)
			kv_store_row(d->kv.type, rows + i * d->head_dim, d->head_dim, to + i * row,
				     scales + i);
		d->kv.k_scale = scales;
		d->kv.v_scale = scales + n;
	}
	d->kv.k = to;
	d->kv.v = to + n * row;
	return 0;
}

static int set_case(struct benchmark *b, const struct kernel *k, enum kv_type type,
		    const float *rows, struct decode_arg *arg, struct benchmark_case *c)
{
	static const char *const names[KV_TYPES] = {"attention_decode f32", "attention_decode bf16",
						    "attention_decode int8"};
	int err = set_store(b, &arg->d, rows);

	arg->run = k->run.decode;
	arg->scratch_bytes = decode_scratch(&arg->d);
	arg->scratch = benchmark_alloc(b, arg->scratch_bytes);
	arg->dtype = (struct benchmark_param){"dtype", kv_type_name(type), 0};
	arg->d.q = benchmark_floats(b, arg->d.heads * arg->d.head_dim);
	arg->d.out = benchmark_alloc(b, arg->d.heads * arg->d.head_dim * sizeof(float));
	*c = (struct benchmark_case){
		.name = names[type],
		.isa = k->isa,
		.run = run_decode,
		.arg = arg,
		.flops = (double)decode_flops(&arg->d),
		.bytes = (double)decode_bytes(&arg->d),
		.scratch_bytes = arg->scratch_bytes,
		.baseline = type == KV_F32 ? "f32" : NULL,
		.params = &arg->dtype,
		.nparams = 1,
	};
	return err ? err : arg->scratch && arg->d.q && arg->d.out ? 0 : -ENOMEM;
}

/* best: the same of the fastest calls, told where the median misses, and then what else to know. */
static int ratio_target(struct benchmark *b, const char *name, double limit, const char *target,
			double measured, double best, const char *unit, const char *baseline,
			const char *more)
{
	char reason[192];

	snprintf(reason, sizeof(reason),
		 "%.2f %s by the fastest calls of each, with the least else running here%s", best,
		 unit, more);
	return benchmark_target(b, &(struct benchmark_target){
					   .name = name,
					   .seed = "perftop, what decode must reach",
					   .target = target,
					   .limit = limit,
					   .at_least = true,
					   .measured = measured,
					   .unit = unit,
					   .baseline = baseline,
					   .reason = measured < limit ? reason : NULL,
				   });
}

/* What storing numbers shorter is for; ns of each type, of the last contest. */
static int type_targets(struct benchmark *b, const struct decode *d, const double *ns)
{
	const double f32 = benchmark_quantile_ns(b, KV_F32, 0);
	char name[96];
	int err = 0;

	for (int t = KV_BF16; t < KV_TYPES && !err; t++) {
		snprintf(name, sizeof(name), "decode in %s, H=%u D=%u, %u keys",
			 kv_type_name((enum kv_type)t), d->heads, d->head_dim, d->kv_len);
		err = ratio_target(b, name, 1, "> 1x", ns[KV_F32] / ns[t],
				   f32 / benchmark_quantile_ns(b, (uint32_t)t, 0), "x", "f32", "");
	}
	return err;
}

enum { FAR_BYTES = 64 << 20 }; /* more than is left in L3 after as much again was read */

static int beside_reading(struct benchmark *b, const struct benchmark_param *params,
			  const struct benchmark_case *f32, double share)
{
	struct beside_arg beside = {.decode = f32->arg};
	const struct decode *d = &beside.decode->d;
	const struct kernel *read = kernels_select("read_sum", f32->isa);
	const size_t floats = 2 * store_half(d);
	const bool far = floats * sizeof(float) >= FAR_BYTES;
	struct benchmark_case cases[] = {*f32,
					 {.name = "read K and V", .run = run_read},
					 {.name = "read K and V in turn", .run = run_read_in_turn}};
	char name[96], target[16], more[96];
	double ns[3];
	int err;

	beside.read = read->run.read;
	beside.stores[0] = d->kv.k;
	beside.stores[1] = far ? benchmark_floats(b, floats) : d->kv.k;
	if (!beside.stores[1])
		return -ENOMEM;
	cases[0].run = run_decode_beside;
	cases[0].arg = &beside;
	for (int i = 1; i < 3; i++) {
		cases[i].isa = read->isa;
		cases[i].arg = &beside;
		cases[i].bytes = (double)(floats * sizeof(float));
	}
	err = benchmark_contest(b, "beside reading the same", params, 4, cases, 3, ns);
	snprintf(name, sizeof(name), "decode's share of read bandwidth, H=%u D=%u, %u keys",
		 d->heads, d->head_dim, d->kv_len);
	snprintf(target, sizeof(target), ">= %.0f %%", share);
	snprintf(more, sizeof(more),
		 "; reading alone, by 512 keys and their values in turn: %.0f %%",
		 100 * ns[1] / ns[2]);
	return err ? err
		   : ratio_target(b, name, share, target, 100 * ns[1] / ns[0],
				  100 * benchmark_quantile_ns(b, 1, 0) /
					  benchmark_quantile_ns(b, 0, 0),
				  "%", "reading K and V", more);
}

/* share: percent of the speed of reading K and V that decode must reach; 0: bound by arithmetic. */
static int by_shape(struct benchmark *b, uint32_t kv_heads, uint32_t keys, uint32_t dim,
		    double share)
{
	const struct kernel *k = kernels_select("attention_decode", benchmark_isa(b));
	struct benchmark_param params[4] = {
		{"S", NULL, keys}, {"D", NULL, dim}, {"H", NULL, 8}, {"Hkv", NULL, kv_heads}};
	struct benchmark_case cases[KV_TYPES];
	struct decode_arg args[KV_TYPES];
	const float *rows = benchmark_floats(b, 2 * (size_t)kv_heads * keys * dim);
	double ns[KV_TYPES];
	int err = rows && k ? 0 : -ENOMEM;

	for (int t = 0; t < KV_TYPES && !err; t++) {
		args[t] = (struct decode_arg){0};
		decode_set_packed(&args[t].d, (enum kv_type)t, 8, kv_heads, 1, keys, dim);
		err = set_case(b, k, (enum kv_type)t, rows, &args[t], &cases[t]);
	}
	err = err ? err
		  : benchmark_contest(b, "one query over a long store", params, 4, cases, KV_TYPES,
				      ns);
	if (!err && share > 0)
		err = type_targets(b, &args[0].d, ns);
	if (!err && share > 0)
		err = beside_reading(b, params, &cases[KV_F32], share);
	benchmark_release(b);
	return err;
}

/* A prompt's keys and values into the cache, and the same when they are there already. */
struct prompt_arg {
	struct kvcache c;
	struct kvcache_shape shape;
	void *storage;
	size_t bytes;
	const float *rows;
	const uint32_t *tokens;
	uint32_t n, reused;
	bool forget;
};

static int run_prompt(void *arg)
{
	struct prompt_arg *p = arg;
	size_t row = (size_t)p->shape.kv_heads * p->shape.head_dim;
	uint32_t sequence;
	int err = p->forget ? kvcache_init(&p->c, &p->shape, p->storage, p->bytes) : 0;

	if (!err)
		err = kvcache_open(&p->c, p->tokens, p->n, &sequence, &p->reused);
	if (err)
		return err;
	err = kvcache_append(&p->c, sequence, p->tokens + p->reused, p->n - p->reused);
	for (uint32_t layer = 0; layer < p->shape.layers && !err; layer++)
		err = kvcache_write(&p->c, sequence, layer, p->reused, p->n - p->reused, p->rows,
				    p->rows, row, p->shape.head_dim);
	if (!err)
		err = kvcache_commit(&p->c, sequence);
	kvcache_close(&p->c, sequence);
	return err;
}

/* What writing costs is the least that a known prompt saves: its attention comes on top. */
static int by_prefix(struct benchmark *b, uint32_t n)
{
	const struct kvcache_shape shape = {4, 2, 64, KV_BF16, 32, 4, 4096};
	struct benchmark_param params[3] = {
		{"S", NULL, n}, {"D", NULL, shape.head_dim}, {"Hkv", NULL, shape.kv_heads}};
	struct prompt_arg args[2];
	struct benchmark_case cases[2];
	uint32_t *tokens = benchmark_alloc(b, n * sizeof(*tokens));
	const float *rows = benchmark_floats(b, (size_t)n * shape.kv_heads * shape.head_dim);
	double ns[2];
	int err = 0;

	for (int i = 0; i < 2 && !err; i++) {
		args[i] = (struct prompt_arg){
			.shape = shape, .tokens = tokens, .rows = rows, .n = n, .forget = i == 0};
		args[i].bytes = kvcache_storage(&shape, n / shape.page_tokens + 2);
		args[i].storage = benchmark_alloc(b, args[i].bytes);
		if (!tokens || !rows || !args[i].storage)
			return -ENOMEM;
		err = kvcache_init(&args[i].c, &shape, args[i].storage, args[i].bytes);
		cases[i] = (struct benchmark_case){
			.name = i ? "prompt known" : "prompt written",
			.isa = ISA_COUNT,
			.run = run_prompt,
			.arg = &args[i],
			.ops = n,
			.baseline = i ? NULL : "written",
			.scratch_bytes = args[i].bytes,
		};
	}
	for (uint32_t i = 0; i < n; i++)
		tokens[i] = i * 7919;
	if (!err)
		err = benchmark_contest(b, "prompts that begin alike", params, 3, cases, 2, ns);
	if (!err && args[1].reused != (n - 1) / shape.page_tokens * shape.page_tokens)
		err = -EIO;
	if (!err)
		err = ratio_target(b, "a known prompt in the KV cache", 1, "> 1x", ns[0] / ns[1],
				   benchmark_quantile_ns(b, 0, 0) / benchmark_quantile_ns(b, 1, 0),
				   "x", "writing its keys and values", "");
	benchmark_release(b);
	return err;
}

int suite_decode(struct benchmark *b)
{
	static const struct {
		uint32_t kv_heads, keys, dim;
		double share;
	} shapes[] = {
		{8, 1024, 64, 80}, {8, 4096, 64, 80}, {8, 16384, 64, 95},
		{2, 4096, 128, 0}, {1, 4096, 128, 0},
	};
	int err = 0;

	if (benchmark_quick(b)) {
		err = by_shape(b, 2, 40, 16, 0);
		return err ? err : by_prefix(b, 65);
	}
	for (uint32_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && !err; i++)
		err = by_shape(b, shapes[i].kv_heads, shapes[i].keys, shapes[i].dim,
			       shapes[i].share);
	return err ? err : by_prefix(b, 513);
}
