/* SPDX-License-Identifier: Apache-2.0 */
/* suite_stress.c: very long sequences, a long run that has to stay itself, and what counting costs.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/benchmark/attention_cases.h"
#include "kernels/benchmark/benchmark_stats.h"
#include "kernels/benchmark/uncounted.h"

#define ENGINE "engine targets"

/* ---- long sequences ------------------------------------------------------------------------- */

static int scratch_target(struct benchmark *b, const struct attention *a)
{
	char name[64];

	snprintf(name, sizeof(name), "flash scratch, S=%u D=%u", a->q_len, a->head_dim);
	return benchmark_target(
		b,
		&(struct benchmark_target){
			.name = name,
			.seed = ENGINE,
			.target = "<= 160 KiB",
			.limit = 160.5,
			.measured = (double)attention_touched_bytes(b, "attention_flash", a) / 1024,
			.unit = "KiB",
			.reason = "touched, by the system's account",
		});
}

static int long_sequences(struct benchmark *b)
{
	static const struct attention_entry flash = {.kernel = "attention_flash"};
	const uint32_t lengths[] = {1024, 8192, 16384}, quick = 256;
	struct attention a;
	int err = 0;

	for (uint32_t i = 0; i < 3 && !err; i++) {
		const uint32_t len = benchmark_quick(b) ? quick << i : lengths[i];

		attention_set_packed(&a, 1, 1, len, len, 64);
		a.causal = true;
		err = attention_contest(b, "long sequences", &a, &flash, 1, NULL);
	}
	return err ? err : scratch_target(b, &a);
}

/* ---- the same again and again --------------------------------------------------------------- */

struct endless {
	struct attention a;
	const struct kernel *k;
	void *scratch;
	size_t scratch_bytes, out_floats;
	const float *first; /* what the first call gave */
};

/* Every call has to give what the first gave, to the bit. */
static int run_endless(void *arg)
{
	const struct endless *e = arg;
	int err = e->k->run.attention(&e->a, e->scratch, e->scratch_bytes);

	if (!err && memcmp(e->a.out, e->first, e->out_floats * sizeof(float)) != 0)
		err = -EILSEQ;
	return err;
}

