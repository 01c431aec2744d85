/* SPDX-License-Identifier: Apache-2.0 */
/* suite_flash_attention.c: flash beside the textbook loop and the standard kernel, by length. */
#include <math.h>
#include <stdio.h>

#include "kernels/benchmark/attention_cases.h"

#define SEED_CLAIM  "V3 benchmark results, 1.1 and 5.1; attention integration"
#define CLAIM_LEAST 2.49

static int claim_target(struct benchmark *b, const char *shape, const double *ns)
{
	const double standard = attention_speedup(ns[ATTENTION_STANDARD], ns[ATTENTION_FLASH]);
	char name[96], reason[128];

	snprintf(name, sizeof(name), "flash attention speed-up, %s", shape);
	snprintf(reason, sizeof(reason), "%.2fx of the same-ISA standard kernel", standard);
	return benchmark_target(b, &(struct benchmark_target){
					   .name = name,
					   .seed = SEED_CLAIM,
					   .target = "2.49x-7.47x",
					   .limit = CLAIM_LEAST,
					   .at_least = true,
					   .measured = attention_speedup(ns[ATTENTION_TEXTBOOK],
									 ns[ATTENTION_FLASH]),
					   .unit = "x",
					   .baseline = "textbook loop",
					   .reason = reason,
				   });
}

static int by_length(struct benchmark *b, uint32_t len, uint32_t dim, bool causal)
{
	double ns[ATTENTION_ENTRIES];
	struct attention a;
	char name[64];
	int err;

	attention_set_packed(&a, 1, 1, len, len, dim);
	a.causal = causal;
	err = attention_contest(b, "forward, one head", &a, attention_entries, ATTENTION_ENTRIES,
				ns);
	snprintf(name, sizeof(name), "S=%u D=%u%s", len, dim, causal ? " causal" : "");
	return err ? err : claim_target(b, name, ns);
}

int suite_flash_attention(struct benchmark *b)
{
	static const uint32_t lengths[] = {128, 256, 512, 1024, 2048, 4096};
	int err = 0;

	if (benchmark_quick(b))
		return by_length(b, 64, 32, false);
	for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]) && !err; i++)
		err = by_length(b, lengths[i], 64, false);
	/* The quick integration test of the V3 results. */
	err = err ? err : by_length(b, 256, 256, false);
	return err ? err : by_length(b, 1024, 64, true);
}
