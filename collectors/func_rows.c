/* SPDX-License-Identifier: Apache-2.0 */
/* func_rows.c: rows of the snapshot from what the probes counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/func_priv.h"

static void price_latency(const struct func *f, const struct probe_row *row, struct func_row *r)
{
	const struct calibration *cal = probe_plan_costs(f->plan);
	double floor_ns =
		f->costs.floor_ns + cal->entry_ns[row->place.insn] - cal->entry_ns[INSN_PUSH];

	r->cost_ns = func_costs_call_ns(&f->costs, cal, row->place.insn);
	if (row->place.how == PLACE_STEPPED)
		snprintf(r->note, sizeof(r->note), "single-stepped: ~%.1f µs of it is the probe's",
			 floor_ns / 1e3);
	else if (f->hists.copies)
		snprintf(r->note, sizeof(r->note), "quantiles within 6 %%; ~%u ns is the probe's",
			 (uint32_t)floor_ns);
	else if (!row->place.loops)
		snprintf(r->note, sizeof(r->note), "%.28s%s~%u ns of it is the probe's", row->note,
			 row->note[0] ? "; " : "", (uint32_t)floor_ns);
}

void func_rows_price(struct func *f, uint32_t from)
{
	for (uint32_t i = from; i < f->nrows; i++) {
		const struct probe_row *row = probe_plan_row(f->plan, i);
		struct func_row *r = &f->rows[i];

		r->cost_ns = row->cost_ns;
		snprintf(r->note, sizeof(r->note), "%s", row->note);
		/* What the loaded program itself adds, and how much of it a latency includes. */
		if (f->calls)
			func_calls_price(f, i, &r->cost_ns, r->note, sizeof(r->note));
		else if (row->how == PROBE_LATENCY && !row->exits && f->costs.measured)
			price_latency(f, row, r);
	}
}

/* Calls begun since the last look. */
static uint64_t read_row(struct func *f, uint32_t i, struct session_cost *cost)
{
	uint64_t calls = func_way_calls(f, i);
	struct func_load *load = &f->loads[i];
	struct func_row *r = &f->rows[i];
	uint64_t fresh = calls > r->calls ? calls - r->calls : 0;
	uint64_t ns = load->state == FUNC_SEEN ? f->on_ns : f->interval_ns;

	r->calls = calls;
	cost->events += fresh;
	cost->target_ns += (double)fresh * r->cost_ns;
	cost->throttled += load->state != FUNC_EXACT;
	/* What it would take throughout is what it took while it was attached. */
	if (load->state != FUNC_DETACHED && ns)
		load->ns_per_s = (double)fresh * 1e9 / (double)ns * r->cost_ns;
	r->rate = load->state == FUNC_EXACT && ns ? (double)fresh * 1e9 / (double)ns : 0;
	return fresh;
}

/*
 * Where only windows were seen, calls are taken to go with the CPU time that the target has for
 * itself, without its probes: a busy one does less in a window than outside, and an idle one
 * calls nothing. on_ns and all_ns are that time, in the window and in the whole interval. The
 * kernel's account lags by up to its own tick, so a few windows are taken together.
 */
static void estimate_row(struct func *f, uint32_t i, uint64_t fresh, double on_ns, double all_ns)
{
	const double keep = 0.7;
	struct func_row *r = &f->rows[i];
	double estimate = 0;

	if (f->on_ns) {
		r->seen_calls = r->seen_calls * keep + (double)fresh;
		r->seen_cpu_ns = r->seen_cpu_ns * keep + on_ns;
	}
	if (r->seen_cpu_ns > 0)
		estimate = r->seen_calls / r->seen_cpu_ns * all_ns;
	if (estimate > (double)fresh)
		r->unseen += estimate - (double)fresh;
	else
		estimate = (double)fresh;
	r->rate = f->interval_ns ? estimate * 1e9 / (double)f->interval_ns : 0;
}

static double at_least(double v, double low)
{
	return v > low ? v : low;
}

#define PRICE_SURE 0.8

double func_rows_own_ns(double cpu_ns, double probes_ns)
{
	return at_least(cpu_ns - PRICE_SURE * probes_ns, 0.05 * cpu_ns);
}

void func_rows_read(struct func *f, struct session *se)
{
	struct session_cost cost = {0};
	double windowed_ns = 0, on_ns, all_ns;

	for (uint32_t i = 0; i < f->nrows; i++) {
		f->fresh[i] = read_row(f, i, &cost);
		if (f->loads[i].state == FUNC_SEEN)
			windowed_ns += (double)f->fresh[i] * f->rows[i].cost_ns;
	}
	session_add_cost(se, &cost);
	/* What exact probes take goes with the calls, and so cancels out. */
	on_ns = func_rows_own_ns((double)f->on_cpu_ns, windowed_ns);
	all_ns = at_least((double)f->cpu_ns - (double)f->on_cpu_ns + on_ns, on_ns);
	if (f->on_cpu_ns)
		f->dearly_seen = on_ns < 2.0 / 3 * (double)f->on_cpu_ns;
	for (uint32_t i = 0; i < f->nrows; i++)
		if (f->loads[i].state == FUNC_SEEN)
			estimate_row(f, i, f->fresh[i], on_ns, all_ns);
}

