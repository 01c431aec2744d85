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
#include "collectors/session.h"
#include "collectors/sockets.h"
#include "collectors/target_set.h"
#include "collectors/threads.h"
#include "collectors/told_locks.h"
#include "collectors/wait_stacks.h"
#include "perftop.skel.h"
#include "probes/contract.h"

struct sched {
	struct threads threads;
	const struct contract_hist *hist; /* WAIT_CLASSES * ncpu, NULL without eBPF */
	uint32_t ncpu;
	struct latency_track tracks[WAIT_CLASSES];
	uint64_t wait_ns[WAIT_CLASSES];	      /* finished and going on, as just read */
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
	uint64_t voluntary, involuntary; /* context switches of all threads, gone ones too */
	struct latency_sum sum;		 /* scratch */
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
	/* As late as can be: what a thread was before is not known. */
	skel->bss->attach_ns = clock_mono_ns();
	err = bpf_attach_tp(b, "on_sched_switch", why, why_size);
	if (!err && bpf_needs_wakes(b))
		err = bpf_attach_tp(b, "on_sched_waking", why, why_size);
	if (err)
		return err;
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
		bpf_attach_tp(b, "on_sched_waking", why, why_size);
	return 0;
}

static double pct(uint64_t ns, uint64_t of_ns)
{
	return of_ns ? 100.0 * (double)ns / (double)of_ns : 0;
}

/* Difference of two readings of a clock that only goes forward, but was read apart. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

/* ---- threads -------------------------------------------------------------------------------- */

static char state_letter(uint32_t state)
{
	if (state & 0x30)
		return 'Z';
	if (!state)
		return 'R';
	return state & 2 ? 'D' : state & 0xc ? 'T' : 'S';
}

/* Ns of a thread's life until a reading: on a CPU as the scheduler knows it, queued, blocked. */
struct thread_time {
	uint64_t run, queued, blocked;
	bool running; /* run lags by up to a clock tick */
};

static struct thread_time time_of(const struct contract_thread *row)
{
	struct thread_time t = {.running = !row->state && !row->off_ns};
	uint64_t blocked, queued;

	threads_present_wait(row, &blocked, &queued);
	t.run = row->run_ns;
	t.queued = row->run_delay_ns + queued;
	t.blocked = row->blocked_ns + blocked;
	return t;
}

static void fill_shares(const struct thread_time *now, const struct thread_time *before,
			uint64_t wall_ns, bool known_waits, struct snap_thread *out)
{
	out->cpu_pct = pct(since(now->run, before->run), wall_ns);
	out->runq_pct = pct(since(now->queued, before->queued), wall_ns);
	if (!known_waits) {
		out->blocked_pct = 100 - out->cpu_pct - out->runq_pct;
	} else {
		out->blocked_pct = pct(since(now->blocked, before->blocked), wall_ns);
		/* Neither blocked nor queued: it runs, told without the lag. */
		if (now->running || before->running)
			out->cpu_pct = 100 - out->blocked_pct - out->runq_pct;
	}
	if (out->blocked_pct < 0)
		out->blocked_pct = 0;
	if (out->cpu_pct < 0)
		out->cpu_pct = 0;
}

static void fill_thread(const struct sched *sc, const struct contract_thread *now,
			const struct contract_thread *before, struct snap_thread *out)
{
	uint64_t wall_ns = sc->threads.now_ns - sc->threads.before_ns;
	struct thread_time n = time_of(now), b = {0};

	out->tid = (int32_t)now->tid;
	snapshot_string(out->comm, sizeof(out->comm), now->comm);
	out->state = state_letter(now->state);
	if (out->state == 'Z')
		return;
	/* A thread that is new began in this interval: its whole life counts. */
	if (before) {
		b = time_of(before);
		wall_ns = since(now->at_ns, before->at_ns);
	} else {
		n.running = false;
	}
	fill_shares(&n, &b, wall_ns, sc->hist, out);
	if (!before && !sc->hist)
		out->blocked_pct = 0;
}

