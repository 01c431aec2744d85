/* SPDX-License-Identifier: Apache-2.0 */
/* tail.c: slow calls of probed functions: what they spent their time on, and where. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/collector.h"
#include "collectors/procfs.h"
#include "collectors/session.h"
#include "collectors/tail_priv.h"
#include "collectors/target_set.h"
#include "perftop.skel.h"

/* What a capture takes from the target, ns: the slice of its stack and the record. */
#define TAIL_CAPTURE_NS 4000.0

static void drain(struct session *se, void *priv)
{
	struct tail *t = priv;

	ring_buffer__consume(t->ring);
}

static void tail_stop(struct session *se, void *priv)
{
	struct tail *t = priv;

	if (t->ring)
		session_unwatch(se, ring_buffer__epoll_fd(t->ring));
	ring_buffer__free(t->ring);
	free(t);
}

static int tail_open(struct tail *t, struct bpf *b)
{
	struct perftop_bpf *skel = bpf_skeleton(b);
	char ours[64], theirs[64];
	int err;

	t->plan = session_plan(t->se);
	t->nslots = probe_plan_slots(t->plan);
	t->same_pids = procfs_link(getpid(), "ns/pid", ours, sizeof(ours)) > 0 &&
		       procfs_link(session_pid(t->se), "ns/pid", theirs, sizeof(theirs)) > 0 &&
		       !strcmp(ours, theirs);
	err = func_hists_map(&t->hists, b, t->nslots, func_hists_copies(t->nslots, bpf_ncpu(b)));
	if (err)
		return err;
	t->slots = bpf_map_array(b, bpf_map__fd(skel->maps.tail_slots), sizeof(*t->slots),
				 t->nslots, true);
	if (!t->slots)
		return -ENOMEM;
	t->ring = ring_buffer__new(bpf_map__fd(skel->maps.tails), tail_read_record, t, NULL);
	if (!t->ring)
		return -ENOMEM;
	tail_threshold_init(t);
	session_watch(t->se, ring_buffer__epoll_fd(t->ring), drain, t);
	return 0;
}

/* 0, or -errno with the section's text left: nothing to look at, or no way to. */
static int check(struct session *se)
{
	const struct session_config *cfg = session_config(se);
	const struct snap_section *func = session_find_section(se, "func");
	char why[SNAP_TEXT];

	if (cfg->no_tails) {
		session_section(se, "tail", SECTION_ABSENT, NULL, "turned off by --slower off");
		return -ENOENT;
	}
	if (cfg->in_process) {
		session_section(se, "tail", SECTION_ABSENT, "leave out --in-process",
				"the time of calls alone is known in the process");
		return -ENOTSUP;
	}
	if (!session_plan(se) || !probe_plan_rows(session_plan(se))) {
		session_section(se, "tail", SECTION_ABSENT, "-e MODULE:FUNCTION",
				"-e names no function");
		return -ENODATA;
	}
	if (!session_bpf(se)) {
		session_section(se, "tail", SECTION_ABSENT, session_privilege_fix(se),
				"needs eBPF");
		return -EPERM;
	}
	if (func && func->status == SECTION_ABSENT) {
		session_section(se, "tail", SECTION_ABSENT, func->fix, "no function is timed: %s",
				func->reason);
		return -ENOTSUP;
	}
	if (!cfg->offcpu ||
	    bpf_program_fd(session_bpf(se), "on_sched_switch", why, sizeof(why)) < 0) {
		session_section(se, "tail", SECTION_ABSENT, NULL, "needs time off the CPU: %s",
				cfg->offcpu ? why : "turned off by --no-offcpu");
		return -ENODATA;
	}
	return 0;
}

static int tail_start(struct session *se, void **priv)
{
	struct tail *t;
	int err = check(se);

	if (err)
		return err;
	t = calloc(1, sizeof(*t));
	err = -ENOMEM;
	if (t) {
		t->se = se;
		err = tail_open(t, session_bpf(se));
	}
	if (err) {
		session_section(se, "tail", SECTION_ABSENT, NULL, "slow calls: %s", strerror(-err));
		if (t)
			tail_stop(se, t);
		return err;
	}
	session_section(se, "tail", SECTION_LIVE, NULL, "waits for the first slow call");
	*priv = t;
	return 0;
}

static void sum_slots(struct tail *t, uint64_t *blind)
{
	t->slow = t->kept = *blind = 0;
	for (uint32_t i = 0; i + 1 < t->nslots; i++) {
		t->slow += __atomic_load_n(&t->slots[i].slow, __ATOMIC_RELAXED);
		t->kept += __atomic_load_n(&t->slots[i].kept, __ATOMIC_RELAXED);
		*blind += __atomic_load_n(&t->slots[i].blind, __ATOMIC_RELAXED);
	}
}

static void say(struct session *se, const struct tail *t, uint64_t blind)
{
	const struct session_config *cfg = session_config(se);
	uint64_t slow = t->slow - t->slow_base, kept = t->kept - t->kept_base;
	char limit[48] = "their p99";

	if (cfg->slower_ns)
		snprintf(limit, sizeof(limit), "%.6g %s",
			 (double)cfg->slower_ns / (cfg->slower_ns < 1000000 ? 1e3 : 1e6),
			 cfg->slower_ns < 1000000 ? "µs" : "ms");
	if (t->dropped)
		session_section(se, "tail", SECTION_DEGRADED, NULL,
				"%llu calls above %s, %llu with evidence, %llu lost in a full ring",
				(unsigned long long)slow, limit, (unsigned long long)kept,
				(unsigned long long)t->dropped);
	else
		session_section(se, "tail", SECTION_LIVE, NULL,
				"%llu calls above %s, %llu with evidence (%d a second and function "
				"at most%s)",
				(unsigned long long)slow, limit, (unsigned long long)kept,
				CONTRACT_TAIL_RATE,
				blind ? "; not of calls that began before, or nested too deep"
				      : "");
}

static void tail_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct tail *t = priv;
	struct session_cost cost = {0};
	uint64_t blind, lost = bpf_skeleton(session_bpf(se))->bss->tails_lost;

	drain(se, t);
	tail_threshold_update(t);
	sum_slots(t, &blind);
	cost.events = t->kept - t->taken;
	cost.target_ns = (double)cost.events * TAIL_CAPTURE_NS;
	cost.dropped = lost - t->dropped;
	session_add_cost(se, &cost);
	t->taken = t->kept;
	t->dropped = lost;
	tail_fill(t, s);
	if (t->slow > t->slow_base)
		say(se, t, blind);
}

static void tail_reset(struct session *se, void *priv)
{
	struct tail *t = priv;

	t->keep.n = 0;
	t->slow_base = t->slow;
	t->kept_base = t->kept;
}

const struct collector collector_tail = {
	.name = "tail",
	.help = "slow calls of those functions: what they spent their time on, and where",
	.start = tail_start,
	.tick = tail_tick,
	.reset = tail_reset,
	.stop = tail_stop,
};
