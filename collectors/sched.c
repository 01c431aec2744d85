/* SPDX-License-Identifier: Apache-2.0 */
/* sched.c: threads, time blocked by reason, mutex waits, run-queue wait. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/collector.h"
#include "collectors/latency.h"
#include "collectors/session.h"
#include "collectors/threads.h"
#include "perftop.skel.h"
#include "probes/contract.h"

enum { SCHED_LOCKS = 1024, FUTEX_OP_WAIT = 0, FUTEX_OP_LOCK_PI = 6, FUTEX_OP_LOCK_PI2 = 13 };

struct lock_row {
	uint64_t addr;
	struct contract_lock total; /* finished waits, from the map */
	uint64_t waiting_ns;	    /* waits that go on now */
	uint64_t prev_ns, base_ns;  /* total + waiting at the last tick, and at reset */
	uint64_t base_waits;
	bool seen_owner; /* its owner was once a live thread of the target */
};

struct sched {
	struct threads threads;
	const struct contract_hist *hist; /* WAIT_CLASSES * ncpu, NULL without eBPF */
	uint32_t ncpu;
	int locks_fd;
	struct latency_track tracks[WAIT_CLASSES];
	uint64_t wait_ns[WAIT_CLASSES];	     /* finished and going on, at this tick */
	uint64_t prev_wait_ns[WAIT_CLASSES]; /* at the last */
	uint64_t base_wait_ns[WAIT_CLASSES]; /* at the last reset */
	struct lock_row *locks;
	uint32_t nlocks;
	uint64_t start_ns;
	struct perftop_bpf__bss *bss;
	uint64_t forks;
	struct latency_sum sum; /* scratch */
};

static const uint8_t reason_of[WAIT_CLASSES] = {
	[WAIT_OTHER] = BLOCKED_OTHER, [WAIT_FUTEX] = BLOCKED_FUTEX,
	[WAIT_SLEEP] = BLOCKED_SLEEP, [WAIT_NET] = BLOCKED_NET,
	[WAIT_IO] = BLOCKED_IO,	      [WAIT_FAULT] = BLOCKED_PAGE_FAULT,
	[WAIT_RW] = BLOCKED_OTHER,    [WAIT_RUNQ] = BLOCKED_RUNQ,
};

static void sum_waits(struct sched *sc);
static void read_locks(struct sched *sc);

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
	err = bpf_attach_tp(b, "on_sched_switch", why, why_size);
	if (!err)
		err = bpf_attach_tp(b, "on_sched_wakeup", why, why_size);
	if (err)
		return err;
	/* Without these two the target is still watched; /proc shows an exec. */
	if (!bpf_attach_tp(b, "on_fork", why, why_size))
		sc->bss = skel->bss;
	sc->ncpu = bpf_ncpu(b);
	sc->hist = bpf_map_array(b, bpf_map__fd(skel->maps.sched_hist), sizeof(*sc->hist),
				 (size_t)WAIT_CLASSES * sc->ncpu, false);
	sc->locks_fd = bpf_map__fd(skel->maps.locks);
	return sc->hist ? 0 : -ENOMEM;
}

static void sched_stop(struct session *se, void *priv)
{
	struct sched *sc = priv;

	for (int i = 0; i < WAIT_CLASSES; i++)
		latency_track_fini(&sc->tracks[i]);
	threads_fini(&sc->threads);
	free(sc->locks);
	free(sc);
}

