/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c: how long turns of event loops take, and what held one for long. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/elf_image.h"
#include "collectors/latency.h"
#include "collectors/procfs.h"
#include "collectors/sample_trail.h"
#include "collectors/session.h"
#include "collectors/symbols.h"
#include "perftop.skel.h"
#include "probes/contract.h"

/* How long a turn that held a loop is shown, so that one is not missed by looking away. */
#define KEEP_NS 10000000000ull

/* Of a turn, that its function is named. */
enum { LEAST_SAMPLES = 5 };

/* How much of the turns is seen. */
enum loop_sight { SIGHT_ALL, SIGHT_WINDOWS, SIGHT_SOME };

struct loop {
	struct perftop_bpf__bss *bss;
	struct contract_loop *cpus; /* ncpu */
	uint32_t ncpu, era;
	uint64_t unknown;
	enum loop_sight sight;
	struct snap_event_loop shown; /* its held_ fields alone: the longest of late */
	uint64_t shown_end_ns;	      /* CLOCK_MONOTONIC */
	bool reset;
	struct latency_track track;
	struct latency_sum sum; /* scratch */
};

static void loop_stop(struct session *se, void *priv)
{
	struct loop *l = priv;

	(void)se;
	latency_track_fini(&l->track);
	free(l);
}

static void say_sight(struct session *se, enum loop_sight sight)
{
	if (sight == SIGHT_ALL)
		session_section(se, "loop", SECTION_LIVE, NULL,
				"every turn, from epoll, poll or select to the next");
	else if (sight == SIGHT_WINDOWS)
		session_section(se, "loop", SECTION_DEGRADED,
				"--syscalls=count sees every turn, for some 0.4 µs each call",
				"at this rate system calls are seen in windows of 40 ms: what "
				"holds an event loop for longer is not seen");
	else
		session_section(se, "loop", SECTION_DEGRADED,
				"--syscalls=full and --max-overhead 0 see every turn",
				"of some turns only the time on a CPU is known, as neither are "
				"their calls timed nor all context switches seen");
}

static bool is_go(pid_t pid)
{
	char path[32];
	struct elf_image *e;
	bool go;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	e = elf_image_open(path, &err);
	go = e && elf_image_is_go(e);
	elf_image_free(e);
	return go;
}

static int attach(struct session *se, struct loop *l, char *why, size_t why_size)
{
	struct bpf *b = session_bpf(se);
	struct perftop_bpf *skel;

	if (session_config(se)->syscalls == SYSCALL_OFF) {
		snprintf(why, why_size, "needs system calls: turned off by --syscalls=off");
		return -ENOENT;
	}
	if (procfs_is_32_bit(session_pid(se))) {
		snprintf(why, why_size,
			 "it is a 32-bit program, whose system calls have other numbers");
		return -ENOTSUP;
	}
	if (!b) {
		snprintf(why, why_size, "needs eBPF");
		return -EPERM;
	}
	if (bpf_program_fd(b, "on_sys_exit", why, why_size) < 0)
		return -ENOENT;
	skel = bpf_skeleton(b);
	l->bss = skel->bss;
	if (is_go(session_pid(se))) {
		l->bss->loop_off = 1;
		snprintf(why, why_size,
			 "a Go program has no event loop: any of its threads asks what its "
			 "goroutines wait for");
		return -ENOTSUP;
	}
	l->ncpu = bpf_ncpu(b);
	l->cpus = bpf_map_array(b, bpf_map__fd(skel->maps.loop_turns), sizeof(*l->cpus), l->ncpu,
				false);
	l->era = l->bss->loop_era;
	if (l->cpus)
		return 0;
	snprintf(why, why_size, "mapping the turns failed: %s", strerror(errno));
	return -ENOMEM;
}

static int loop_start(struct session *se, void **priv)
{
	struct loop *l = calloc(1, sizeof(*l));
	char why[SNAP_TEXT] = "out of memory";
	int err = l ? attach(se, l, why, sizeof(why)) : -ENOMEM;

	if (err) {
		session_section(se, "loop", SECTION_ABSENT,
				err == -EPERM ? session_privilege_fix(se) : "", "%s", why);
		free(l);
		return err;
	}
	say_sight(se, l->sight);
	*priv = l;
	return 0;
}

static void look_at_sight(struct session *se, struct loop *l)
{
	uint32_t era = l->bss->loop_era;
	uint64_t unknown = l->bss->loop_unknown;
	/* Odd: they go unseen now. */
	enum loop_sight sight = era & 1 || era != l->era ? SIGHT_WINDOWS
				: unknown != l->unknown	 ? SIGHT_SOME
							 : SIGHT_ALL;

	l->era = era;
	l->unknown = unknown;
	if (sight != l->sight)
		say_sight(se, sight);
	l->sight = sight;
}

static void fill_turns(struct session *se, struct loop *l, struct snapshot *s)
{
	struct snap_latency row = {.bin_first = 0};
	struct latency_source_now now;
	uint32_t nbins = s->nbins;

	latency_sum_cpus(&l->sum, &l->cpus->hist, l->ncpu, sizeof(*l->cpus));
	now = (struct latency_source_now){.count = l->sum.count,
					  .sum = l->sum.sum,
					  .max = l->sum.max,
					  .bins = l->sum.bins,
					  .nbins = l->sum.nbins};
	latency_track_update(&l->track, &now, session_interval_ns(se), s, &row);
	s->nbins = nbins;
	s->event_loop.turns = row.count;
	s->event_loop.rate = row.rate;
	s->event_loop.p50 = row.p50;
	s->event_loop.p99 = row.p99;
	s->event_loop.max = row.max;
}

