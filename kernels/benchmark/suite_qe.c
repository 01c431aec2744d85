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
	/* What the document asks of this workload beside; NULL: nothing. */
	const char *own, *why;
	double limit;
};

static const struct attention_entry entries[ATTENTION_ENTRIES] = {
	[ATTENTION_TEXTBOOK] = {.kernel = "attention_textbook", .baseline = "textbook"},
	[ATTENTION_STANDARD] = {.kernel = "attention_standard", .baseline = "standard"},
	[ATTENTION_FLASH] = {.kernel = "attention_flash"},
};

static int own_target(struct benchmark *b, const struct workload *w, double ratio)
{
	char name[64];

	if (!w->own)
		return 0;
	snprintf(name, sizeof(name), "%s, flash, own goal", w->name);
	return benchmark_target(b, &(struct benchmark_target){.name = name,
							      .seed = QE_SEED,
							      .target = w->own,
							      .limit = w->limit,
							      .at_least = true,
							      .measured = ratio,
							      .unit = "x",
							      .baseline = "textbook loop",
							      .reason = w->why});
}

static int run_workload(struct benchmark *b, const struct workload *w, double *ratio)
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
	t.measured = *ratio = attention_speedup(ns[ATTENTION_TEXTBOOK], ns[ATTENTION_FLASH]);
	t.reason = reason;
	err = benchmark_target(b, &t);
	return err ? err : own_target(b, w, *ratio);
}

static int average_target(struct benchmark *b, double average)
{
	return benchmark_target(
		b, &(struct benchmark_target){.name = "average speed-up of the five",
					      .seed = QE_SEED,
					      .target = "2.49x",
					      .limit = 2.49,
					      .at_least = true,
					      .measured = average,
					      .unit = "x",
					      .baseline = "textbook loop",
					      .reason = "published: 1.28x and 1.30x in two runs"});
}

int suite_qe(struct benchmark *b)
{
	static const struct workload workloads[] = {
		{"test-similarity", 512, 768, NULL, NULL, 0},
		{"code-embedding", 1024, 1024, "4-8x", "recommended of ONNX with quantization", 4},
		{"defect-matching", 256, 512, NULL, NULL, 0},
		{"coverage-analysis", 256, 384, "50x-100x",
		 "the document's way there is an index, below", 50},
		{"pattern-adaptation", 128, 256, "10x-40x",
		 "the document's way there is micro-LoRA, below", 10},
	};
	const uint32_t n = sizeof(workloads) / sizeof(workloads[0]);
	double ratio, sum = 0;
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++) {
		err = run_workload(b, &workloads[i], &ratio);
		sum += err ? 0 : ratio;
	}
	err = err ? err : average_target(b, sum / n);
	err = err ? err : qe_coverage_search(b);
	return err ? err : qe_adaptation(b);
}