static int sched_start(struct session *se, void **priv)
{
	struct sched *sc = calloc(1, sizeof(*sc));
	char why[SNAP_TEXT] = "";
	int err;

	if (!sc)
		return -ENOMEM;
	sc->locks_fd = -1;
	sc->start_ns = session_now_ns(se);
	sc->locks = calloc(SCHED_LOCKS, sizeof(*sc->locks));
	err = sc->locks ? attach(se, sc, why, sizeof(why)) : -ENOMEM;
	if (err)
		session_section(se, "blocked", SECTION_ABSENT,
				err == -EPERM ? session_privilege_fix(se) : "", "%s", why);
	else
		session_section(se, "blocked", SECTION_LIVE, NULL,
				"time off the CPU, by sched_switch");
	err = threads_init(&sc->threads, session_pid(se), err ? NULL : session_bpf(se), why,
			   sizeof(why));
	if (err) {
		session_section(se, "threads", SECTION_ABSENT, session_privilege_fix(se),
				"threads of %d: %s", session_pid(se), strerror(-err));
		sched_stop(se, sc);
		return err;
	}
	session_section(se, "threads", SECTION_LIVE, NULL, "%s",
			sc->threads.iter_fd >= 0 ? "eBPF task iterator" : "/proc/PID/task");
	if (sc->hist) {
		/* What goes on now counts from now. */
		sum_waits(sc);
		memcpy(sc->prev_wait_ns, sc->wait_ns, sizeof(sc->wait_ns));
		memcpy(sc->base_wait_ns, sc->wait_ns, sizeof(sc->wait_ns));
		read_locks(sc);
		for (uint32_t i = 0; i < SCHED_LOCKS; i++)
			sc->locks[i].prev_ns = sc->locks[i].base_ns =
				sc->locks[i].total.wait_ns + sc->locks[i].waiting_ns;
	}
	*priv = sc;
	return 0;
}

/* Time this thread has been blocked and queued in the wait it is in now, since off_ns. */
static void present_wait(const struct contract_thread *t, uint64_t now_ns, uint64_t *blocked,
			 uint64_t *queued)
{
	uint64_t woken = t->wake_ns > t->off_ns ? t->wake_ns : now_ns;

	*blocked = *queued = 0;
	if (!t->off_ns || now_ns <= t->off_ns)
		return;
	if (t->wait == WAIT_RUNQ) {
		*queued = now_ns - t->off_ns;
		return;
	}
	if (woken > now_ns)
		woken = now_ns;
	*blocked = woken - t->off_ns;
	*queued = now_ns - woken;
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
	if (!state)
		return 'R';
	return state & 2 ? 'D' : state & 0xc ? 'T' : 'S';
}

static void fill_thread(const struct contract_thread *now, const struct contract_thread *before,
			uint64_t wall_ns, bool known_waits, struct snap_thread *out)
{
	out->tid = (int32_t)now->tid;
	snapshot_string(out->comm, sizeof(out->comm), now->comm);
	out->state = state_letter(now->state);
	if (!before)
		return;
	out->cpu_pct = pct(since(now->run_ns, before->run_ns), wall_ns);
	out->runq_pct = pct(since(now->run_delay_ns, before->run_delay_ns), wall_ns);
	if (known_waits || !now->state) {
		out->blocked_pct = 100 - out->cpu_pct - out->runq_pct;
		if (out->blocked_pct < 0)
			out->blocked_pct = 0;
	} else {
		out->blocked_pct = 100 - out->cpu_pct - out->runq_pct;
	}
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

static void fill_threads(struct sched *sc, struct snapshot *s)
{
	const struct threads *t = &sc->threads;
	uint64_t wall_ns = t->now_ns - t->before_ns, run_ns = 0, delay_ns = 0;
	uint64_t vol = 0, invol = 0, vol_new = 0, invol_new = 0;
	uint32_t hint = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct contract_thread *now = &t->now[i];
		const struct contract_thread *before = threads_before(t, now->tid, &hint);

		vol += now->nvcsw;
		invol += now->nivcsw;
		if (before) {
			run_ns += since(now->run_ns, before->run_ns);
			delay_ns += since(now->run_delay_ns, before->run_delay_ns);
			vol_new += since(now->nvcsw, before->nvcsw);
			invol_new += since(now->nivcsw, before->nivcsw);
		}
		if (s->nthreads < SNAP_THREADS)
			fill_thread(now, before, wall_ns, sc->hist, &s->threads[s->nthreads++]);
		else
			s->truncated++;
	}
	qsort(s->threads, s->nthreads, sizeof(s->threads[0]), compare_busy);
	s->cpu.runq_wait_pct = pct(delay_ns, wall_ns);
	s->proc.ctxsw_voluntary = vol;
	s->proc.ctxsw_involuntary = invol;
	s->proc.ctxsw_voluntary_rate = wall_ns ? (double)vol_new * 1e9 / (double)wall_ns : 0;
	s->proc.ctxsw_involuntary_rate = wall_ns ? (double)invol_new * 1e9 / (double)wall_ns : 0;
	/* Clock ticks are too coarse for a short interval: keep their ratio, not their sum. */
	if (wall_ns && t->nbefore) {
		double ticks = s->proc.user_pct + s->proc.sys_pct, exact = pct(run_ns, wall_ns);

		if (ticks > 0) {
			s->proc.user_pct *= exact / ticks;
			s->proc.sys_pct *= exact / ticks;
		} else {
			s->proc.user_pct = exact;
		}
		s->cpu.user_pct = s->proc.user_pct;
		s->cpu.sys_pct = s->proc.sys_pct;
	}
}