/* The longest that ended since the last tick. False: there was none. */
static bool take_longest(struct loop *l, struct contract_held *longest)
{
	uint32_t tick = l->bss->loop_tick;

	*longest = (struct contract_held){0};
	l->bss->loop_tick = tick + 1;
	for (uint32_t cpu = 0; cpu < l->ncpu; cpu++) {
		const struct contract_held *h = &l->cpus[cpu].held[tick & 1];

		if (h->tick == tick && h->ns > longest->ns)
			*longest = *h;
	}
	return longest->ns;
}

static void name_function(struct session *se, struct loop *l, const struct contract_held *h)
{
	struct snap_event_loop *e = &l->shown;
	uint32_t id = 0, n, all;
	struct symbol sym;

	n = sample_trail_top(session_trail(se), h->tid, h->begin_ns, h->end_ns, &id, &all);
	e->held_samples = all;
	e->held_function[0] = '\0';
	e->held_function_samples = 0;
	if (all < LEAST_SAMPLES || !session_symbols(se))
		return;
	symbols_by_id(session_symbols(se), id, &sym);
	snapshot_string(e->held_function, sizeof(e->held_function), sym.name);
	e->held_function_samples = n;
}

static void show(struct session *se, struct loop *l, const struct contract_held *h, bool goes_on)
{
	struct snap_event_loop *e = &l->shown;
	uint64_t now = clock_mono_ns();

	e->held_ns = h->ns;
	e->held_cpu_ns = h->cpu_ns < h->ns ? h->cpu_ns : h->ns;
	e->held_tid = (int32_t)h->tid;
	e->held_goes_on = goes_on;
	e->held_at_least = h->ns < h->end_ns - h->begin_ns;
	e->held_time_ns = clock_real_ns() - (now > h->end_ns ? now - h->end_ns : 0);
	snapshot_string(e->held_comm, sizeof(e->held_comm), h->comm);
	l->shown_end_ns = h->end_ns;
	name_function(se, l, h);
}

/* A turn that goes on, as the threads were just read. The longest of them and longest_ns. */
static uint64_t look_at_going_on(struct session *se, struct loop *l, const struct snapshot *s,
				 uint64_t longest_ns)
{
	uint64_t now = session_now_ns(se);
	/* Where the thread may have slept since the turn began: see loop_row() in the probes. */
	bool at_least = !l->bss->attach_ns || l->bss->sched_window;

	for (uint32_t i = 0; i < s->nthreads; i++) {
		const struct snap_thread *t = &s->threads[i];
		struct contract_held h = {.ns = t->turn_ns,
					  .cpu_ns = t->turn_cpu_ns,
					  .begin_ns = now - t->turn_ns - at_least,
					  .end_ns = now,
					  .tid = (uint32_t)t->tid};

		if (l->era & 1)
			break;
		if (t->turn_ns > longest_ns)
			longest_ns = t->turn_ns;
		if (t->turn_ns < SNAP_LOOP_HELD_NS || t->turn_ns < l->shown.held_ns)
			continue;
		memcpy(h.comm, t->comm, sizeof(h.comm) - 1);
		show(se, l, &h, true);
	}
	return longest_ns;
}

/* What held a loop goes to l->shown. The longest turn of the interval. */
static uint64_t look_at_held(struct session *se, struct loop *l, const struct snapshot *s)
{
	struct contract_held longest;
	uint64_t longest_ns = 0;
	uint64_t now = session_now_ns(se), interval = session_interval_ns(se);

	/* One that went on has ended meanwhile, and is longer now; or it is found again. */
	if (l->reset || l->shown.held_goes_on ||
	    now > l->shown_end_ns + (interval > KEEP_NS ? interval : KEEP_NS))
		l->shown = (struct snap_event_loop){0};
	if (take_longest(l, &longest) && !l->reset) {
		longest_ns = longest.ns;
		if (longest.ns >= SNAP_LOOP_HELD_NS && longest.ns >= l->shown.held_ns)
			show(se, l, &longest, false);
	}
	l->reset = false;
	return look_at_going_on(se, l, s, longest_ns);
}

static void loop_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct snap_event_loop *e = &s->event_loop;
	struct loop *l = priv;
	uint64_t longest_ns;

	look_at_sight(se, l);
	longest_ns = look_at_held(se, l, s);
	*e = l->shown;
	e->longest_ns = longest_ns;
	e->seen_all = l->sight == SIGHT_ALL;
	fill_turns(se, l, s);
	s->nevent_loop = e->turns || e->held_ns;
}

static void loop_reset(struct session *se, void *priv)
{
	struct loop *l = priv;

	(void)se;
	latency_track_reset(&l->track);
	l->reset = true;
}

const struct collector collector_loop = {
	.name = "loop",
	.help = "event loops: how long their turns take, and what held one",
	.start = loop_start,
	.tick = loop_tick,
	.reset = loop_reset,
	.stop = loop_stop,
};