/* Busy threads first: what does not fit into the snapshot is the idle rest. */
static int compare_busy(const void *a, const void *b)
{
	const struct snap_thread *x = a, *y = b;
	double dx = x->cpu_pct + x->runq_pct, dy = y->cpu_pct + y->runq_pct;

	if (dx != dy)
		return dx > dy ? -1 : 1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/* s->threads as a heap whose root is the thread to give up first. */
static void sift_down(struct snap_thread *heap, uint32_t n, uint32_t at)
{
	for (;;) {
		uint32_t last = at, child = 2 * at + 1;
		struct snap_thread swap;

		if (child < n && compare_busy(&heap[child], &heap[last]) > 0)
			last = child;
		if (child + 1 < n && compare_busy(&heap[child + 1], &heap[last]) > 0)
			last = child + 1;
		if (last == at)
			return;
		swap = heap[at];
		heap[at] = heap[last];
		heap[last] = swap;
		at = last;
	}
}

static void keep_busy(struct snapshot *s, const struct snap_thread *row)
{
	if (s->nthreads < SNAP_THREADS) {
		s->threads[s->nthreads++] = *row;
		if (s->nthreads == SNAP_THREADS)
			for (uint32_t i = SNAP_THREADS / 2; i-- > 0;)
				sift_down(s->threads, SNAP_THREADS, i);
		return;
	}
	s->truncated++;
	if (compare_busy(row, &s->threads[0]) > 0)
		return;
	s->threads[0] = *row;
	sift_down(s->threads, SNAP_THREADS, 0);
}

static void fill_threads(struct sched *sc, struct snapshot *s)
{
	const struct threads *t = &sc->threads;
	uint64_t wall_ns = t->now_ns - t->before_ns, delay_ns = 0, vol_new = 0, invol_new = 0;
	static const struct contract_thread unborn;
	uint32_t hint = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct contract_thread *now = &t->now[i];
		const struct contract_thread *before = threads_before(t, now->tid, &hint);
		struct snap_thread row = {0};

		fill_thread(sc, now, before, &row);
		keep_busy(s, &row);
		if (!before)
			before = &unborn;
		delay_ns += since(now->run_delay_ns, before->run_delay_ns);
		vol_new += since(now->nvcsw, before->nvcsw);
		invol_new += since(now->nivcsw, before->nivcsw);
	}
	qsort(s->threads, s->nthreads, sizeof(s->threads[0]), compare_busy);
	/* Added up from differences: threads that end take their counts with them. */
	sc->voluntary += t->gone ? 0 : vol_new;
	sc->involuntary += t->gone ? 0 : invol_new;
	s->cpu.runq_wait_pct = pct(delay_ns, wall_ns);
	s->proc.ctxsw_voluntary = sc->voluntary;
	s->proc.ctxsw_involuntary = sc->involuntary;
	s->proc.ctxsw_voluntary_rate = wall_ns ? (double)vol_new * 1e9 / (double)wall_ns : 0;
	s->proc.ctxsw_involuntary_rate = wall_ns ? (double)invol_new * 1e9 / (double)wall_ns : 0;
}

/* ---- time blocked by reason ----------------------------------------------------------------- */

static void sum_finished(struct sched *sc)
{
	for (int c = 0; c < WAIT_CLASSES; c++) {
		const struct contract_hist *h = sc->hist + (size_t)c * sc->ncpu;

		sc->wait_ns[c] = 0;
		for (uint32_t cpu = 0; cpu < sc->ncpu; cpu++)
			sc->wait_ns[c] += __atomic_load_n(&h[cpu].sum, __ATOMIC_RELAXED);
	}
}

static void add_waiting(struct sched *sc)
{
	const struct threads *t = &sc->threads;

	/* The waits of a process that is gone have ended, and are in the sums. */
	for (uint32_t i = 0; i < t->n && !t->gone; i++) {
		uint64_t blocked, queued;

		if (t->now[i].wait >= WAIT_CLASSES)
			continue;
		threads_present_wait(&t->now[i], &blocked, &queued);
		sc->wait_ns[t->now[i].wait] += blocked;
		sc->wait_ns[WAIT_RUNQ] += queued;
	}
	/* A wait that ended between the two readings is in neither, until the next tick. */
	for (int c = 0; c < WAIT_CLASSES; c++)
		if (sc->wait_ns[c] > sc->shown_wait_ns[c])
			sc->shown_wait_ns[c] = sc->wait_ns[c];
}