/* ---- time blocked by reason ----------------------------------------------------------------- */

static void sum_waits(struct sched *sc)
{
	const struct threads *t = &sc->threads;

	for (int c = 0; c < WAIT_CLASSES; c++) {
		const struct contract_hist *h = sc->hist + (size_t)c * sc->ncpu;

		sc->wait_ns[c] = 0;
		for (uint32_t cpu = 0; cpu < sc->ncpu; cpu++)
			sc->wait_ns[c] += __atomic_load_n(&h[cpu].sum, __ATOMIC_RELAXED);
	}
	for (uint32_t i = 0; i < t->n; i++) {
		uint64_t blocked, queued;

		if (t->now[i].wait >= WAIT_CLASSES)
			continue;
		present_wait(&t->now[i], t->now_ns, &blocked, &queued);
		sc->wait_ns[t->now[i].wait] += blocked;
		sc->wait_ns[WAIT_RUNQ] += queued;
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

static void fill_blocked(struct session *se, struct sched *sc, struct snapshot *s)
{
	sum_waits(sc);
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
						  .bins = sc->sum.bins};
		latency_track_update(&sc->tracks[c], &now, session_interval_ns(se), s, &lat);
		s->nbins = nbins;
		if (!lat.count && since(sc->wait_ns[c], sc->base_wait_ns[c]) == 0)
			continue;
		row = blocked_row(s, reason_of[c]);
		row->count += lat.count;
		row->ns += since(sc->wait_ns[c], sc->base_wait_ns[c]);
		row->pct +=
			pct(since(sc->wait_ns[c], sc->prev_wait_ns[c]), session_interval_ns(se));
		row->p50 = lat.p50;
		row->p99 = lat.p99;
		row->max = lat.max;
		sc->prev_wait_ns[c] = sc->wait_ns[c];
	}
}

/* ---- locks ---------------------------------------------------------------------------------- */

static struct lock_row *lock_of(struct sched *sc, uint64_t addr)
{
	uint32_t h = (uint32_t)(addr * 0x9E3779B97F4A7C15ull >> 54);

	for (uint32_t i = 0; i < 64; i++) {
		struct lock_row *l = &sc->locks[(h + i) % SCHED_LOCKS];

		if (l->addr == addr)
			return l;
		if (!l->addr) {
			l->addr = addr;
			sc->nlocks++;
			return l;
		}
	}
	return NULL;
}

static bool is_mutex_op(uint32_t op)
{
	return op == FUTEX_OP_WAIT || op == FUTEX_OP_LOCK_PI || op == FUTEX_OP_LOCK_PI2;
}

