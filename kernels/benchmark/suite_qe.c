/* SPDX-License-Identifier: Apache-2.0 */
/* suite_qe.c: the five workloads of the quality-engineering benchmark, one head each. */
#include <math.h>
#include <stdio.h>

#include "kernels/benchmark/attention_cases.h"
#include "kernels/benchmark/qe.h"

/*
 * 3 warm-ups and 10 runs at least are what every contest does, as that benchmark did. Its published
 * speed-ups were 0.11x-2.48x.
 */
struct workload {
	const char *name;
	uint32_t len, dim;
};

static const struct attention_entry entries[ATTENTION_ENTRIES] = {
	[ATTENTION_TEXTBOOK] = {.kernel = "attention_textbook", .baseline = "textbook"},
	[ATTENTION_STANDARD] = {.kernel = "attention_standard", .baseline = "standard"},
	[ATTENTION_FLASH] = {.kernel = "attention_flash"},
};

static int run_workload(struct benchmark *b, const struct workload *w)
{
	struct benchmark_target t = {
		.name = w->name,
		.seed = QE_SEED,
		.target = "2.49x-7.47x",
		.limit = 2.49,
		.at_least = true,
		.unit = "x",
		.baseline = "textbook loop",
	};
	double ns[ATTENTION_ENTRIES];
	struct attention a;
	char name[64], reason[128];
	int err;

	attention_set_packed(&a, 1, 1, w->len, w->len, w->dim);
	if (benchmark_quick(b))
		attention_set_packed(&a, 1, 1, 32, 32, w->dim / 8);
	err = attention_contest(b, w->name, &a, entries, ATTENTION_ENTRIES, ns);
	if (err)
		return err;
	snprintf(name, sizeof(name), "%s, flash, S=%u D=%u", w->name, a.q_len, a.head_dim);
	snprintf(reason, sizeof(reason), "%.2fx of the same-ISA standard kernel",
		 attention_speedup(ns[ATTENTION_STANDARD], ns[ATTENTION_FLASH]));
	t.name = name;
	t.measured = attention_speedup(ns[ATTENTION_TEXTBOOK], ns[ATTENTION_FLASH]);
	t.reason = reason;
	return benchmark_target(b, &t);
}

int suite_qe(struct benchmark *b)
{
	static const struct workload workloads[] = {
		{"test-similarity", 512, 768},	  {"code-embedding", 1024, 1024},
		{"defect-matching", 256, 512},	  {"coverage-analysis", 256, 384},
		{"pattern-adaptation", 128, 256},
	};
	int err = 0;

	for (uint32_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]) && !err; i++)
		err = run_workload(b, &workloads[i]);
	err = err ? err : qe_coverage_search(b);
	return err ? err : qe_adaptation(b);
}