static size_t resident_now(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long all = 0, resident = 0;

	if (f && fscanf(f, "%lu %lu", &all, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return resident * 4096;
}

/* Median of the last tenth of the calls over that of the first. */
static double drift(const double *ns, uint32_t n)
{
	double sorted[2][64];
	const uint32_t tenth = n / 10 < 64 ? n / 10 : 64;

	if (!tenth)
		return NAN;
	memcpy(sorted[0], ns, tenth * sizeof(*ns));
	memcpy(sorted[1], ns + n - tenth, tenth * sizeof(*ns));
	return benchmark_stats_of(sorted[1], tenth).median /
	       benchmark_stats_of(sorted[0], tenth).median;
}

static int endless_targets(struct benchmark *b, const double *ns, uint32_t n, size_t grown)
{
	char reason[96];
	int err;

	snprintf(reason, sizeof(reason), "%u calls of flash attention, each with the same output",
		 n);
	err = benchmark_target(b, &(struct benchmark_target){
					  .name = "resident memory grown by a long run",
					  .seed = "attention integration, stress test",
					  .target = "< 1 MiB",
					  .limit = 1024,
					  .measured = (double)grown / 1024,
					  .unit = "KiB",
					  .reason = reason,
				  });
	return err ? err
		   : benchmark_target(b, &(struct benchmark_target){
						 .name = "time of the last calls over the first",
						 .seed = "attention integration, stress test",
						 .target = "< 1.25x",
						 .limit = 1.25,
						 .measured = drift(ns, n),
						 .unit = "x",
						 .reason = n < 10 ? "too few calls" : reason,
					 });
}

static int endless(struct benchmark *b)
{
	enum { MAX_CALLS = 1 << 16 };
	const uint64_t budget_ns = benchmark_quick(b) ? 10000000 : 2000000000;
	struct endless e = {.k = kernels_select("attention_flash", benchmark_isa(b))};
	double *ns = benchmark_alloc(b, MAX_CALLS * sizeof(*ns));
	uint64_t start = perftop_now_ns(), now = start;
	size_t before;
	float *first;
	uint32_t n = 0;
	int err;

	attention_set_packed(&e.a, 4, 2, 96, 96, 64);
	e.out_floats = 4 * e.a.o_head;
	e.a.q = benchmark_floats(b, 4 * e.a.q_head);
	e.a.k = benchmark_floats(b, 2 * e.a.k_head);
	e.a.v = benchmark_floats(b, 2 * e.a.v_head);
	e.a.out = first = benchmark_alloc(b, e.out_floats * sizeof(float));
	e.scratch_bytes = kernels_attention_scratch(e.k, &e.a);
	e.scratch = benchmark_alloc(b, e.scratch_bytes);
	if (!ns || !e.a.q || !e.a.k || !e.a.v || !first || !e.scratch)
		return -ENOMEM;
	err = e.k->run.attention(&e.a, e.scratch, e.scratch_bytes);
	e.first = first;
	e.a.out = benchmark_alloc(b, e.out_floats * sizeof(float));
	err = err ? err : e.a.out ? 0 : -ENOMEM;
	before = resident_now();
	while (!err && n < MAX_CALLS && now - start < budget_ns) {
		uint64_t from = now;

		err = run_endless(&e);
		now = perftop_now_ns();
		ns[n++] = (double)(now - from);
	}
	if (err)
		return err;
	now = resident_now();
	err = endless_targets(b, ns, n, now > before ? now - before : 0);
	err = err ? err : benchmark_add_samples(b, "a long run of flash attention", NULL, 0, ns, n);
	benchmark_release(b);
	return err;
}

/* ---- what counting costs -------------------------------------------------------------------- */

enum { ROWS = 10 };

static int attention_counted(void *arg)
{
	return counted_attention(arg);
}

static int lora_row_counted(void *arg)
{
	return counted_lora_row(arg);
}

static int lora_rows_counted(void *arg)
{
	return counted_lora_rows(arg);
}

/* Of contenders 0 and 1 of the contest just held, without counters and with. */
static int cost_target(struct benchmark *b, const char *name, const double *ns, const char *why)
{
	const double least = benchmark_quantile_ns(b, 0, 0.05);
	char reason[320];

	snprintf(reason, sizeof(reason),
		 "%.1f ns of %.0f ns, %.2f %% by the fastest 5 %% of calls; against the same code "
		 "with PERFTOP_DISABLED, in turn%s%s",
		 ns[1] - ns[0], ns[0], 100 * (benchmark_quantile_ns(b, 1, 0.05) / least - 1),
		 *why ? "; " : "", why);
	return benchmark_target(b, &(struct benchmark_target){
					   .name = name,
					   .seed = ENGINE,
					   .target = "< 1 %",
					   .limit = 1,
					   .measured = 100 * (ns[1] / ns[0] - 1),
					   .unit = "%",
					   .baseline = "no counters",
					   .reason = reason,
				   });
}

/* One row alone, some 25 ns, is the smallest call there is; what counts least is a countdown. */
static int counting_lora_row(struct benchmark *b, struct counted *l)
{
	const struct benchmark_case cases[] = {
		{.name = "bare",
		 .isa = l->m.kernel->isa,
		 .run = uncounted_lora_row,
		 .arg = l,
		 .baseline = "bare"},
		{.name = "counted", .isa = l->m.kernel->isa, .run = lora_row_counted, .arg = l},
		{.name = "countdown", .isa = l->m.kernel->isa, .run = countdown_lora_row, .arg = l},
	};
	double ns[3];
	char why[160];
	int err = benchmark_contest(b, "counters around micro-LoRA, 1 row d=256", NULL, 0, cases, 3,
				    ns);

	if (err)
		return err;
	snprintf(why, sizeof(why),
		 "the least there is, one number counted down and a branch, took %.1f ns, %.1f %%",
		 ns[2] - ns[0], 100 * (ns[2] / ns[0] - 1));
	return cost_target(b, "counters, micro-LoRA 1 row d=256", ns, why);
}

static int counting_lora(struct benchmark *b, const struct counted *t)
{
	struct counted l = *t;
	struct benchmark_case cases[] = {
		{.name = "bare", .run = uncounted_lora_rows, .arg = &l, .baseline = "bare"},
		{.name = "counted", .run = lora_rows_counted, .arg = &l},
	};
	double ns[2];
	char why[96];
	int err;

	metered_init(&l.m, kernels_select("micro_lora_forward", benchmark_isa(b)));
	cases[0].isa = cases[1].isa = l.m.kernel->isa;
	l.rows = ROWS;
	err = benchmark_contest(b, "counters around micro-LoRA, 10 rows d=256", NULL, 0, cases, 2,
				ns);
	if (err)
		return err;
	snprintf(why, sizeof(why), "one call in %d is timed, and told with the others before it",
		 METERED_BRIEF_ONE_IN);
	err = cost_target(b, "counters, micro-LoRA 10 rows d=256", ns, why);
	return err ? err : counting_lora_row(b, &l);
}

static int counting(struct benchmark *b)
{
	struct counted t = {.l = {.dim_in = 256, .dim_out = 256, .rank = 1, .scale = 1e-3f}};
	struct benchmark_case cases[] = {
		{.name = "bare", .run = uncounted_attention, .arg = &t, .baseline = "bare"},
		{.name = "counted", .run = attention_counted, .arg = &t},
	};
	double ns[2];
	int err;

	metered_init(&t.m, kernels_select("attention_flash", benchmark_isa(b)));
	attention_set_packed(&t.a, 1, 1, 128, 128, 64);
	t.a.q = benchmark_floats(b, t.a.q_head);
	t.a.k = benchmark_floats(b, t.a.k_head);
	t.a.v = benchmark_floats(b, t.a.v_head);
	t.a.out = benchmark_floats(b, t.a.o_head);
	t.scratch_bytes = kernels_attention_scratch(t.m.kernel, &t.a);
	t.scratch = benchmark_alloc(b, t.scratch_bytes);
	t.l.a = benchmark_floats(b, 256);
	t.l.b = benchmark_floats(b, 256);
	t.x = benchmark_floats(b, ROWS * 256);
	t.y = benchmark_floats(b, ROWS * 256);
	if (!t.a.q || !t.a.k || !t.a.v || !t.a.out || !t.scratch || !t.l.a || !t.l.b || !t.x ||
	    !t.y)
		return -ENOMEM;
	cases[0].isa = cases[1].isa = t.m.kernel->isa;
	err = benchmark_contest(b, "counters around flash, S=128 D=64", NULL, 0, cases, 2, ns);
	err = err ? err : cost_target(b, "counters, flash attention S=128 D=64", ns, "");
	return err ? err : counting_lora(b, &t);
}

int suite_stress(struct benchmark *b)
{
	int err = long_sequences(b);

	err = err ? err : endless(b);
	return err ? err : counting(b);
}
