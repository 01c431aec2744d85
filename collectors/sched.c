/* SPDX-License-Identifier: Apache-2.0 */
/* sched.c: threads, time blocked by reason, mutex waits, run-queue wait. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/deadlock.h"
#include "collectors/latency.h"
#include "collectors/locks.h"
#include "collectors/sched_reason.h"
#include "collectors/sched_window.h"
#include "collectors/session.h"
#include "collectors/sockets.h"
#include "collectors/target_set.h"
#include "collectors/thread_rows.h"
#include "collectors/threads.h"
#include "collectors/told_locks.h"
#include "collectors/wait_stacks.h"
#include "collectors/wakers.h"
#include "perftop.skel.h"
#include "probes/contract.h"

struct sched {
	struct threads threads;
	const struct contract_hist *hist; /* WAIT_CLASSES * ncpu, NULL without eBPF */
	uint32_t ncpu;
	struct latency_track tracks[WAIT_CLASSES];
	uint64_t wait_ns[WAIT_CLASSES];	      /* finished and going on, as just read */
	uint64_t waiting_ns[WAIT_CLASSES];    /* of them, going on */
	uint64_t carried_ns[WAIT_CLASSES];    /* went on when a window was over */
	uint64_t shown_wait_ns[WAIT_CLASSES]; /* the same, never falling */
	uint64_t prev_wait_ns[WAIT_CLASSES];  /* shown at the last tick */
	uint64_t base_wait_ns[WAIT_CLASSES];  /* and at the last reset */
	struct locks *locks;
	struct deadlock *deadlock;
	struct sockets *sockets;
	struct wait_stacks *stacks; /* NULL: none, no_stacks says why */
	char no_stacks[SNAP_TEXT];
	struct perftop_bpf__bss *bss;
	uint64_t forks, locks_lost;
	struct thread_switches switches, shown_switches;
	struct sched_window window;
	struct wakers wakers;
	uint32_t said_weight; /* of windows, in the section */
	int look_err;
	struct latency_sum sum; /* scratch */
};

static int attach(struct session *se, struct sched *sc, char *why, size_t why_size)
{
	struct bpf *b = session_bpf(se);
	struct perftop_bpf *skel;
	int err;

	if (!session_config(se)->offcpu) {
		snprintf(why, why_size, "turned off by --no-offcpu");
		return -ENOENT;
	}
	if (!b) {
		snprintf(why, why_size, "needs eBPF: time blocked is not known");
		return -EPERM;
	}
	skel = bpf_skeleton(b);
	sc->bss = skel->bss;
	sc->window.skel = skel;
	/* As late as can be: what a thread was before is not known. */
	skel->bss->attach_ns = clock_mono_ns();
	err = sched_window_attach(&sc->window, b, "on_sched_switch", why, why_size);
	sc->wakers.kept = bpf_needs_wakes(b) || skel->rodata->tail_on;
	if (!err && bpf_needs_wakes(b))
		err = sched_window_attach(&sc->window, b, WAKERS_PROGRAM, why, why_size);
	if (err)
		return err;
	sc->wakers.seen = bpf_needs_wakes(b);
	/* Without these two the target is still watched; /proc shows an exec. */
	bpf_attach_tp(b, "on_fork", why, why_size);
	bpf_attach_tp(b, "on_exec", why, why_size);
	sc->ncpu = bpf_ncpu(b);
	sc->hist = bpf_map_array(b, bpf_map__fd(skel->maps.sched_hist), sizeof(*sc->hist),
				 (size_t)WAIT_CLASSES * sc->ncpu, false);
	sc->locks = locks_new(bpf_map__fd(skel->maps.locks));
	sc->sockets = sockets_new(bpf_map__fd(skel->maps.sockets));
	if (!sc->locks || !sc->sockets)
		sc->hist = NULL;
	if (!sc->hist)
		return -ENOMEM;
	sc->stacks = wait_stacks_new(se, sc->locks, sc->no_stacks, sizeof(sc->no_stacks));
	/* Who woke a thread stands beside its stack alone; without, that stays empty. */
	if (sc->stacks && !bpf_needs_wakes(b))
		sc->wakers.seen =
			!sched_window_attach(&sc->window, b, WAKERS_PROGRAM, why, why_size);
	if (sc->stacks)
		sched_window_add(&sc->window, wait_stacks_program(sc->stacks));
	return 0;
}

static double pct(uint64_t ns, uint64_t of_ns)
{
	return of_ns ? 100.0 * (double)ns / (double)of_ns : 0;
}

/* ---- time blocked by reason ----------------------------------------------------------------- */