static struct snap_blocked *blocked_row(struct snapshot *s, uint32_t reason)
{
	for (uint32_t i = 0; i < s->nblocked; i++)
		if (s->blocked[i].reason == reason)
			return &s->blocked[i];
	s->blocked[s->nblocked].reason = reason;
	return &s->blocked[s->nblocked++];
}

static void fill_blocked(struct session *se, struct sched *sc, struct snapshot *s)
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
		latency_track_update(&sc->tracks[c], &now, session_interval_ns(se), s, &lat);
		s->nbins = nbins;
		if (!lat.count && sc->shown_wait_ns[c] - sc->base_wait_ns[c] == 0)
			continue;
		row = blocked_row(s, sched_reason((uint32_t)c));
		row->count += lat.count;
		row->ns += sc->shown_wait_ns[c] - sc->base_wait_ns[c];
		row->pct +=
			pct(sc->shown_wait_ns[c] - sc->prev_wait_ns[c], session_interval_ns(se));
		if (c == WAIT_RUNQ)
			s->cpu.runq_wait_pct = row->pct; /* threads that are gone included */
		row->p50 = lat.p50;
		row->p99 = lat.p99;
		row->max = lat.max;
		sc->prev_wait_ns[c] = sc->shown_wait_ns[c];
	}
}

static void sched_stop(struct session *se, void *priv)
{
	struct sched *sc = priv;

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
	sc->deadlock = deadlock_new();
	if (!sc->deadlock) {
		free(sc);
		return -ENOMEM;
	}
	err = attach(se, sc, why, sizeof(why));
	if (err)
		session_section(se, "blocked", SECTION_ABSENT,
				err == -EPERM ? session_privilege_fix(se) : "", "%s", why);
	else if (!sc->stacks)
		session_section(se, "blocked", SECTION_DEGRADED, NULL,
				"time off the CPU, by sched_switch; no stacks of waits: %.180s",
				sc->no_stacks);
	else
		session_section(se, "blocked", SECTION_LIVE, NULL,
				"time off the CPU and the stacks that wait, by sched_switch%s",
				wait_stacks_all_waits(sc->stacks)
					? ""
					: "; stacks in page faults are missed");
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
	for (uint32_t i = 0; i < sc->threads.n; i++) {
		sc->voluntary += sc->threads.now[i].nvcsw;
		sc->involuntary += sc->threads.now[i].nivcsw;
	}
	/* What goes on now counts from now. */
	if (sc->hist) {
		sum_finished(sc);
		locks_read_finished(sc->locks);
		sockets_read_finished(sc->sockets);
		add_waiting(sc);
		locks_add_waiting(sc->locks, &sc->threads);
		sockets_add_waiting(sc->sockets, &sc->threads);
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

static void sched_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct sched *sc = priv;

	/* Before the threads: see locks.h. */
	if (sc->hist) {
		sum_finished(sc);
		locks_read_finished(sc->locks);
		sockets_read_finished(sc->sockets);
	}
	if (threads_read(&sc->threads, s->target.state == TARGET_EXITED))
		return;
	fill_threads(sc, s);
	if (!sc->hist) {
		deadlock_fill(sc->deadlock, &sc->threads, NULL, s);
		return;
	}
	add_waiting(sc);
	locks_add_waiting(sc->locks, &sc->threads);
	sockets_add_waiting(sc->sockets, &sc->threads);
	fill_blocked(se, sc, s);
	if (sc->stacks)
		wait_stacks_tick(sc->stacks, &sc->threads, s);
	locks_name_some(sc->locks, symbols_of, se, &sc->threads);
	locks_fill(sc->locks, session_interval_ns(se), s);
	if (sc->stacks)
		told_locks_fill(sc->stacks, session_interval_ns(se), s);
	deadlock_fill(sc->deadlock, &sc->threads, sc->locks, s);
	sockets_fill(sc->sockets, session_pid(se), session_interval_ns(se), s);
	report_forks(se, sc);
	report_locks(se, sc);
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
