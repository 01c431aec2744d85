/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_collector.c: see verdict_collector.h. */
#include "tui/verdict_collector.h"

#include <stdio.h>
#include <string.h>

#include "collectors/name_words.h"

/* Percent of its CPU time: a program that allocates a lot spends less. */
#define COLLECTOR_PCT 40.0
enum { SAMPLES_LEAST = 30 };

static const char *threads_words(const struct snapshot *s, double busy, char *text, size_t size)
{
	/* As HotSpot names those of its collectors: G1 and Parallel, Z, Shenandoah. */
	static const char *const names[] = {"GC Thread#", "G1 ",	"ParGC Thread",
					    "ZWorker",	  "Shenandoah", "XWorker"};
	const struct snap_thread *top = NULL;
	double pct = 0;

	for (uint32_t i = 0; i < s->nthreads; i++) {
		const struct snap_thread *t = &s->threads[i];

		if (!NAME_BEGINS_IN(t->comm, names))
			continue;
		pct += t->cpu_pct;
		if (!top || t->cpu_pct > top->cpu_pct)
			top = t;
	}
	if (!top || 100 * pct < COLLECTOR_PCT * busy)
		return NULL;
	snprintf(text, size,
		 "%.0f %% of its CPU time goes to the garbage collector's threads (%s first, with "
		 "%.0f %% of a CPU): a larger heap (-Xmx), or fewer allocations; %.0f %% of a CPU "
		 "used",
		 pct > busy ? 100.0 : 100 * pct / busy, top->comm, top->cpu_pct, busy);
	return "threads";
}

/*
 * Go marks what lives in workers of its own, and in who allocates; both on stacks of the system,
 * whose callers are not in the samples.
 */
static const char *go_words(const struct snapshot *s, double busy, char *text, size_t size)
{
	double mark = 0, assist = 0;

	for (uint32_t i = 0; i < s->nfunctions && s->cpu.samples >= SAMPLES_LEAST; i++) {
		const struct snap_function *f = &s->functions[i];

		if (!strcmp(f->name, "runtime.gcDrain") && f->total_pct > mark)
			mark = f->total_pct;
		if (!strcmp(f->name, "runtime.gcDrainN") && f->total_pct > assist)
			assist = f->total_pct;
	}
	if (mark + assist < COLLECTOR_PCT)
		return NULL;
	snprintf(text, size,
		 "%.0f %% of samples are in Go's garbage collector, %.0f %% of them in who "
		 "allocates: a larger heap (GOGC, GOMEMLIMIT), or fewer allocations; %.0f %% of a "
		 "CPU used",
		 mark + assist, 100 * assist / (mark + assist), busy);
	return "cpu";
}

const char *verdict_collector(const struct snapshot *s, double busy, char *text, size_t size)
{
	const char *view = threads_words(s, busy, text, size);

	return view ? view : go_words(s, busy, text, size);
}