static void sum_finished(struct sched *sc)
{
	for (int c = 0; c < WAIT_CLASSES; c++) {
		const struct contract_hist *h = sc->hist + (size_t)c * sc->ncpu;

		sc->wait_ns[c] = sc->carried_ns[c];
		for (uint32_t cpu = 0; cpu < sc->ncpu; cpu++)
			sc->wait_ns[c] += __atomic_load_n(&h[cpu].sum, __ATOMIC_RELAXED);
	}
}

static void add_waiting(struct sched *sc)
{
	const struct threads *t = &sc->threads;

	memset(sc->waiting_ns, 0, sizeof(sc->waiting_ns));
	/* The waits of a process that is gone have ended, and are in the sums. */
	for (uint32_t i = 0; i < t->n && !t->gone; i++) {
		uint64_t blocked, queued;

		if (t->now[i].wait >= WAIT_CLASSES)
			continue;
		threads_counted_wait(t, &t->now[i], &blocked, &queued);
		sc->waiting_ns[t->now[i].wait] += blocked;
		sc->waiting_ns[WAIT_RUNQ] += queued;
	}
	/* A wait that ended between the two readings is in neither, until the next tick. */
	for (int c = 0; c < WAIT_CLASSES; c++) {
		sc->wait_ns[c] += sc->waiting_ns[c];
		if (sc->wait_ns[c] > sc->shown_wait_ns[c])
			sc->shown_wait_ns[c] = sc->wait_ns[c];
	}
}

static struct snap_blocked *blocked_row(struct snapshot *s, uint32_t reason)
{
	for (uint32_t i = 0; i < s->nblocked; i++)
		if (s->blocked[i].reason == reason)
			return &s->blocked[i];
	s->blocked[s->nblocked].reason = reason;
	return &s->blocked[s->nblocked++];
}

static void fill_blocked(struct sched *sc, uint64_t interval_ns, struct snapshot *s)
{
	for (int c = 0; c < WAIT_CLASSES; c++) {
		struct snap_blocked *row;
		struct snap_latency lat = {.bin_first = 0};
		struct latency_source_now now;
		uint32_t nbins = s->nbins;

		latency_sum_cpus(&sc->sum, sc->hist + (size_t)c * sc->ncpu, sc->ncpu,
				 sizeof(*sc->hist));
		now = (struct latency_source_now){.count = sc->sum.count,
						  .sum = sc->sum.sum,
						  .max = sc->sum.max,
						  .bins = sc->sum.bins,
						  .nbins = sc->sum.nbins};
		latency_track_update(&sc->tracks[c], &now, interval_ns, s, &lat);
		s->nbins = nbins;
		if (!lat.count && sc->shown_wait_ns[c] - sc->base_wait_ns[c] == 0)
			continue;
		row = blocked_row(s, sched_reason((uint32_t)c));
		row->count += lat.count;
		row->ns += sc->shown_wait_ns[c] - sc->base_wait_ns[c];
		row->pct += pct(sc->shown_wait_ns[c] - sc->prev_wait_ns[c], interval_ns);
		if (c == WAIT_RUNQ)
			s->cpu.runq_wait_pct = row->pct; /* threads that are gone included */
		row->p50 = lat.p50;
		row->p99 = lat.p99;
		row->max = lat.max;
		sc->prev_wait_ns[c] = sc->shown_wait_ns[c];
	}
}

/* Finished waits before the threads are read, and those that go on after: see locks.h. */
static void read_finished(struct sched *sc)
{
	sum_finished(sc);
	locks_read_finished(sc->locks);
	sockets_read_finished(sc->sockets);
}

static void add_going_on(struct sched *sc)
{
	add_waiting(sc);
	locks_add_waiting(sc->locks, &sc->threads);
	sockets_add_waiting(sc->sockets, &sc->threads);
}

/* 0 or -errno. */
static int look(struct sched *sc, bool ended)
{
	int err;

	if (sc->hist)
		read_finished(sc);
	err = threads_read(&sc->threads, ended);
	if (err)
		return err;
	thread_switches_count(&sc->switches, &sc->threads);
	if (sc->hist)
		add_going_on(sc);
	return 0;
}

static void say_live(struct session *se, const struct sched *sc)
{
	if (!sc->stacks)
		session_section(se, "blocked", SECTION_DEGRADED, NULL,
				"time off the CPU, by sched_switch; no stacks of waits: %.180s",
				sc->no_stacks);
	else
		session_section(se, "blocked", SECTION_LIVE, NULL,
				"time off the CPU and the stacks that wait, by sched_switch%s",
				wait_stacks_all_waits(sc->stacks)
					? ""
					: "; stacks in page faults are missed");
}

/* ---- windows: see sched_window.h ------------------------------------------------------------ */

