/* SPDX-License-Identifier: Apache-2.0 */
/* syscall_rows.c: system calls: exact counts, latency of all or of those in short windows. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/collector.h"
#include "collectors/latency.h"
#include "collectors/session.h"
#include "collectors/syscalls.h"
#include "perftop.skel.h"
#include "probes/contract.h"

/*
 * Timing a call costs the target about 170 ns more than counting it. Up to SYSCALL_FULL_RATE a
 * second that is below 0.4 % of a CPU and every call is timed; above, all calls of one short
 * window a tick are. A call belongs to a window by its start, so long ones are not favoured.
 */
#define SYSCALL_FULL_RATE 20000.0
#define SYSCALL_WINDOW_NS (20 * 1000 * 1000)

struct syscalls_priv {
	struct perftop_bpf *skel;
	const struct contract_syscall *rows; /* CONTRACT_SYSCALL_SLOTS * ncpu */
	const uint32_t *slots;		     /* CONTRACT_SYSCALLS */
	uint32_t ncpu;
	bool timing;  /* on_sys_enter is attached */
	bool windows; /* only in windows */
	int timer_fd; /* ends a window */
	struct latency_track tracks[CONTRACT_SYSCALL_SLOTS];
	struct latency_sum sum; /* scratch */
};

static void close_window(struct session *se, void *priv)
{
	struct syscalls_priv *p = priv;
	uint64_t expirations;

	if (read(p->timer_fd, &expirations, sizeof(expirations)) < 0 || !p->windows || !p->timing)
		return;
	bpf_detach_tp(session_bpf(se), "on_sys_enter");
	p->timing = false;
}

static void open_window(struct session *se, struct syscalls_priv *p)
{
	struct itimerspec end = {.it_value.tv_nsec = SYSCALL_WINDOW_NS};
	char why[SNAP_TEXT];

	if (!p->timing && bpf_attach_tp(session_bpf(se), "on_sys_enter", why, sizeof(why))) {
		session_section(se, "syscalls", SECTION_DEGRADED, "", "counted, not timed: %s",
				why);
		return;
	}
	p->timing = true;
	if (p->windows)
		timerfd_settime(p->timer_fd, 0, &end, NULL);
}

static int attach(struct session *se, struct syscalls_priv *p, char *why, size_t why_size)
{
	struct bpf *b = session_bpf(se);
	enum syscall_mode mode = session_config(se)->syscalls;
	int err;

	if (mode == SYSCALL_OFF) {
		snprintf(why, why_size, "turned off by --syscalls=off");
		return -ENOENT;
	}
	if (!b) {
		snprintf(why, why_size, "needs eBPF");
		return -EPERM;
	}
	p->skel = bpf_skeleton(b);
	p->ncpu = bpf_ncpu(b);
	p->rows = bpf_map_array(b, bpf_map__fd(p->skel->maps.syscall_hist), sizeof(*p->rows),
				(size_t)CONTRACT_SYSCALL_SLOTS * p->ncpu, false);
	p->slots = bpf_map_array(b, bpf_map__fd(p->skel->maps.syscall_slot), 8, CONTRACT_SYSCALLS,
				 false);
	if (!p->rows || !p->slots) {
		snprintf(why, why_size, "mapping the counts failed: %s", strerror(errno));
		return -ENOMEM;
	}
	err = bpf_attach_tp(b, "on_sys_exit", why, why_size);
	if (err || mode == SYSCALL_COUNT)
		return err;
	err = bpf_attach_tp(b, "on_sys_enter", why, why_size);
	p->timing = !err;
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!err && p->timer_fd >= 0)
		session_watch(se, p->timer_fd, close_window, p);
	return err;
}

static void syscalls_stop(struct session *se, void *priv)
{
	struct syscalls_priv *p = priv;

	for (uint32_t i = 0; i < CONTRACT_SYSCALL_SLOTS; i++)
		latency_track_fini(&p->tracks[i]);
	if (p->timer_fd >= 0) {
		session_unwatch(se, p->timer_fd);
		close(p->timer_fd);
	}
	free(p);
}

static int syscalls_start(struct session *se, void **priv)
{
	struct syscalls_priv *p = calloc(1, sizeof(*p));
	char why[SNAP_TEXT] = "out of memory";
	int err = -ENOMEM;

	if (p) {
		p->timer_fd = -1;
		err = attach(se, p, why, sizeof(why));
	}
	if (err) {
		session_section(se, "syscalls", SECTION_ABSENT,
				err == -EPERM ? session_privilege_fix(se) : "", "%s", why);
		if (p)
			syscalls_stop(se, p);
		return err;
	}
	session_section(se, "syscalls", SECTION_LIVE, NULL, "%s",
			p->timing ? "every call counted and timed"
				  : "every call counted, none timed (--syscalls=count)");
	*priv = p;
	return 0;
}

