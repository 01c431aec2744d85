/* SPDX-License-Identifier: Apache-2.0 */
/* func.c: latency of the functions and USDT markers named with -e. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/collector.h"
#include "collectors/func_attach.h"
#include "collectors/latency.h"
#include "collectors/probe_plan.h"
#include "collectors/session.h"
#include "perftop.skel.h"

enum { FUNC_OVER_TICKS = 3 };

struct func_row {
	struct latency_track track;
	uint64_t calls, calls_base; /* at the last tick, at the last reset */
	double rate;
	double cost_ns;
	bool detached;
	char note[64];
};

struct func {
	const struct probe_plan *plan;
	struct func_attach *attach;
	const struct contract_hist *hists;
	const uint64_t *unmatched; /* by slot */
	uint32_t ncpu, nrows;
	struct func_row *rows;
	struct func_costs costs;
	uint32_t over_ticks;
	struct latency_sum sum; /* scratch */
};

static void func_free(struct func *f)
{
	if (!f)
		return;
	func_attach_free(f->attach);
	for (uint32_t i = 0; f->rows && i < f->nrows; i++)
		latency_track_fini(&f->rows[i].track);
	free(f->rows);
	free(f);
}

/* What the loaded program itself adds, and how much of the probe a latency includes. */
static void write_row_costs(struct func *f)
{
	for (uint32_t i = 0; i < f->nrows; i++) {
		const struct probe_row *row = probe_plan_row(f->plan, i);
		struct func_row *r = &f->rows[i];
		double floor_ns = f->costs.floor_ns;

		r->cost_ns = row->cost_ns;
		snprintf(r->note, sizeof(r->note), "%s", row->note);
		if (row->how != PROBE_LATENCY || !f->costs.measured)
			continue;
		r->cost_ns =
			func_costs_call_ns(&f->costs, probe_plan_costs(f->plan), row->place.insn);
		floor_ns += probe_plan_costs(f->plan)->entry_ns[row->place.insn] -
			    probe_plan_costs(f->plan)->entry_ns[INSN_PUSH];
		if (row->place.how == PLACE_STEPPED)
			snprintf(r->note, sizeof(r->note),
				 "single-stepped: ~%.1f us of it is the probe's", floor_ns / 1e3);
		else if (!row->place.loops)
			snprintf(r->note, sizeof(r->note), "%.28s%s~%u ns of it is the probe's",
				 row->note, row->note[0] ? "; " : "", (uint32_t)floor_ns);
	}
}

static void say_live(struct session *se, const struct func *f)
{
	uint32_t left = 0, refused = probe_plan_refused(f->plan);

	for (uint32_t i = 0; i < f->nrows; i++)
		left += !f->rows[i].detached;
	if (left < f->nrows)
		session_section(se, "func", SECTION_DEGRADED, "--force keeps them",
				"%u of %u probes detached: over the budget of %.1f %% of a CPU",
				f->nrows - left, f->nrows, session_config(se)->max_overhead_pct);
	else if (refused)
		session_section(se, "func", SECTION_DEGRADED, "--force attaches them",
				"%u attached, %u left out: single-stepped, %.1f us a call",
				f->nrows, refused,
				probe_plan_costs(f->plan)->entry_ns[INSN_OTHER] / 1e3);
	else
		session_section(se, "func", SECTION_LIVE, NULL, "%u functions and markers",
				f->nrows);
}

static int func_open(struct func *f, struct session *se, char *why, size_t why_size)
{
	struct bpf *b = session_bpf(se);
	struct perftop_bpf *skel = bpf_skeleton(b);

	f->plan = session_plan(se);
	f->nrows = probe_plan_rows(f->plan);
	f->ncpu = bpf_ncpu(b);
	f->rows = calloc(f->nrows, sizeof(*f->rows));
	f->hists = bpf_map_array(b, bpf_map__fd(skel->maps.func_hist), sizeof(*f->hists),
				 (size_t)probe_plan_slots(f->plan) * f->ncpu, false);
	if (!f->rows || !f->hists) {
		snprintf(why, why_size, "no memory for %u histograms", f->nrows);
		return -ENOMEM;
	}
	f->unmatched = (const uint64_t *)skel->bss->func_unmatched;
	f->attach = func_attach_new(b, f->plan, session_pid(se), why, why_size);
	if (!f->attach)
		return -ENOTSUP;
	func_attach_calibrate(f->attach, f->hists, &f->costs);
	write_row_costs(f);
	return func_attach_all(f->attach, why, why_size);
}

static int func_start(struct session *se, void **priv)
{
	char why[SNAP_TEXT] = "";
	struct func *f;
	int err;

	if (!session_plan(se) || !probe_plan_rows(session_plan(se))) {
		if (!session_config(se)->nprobes)
			session_section(se, "func", SECTION_ABSENT, "-e MODULE:FUNCTION",
					"no function named");
		else
			session_section(se, "func", SECTION_ABSENT, NULL,
					"what -e names is not in the program that runs now");
		return -ENODATA;
	}
	if (!session_bpf(se)) {
		session_section(se, "func", SECTION_ABSENT, session_privilege_fix(se),
				"needs eBPF");
		return -EPERM;
	}
	f = calloc(1, sizeof(*f));
	err = f ? func_open(f, se, why, sizeof(why)) : -ENOMEM;
	if (err) {
		session_section(se, "func", SECTION_ABSENT, NULL, "%s",
				why[0] ? why : strerror(-err));
		func_free(f);
		return err;
	}
	say_live(se, f);
	*priv = f;
	return 0;
}

