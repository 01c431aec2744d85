/* SPDX-License-Identifier: Apache-2.0 */
/* session_attach.c: symbols, probes, eBPF and collectors of the program that runs now. */
#include "collectors/session_priv.h"

#include <errno.h>
#include <stdio.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/func_hist.h"
#include "collectors/probe_plan.h"
#include "collectors/procfs.h"
#include "collectors/symbols.h"
#include "collectors/unwind.h"

/* Those of the other processes, as far as there are any yet. Returns how many. */
static uint32_t open_beside(struct session *se, struct symbols **out)
{
	struct target_set *t = &se->others;
	uint32_t n = 0;

	target_set_children(t);
	for (uint32_t i = 0; i < t->n && n < TARGET_SET_SYMBOLS; i++) {
		out[n] = target_set_symbols(t, t->v[i].pid, se->symbols);
		n += out[n] != NULL;
	}
	return n;
}

int session_resolve_probes(struct session *se, char *why, size_t why_size)
{
	static const struct calibration none;
	struct symbols *beside[TARGET_SET_SYMBOLS];
	struct place_options opt = {.pid = se->target.pid,
				    .force = se->cfg.force,
				    .in_process = se->cfg.in_process,
				    .costs = se->cfg.in_process ? &none : NULL};

	if (!se->cfg.nprobes)
		return 0;
	if (!se->symbols) {
		snprintf(why, why_size,
			 "the mappings of pid %d cannot be read, so -e finds no function; "
			 "run as its user or as root",
			 se->target.pid);
		return -EACCES;
	}
	if (!se->cfg.in_process && target_set_many(&se->others)) {
		opt.beside = beside;
		opt.nbeside = open_beside(se, beside);
		opt.more = se->cfg.follow_forks || se->cfg.cgroup;
	}
	probe_plan_free(se->plan);
	se->plan =
		probe_plan_new(se->symbols, se->cfg.probes, se->cfg.nprobes, &opt, why, why_size);
	return se->plan ? 0 : -ENOENT;
}

void session_open_symbols(struct session *se)
{
	se->symbols = symbols_new(procfs_live_tid(se->target.pid));
	if (se->symbols && symbols_refresh(se->symbols)) {
		symbols_free(se->symbols);
		se->symbols = NULL;
	}
}

/*
 * A compiler's child lives a quarter of a second, and its samples are of no use to anybody once it
 * cannot be asked any more what it maps: so it is looked at between ticks.
 */
#define GLANCE_NS 25000000

static void glance(struct session *se, void *priv)
{

	if (!session_timer_rang(se->glance_fd) ||
	    !target_set_glance(&se->others, se->bpf, se->symbols, clock_mono_ns()))
		return;
	for (uint32_t i = 0; i < ncollectors; i++)
		if (se->started[i] && collectors[i]->glance)
			collectors[i]->glance(se, se->priv[i]);
}

static void glance_start(struct session *se)
{
	se->glance_fd = session_timer_new(se, glance, NULL);
	if (se->glance_fd >= 0)
		session_timer_set(se->glance_fd, GLANCE_NS, GLANCE_NS);
}

/* Before the first look at /proc, so that no child is forked unseen in between. */
static void follow(struct session *se)
{
	bool many = target_set_many(&se->others);
	char why[SNAP_TEXT];

	if (se->cfg.follow_forks && bpf_attach_tp(se->bpf, "on_follow_fork", why, sizeof(why)))
		session_event(se, "children are found at each tick alone: %.180s", why);
	else if (se->cfg.follow_forks &&
		 !bpf_attach_tp(se->bpf, "on_follow_exec", why, sizeof(why)))
		glance_start(se);
	if (bpf_attach_tp(se->bpf, "on_follow_exit", why, sizeof(why)) && many)
		session_event(se, "processes that end are found at each tick alone: %.180s", why);
	/* Without it short-lived ones seem to use less than they do. */
	if (many)
		bpf_attach_tp(se->bpf, "on_follow_free", why, sizeof(why));
	if (many)
		target_set_refresh(&se->others, se->bpf, clock_mono_ns());
}