static uint64_t exact_count(const struct syscalls_priv *p, uint32_t slot)
{
	uint64_t count = 0;

	for (uint32_t cpu = 0; cpu < p->ncpu; cpu++)
		count += __atomic_load_n(&p->rows[(size_t)slot * p->ncpu + cpu].count,
					 __ATOMIC_RELAXED);
	return count;
}

static double fill_row(struct session *se, struct syscalls_priv *p, uint32_t slot, const char *name,
		       struct snapshot *s)
{
	const struct contract_syscall *first = &p->rows[(size_t)slot * p->ncpu];
	struct latency_track *track = &p->tracks[slot];
	struct latency_source_now now = {.count = exact_count(p, slot)};
	struct snap_latency *row;
	bool fresh = now.count != track->prev_count;

	if (!now.count || s->nsyscalls == SNAP_SYSCALLS)
		return 0;
	row = &s->syscalls[s->nsyscalls];
	snapshot_string(row->name, sizeof(row->name), name);
	row->source = LATENCY_SYSCALL;
	snprintf(row->unit, sizeof(row->unit), "ns");
	latency_sum_cpus(&p->sum, &first->hist, p->ncpu, sizeof(*first));
	now.sum = p->sum.sum;
	now.max = p->sum.max;
	now.bins = p->sum.bins;
	if (latency_track_update(track, &now, session_interval_ns(se), s, row) || !row->count)
		return 0;
	row->calls = row->count;
	if (p->windows || row->sampled < row->count * 9 / 10)
		snprintf(row->note, sizeof(row->note), "%llu of %llu timed",
			 (unsigned long long)row->sampled, (unsigned long long)row->count);
	s->nsyscalls++;
	return fresh ? row->rate : 0;
}

/* Time every call while they are few; some way apart, so that the mode does not flicker. */
static void adapt(struct session *se, struct syscalls_priv *p, double rate)
{
	bool windows = rate > SYSCALL_FULL_RATE * (p->windows ? 0.7 : 1.3);

	if (session_config(se)->syscalls != SYSCALL_AUTO || p->timer_fd < 0)
		return;
	if (windows != p->windows) {
		p->windows = windows;
		if (windows)
			session_section(
				se, "syscalls", SECTION_LIVE,
				"--syscalls=full times every call, for some 170 ns each",
				"every call counted; at this rate those of %d ms a tick timed",
				SYSCALL_WINDOW_NS / 1000000);
		else
			session_section(se, "syscalls", SECTION_LIVE, NULL,
					"every call counted and timed");
	}
	if (windows || !p->timing)
		open_window(se, p);
}

static int compare_sum(const void *a, const void *b)
{
	const struct snap_latency *x = a, *y = b;
	double dx = (double)x->mean * (double)x->count, dy = (double)y->mean * (double)y->count;

	if (dx != dy)
		return dx > dy ? -1 : 1;
	return x->count > y->count ? -1 : x->count < y->count;
}

static void syscalls_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct syscalls_priv *p = priv;
	struct session_cost cost = {0};
	double rate = 0;

	/* Array values sit at multiples of 8, so a u32 slot takes two places. */
	for (uint32_t nr = 0; nr < CONTRACT_SYSCALLS; nr++) {
		uint32_t slot = p->slots[(size_t)nr * 2];
		const char *name = syscall_name(nr);
		char unnamed[32];

		if (!slot || slot >= CONTRACT_SYSCALL_SLOTS)
			continue;
		snprintf(unnamed, sizeof(unnamed), "syscall_%u", nr);
		rate += fill_row(se, p, slot, name ? name : unnamed, s);
	}
	rate += fill_row(se, p, 0, "[others]", s);
	qsort(s->syscalls, s->nsyscalls, sizeof(s->syscalls[0]), compare_sum);
	adapt(se, p, rate);
	cost.events = (uint64_t)(rate * (double)session_interval_ns(se) / 1e9);
	session_add_cost(se, &cost);
}

static void syscalls_reset(struct session *se, void *priv)
{
	struct syscalls_priv *p = priv;

	for (uint32_t i = 0; i < CONTRACT_SYSCALL_SLOTS; i++)
		latency_track_reset(&p->tracks[i]);
}

const struct collector collector_syscalls = {
	.name = "syscalls",
	.help = "system calls: exact counts, latency",
	.start = syscalls_start,
	.tick = syscalls_tick,
	.reset = syscalls_reset,
	.stop = syscalls_stop,
};
