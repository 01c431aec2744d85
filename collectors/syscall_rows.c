/* SPDX-License-Identifier: Apache-2.0 */
/* syscall_rows.c: system calls: counts and latency, of all, or at high rates of short windows. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/calibrate.h"
#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/latency.h"
#include "collectors/procfs.h"
#include "collectors/session.h"
#include "collectors/syscall_depth.h"
#include "collectors/syscall_errors.h"
#include "collectors/syscall_files.h"
#include "collectors/syscalls.h"
#include "collectors/turns.h"
#include "perftop.skel.h"
#include "probes/contract.h"

/* A window costs perftop some 0.4 ms: attaching and detaching rewrites the kernel's code. */
enum {
	WINDOW_NS = 40 * 1000 * 1000,
	WINDOW_TAIL_NS = 10 * 1000 * 1000, /* more, for calls under way to end */
};

/* From the end of one window's tick to the next one's begin. */
#define WINDOW_EVERY_NS 5900000000ull

/* What the last window showed, for the ticks until the next. */
struct window_row {
	double calls_per_ns;
	uint64_t p50, p99, max;
};

struct syscalls_priv {
	struct perftop_bpf *skel;
	const struct contract_syscall *rows;	     /* CONTRACT_SYSCALL_SLOTS * ncpu */
	const uint64_t *keys;			     /* CONTRACT_SYSCALL_SLOTS, see syscall_key */
	const struct contract_syscall_start *places; /* CONTRACT_SYSCALL_PLACES */
	uint32_t ncpu;
	enum syscall_depth depth;
	struct syscall_limits limits;
	bool counting, timing;	       /* on_sys_exit, on_sys_enter are attached */
	int timer_fd;		       /* ends a window, and its tail */
	uint64_t read_ns, interval_ns; /* when the counts were read, and since the time before */
	uint64_t on_since_ns, on_ns;   /* time on_sys_exit was attached in this interval */
	double scale;		       /* interval by on_ns, 1 when it was attached throughout */
	bool seeing, timed;	       /* on_sys_exit, on_sys_enter was attached in this interval */
	double bare_ns, path_ns; /* of an own call before; what the kernel's hook adds to any */
	uint64_t fresh;		 /* calls seen in this interval */
	struct turns *turns;	 /* NULL: calls are not timed */
	uint64_t timing_since_ns, timing_ns; /* as on_since_ns and on_ns, of on_sys_enter */
	bool broken;	    /* the last attempt to attach failed; the section says why */
	uint64_t window_ns; /* when the last window began */
	struct window_row last[CONTRACT_SYSCALL_SLOTS];
	uint64_t seen[CONTRACT_SYSCALL_SLOTS];	/* raw counts at the last tick */
	double counted[CONTRACT_SYSCALL_SLOTS]; /* scaled, since the start */
	struct latency_track tracks[CONTRACT_SYSCALL_SLOTS];
	struct syscall_errors errors[CONTRACT_SYSCALL_SLOTS];
	struct syscall_files files;
	struct latency_sum sum; /* scratch */
};

static void say_depth(struct session *se, enum syscall_depth depth);

/* Attach again, for a window. Nothing is seen where that fails, and it is said until it works. */
static bool attached(struct session *se, struct syscalls_priv *p, const char *program)
{
	char why[SNAP_TEXT];

	if (bpf_attach_tp(session_bpf(se), program, why, sizeof(why))) {
		session_section(se, "syscalls", SECTION_DEGRADED,
				"--syscalls=count stays attached throughout",
				"the counts stand still: attaching again failed: %s", why);
		p->broken = true;
		return false;
	}
	if (p->broken)
		say_depth(se, p->depth);
	p->broken = false;
	return true;
}

static void set_timing(struct session *se, struct syscalls_priv *p, bool on)
{
	if (on == p->timing)
		return;
	if (!on) {
		bpf_detach_tp(session_bpf(se), "on_sys_enter");
		p->timing_ns += clock_mono_ns() - p->timing_since_ns;
	} else {
		turns_begin(p->turns);
		if (!attached(se, p, "on_sys_enter"))
			return;
		p->timing_since_ns = clock_mono_ns();
	}
	p->timing = on;
	p->timed |= on;
}

static void set_counting(struct session *se, struct syscalls_priv *p, bool on)
{
	if (on == p->counting)
		return;
	if (!on) {
		p->skel->bss->loop_era++;
		bpf_detach_tp(session_bpf(se), "on_sys_exit");
		p->on_ns += clock_mono_ns() - p->on_since_ns;
	} else if (!attached(se, p, "on_sys_exit")) {
		return;
	} else {
		p->skel->bss->loop_era++;
		p->on_since_ns = clock_mono_ns();
	}
	p->counting = on;
}

