/* SPDX-License-Identifier: Apache-2.0 */
/* memory_kv.c: memory of keys and values: bf16 and int8, a window, shared prompts; and a cache hit.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "kernels/benchmark/memory_parts.h"
#include "kernels/kernels.h"
#include "kernels/kvcache/kvcache.h"

#define SEED "performance engineer, 4. token usage"

enum { DIM = 64, KV_HEADS = 8, PAGE_TOKENS = 16, PROMPT = 512, SHARED = 384, SEQUENCES = 8 };

static int saved_target(struct benchmark *b, const char *name, const char *target, double limit,
			double own, double all, const char *against, const char *reason)
{
	return benchmark_target(b, &(struct benchmark_target){
					   .name = name,
					   .seed = SEED,
					   .target = target,
					   .limit = limit,
					   .at_least = true,
					   .measured = all > 0 ? 100 * (1 - own / all) : NAN,
					   .unit = "%",
					   .baseline = against,
					   .reason = all > 0 ? reason : "not measured",
				   });
}

/* Pages that hold the same tokens, by what kvcache asks of its caller. */
static int by_type(struct benchmark *b)
{
	struct kvcache_shape shape = {.layers = 1,
				      .kv_heads = KV_HEADS,
				      .head_dim = DIM,
				      .page_tokens = PAGE_TOKENS,
				      .max_sequences = 1,
				      .max_tokens = 4096};
	double bytes[KV_TYPES];
	int err;

	for (int t = 0; t < KV_TYPES; t++) {
		shape.type = (enum kv_type)t;
		bytes[t] = (double)(kvcache_storage(&shape, 257) - kvcache_storage(&shape, 1));
	}
	err = saved_target(
		b, "KV cache in bf16", "50 %", 50, bytes[KV_BF16], bytes[KV_F32], "KV cache in f32",
		"codes are half of the floats; each page's book-keeping is as large as in f32; "
		"rounding: 2^-8 of each");
	return err ? err
		   : saved_target(b, "KV cache in int8", "50-75 %", 50, bytes[KV_I8], bytes[KV_F32],
				  "KV cache in f32",
				  "with a scale a row; error: 0.4 % of the row's largest");
}

/* ---- shared prompts ------------------------------------------------------------------------- */

struct prompts {
	struct kvcache cache;
	void *storage;
	uint32_t tokens[SEQUENCES][PROMPT];
	float *rows; /* keys, and values */
	uint32_t next;
};

static int fill(struct prompts *p, uint32_t sequence, const uint32_t *tokens, uint32_t from)
{
	const size_t row = (size_t)KV_HEADS * DIM;
	int err = kvcache_append(&p->cache, sequence, tokens + from, PROMPT - from);

	if (!err)
		err = kvcache_write(&p->cache, sequence, 0, from, PROMPT - from, p->rows, p->rows,
				    row, DIM);
	return err ? err : kvcache_commit(&p->cache, sequence);
}

static int prompts_init(struct benchmark *b, struct prompts *p)
{
	const struct kvcache_shape shape = {.layers = 1,
					    .kv_heads = KV_HEADS,
					    .head_dim = DIM,
					    .type = KV_F32,
					    .page_tokens = PAGE_TOKENS,
					    .max_sequences = SEQUENCES + 1,
					    .max_tokens = PROMPT};
	const size_t bytes = kvcache_storage(&shape, 2 * SEQUENCES * PROMPT / PAGE_TOKENS);

	p->storage = benchmark_alloc(b, bytes);
	p->rows = benchmark_floats(b, (size_t)PROMPT * KV_HEADS * DIM);
	if (!p->storage || !p->rows)
		return -ENOMEM;
	for (uint32_t s = 0; s < SEQUENCES; s++)
		for (uint32_t t = 0; t < PROMPT; t++)
			p->tokens[s][t] = t < SHARED ? t : 1000 * (s + 1) + t;
	return kvcache_init(&p->cache, &shape, p->storage, bytes);
}

/* A prompt that is known comes again. */
static int open_known(void *arg)
{
	struct prompts *p = arg;
	uint32_t sequence, reused;
	int err = kvcache_open(&p->cache, p->tokens[p->next++ % SEQUENCES], PROMPT, &sequence,
			       &reused);

	if (!err && reused < PROMPT - PAGE_TOKENS)
		err = -ENODATA;
	return err ? err : kvcache_close(&p->cache, sequence);
}

static int shared_prompts(struct benchmark *b)
{
	static const struct benchmark_limit hit = {"cache hit: a known prompt of 512 tokens",
						   "V3 benchmark results, appendix C", "< 0.1 ms",
						   0.1e6, "its pages found, shared and let go"};
	struct prompts *p = benchmark_alloc(b, sizeof(*p));
	const struct benchmark_param n = {"tokens", NULL, PROMPT};
	const struct benchmark_case c = {
		.name = "kvcache_open, close", .isa = ISA_COUNT, .run = open_known, .arg = p};
	uint32_t sequence, reused;
	double ns;
	int err = p ? prompts_init(b, p) : -ENOMEM;

	for (uint32_t s = 0; s < SEQUENCES && !err; s++) {
		err = kvcache_open(&p->cache, p->tokens[s], PROMPT, &sequence, &reused);
		err = err ? err : fill(p, sequence, p->tokens[s], reused);
	}
	if (err)
		return err;
	err = saved_target(b, "prompt cache, 8 prompts, 3/4 in common", "30-50 %", 30,
			   p->cache.stats.used, SEQUENCES * ((double)PROMPT / PAGE_TOKENS),
			   "prompts of their own", "pages in use");
	err = err ? err : benchmark_contest(b, "prompt cache", &n, 1, &c, 1, &ns);
	return err ? err : benchmark_time_target(b, &hit, ns);
}

/* ---- a window ------------------------------------------------------------------------------- */

/* What a decode step has to read of 8192 tokens with a window of 4096. */
static int window(struct benchmark *b)
{
	struct decode d;
	double all, own;

	decode_set_packed(&d, KV_F32, KV_HEADS, KV_HEADS, 1, 8192, DIM);
	d.causal = true;
	all = (double)decode_bytes(&d);
	d.window = 4096;
	own = (double)decode_bytes(&d);
	return saved_target(b, "sliding window of 4096 in 8192 tokens", "30-40 %", 30, own, all,
			    "all tokens", "bytes of keys and values that a step reads");
}

int memory_of_keys(struct benchmark *b)
{
	int err = by_type(b);

	err = err ? err : shared_prompts(b);
	benchmark_release(b);
	return err ? err : window(b);
}
