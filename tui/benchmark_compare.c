/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_compare.c: matching results of two runs, and testing them. */
#include "tui/benchmark_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

bool benchmark_same_result(const struct benchmark_result *a, const struct benchmark_result *b)
{
	if (a->isa != b->isa || a->nparams != b->nparams || !same_text(a->name, b->name) ||
	    !same_text(a->contest, b->contest) || !same_text(a->suite, b->suite))
		return false;
	for (uint32_t i = 0; i < a->nparams; i++) {
		const struct benchmark_param *p = &a->params[i], *q = &b->params[i];

		/* That one is measured: it may differ a little. */
		if (same_text(p->name, "recall") && same_text(q->name, "recall"))
			continue;
		if (!same_text(p->name, q->name) || !same_text(p->text, q->text) ||
		    (!p->text && p->value != q->value))
			return false;
	}
	return true;
}

static const struct benchmark_result *find(const struct benchmark_report *r,
					   const struct benchmark_result *like)
{
	for (uint32_t i = 0; i < r->nresults; i++)
		if (benchmark_same_result(&r->results[i], like))
			return &r->results[i];
	return NULL;
}

/* The least p that n against m samples can give is 1 / C(n + m, n). */
static double least_p(uint32_t n, uint32_t m)
{
	double p = 1;

	for (uint32_t i = 1; i <= n && p > 1e-12; i++)
		p *= (double)i / (m + i);
	return p;
}

/* How many times as slow the machine was for a as for b, at least 1: in what it slowed most. */
static double over(const struct benchmark_result *a, const struct benchmark_result *b)
{
	double most = 1;

	if (b->reference_ns > 0 && a->reference_ns > b->reference_ns)
		most = a->reference_ns / b->reference_ns;
	if (b->copy_ns > 0 && a->copy_ns > b->copy_ns * most)
		most = a->copy_ns / b->copy_ns;
	return most;
}

/* Whether a's fastest calls took more than `factor` times as long as b's. */
static bool fastest_too(const struct benchmark_result *a, const struct benchmark_result *b,
			double factor)
{
	return benchmark_stats_quantile(a->samples_ns, a->ns.n, BENCHMARK_FASTEST) >
	       factor * benchmark_stats_quantile(b->samples_ns, b->ns.n, BENCHMARK_FASTEST);
}

static void test(const struct benchmark_result *before, const struct benchmark_result *now,
		 double chance, struct benchmark_difference *d)
{
	double slower, faster;

	*d = (struct benchmark_difference){.before_ns = before->ns.median,
					   .now_ns = now->ns.median};
	slower = over(now, before);
	faster = over(before, now);
	d->machine = slower > 1 ? slower : 1 / faster;
	slower *= BENCHMARK_REGRESSION;
	faster *= BENCHMARK_REGRESSION;
	if (d->now_ns > slower * d->before_ns) {
		d->p = benchmark_stats_slower_p(before->samples_ns, before->ns.n, now->samples_ns,
						now->ns.n, slower);
		if (d->p < chance && fastest_too(now, before, slower))
			d->change = BENCHMARK_SLOWER;
	} else if (d->before_ns > faster * d->now_ns) {
		d->p = benchmark_stats_slower_p(now->samples_ns, now->ns.n, before->samples_ns,
						before->ns.n, faster);
		if (d->p < chance && fastest_too(before, now, faster))
			d->change = BENCHMARK_FASTER;
	}
}

int benchmark_compare(const struct benchmark_report *before, const struct benchmark_report *now,
		      struct benchmark_comparison *c)
{
	double chance;

	*c = (struct benchmark_comparison){0};
	c->rows = calloc(now->nresults + 1, sizeof(*c->rows));
	if (!c->rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < now->nresults; i++)
		if (find(before, &now->results[i]))
			c->compared++;
	c->unknown = now->nresults - c->compared;
	chance = BENCHMARK_CHANCE / (c->compared ? c->compared : 1);
	for (uint32_t i = 0; i < now->nresults; i++) {
		const struct benchmark_result *r = &now->results[i], *was = find(before, r);
		struct benchmark_difference *d = &c->rows[c->nrows];

		if (!was)
			continue;
		c->too_few += least_p(r->ns.n, was->ns.n) >= chance;
		test(was, r, chance, d);
		d->result = i;
		c->nslower += d->change == BENCHMARK_SLOWER;
		c->nrows += d->change != BENCHMARK_SAME;
	}
	return 0;
}

void benchmark_comparison_fini(struct benchmark_comparison *c)
{
	free(c->rows);
	*c = (struct benchmark_comparison){0};
}

void benchmark_confirm(struct benchmark_comparison *c, const struct benchmark_report *now,
		       const struct benchmark_comparison *again,
		       const struct benchmark_report *now_again)
{
	for (uint32_t i = 0; i < c->nrows; i++) {
		struct benchmark_difference *d = &c->rows[i];
		bool slower = false;

		if (d->change != BENCHMARK_SLOWER)
			continue;
		for (uint32_t j = 0; j < again->nrows; j++)
			slower |= again->rows[j].change == BENCHMARK_SLOWER &&
				  benchmark_same_result(&now->results[d->result],
							&now_again->results[again->rows[j].result]);
		if (slower)
			continue;
		d->change = BENCHMARK_SAME;
		c->nslower--;
	}
}