/* Do calls that are timed wait for their ends? Those of a crowded place are not seen. */
static bool any_under_way(const struct syscalls_priv *p)
{
	uint32_t window = p->skel->bss->syscall_window;

	for (uint32_t i = 0; i < CONTRACT_SYSCALL_PLACES; i++)
		if (__atomic_load_n(&p->places[i].ns, __ATOMIC_RELAXED) &&
		    __atomic_load_n(&p->places[i].window, __ATOMIC_RELAXED) == window)
			return true;
	return p->skel->bss->syscall_crowded;
}

static void on_timer(struct session *se, void *priv)
{
	struct syscalls_priv *p = priv;
	bool tail;

	if (!session_timer_rang(p->timer_fd) || p->depth == DEPTH_EVERY)
		return;
	tail = !p->timing;
	set_timing(se, p, false);
	if (p->depth != DEPTH_WINDOW)
		return;
	if (!tail && any_under_way(p))
		session_timer_set(p->timer_fd, WINDOW_TAIL_NS, 0);
	else
		set_counting(se, p, false);
}

static void open_window(struct session *se, struct syscalls_priv *p)
{
	if (!p->counting) {
		/* Exits went unseen since the last window: its starts are stale. */
		p->skel->bss->syscall_window++;
	}
	set_counting(se, p, true);
	set_timing(se, p, true);
	p->window_ns = session_now_ns(se);
	if (p->depth != DEPTH_EVERY)
		session_timer_set(p->timer_fd, WINDOW_NS, 0);
}

/*
 * With a hook on them the kernel takes its slow way through all system calls of the machine, which
 * is in no program's run time: what it adds to a call of ours, where the program only looks whose
 * it is.
 */
static void measure_path(struct session *se, struct syscalls_priv *p)
{
	double now = calibrate_syscall_ns();

	p->path_ns = syscall_depth_path_ns(now - p->bare_ns);
	session_set_hook_ns(se, syscall_depth_hook_ns(p->path_ns));
	syscall_depth_limits(&p->limits, p->path_ns, session_config(se)->max_overhead_pct);
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
	p->keys = bpf_map_array(b, bpf_map__fd(p->skel->maps.syscall_key), sizeof(*p->keys),
				CONTRACT_SYSCALL_SLOTS, false);
	p->places = bpf_map_array(b, bpf_map__fd(p->skel->maps.syscall_places), sizeof(*p->places),
				  CONTRACT_SYSCALL_PLACES, false);
	if (!p->rows || !p->keys || !p->places) {
		snprintf(why, why_size, "mapping the counts failed: %s", strerror(errno));
		return -ENOMEM;
	}
	p->scale = 1;
	p->bare_ns = calibrate_syscall_ns();
	err = bpf_attach_tp(b, "on_sys_exit", why, why_size);
	p->counting = !err;
	p->on_since_ns = p->read_ns = clock_mono_ns();
	measure_path(se, p);
	if (err || mode == SYSCALL_COUNT)
		return err;
	p->turns = turns_new(se, why, why_size);
	if (!p->turns)
		return -ENOMEM;
	err = bpf_attach_tp(b, "on_sys_enter", why, why_size);
	p->timing = !err;
	p->timing_since_ns = clock_mono_ns();
	if (!err)
		p->timer_fd = session_timer_new(se, on_timer, p);
	return err;
}

static void syscalls_stop(struct session *se, void *priv)
{
	struct syscalls_priv *p = priv;

	for (uint32_t i = 0; i < CONTRACT_SYSCALL_SLOTS; i++)
		latency_track_fini(&p->tracks[i]);
	turns_free(p->turns);
	session_timer_end(se, &p->timer_fd);
	free(p);
}