static void load_bpf(struct session *se)
{
	struct bpf_request req = {
		.pid = se->target.pid,
		.nslots = se->plan && !se->cfg.in_process ? probe_plan_slots(se->plan) : 0,
		.sample = se->cfg.sample_hz > 0,
		.offcpu = se->cfg.offcpu,
		.syscalls = se->cfg.syscalls != SYSCALL_OFF,
		.many = target_set_many(&se->others),
		.follow = se->cfg.follow_forks,
		.block = true,
		.faults = true,
		.tails = se->cfg.offcpu && !se->cfg.no_tails && !se->cfg.in_process,
	};
	char why[SNAP_TEXT] = "turned off by --no-bpf", fix[SNAP_TEXT] = "";

	if (req.nslots) {
		req.sessions = bpf_has_uprobe_session();
		req.func_copies = func_hists_copies(req.nslots, procfs_cpu_ids());
	}
	if (!se->cfg.no_bpf)
		se->bpf = bpf_new(&req, why, sizeof(why), fix, sizeof(fix));
	if (se->bpf)
		follow(se);
	if (se->bpf)
		session_section(se, "bpf", SECTION_LIVE, NULL, "eBPF programs loaded");
	else
		session_section(se, "bpf", SECTION_ABSENT, fix, "%s", why);
}

static void start_collectors(struct session *se)
{
	for (uint32_t i = 0; i < ncollectors && i < SESSION_MAX_COLLECTORS; i++)
		if (!se->started[i]) {
			se->started[i] = !collectors[i]->start(se, &se->priv[i]);
			se->asked_ns[i] = clock_mono_ns();
		}
}

void session_settle(struct session *se)
{
	for (uint32_t i = 0; i < ncollectors; i++)
		if (se->started[i] && collectors[i]->settle)
			collectors[i]->settle(se, se->priv[i]);
}

static void stop_collectors(struct session *se)
{
	for (uint32_t i = 0; i < ncollectors && i < SESSION_MAX_COLLECTORS; i++)
		if (se->started[i]) {
			collectors[i]->stop(se, se->priv[i]);
			se->priv[i] = NULL;
			se->started[i] = false;
		}
}

void session_detach(struct session *se)
{
	session_timer_end(se, &se->glance_fd);
	stop_collectors(se);
	bpf_free(se->bpf);
	se->bpf = NULL;
	probe_plan_free(se->plan);
	se->plan = NULL;
	target_set_detach(&se->others);
	unwind_free(se->unwinder);
	se->unwinder = NULL;
	symbols_free(se->symbols);
	se->symbols = NULL;
}

/* They count from their start on, one after the other: the first interval is that of the first. */
static void begin(struct session *se)
{
	se->reset_ns = se->last_ns = clock_mono_ns();
	start_collectors(se);
	se->started_ns = clock_mono_ns();
	session_settle(se);
}

uint64_t session_ready_ns(const struct session *se)
{
	uint64_t first = se->last_ns + SESSION_FIRST_TICK_NS;
	uint64_t least = se->started_ns + SESSION_LEAST_TICK_NS;

	return first > least ? first : least;
}

void session_attach(struct session *se)
{
	load_bpf(se);
	begin(se);
	se->attached_ns = se->last_ns;
}

void session_attach_lightly(struct session *se, const char *why)
{
	session_section(se, "bpf", SECTION_ABSENT, NULL, "%s", why);
	begin(se);
	for (uint32_t i = 0; i < se->nsections; i++)
		if (se->sections[i].status == SECTION_ABSENT)
			session_section(se, se->sections[i].name, SECTION_ABSENT, NULL, "%s", why);
}

void session_reattach(struct session *se)
{
	char why[SNAP_TEXT];

	session_detach(se);
	session_open_symbols(se);
	if (!session_resolve_probes(se, why, sizeof(why)))
		se->plan_tries = 0;
	else if (!se->plan_tries)
		session_event(se, "-e names nothing in the new program: %.180s", why);
	session_attach(se);
}

void session_retry_probes(struct session *se)
{
	char why[SNAP_TEXT];

	if (!se->plan_tries || se->finished || !se->symbols)
		return;
	se->plan_tries--;
	symbols_exec(se->symbols);
	if (symbols_refresh(se->symbols))
		return;
	if (!session_resolve_probes(se, why, sizeof(why)) || !se->plan_tries)
		session_reattach(se);
}
