/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_report.c: results, targets and failures, with strings of their own. */
#include "kernels/benchmark/benchmark_report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void benchmark_report_init(struct benchmark_report *r)
{
	*r = (struct benchmark_report){0};
}

void benchmark_report_fini(struct benchmark_report *r)
{
	for (uint32_t i = 0; i < r->nresults; i++)
		free(r->results[i].samples_ns);
	for (uint32_t i = 0; i < r->nstrings; i++)
		free(r->strings[i]);
	free(r->results);
	free(r->targets);
	free(r->failures);
	free(r->strings);
	benchmark_report_init(r);
}

/* Room for one more in *array, zeroed; powers of two. */
static void *grow(struct benchmark_report *r, void *array, uint32_t *n, size_t size)
{
	void **at = array, *bigger = *at;

	if (!(*n & (*n - 1)))
		bigger = realloc(*at, (*n ? 2 * (size_t)*n : 1) * size);
	if (!bigger) {
		r->out_of_memory = true;
		return NULL;
	}
	*at = bigger;
	memset((char *)bigger + *n * size, 0, size);
	return (char *)bigger + (*n)++ * size;
}

const char *benchmark_report_string(struct benchmark_report *r, const char *text)
{
	char **slot;

	if (!text)
		return NULL;
	for (uint32_t i = r->nstrings; i > 0; i--) /* recent ones come again */
		if (!strcmp(r->strings[i - 1], text))
			return r->strings[i - 1];
	slot = grow(r, &r->strings, &r->nstrings, sizeof(*r->strings));
	if (!slot)
		return NULL;
	*slot = strdup(text);
	if (!*slot) {
		r->out_of_memory = true;
		r->nstrings--;
		return NULL;
	}
	return *slot;
}

struct benchmark_result *benchmark_report_add_result(struct benchmark_report *r)
{
	return grow(r, &r->results, &r->nresults, sizeof(*r->results));
}

int benchmark_report_add_samples(struct benchmark_result *result, const double *samples_ns,
				 uint32_t n)
{
	double *copy = malloc(n * sizeof(*copy));

	if (!copy)
		return n ? -ENOMEM : 0;
	memcpy(copy, samples_ns, n * sizeof(*copy));
	free(result->samples_ns);
	result->samples_ns = copy;
	result->ns = benchmark_stats_of(copy, n);
	result->ops_per_s = result->ns.median > 0 ? 1e9 / result->ns.median : 0;
	return 0;
}

int benchmark_report_add_target(struct benchmark_report *r, const char *suite,
				const struct benchmark_target *t)
{
	struct benchmark_verdict *v;

	if (!t->name || !t->seed || !t->target || (isnan(t->measured) && !t->reason))
		return -EINVAL;
	v = grow(r, &r->targets, &r->ntargets, sizeof(*r->targets));
	if (!v)
		return -ENOMEM;
	v->suite = benchmark_report_string(r, suite);
	v->t = *t;
	v->t.name = benchmark_report_string(r, t->name);
	v->t.seed = benchmark_report_string(r, t->seed);
	v->t.target = benchmark_report_string(r, t->target);
	v->t.unit = benchmark_report_string(r, t->unit ? t->unit : "");
	v->t.baseline = benchmark_report_string(r, t->baseline);
	v->t.reason = benchmark_report_string(r, t->reason);
	if (isnan(t->measured))
		v->status = BENCHMARK_NA;
	else if (t->at_least ? t->measured >= t->limit : t->measured < t->limit)
		v->status = BENCHMARK_PASS;
	else
		v->status = BENCHMARK_MISSED;
	if (v->status == BENCHMARK_MISSED && !t->reason)
		v->t.reason =
			"not explained yet: its row above has the shares of peak and bandwidth";
	if (r->out_of_memory) {
		r->ntargets--;
		return -ENOMEM;
	}
	return 0;
}

void benchmark_report_fail(struct benchmark_report *r, const char *suite, const char *what)
{
	struct benchmark_failure *f = grow(r, &r->failures, &r->nfailures, sizeof(*r->failures));

	if (!f)
		return;
	f->suite = benchmark_report_string(r, suite);
	f->what = benchmark_report_string(r, what);
	if (!f->suite || !f->what)
		r->nfailures--;
}

const char *benchmark_status_name(enum benchmark_status status)
{
	return status == BENCHMARK_PASS ? "PASS" : status == BENCHMARK_MISSED ? "MISSED" : "N/A";
}
