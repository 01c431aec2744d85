/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_published.c: targets from the table of published times. */
#include "kernels/benchmark/benchmark_published.h"

#include <math.h>
#include <string.h>

#include "kernels/benchmark/benchmark_state.h"

const struct benchmark_published benchmark_published[] = {
#define PUBLISHED(suite_, contest_, case_, param_, value_, quantile_, ns_, name_, seed_, text_, \
		  why_)                                                                         \
	{suite_, contest_, case_, param_, value_, quantile_, {name_, seed_, text_, ns_, why_}},
#include "kernels/benchmark/published.def"
#undef PUBLISHED
};
const uint32_t benchmark_published_count =
	sizeof(benchmark_published) / sizeof(benchmark_published[0]);

static bool has_param(const struct benchmark_result *r, const char *name, double value)
{
	for (uint32_t i = 0; i < r->nparams; i++)
		if (!strcmp(r->params[i].name, name) && r->params[i].value == value)
			return true;
	return false;
}

static const struct benchmark_result *find(const struct benchmark_report *r, uint32_t first,
					   const struct benchmark_published *p)
{
	const struct benchmark_result *best = NULL;

	for (uint32_t i = first; i < r->nresults; i++) {
		const struct benchmark_result *at = &r->results[i];

		if (!strcmp(at->contest, p->contest) && !strcmp(at->name, p->name) &&
		    (!p->param || has_param(at, p->param, p->value)) &&
		    (!best || at->isa >= best->isa))
			best = at;
	}
	return best;
}

static int add_target(struct benchmark *b, uint32_t first, const struct benchmark_published *p)
{
	struct benchmark_limit l = p->limit;
	const struct benchmark_result *r = p->contest ? find(b->report, first, p) : NULL;

	if (!r && b->options->quick)
		return 0;
	if (!r && p->contest)
		l.reason = "no result to answer it";
	return benchmark_time_target(
		b, &l, r ? benchmark_stats_quantile(r->samples_ns, r->ns.n, p->quantile) : NAN);
}

int benchmark_published_targets(struct benchmark *b, uint32_t first)
{
	int err = 0;

	for (uint32_t i = 0; i < benchmark_published_count && !err; i++)
		if (!strcmp(benchmark_published[i].suite, b->suite))
			err = add_target(b, first, &benchmark_published[i]);
	return err;
}
