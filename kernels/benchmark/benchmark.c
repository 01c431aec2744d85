/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark.c: suites, one after the other, and what they may ask for. */
#include "kernels/benchmark/benchmark.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/benchmark/benchmark_published.h"
#include "kernels/benchmark/benchmark_state.h"

enum { PAGE = 4096 };

const struct benchmark_suite benchmark_suites[] = {
#define SUITE(name_, help_, fn_) {#name_, help_, fn_},
#include "kernels/benchmark/suites.def"
#undef SUITE
};
const uint32_t benchmark_suites_count = sizeof(benchmark_suites) / sizeof(benchmark_suites[0]);

void benchmark_fail(struct benchmark *b, const char *contest, const char *what, int err)
{
	char text[256];

	snprintf(text, sizeof(text), "%s%s%s: %s", contest ? contest : "", contest ? ": " : "",
		 what, strerror(-err));
	benchmark_report_fail(b->report, b->suite, text);
}

void benchmark_release(struct benchmark *b)
{
	for (struct benchmark_block *at = b->blocks, *next; at; at = next) {
		next = at->next;
		free(at->memory);
		free(at);
	}
	b->blocks = NULL;
	b->nblocks = 0;
}

int benchmark_run_suite(const struct benchmark_suite *s, const struct benchmark_options *o,
			struct benchmark_report *r)
{
	struct benchmark b = {.options = o, .report = r, .suite = s->name, .seed = 1};
	const uint32_t failures = r->nfailures, first = r->nresults;
	int err;

	r->quick = o->quick;
	err = s->run(&b);

	if (!err)
		err = benchmark_published_targets(&b, first);
	benchmark_release(&b);
	if (r->out_of_memory)
		err = -ENOMEM;
	if (err && r->nfailures == failures)
		benchmark_fail(&b, NULL, "suite", err);
	return err ? err : r->nfailures > failures ? -EIO : 0;
}

int benchmark_target(struct benchmark *b, const struct benchmark_target *t)
{
	int err = benchmark_report_add_target(b->report, b->suite, t);

	if (err == -EINVAL)
		benchmark_fail(b, t->name,
			       "a target wants a name, a seed, a target, and a reason "
			       "where nothing was measured",
			       err);
	return err;
}

int benchmark_targets_absent(struct benchmark *b, const struct benchmark_absent *rows, uint32_t n)
{
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++)
		err = benchmark_target(b, &(struct benchmark_target){
						  .name = rows[i].name,
						  .seed = rows[i].seed,
						  .target = rows[i].target,
						  .measured = NAN,
						  .unit = rows[i].unit,
						  .reason = rows[i].reason,
					  });
	return err;
}

int benchmark_time_target(struct benchmark *b, const struct benchmark_limit *l, double measured_ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}};
	uint32_t u = 0;

	while (u < 3 && l->ns < units[u].ns)
		u++;
	return benchmark_target(b, &(struct benchmark_target){
					   .name = l->name,
					   .seed = l->seed,
					   .target = l->target,
					   .limit = l->ns / units[u].ns,
					   .measured = measured_ns / units[u].ns,
					   .unit = units[u].unit,
					   .reason = l->reason,
				   });
}

enum isa benchmark_isa(const struct benchmark *b)
{
	return b->options->isa;
}

double benchmark_peak_gflops(const struct benchmark *b)
{
	return b->report->machine.peak_gflops[b->options->isa];
}

double benchmark_dram_gbytes_s(const struct benchmark *b)
{
	return b->report->machine.dram_gbytes_s;
}

bool benchmark_quick(const struct benchmark *b)
{
	return b->options->quick;
}

void *benchmark_alloc(struct benchmark *b, size_t bytes)
{
	struct benchmark_block *block = calloc(1, sizeof(*block));
	/*
	 * Two streams at one offset of their pages slow each other down (4K aliasing), by chance of
	 * the allocator in some runs and not in others. So places are the same each run, and apart.
	 */
	const size_t offset = b->nblocks++ * 13 * 64 % PAGE,
		     size = (offset + bytes + PAGE - 1) / PAGE * PAGE;

	if (block && bytes <= SIZE_MAX - 2 * PAGE)
		block->memory = aligned_alloc(PAGE, size ? size : PAGE);
	if (!block || !block->memory) {
		char what[64];

		snprintf(what, sizeof(what), "%zu bytes of memory", bytes);
		benchmark_fail(b, NULL, what, -ENOMEM);
		free(block);
		return NULL;
	}
	memset(block->memory, 0, size); /* touched now, not while something is measured */
	block->next = b->blocks;
	b->blocks = block;
	return (char *)block->memory + offset;
}

float *benchmark_floats(struct benchmark *b, size_t n)
{
	float *p = benchmark_alloc(b, n * sizeof(*p));

	for (size_t i = 0; p && i < n; i++) {
		b->seed = b->seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (float)(b->seed >> 40) / (float)(1 << 23) - 1;
	}
	return p;
}
