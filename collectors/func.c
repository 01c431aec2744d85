/* SPDX-License-Identifier: Apache-2.0 */
/* func.c: latency of the functions and USDT markers named with -e. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/collector.h"
#include "collectors/func_priv.h"
#include "collectors/symbols.h"
#include "perftop.skel.h"

static void func_free(struct func *f)
{
	if (!f)
		return;
	func_way_free(f);
	for (uint32_t i = 0; f->rows && i < f->cap; i++)
		latency_track_fini(&f->rows[i].track);
	free(f->rows);
	free(f->loads);
	free(f->moved);
	free(f->order);
	free(f->fresh);
	free(f);
}

/* Parts of one sentence, as far as they fit. */
struct sentence {
	char text[SNAP_TEXT];
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void add(struct sentence *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (s->n && s->n + 2 < sizeof(s->text))
		s->n += (size_t)snprintf(s->text + s->n, sizeof(s->text) - s->n, "; ");
	va_start(ap, fmt);
	n = vsnprintf(s->text + s->n, sizeof(s->text) - s->n, fmt, ap);
	va_end(ap);
	s->n = s->n + (size_t)n < sizeof(s->text) ? s->n + (size_t)n : sizeof(s->text) - 1;
}

void func_say(struct session *se, const struct func *f)
{
	uint32_t refused = probe_plan_refused(f->plan), seen = 0, detached = 0, waiting, gone = 0;
	uint32_t unseen = 0;
	const char *fix = NULL;
	struct sentence s = {.n = 0};
	char names[96], way[SNAP_TEXT] = "";

	for (uint32_t i = 0; i < f->nrows; i++) {
		seen += f->loads[i].state == FUNC_SEEN;
		detached += f->loads[i].state == FUNC_DETACHED;
		gone += probe_plan_row(f->plan, i)->gone;
	}
	waiting = probe_plan_waiting(f->plan, names, sizeof(names));
	if (waiting)
		add(&s, "%s %s not loaded yet, probes go on when %s", names,
		    waiting > 1 ? "are" : "is", waiting > 1 ? "they are" : "it is");
	if (f->calls)
		func_calls_say(f, way, sizeof(way), &unseen);
	if (unseen) {
		fix = "without --in-process they are probed";
		add(&s, "no GOT slot leads to %u of %u: called directly", unseen, f->nrows);
	}
	if (refused && f->calls) {
		add(&s, "%u left out: %.60s", refused,
		    probe_plan_row(f->plan, f->nrows)->place.reason);
	} else if (refused) {
		fix = "--force attaches them";
		add(&s, "%u attached, %u left out: single-stepped, %.1f µs a call", f->nrows,
		    refused, probe_plan_costs(f->plan)->entry_ns[INSN_OTHER] / 1e3);
	}
	if (seen || detached)
		fix = "--max-overhead PCT allows more, --force all";
	if (seen)
		add(&s,
		    "%u of %u probes seen in windows: over the budget of %.1f %% of a CPU; their "
		    "counts are estimates by the target's CPU time",
		    seen, f->nrows, session_config(se)->max_overhead_pct);
	if (detached)
		add(&s, "%u of %u probes detached: over the budget of %.1f %% of a CPU", detached,
		    f->nrows, session_config(se)->max_overhead_pct);
	if (gone)
		add(&s, "%u in what was unloaded", gone);
	if (s.n || (f->calls && !func_calls_works(f))) {
		if (way[0])
			add(&s, "%s", way);
		session_section(se, "func",
				f->nrows && unseen == f->nrows ? SECTION_ABSENT : SECTION_DEGRADED,
				fix, "%s", s.text);
		return;
	}
	add(&s, "%u functions and markers", f->nrows);
	if (f->nrows > FUNC_SHOWN)
		add(&s, "the %d most called are shown", FUNC_SHOWN);
	if (f->hists.copies)
		add(&s, "quantiles within 6 %%");
	if (way[0])
		add(&s, "%s", way);
	session_section(se, "func", SECTION_LIVE, NULL, "%s", s.text);
}

static int alloc_rows(struct func *f, char *why, size_t why_size)
{
	f->nrows = probe_plan_rows(f->plan);
	f->cap = probe_plan_slots(f->plan);
	f->rows = calloc(f->cap, sizeof(*f->rows));
	f->loads = calloc(f->cap, sizeof(*f->loads));
	f->moved = calloc(f->cap, sizeof(*f->moved));
	f->order = calloc(f->cap, sizeof(*f->order));
	f->fresh = calloc(f->cap, sizeof(*f->fresh));
	if (f->rows && f->loads && f->moved && f->order && f->fresh)
		return 0;
	snprintf(why, why_size, "no memory for %u functions", f->cap);
	return -ENOMEM;
}

static int open_probes(struct func *f, struct session *se, char *why, size_t why_size)
{
	struct bpf *b = session_bpf(se);
	int err = func_hists_map(&f->hists, b, f->cap, func_hists_copies(f->cap, bpf_ncpu(b)));

	if (err) {
		snprintf(why, why_size, "no memory for %u histograms", f->cap);
		return err;
	}
	f->unmatched = (const uint64_t *)bpf_skeleton(b)->bss->func_unmatched;
	f->attach = func_attach_new(b, f->plan, session_pid(se), why, why_size);
	if (!f->attach)
		return -ENOTSUP;
	func_attach_beside(f->attach, session_target_set(se));
	func_attach_calibrate(f->attach, &f->hists, &f->costs);
	func_rows_price(f, 0);
	return func_attach_sites(f->attach, 0, why, why_size);
}

static int func_open(struct func *f, struct session *se, char *why, size_t why_size)
{
	int err;

	f->plan = session_plan(se);
	f->generation = symbols_generation(session_symbols(se));
	err = alloc_rows(f, why, why_size);
	if (!err)
		err = session_config(se)->in_process ? func_calls_open(f, se, why, why_size)
						     : open_probes(f, se, why, why_size);
	if (!err)
		err = func_late_init(f, se);
	return err ? err : func_windows_init(f, se);
}

static int func_start(struct session *se, void **priv)
{
	char why[SNAP_TEXT] = "";
	struct func *f;
	int err;

	if (!session_plan(se) || !probe_plan_slots(session_plan(se))) {
		if (!session_config(se)->nprobes)
			session_section(se, "func", SECTION_ABSENT, "-e MODULE:FUNCTION",
					"-e names no function");
		else
			session_section(se, "func", SECTION_ABSENT, NULL,
					"what -e names is not in the program that runs now");
		return -ENODATA;
	}
	if (!session_bpf(se) && !session_config(se)->in_process) {
		session_section(se, "func", SECTION_ABSENT, session_privilege_fix(se),
				"needs eBPF");
		return -EPERM;
	}
	f = calloc(1, sizeof(*f));
	if (f)
		f->timer_fd = f->late_fd = -1;
	err = f ? func_open(f, se, why, sizeof(why)) : -ENOMEM;
	if (err) {
		session_section(se, "func", SECTION_ABSENT,
				err == -ENOTSUP && !bpf_has_uprobe_multi()
					? "--in-process, for calls from module to module"
					: NULL,
				"%s", why[0] ? why : strerror(-err));
		if (f)
			func_late_fini(f, se);
		func_free(f);
		return err;
	}
	func_say(se, f);
	*priv = f;
	return 0;
}

static void func_glance(struct session *se, void *priv)
{
	func_late_newcomers(priv, se);
}

static void func_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct func *f = priv;

	func_way_retire(f);
	if (f->calls)
		func_calls_tick(f, se);
	func_late_newcomers(f, se);
	func_late_look(f, se);
	func_windows_account(f);
	func_rows_read(f, se);
	func_rows_fill(f, se, s);
	func_windows_tick(f, se);
}

static void func_reset(struct session *se, void *priv)
{
	func_rows_reset(priv);
}

static void func_stop(struct session *se, void *priv)
{
	struct func *f = priv;

	func_windows_fini(f, se);
	func_late_fini(f, se);
	func_free(f);
}

const struct collector collector_func = {
	.name = "func",
	.help = "latency of the functions and USDT markers named with -e",
	.start = func_start,
	.tick = func_tick,
	.reset = func_reset,
	.glance = func_glance,
	.stop = func_stop,
};