static void write_note(const struct func *f, uint32_t i, const struct probe_row *row,
		       struct snap_latency *out)
{
	const struct func_row *r = &f->rows[i];
	uint64_t lost = f->unmatched ? f->unmatched[i] : 0;

	if (f->loads[i].state == FUNC_DETACHED)
		snprintf(out->note, sizeof(out->note), "detached: over budget");
	else if (row->gone)
		snprintf(out->note, sizeof(out->note), "gone: %.40s was unloaded", row->module);
	else if (f->loads[i].state == FUNC_SEEN)
		snprintf(out->note, sizeof(out->note), "%s: seen %u ms in %.0f s",
			 f->dearly_seen ? "low estimate" : "estimate",
			 (uint32_t)(f->window_ns / 1000000), FUNC_WINDOW_EVERY_NS / 1e9);
	else if (r->estimated)
		snprintf(out->note, sizeof(out->note), "count is in part an estimate");
	else if (f->hists.copies && f->sum.count > UINT32_MAX)
		snprintf(out->note, sizeof(out->note), "quantiles overflowed: z begins anew");
	else if (row->how == PROBE_PAIR && lost)
		snprintf(out->note, sizeof(out->note), "pair of markers; %llu without a partner",
			 (unsigned long long)lost);
	else
		snprintf(out->note, sizeof(out->note), "%s", r->note);
}

static void fill_row(struct func *f, struct session *se, uint32_t i, struct snapshot *s)
{
	const struct probe_row *row = probe_plan_row(f->plan, i);
	uint64_t target = session_config(se)->latency_target_ns;
	struct latency_source_now now = {0};
	struct func_row *r = &f->rows[i];
	struct snap_latency *out;

	if (s->nlatency == SNAP_LATENCY) {
		s->truncated++;
		return;
	}
	func_way_sum(f, i, &f->sum);
	out = &s->latency[s->nlatency++];
	snprintf(out->name, sizeof(out->name), "%s", row->name);
	snprintf(out->module, sizeof(out->module), "%s", row->module);
	snprintf(out->unit, sizeof(out->unit), "ns");
	out->source = row->source;
	now.count = (row->how == PROBE_COUNT ? f->sum.calls : f->sum.count) +
		    (uint64_t)(r->unseen + 0.5);
	now.sum = f->sum.sum;
	now.max = f->sum.max;
	now.bins = row->how == PROBE_COUNT ? NULL : f->sum.bins;
	now.nbins = f->sum.nbins;
	latency_track_update(&r->track, &now, f->interval_ns, s, out);
	out->calls = r->calls - r->calls_base;
	if (r->estimated) {
		out->calls = out->count;
		out->rate = r->rate;
	}
	out->cost_ns = f->loads[i].state == FUNC_DETACHED ? 0 : r->cost_ns;
	if (target && row->how != PROBE_COUNT) {
		out->target = target;
		out->met = out->p99 <= target;
	}
	write_note(f, i, row, out);
}

static int compare_calls(const void *a, const void *b, void *arg)
{
	const struct func_row *rows = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	double x = (double)rows[i].calls + rows[i].unseen,
	       y = (double)rows[k].calls + rows[k].unseen;

	if (x != y)
		return x > y ? -1 : 1;
	return i < k ? -1 : i > k;
}

/* Of thousands, those that are called, the most called first: the others have nothing to show. */
static void fill_most_called(struct func *f, struct session *se, struct snapshot *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->nrows; i++)
		if (f->rows[i].calls)
			f->order[n++] = i;
	qsort_r(f->order, n, sizeof(*f->order), compare_calls, f->rows);
	for (uint32_t k = 0; k < n && k < FUNC_SHOWN; k++) {
		fill_row(f, se, f->order[k], s);
		f->rows[f->order[k]].shown = true;
	}
	for (uint32_t k = FUNC_SHOWN; k < n; k++) {
		struct func_row *r = &f->rows[f->order[k]];

		s->truncated++;
		if (r->shown)
			latency_track_fini(&r->track);
		r->shown = false;
	}
}

void func_rows_fill(struct func *f, struct session *se, struct snapshot *s)
{
	if (f->nrows > FUNC_SHOWN) {
		fill_most_called(f, se, s);
		return;
	}
	for (uint32_t i = 0; i < f->nrows; i++)
		fill_row(f, se, i, s);
}

void func_rows_reset(struct func *f)
{
	/* Compact histograms begin anew themselves: their rows keep no base. */
	if (!f->calls)
		func_hists_clear(&f->hists);
	for (uint32_t i = 0; i < f->nrows; i++) {
		struct func_row *r = &f->rows[i];

		if (f->hists.copies) {
			latency_track_fini(&r->track);
			r->calls = r->calls_base = 0;
			r->unseen = 0;
		} else {
			latency_track_reset(&r->track);
			r->calls_base = r->calls;
		}
		r->estimated = f->loads[i].state == FUNC_SEEN;
	}
}