static int syscalls_start(struct session *se, void **priv)
{
	struct syscalls_priv *p = calloc(1, sizeof(*p));
	char why[SNAP_TEXT] = "out of memory";
	int err = -ENOMEM;

	if (p)
		p->timer_fd = -1;
	if (p && procfs_is_32_bit(session_pid(se))) {
		snprintf(why, sizeof(why),
			 "it is a 32-bit program, whose system calls have other numbers");
		err = -ENOTSUP;
	} else if (p) {
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

static uint64_t raw_count(const struct syscalls_priv *p, uint32_t slot)
{
	uint64_t count = 0;

	for (uint32_t cpu = 0; cpu < p->ncpu; cpu++)
		count += __atomic_load_n(&p->rows[(size_t)slot * p->ncpu + cpu].count,
					 __ATOMIC_RELAXED);
	return count;
}

/* Calls since the start; an estimate where only windows were seen. */
static uint64_t count_calls(struct syscalls_priv *p, uint32_t slot, uint64_t interval_ns)
{
	uint64_t raw = raw_count(p, slot);
	double calls = (double)(raw - p->seen[slot]) * p->scale;

	if (p->seeing)
		p->last[slot].calls_per_ns = interval_ns ? calls / (double)interval_ns : 0;
	else
		calls = p->last[slot].calls_per_ns * (double)interval_ns;
	p->fresh += raw - p->seen[slot];
	p->counted[slot] += calls;
	p->seen[slot] = raw;
	return (uint64_t)(p->counted[slot] + 0.5);
}

/* Between windows nothing is timed: the last one's quantiles stand. */
static void hold_recent(struct syscalls_priv *p, uint32_t slot, struct snap_latency *row)
{
	struct window_row *last = &p->last[slot];

	if (p->timed) {
		last->p50 = row->recent_p50;
		last->p99 = row->recent_p99;
		last->max = row->recent_max;
	} else {
		row->recent_p50 = last->p50;
		row->recent_p99 = last->p99;
		row->recent_max = last->max;
	}
}

/* "read" and "socket"; slot 0 has what found no other. */
static void name_row(const struct syscalls_priv *p, uint32_t slot, struct snap_latency *row)
{
	uint32_t key = slot ? (uint32_t)p->keys[slot] - 1 : 0, nr = key / CONTRACT_FD_CLASSES;
	uint32_t class = key % CONTRACT_FD_CLASSES;
	const char *name = slot ? syscall_name(nr) : "[others]";

	if (name)
		snprintf(row->name, sizeof(row->name), "%s", name);
	else
		snprintf(row->name, sizeof(row->name), "syscall_%u", nr);
	snprintf(row->module, sizeof(row->module), "%s", fd_class_name(class));
	if (class == FD_FILE || class == FD_DIR)
		syscall_files_fill(&p->files, nr, row);
}

static double fill_row(struct session *se, struct syscalls_priv *p, uint32_t slot,
		       struct snapshot *s)
{
	const struct contract_syscall *first = &p->rows[(size_t)slot * p->ncpu];
	struct latency_track *track = &p->tracks[slot];
	struct latency_source_now now = {.count = count_calls(p, slot, p->interval_ns)};
	struct snap_latency *row = &s->syscalls[s->nsyscalls];
	bool fresh = now.count != track->prev_count;

	if (!now.count || s->nsyscalls == SNAP_SYSCALLS)
		return 0;
	name_row(p, slot, row);
	row->source = LATENCY_SYSCALL;
	snprintf(row->unit, sizeof(row->unit), "ns");
	latency_sum_cpus(&p->sum, &first->hist, p->ncpu, sizeof(*first));
	now = (struct latency_source_now){now.count,   p->sum.sum,   p->sum.max,
					  p->sum.bins, p->sum.nbins, 0};
	if (latency_track_update(track, &now, p->interval_ns, s, row) || !row->count)
		return 0;
	row->calls = row->count;
	syscall_errors_fill(&p->errors[slot], first, p->ncpu, row);
	hold_recent(p, slot, row);
	if (row->sampled > row->count)
		row->sampled = row->count;
	if (p->depth == DEPTH_WINDOW)
		snprintf(row->note, sizeof(row->note), "estimate: seen %d ms in 6 s",
			 WINDOW_NS / 1000000);
	else if (p->depth == DEPTH_COUNT || row->sampled < row->count * 9 / 10)
		snprintf(row->note, sizeof(row->note), "%llu of %llu timed",
			 (unsigned long long)row->sampled, (unsigned long long)row->count);
	s->nsyscalls++;
	return fresh ? row->rate : 0;
}

static void say_depth(struct session *se, enum syscall_depth depth)
{
	switch (depth) {
	case DEPTH_EVERY:
		session_section(se, "syscalls", SECTION_LIVE, NULL, "every call counted and timed");
		break;
	case DEPTH_COUNT:
		session_section(se, "syscalls", SECTION_LIVE,
				"--syscalls=full times every call, for some 0.4 µs each",
				"every call counted; at this rate those of %d ms in 6 s timed",
				WINDOW_NS / 1000000);
		break;
	case DEPTH_WINDOW:
		session_section(
			se, "syscalls", SECTION_DEGRADED,
			"--syscalls=count counts every call, for some 0.4 µs each; full times them",
			"at this rate seen for %d ms in 6 s: counts are estimates, low by what "
			"watching slows the target; calls that last longer are not timed",
			WINDOW_NS / 1000000);
		break;
	}
}

/* Less for each call when there are more of them. */
static void adapt(struct session *se, struct syscalls_priv *p, double rate)
{
	enum syscall_depth depth = syscall_depth_next(&p->limits, p->depth, rate);

	if (session_config(se)->syscalls != SYSCALL_AUTO || p->timer_fd < 0)
		return;
	if (depth != p->depth)
		say_depth(se, depth);
	/* Not one call more is timed for having come from timing all. */
	if (p->depth == DEPTH_EVERY && depth != DEPTH_EVERY)
		set_timing(se, p, false);
	if (p->depth != DEPTH_WINDOW && depth == DEPTH_WINDOW)
		set_counting(se, p, false);
	p->depth = depth;
	if (depth != DEPTH_WINDOW)
		set_counting(se, p, true);
	if (depth == DEPTH_EVERY ? !p->timing
				 : session_now_ns(se) - p->window_ns >= WINDOW_EVERY_NS)
		open_window(se, p);
}

/* A moment, as from a tick's beginning until it turns the programs off, says nothing of a rate. */
static bool is_worth(uint64_t on_ns, uint64_t interval_ns)
{
	return on_ns >= WINDOW_NS / 2 || on_ns >= interval_ns / 2;
}

/* How much of the interval was seen. */
static void set_scale(struct syscalls_priv *p)
{
	/* The counts are read now, not when the tick began: other collectors came before. */
	uint64_t now = clock_mono_ns(), interval = now - p->read_ns;

	p->read_ns = now;
	p->interval_ns = interval;
	if (p->counting && now > p->on_since_ns) {
		p->on_ns += now - p->on_since_ns;
		p->on_since_ns = now;
	}
	/* A little is lost to attaching and to the tick itself: that is no window. */
	p->scale = p->on_ns && p->on_ns < interval * 95 / 100 ? (double)interval / (double)p->on_ns
							      : 1;
	p->seeing = is_worth(p->on_ns, interval);
	p->on_ns = 0;
}

static int compare_sum(const void *a, const void *b)
{
	const struct snap_latency *x = a, *y = b;
	double dx = (double)x->mean * (double)x->count, dy = (double)y->mean * (double)y->count;

	if (dx != dy)
		return dx > dy ? -1 : 1;
	return x->count > y->count ? -1 : x->count < y->count;
}

/* How much of the interval calls were timed for. */
static uint64_t take_timed(struct syscalls_priv *p)
{
	uint64_t now = clock_mono_ns(), ns = p->timing_ns;

	if (p->timing) {
		ns += now - p->timing_since_ns;
		p->timing_since_ns = now;
	}
	p->timing_ns = 0;
	return is_worth(ns, p->interval_ns) ? ns : 0;
}

static void syscalls_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct syscalls_priv *p = priv;
	struct session_cost cost = {0};
	double rate = 0;

	set_scale(p);
	syscall_files_look(&p->files, s);
	for (uint32_t slot = 0; slot < CONTRACT_SYSCALL_SLOTS; slot++)
		if (!slot || p->keys[slot])
			rate += fill_row(se, p, slot, s);
	if (p->turns && turns_tick(p->turns, se, take_timed(p), p->depth == DEPTH_EVERY, s))
		p->window_ns = 0; /* the next window is now */
	qsort(s->syscalls, s->nsyscalls, sizeof(s->syscalls[0]), compare_sum);
	p->timed = p->timing;
	adapt(se, p, rate);
	cost.target_ns = (double)p->fresh * p->path_ns;
	if (p->timing)
		cost.target_ns += (double)p->fresh * syscall_depth_hook_ns(p->path_ns);
	p->fresh = 0;
	cost.events = (uint64_t)(rate * (double)session_interval_ns(se) / 1e9);
	session_add_cost(se, &cost);
}

static void syscalls_reset(struct session *se, void *priv)
{
	struct syscalls_priv *p = priv;

	for (uint32_t i = 0; i < CONTRACT_SYSCALL_SLOTS; i++) {
		latency_track_reset(&p->tracks[i]);
		syscall_errors_reset(&p->errors[i]);
	}
	syscall_files_reset(&p->files);
	if (p->turns)
		turns_reset(p->turns);
}

const struct collector collector_syscalls = {
	.name = "syscalls",
	.help = "system calls: counts and latency",
	.start = syscalls_start,
	.tick = syscalls_tick,
	.reset = syscalls_reset,
	.stop = syscalls_stop,
};
