/* SPDX-License-Identifier: Apache-2.0 */
/* engine_compare.c: how many times as fast as their baselines the kernels in use are, timed once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/engine_state.h"

enum { ROUNDS = 3, LORA_CALLS = 200 };

/* CPU time of the thread: workers are busy meanwhile, and may take its CPU. */
static uint64_t cpu_ns(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One thing timed; the quickest of its rounds. 0: it failed. */
struct subject {
	const struct kernel *kernel;
	const struct attention *a;
	void *scratch;
	size_t scratch_bytes;
	const struct lora *lora;
	const float *x;
	float *y;
};

static int run(const struct subject *s)
{
	int err = 0;

	if (s->a)
		return s->kernel->run.attention(s->a, s->scratch, s->scratch_bytes);
	for (uint32_t i = 0; i < LORA_CALLS && !err; i++)
		err = s->kernel->run.lora_forward(s->lora, s->x, s->y);
	return err;
}

static uint64_t best_ns(const struct subject *s)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t t = cpu_ns();

		if (run(s))
			return 0;
		t = cpu_ns() - t;
		best = t < best ? t : best;
	}
	return best;
}

static void tell(const struct kernel *k, const char *baseline, uint64_t own_ns, uint64_t its_ns)
{
	char name[96];

	if (!own_ns || !its_ns)
		return;
	snprintf(name, sizeof(name), "kernel.%s.%s.vs_%s_x100", k->name, isa_name(k->isa),
		 baseline);
	perftop_set(perftop_gauge(name, "", "times as fast as that, in 1/100; timed at the start"),
		    (int64_t)(its_ns * 100 / own_ns));
}

static void compare_attention(const struct engine *e, const struct attention *a, void *scratch,
			      size_t bytes)
{
	const struct kernel *k = e->metrics.attention.kernel;
	struct subject s = {.a = a, .scratch = scratch, .scratch_bytes = bytes, .kernel = k};
	uint64_t own = best_ns(&s);

	s.kernel = kernels_find("attention_standard", k->isa);
	if (s.kernel)
		tell(k, "standard", own, best_ns(&s));
	s.kernel = kernels_find("attention_textbook", ISA_SCALAR);
	if (s.kernel && k->isa != ISA_SCALAR)
		tell(k, "scalar", own, best_ns(&s));
}

static void compare_lora(const struct engine *e)
{
	const struct kernel *k = e->metrics.lora_forward.kernel;
	float y[ENGINE_DIM] = {0};
	struct subject s = {.kernel = k, .lora = &e->start, .x = e->tokens, .y = y};
	uint64_t own = best_ns(&s);

	s.kernel = kernels_find(k->name, ISA_SCALAR);
	if (s.kernel && k->isa != ISA_SCALAR)
		tell(k, "scalar", own, best_ns(&s));
}

void engine_compare(const struct engine *e)
{
	const struct engine_options *o = &e->options;
	size_t floats = (size_t)o->seq * o->dim, bytes;
	struct attention a;
	void *scratch;

	compare_lora(e);
	/* One head, at the shape that is served; the scalar loop takes long at others. */
	if (floats > ENGINE_COMPARE_FLOATS)
		return;
	attention_set_packed(&a, 1, 1, o->seq, o->seq, o->dim);
	a.causal = o->causal;
	a.q = e->tokens;
	a.k = e->context;
	a.v = e->context + floats;
	bytes = attention_standard_scratch(&a);
	if (bytes < attention_flash_scratch(&a))
		bytes = attention_flash_scratch(&a);
	bytes = (bytes + 63) / 64 * 64;
	a.out = malloc(floats * sizeof(float));
	scratch = aligned_alloc(64, bytes);
	if (a.out && scratch) {
		/* Pages that are there already. */
		memset(scratch, 0, bytes);
		compare_attention(e, &a, scratch, bytes);
	}
	free(a.out);
	free(scratch);
}