static void write_note(const struct func *f, uint32_t i, const struct probe_row *row,
		       struct snap_latency *out)
{
	uint64_t lost = f->unmatched[i];

	if (f->rows[i].detached)
		snprintf(out->note, sizeof(out->note), "detached: over budget");
	else if (row->how == PROBE_PAIR && lost)
		snprintf(out->note, sizeof(out->note), "pair of markers; %llu without a partner",
			 (unsigned long long)lost);
	else
		snprintf(out->note, sizeof(out->note), "%s", f->rows[i].note);
}

static void fill_row(struct func *f, struct session *se, uint32_t i, struct snapshot *s,
		     struct session_cost *cost)
{
	const struct probe_row *row = probe_plan_row(f->plan, i);
	uint64_t interval_ns = session_interval_ns(se),
		 target = session_config(se)->latency_target_ns;
	struct latency_source_now now = {0};
	struct func_row *r = &f->rows[i];
	struct snap_latency *out;
	uint64_t fresh;

	latency_sum_cpus(&f->sum, f->hists + (size_t)i * f->ncpu, f->ncpu, sizeof(*f->hists));
	fresh = f->sum.calls - r->calls;
	r->calls = f->sum.calls;
	r->rate = interval_ns ? (double)fresh * 1e9 / (double)interval_ns : 0;
	cost->events += fresh;
	cost->target_ns += (double)fresh * r->cost_ns;
	if (s->nlatency == SNAP_LATENCY) {
		s->truncated++;
		return;
	}
	out = &s->latency[s->nlatency++];
	snprintf(out->name, sizeof(out->name), "%s", row->name);
	snprintf(out->module, sizeof(out->module), "%s", row->module);
	snprintf(out->unit, sizeof(out->unit), "ns");
	out->source = row->source;
	now.count = row->how == PROBE_COUNT ? f->sum.calls : f->sum.count;
	now.sum = f->sum.sum;
	now.max = f->sum.max;
	now.bins = row->how == PROBE_COUNT ? NULL : f->sum.bins;
	now.nbins = f->sum.nbins;
	latency_track_update(&r->track, &now, interval_ns, s, out);
	out->calls = r->calls - r->calls_base;
	out->cost_ns = r->detached ? 0 : r->cost_ns;
	if (target && row->how != PROBE_COUNT) {
		out->target = target;
		out->met = out->p99 <= target;
	}
	write_note(f, i, row, out);
}

static uint32_t most_expensive(const struct func *f)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < f->nrows; i++)
		if (f->rows[best].detached ||
		    (!f->rows[i].detached && f->rows[i].cost_ns * f->rows[i].rate >
						     f->rows[best].cost_ns * f->rows[best].rate))
			best = i;
	return best;
}

static double total_pct(const struct func *f)
{
	double ns = 0;

	for (uint32_t i = 0; i < f->nrows; i++)
		if (!f->rows[i].detached)
			ns += f->rows[i].cost_ns * f->rows[i].rate;
	return ns / 1e7; /* ns a second to percent of a CPU */
}

/* What the target pays is known only once the rate is: over budget for three ticks, shed. */
static void keep_budget(struct func *f, struct session *se)
{
	double budget = session_config(se)->max_overhead_pct;
	char why[SNAP_TEXT] = "";
	bool shed[CONTRACT_FUNC_SLOTS] = {0};
	bool any = false;

	if (session_config(se)->force || budget <= 0 || total_pct(f) <= budget) {
		f->over_ticks = 0;
		return;
	}
	if (++f->over_ticks < FUNC_OVER_TICKS)
		return;
	f->over_ticks = 0;
	while (total_pct(f) > budget) {
		uint32_t i = most_expensive(f);

		session_event(se, "detached %.100s: %.0f calls/s at %.0f ns are %.1f %% of a CPU",
			      probe_plan_row(f->plan, i)->name, f->rows[i].rate, f->rows[i].cost_ns,
			      f->rows[i].rate * f->rows[i].cost_ns / 1e7);
		f->rows[i].detached = shed[i] = any = true;
	}
	if (any && func_attach_drop(f->attach, shed, why, sizeof(why)))
		session_event(se, "%s", why);
	say_live(se, f);
}

static void func_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct session_cost cost = {0};
	struct func *f = priv;

	for (uint32_t i = 0; i < f->nrows; i++)
		fill_row(f, se, i, s, &cost);
	session_add_cost(se, &cost);
	keep_budget(f, se);
}

static void func_reset(struct session *se, void *priv)
{
	struct func *f = priv;

	for (uint32_t i = 0; i < f->nrows; i++) {
		latency_track_reset(&f->rows[i].track);
		f->rows[i].calls_base = f->rows[i].calls;
	}
}

static void func_stop(struct session *se, void *priv)
{
	func_free(priv);
}

const struct collector collector_func = {
	.name = "func",
	.help = "latency of the functions and USDT markers named with -e",
	.start = func_start,
	.tick = func_tick,
	.reset = func_reset,
	.stop = func_stop,
};