/* What goes on now is not counted from its beginning again. */
static void carry(struct sched *sc)
{
	for (int c = 0; c < WAIT_CLASSES; c++)
		sc->carried_ns[c] += sc->waiting_ns[c];
	locks_carry(sc->locks);
	sockets_carry(sc->sockets);
}

static void close_window(struct session *se, struct sched *sc)
{
	if (!sc->window.open)
		return;
	sc->look_err = look(sc, false);
	carry(sc);
	sched_window_close(&sc->window, session_bpf(se));
}

static void on_timer(struct session *se, void *priv)
{
	struct sched *sc = priv;

	if (session_timer_rang(sc->window.timer_fd))
		close_window(se, sc);
}

/* Whether it is open; what kept it from that is said, and the next tick tries again. */
static bool open_window(struct session *se, struct sched *sc)
{
	char why[SNAP_TEXT] = "";
	int err = sched_window_open(&sc->window, session_bpf(se), session_interval_ns(se), why,
				    sizeof(why));

	sc->threads.since_ns = sc->window.opened_ns;
	sc->threads.weight = sc->window.weight;
	if (err) {
		session_section(se, "blocked", SECTION_DEGRADED,
				"--max-overhead 0 stays attached throughout",
				"the counts stand still: attaching again failed: %.200s", why);
		sc->said_weight = 0;
		return false;
	}
	if (!threads_read(&sc->threads, false))
		thread_switches_count(&sc->switches, &sc->threads);
	return true;
}