static void read_locks(struct sched *sc)
{
	uint64_t key, *prev = NULL, next;
	struct contract_lock value;

	for (uint32_t i = 0; i < SCHED_LOCKS; i++)
		sc->locks[i].waiting_ns = 0;
	for (uint32_t n = 0; n < CONTRACT_LOCKS; n++) {
		struct lock_row *l;

		if (bpf_map_get_next_key(sc->locks_fd, prev, &next))
			break;
		key = next;
		prev = &key;
		if (bpf_map_lookup_elem(sc->locks_fd, &key, &value))
			continue;
		l = lock_of(sc, key);
		if (l)
			l->total = value;
	}
	for (uint32_t i = 0; i < sc->threads.n; i++) {
		const struct contract_thread *t = &sc->threads.now[i];
		uint64_t blocked, queued;
		struct lock_row *l;

		if (!t->lock_addr || t->wait != WAIT_FUTEX || !t->off_ns)
			continue;
		l = lock_of(sc, t->lock_addr);
		if (!l)
			continue;
		present_wait(t, sc->threads.now_ns, &blocked, &queued);
		l->waiting_ns += blocked;
		l->total.op = t->lock_op;
		if (t->lock_owner)
			l->total.owner = t->lock_owner;
		if (blocked > l->total.max_ns)
			l->total.max_ns = blocked;
	}
}

static int compare_wait(const void *a, const void *b)
{
	const struct snap_lock *x = a, *y = b;

	if (x->is_mutex != y->is_mutex)
		return x->is_mutex ? -1 : 1;
	if (x->pct != y->pct)
		return x->pct > y->pct ? -1 : 1;
	return x->wait_ns > y->wait_ns ? -1 : x->wait_ns < y->wait_ns;
}

static void fill_locks(struct session *se, struct sched *sc, struct snapshot *s)
{
	read_locks(sc);
	for (uint32_t i = 0; i < SCHED_LOCKS; i++) {
		struct lock_row *l = &sc->locks[i];
		uint64_t total = l->total.wait_ns + l->waiting_ns;
		struct snap_lock *out;

		if (!l->addr)
			continue;
		/*
		 * A plain wait alone may be anything; glibc's mutex also names its holder beside
		 * the lock word. Believe it when the holder is a thread of the target.
		 */
		if (is_mutex_op(l->total.op) && threads_has(&sc->threads, l->total.owner))
			l->seen_owner = true;
		if (total > l->base_ns && s->nlocks < SNAP_LOCKS) {
			out = &s->locks[s->nlocks++];
			out->addr = l->addr;
			out->waits = l->total.waits - l->base_waits;
			out->wait_ns = total - l->base_ns;
			out->max_ns = l->total.max_ns;
			out->pct = pct(since(total, l->prev_ns), session_interval_ns(se));
			out->is_mutex = l->seen_owner;
			out->owner_tid = l->seen_owner ? (int32_t)l->total.owner : 0;
		} else if (total > l->base_ns) {
			s->truncated++;
		}
		l->prev_ns = total;
	}
	qsort(s->locks, s->nlocks, sizeof(s->locks[0]), compare_wait);
}

static void report_forks(struct session *se, struct sched *sc)
{
	uint64_t forks;

	if (!sc->bss)
		return;
	forks = sc->bss->target_forks;
	if (forks == sc->forks)
		return;
	session_event(se, "the target forked %llu more child%s (newest: pid %u), not followed",
		      (unsigned long long)(forks - sc->forks), forks - sc->forks == 1 ? "" : "ren",
		      sc->bss->target_last_child);
	sc->forks = forks;
}

static void sched_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct sched *sc = priv;

	if (threads_read(&sc->threads))
		return;
	fill_threads(sc, s);
	if (!sc->hist)
		return;
	fill_blocked(se, sc, s);
	fill_locks(se, sc, s);
	report_forks(se, sc);
}

static void sched_reset(struct session *se, void *priv)
{
	struct sched *sc = priv;

	for (int c = 0; c < WAIT_CLASSES; c++) {
		latency_track_reset(&sc->tracks[c]);
		sc->base_wait_ns[c] = sc->prev_wait_ns[c];
	}
	for (uint32_t i = 0; i < SCHED_LOCKS; i++) {
		sc->locks[i].base_ns = sc->locks[i].prev_ns;
		sc->locks[i].base_waits = sc->locks[i].total.waits;
	}
}

const struct collector collector_sched = {
	.name = "sched",
	.help = "threads, time blocked by reason, mutex waits, run-queue wait",
	.start = sched_start,
	.tick = sched_tick,
	.reset = sched_reset,
	.stop = sched_stop,
};