static void say_weight(struct session *se, struct sched *sc, double rate)
{
	const struct session_switch_cost *cost = session_switch_cost(se);
	uint32_t weight = sc->window.weight;

	if (weight == sc->said_weight)
		return;
	sc->said_weight = weight;
	if (weight == 1) {
		say_live(se, sc);
		session_event_again(se, "context switches",
				    "context switches are all seen again: %.0f a second", rate);
		return;
	}
	session_section(se, "blocked", SECTION_DEGRADED, "--max-overhead PCT allows more, 0 all",
			"%.0f context switches a second at %.0f ns would take %.1f %% of a CPU: "
			"seen for 1/%u of the time, counts are estimates",
			rate, cost->ns_each, rate * cost->ns_each / 1e7, weight);
	session_event_again(se, "context switches",
			    "context switches throttled: %.0f a second at %.0f ns are %.1f %% of a "
			    "CPU, seen for 1/%u of the time; --max-overhead PCT allows more",
			    rate, cost->ns_each, rate * cost->ns_each / 1e7, weight);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void sched_stop(struct session *se, void *priv)
{
	struct sched *sc = priv;

	session_timer_end(se, &sc->window.timer_fd);
	for (int i = 0; i < WAIT_CLASSES; i++)
		latency_track_fini(&sc->tracks[i]);
	threads_fini(&sc->threads);
	wait_stacks_free(sc->stacks);
	locks_free(sc->locks);
	deadlock_free(sc->deadlock);
	sockets_free(sc->sockets);
	free(sc);
}

static int sched_start(struct session *se, void **priv)
{
	struct sched *sc = calloc(1, sizeof(*sc));
	char why[SNAP_TEXT] = "";
	int err;

	if (!sc)
		return -ENOMEM;
	sc->window = (struct sched_window){.timer_fd = -1, .weight = 1};
	sc->said_weight = 1;
	sc->deadlock = deadlock_new();
	if (!sc->deadlock) {
		free(sc);
		return -ENOMEM;
	}
	err = attach(se, sc, why, sizeof(why));
	/* Slow calls are taken apart by all the waits in them: not with windows. */
	if (!err && !sc->window.skel->rodata->tail_on)
		sc->window.timer_fd = session_timer_new(se, on_timer, sc);
	if (err)
		session_section(se, "blocked", SECTION_ABSENT,
				err == -EPERM ? session_privilege_fix(se) : "", "%s", why);
	else
		say_live(se, sc);
	err = threads_init(&sc->threads, session_pid(se), err ? NULL : session_bpf(se), why,
			   sizeof(why));
	if (err) {
		session_section(se, "threads", SECTION_ABSENT, session_privilege_fix(se),
				"threads of %d: %s", session_pid(se), strerror(-err));
		sched_stop(se, sc);
		return err;
	}
	if (target_set_many(session_target_set(se)))
		sc->threads.set = session_target_set(se);
	session_section(se, "threads", SECTION_LIVE, NULL, "%s",
			sc->threads.iter_fd >= 0 ? "eBPF task iterator" : "/proc/PID/task");
	thread_switches_count(&sc->switches, &sc->threads);
	sc->shown_switches = sc->switches;
	/* What goes on now counts from now. */
	if (sc->hist) {
		read_finished(sc);
		add_going_on(sc);
		memcpy(sc->prev_wait_ns, sc->shown_wait_ns, sizeof(sc->prev_wait_ns));
		memcpy(sc->base_wait_ns, sc->shown_wait_ns, sizeof(sc->base_wait_ns));
		locks_reset(sc->locks);
		sockets_reset(sc->sockets);
	}
	*priv = sc;
	return 0;
}

static void report_forks(struct session *se, struct sched *sc)
{
	uint64_t forks;

	if (!sc->bss || session_config(se)->follow_forks)
		return;
	forks = sc->bss->target_forks;
	/* The last word on a target that is gone is that it is. */
	if (forks == sc->forks || sc->threads.gone)
		return;
	session_event_again(se, "the target has forked",
			    "the target has forked %llu child%s (newest: pid %u), not followed",
			    (unsigned long long)forks, forks == 1 ? "" : "ren",
			    sc->bss->target_last_child);
	sc->forks = forks;
}

/* A target with more addresses than find a place: say that the list is not whole. */
static void report_locks(struct session *se, struct sched *sc)
{
	uint64_t lost = sc->bss->locks_lost;

	if (lost == sc->locks_lost)
		return;
	sc->locks_lost = lost;
	session_section(
		se, "blocked", SECTION_DEGRADED, NULL,
		"%llu waits are missing from the list of locks (they are in the sums): more "
		"than %d futex addresses in use",
		(unsigned long long)lost, CONTRACT_LOCKS);
}

static struct symbols *symbols_of(void *arg, pid_t pid)
{
	return session_symbols_of(arg, pid);
}

/* What is shown of waits is of interval_ns. */
static void show(struct session *se, struct sched *sc, uint64_t interval_ns, struct snapshot *s)
{
	thread_rows_fill(&sc->threads, sc->hist, s);
	thread_switches_fill(&sc->switches, &sc->shown_switches, s);
	if (!sc->hist) {
		deadlock_fill(sc->deadlock, &sc->threads, NULL, s);
		return;
	}
	fill_blocked(sc, interval_ns, s);
	if (sc->stacks)
		wait_stacks_tick(sc->stacks, &sc->threads, s);
	locks_name_some(sc->locks, symbols_of, se, &sc->threads);
	locks_fill(sc->locks, interval_ns, s);
	if (sc->stacks)
		told_locks_fill(sc->stacks, interval_ns, s);
	deadlock_fill(sc->deadlock, &sc->threads, sc->locks, s);
	sockets_fill(sc->sockets, &sc->threads, interval_ns, s);
	report_forks(se, sc);
	report_locks(se, sc);
}

/* After a tick: are all switches seen in the next interval, or those of a window? */
static void adapt(struct session *se, struct sched *sc, const struct snapshot *s)
{
	const struct session_switch_cost *cost = session_switch_cost(se);
	double rate = s->proc.ctxsw_voluntary_rate + s->proc.ctxsw_involuntary_rate;
	uint32_t was = sc->window.weight;

	if (sc->window.timer_fd < 0 || sc->threads.gone || session_config(se)->force)
		return;
	if (sc->stacks)
		wakers_see(&sc->wakers, rate, &sc->window, session_bpf(se));
	sched_window_weigh(&sc->window, rate, cost->ns_each, cost->allowance_ns,
			   session_interval_ns(se));
	/* All are seen, and were: nothing was said to be amiss. */
	if (was == 1 && sc->window.weight == 1 && sc->said_weight == 1)
		return;
	if (was == 1) {
		carry(sc);
		sched_window_close(&sc->window, session_bpf(se));
	}
	if (open_window(se, sc))
		say_weight(se, sc, rate);
}

static void sched_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct sched *sc = priv;
	uint64_t interval_ns = session_interval_ns(se);

	if (sc->window.weight == 1) {
		sc->look_err = look(sc, s->target.state == TARGET_EXITED);
	} else {
		close_window(se, sc);
		interval_ns = sc->window.seen_ns * sc->window.weight;
	}
	if (sc->look_err)
		return;
	show(se, sc, interval_ns, s);
	if (sc->hist)
		adapt(se, sc, s);
}

static void sched_reset(struct session *se, void *priv)
{
	struct sched *sc = priv;

	for (int c = 0; c < WAIT_CLASSES; c++) {
		latency_track_reset(&sc->tracks[c]);
		sc->base_wait_ns[c] = sc->prev_wait_ns[c];
	}
	if (sc->hist) {
		locks_reset(sc->locks);
		sockets_reset(sc->sockets);
	}
	if (sc->stacks)
		wait_stacks_reset(sc->stacks);
}

const struct collector collector_sched = {
	.name = "sched",
	.help = "threads, time blocked by reason, mutex waits, run-queue wait",
	.start = sched_start,
	.tick = sched_tick,
	.reset = sched_reset,
	.stop = sched_stop,
};
