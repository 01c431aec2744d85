/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait_stacks.c: the stacks that threads wait in, by time, with who woke them.
 * Long because the table and its two sources, waits that are over and waits that go on, settle into
 * the same rows.
 */
#include "collectors/wait_stacks.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "collectors/bpf.h"
#include "collectors/locks.h"
#include "collectors/procfs.h"
#include "collectors/sampler.h"
#include "collectors/sched_reason.h"
#include "collectors/session.h"
#include "collectors/target_set.h"
#include "collectors/threads.h"
#include "collectors/unwind.h"
#include "collectors/wait_site.h"
#include "perftop.skel.h"
#include "probes/contract.h"

enum {
	ENTRIES = 1024, /* stacks told apart */
	PROBES = 8,	/* places that one may lie at */
	SLEEPERS = 256, /* waits going on whose stack is known */
	READS = 16,	/* stacks read from outside a tick */
	RATE = 75,	/* stacks a second that the period aims at: some 0.05 % of a CPU */
	BURST = 4 * RATE,
	/* What the ring holds: it is not drained until all collectors have started. */
	FIRST_BURST = CONTRACT_WAIT_RING / (CONTRACT_SLICE_BYTES + 1024),
};
#define PERIOD_FIRST_NS 1000000.0
#define PERIOD_MIN_NS	20000.0
#define PERIOD_MAX_NS	4000000000.0
/* A wait that has lasted so long is hardly over before its stack is read. */
#define SLEEP_NS 200000000ull

struct entry {
	uint64_t hash;
	uint32_t reason, n;
	uint32_t ids[SNAP_FRAMES];
	double ns, count;	    /* of finished waits */
	double tick_ns, tick_count; /* of them, since the last tick */
	uint64_t sleeping_ns, max_ns;
	uint32_t sleepers;
	int32_t tid;
	uint32_t waker, waker_kind, votes;
	char waker_comm[16];
	const char *kind;	/* of lock, NULL: none, or not known */
	const char *site, *via; /* of a lock that is no futex: see wait_site.h; else NULL */
	uint64_t shown_ns, prev_ns;
	bool timed; /* what ends it is a timer */
	bool used;
};

/* A wait that goes on: by thread and beginning. */
struct sleeper {
	uint32_t tid, entry;
	uint64_t hash; /* of that entry: it may have given way to another */
	uint64_t wait_id, seen;
};

struct wait_stacks {
	struct session *se;
	struct locks *locks;
	struct perftop_bpf__bss *bss;
	struct ring_buffer *ring;
	bool faults_too;
	double period_ns;
	uint64_t chosen, lost, ticks, refreshed;
	uint64_t missed_ns[WAIT_CLASSES]; /* at the last tick */
	double pool_ns[BLOCKED_REASONS];  /* missed, and not yet given to a stack */
	uint64_t reset_ns;		  /* waits that go on count from here */
	struct entry entries[ENTRIES];
	struct sleeper sleepers[SLEEPERS];
	uint8_t slice[CONTRACT_SLICE_BYTES];
};

/* ---- the table ------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0x9E3779B97F4A7C15ull;
	return h ^ h >> 29;
}

/* Place of this stack, taken from the one with the least time if there is none. */
static struct entry *entry_of(struct wait_stacks *w, uint32_t reason, const uint32_t *ids,
			      uint32_t n)
{
	struct entry *least = NULL;
	uint64_t hash = mix(n, reason);

	for (uint32_t i = 0; i < n; i++)
		hash = mix(hash, ids[i]);
	for (uint32_t i = 0; i < PROBES; i++) {
		struct entry *e = &w->entries[(hash + i) % ENTRIES];

		if (e->used && e->hash == hash)
			return e;
		if (!least || !e->used ||
		    (least->used &&
		     e->ns + (double)e->sleeping_ns < least->ns + (double)least->sleeping_ns))
			least = e;
		if (!e->used)
			break;
	}
	memset(least, 0, sizeof(*least));
	least->used = true;
	least->hash = hash;
	least->reason = reason;
	least->n = n;
	memcpy(least->ids, ids, n * sizeof(*ids));
	return least;
}

/*
 * What a stack is made of, as it is found: the n frames that it has, and nids functions with those
 * that were inlined into them. Frame i's begin at ids[first[i]], the innermost first, itself last.
 */
struct walk {
	struct symbol frames[SNAP_FRAMES];
	uint32_t first[SNAP_FRAMES], n;
	uint32_t ids[SNAP_FRAMES], nids;
};

/* A mapping that came since they were read: once a tick they are read again for it. */
static bool is_new_code(struct wait_stacks *w, struct symbols *syms, uint64_t pc)
{
	if (w->refreshed == w->ticks || symbols_module_at(syms, pc))
		return false;
	w->refreshed = w->ticks;
	symbols_expect(syms);
	return !symbols_refresh(syms);
}

static void name_frames(struct symbols *syms, const uint64_t *pcs, struct walk *out)
{
	for (uint32_t i = 0; i < out->n; i++) {
		/* Return addresses point behind the call. */
		uint64_t pc = pcs[i] - (i > 0);
		uint32_t room = SNAP_FRAMES - out->nids, max = SYMBOLS_INLINES + 1;

		symbols_lookup(syms, pc, &out->frames[i]);
		out->first[i] = out->nids;
		if (room)
			out->nids += symbols_expand(syms, pc, out->ids + out->nids,
						    room < max ? room : max);
	}
}

static void walk_stack(struct wait_stacks *w, uint32_t tgid, const struct unwind_regs *regs,
		       const void *slice, size_t bytes, struct walk *out)
{
	pid_t pid = session_pid_of(w->se, tgid);
	struct symbols *syms = session_symbols_of(w->se, pid);
	struct unwinder *unwinder = session_unwinder(w->se, pid);
	uint64_t pcs[SNAP_FRAMES];
	enum unwind_end end;

	out->n = out->nids = 0;
	if (!syms || !unwinder)
		return;
	out->n = unwind_stack(unwinder, regs, slice, bytes, pcs, SNAP_FRAMES, &end);
	if (out->n && is_new_code(w, syms, pcs[out->n - 1]))
		out->n = unwind_stack(unwinder, regs, slice, bytes, pcs, SNAP_FRAMES, &end);
	name_frames(syms, pcs, out);
}

/*
 * The function of the source that frame i waits in: the innermost that was inlined there and is no
 * lock's own, as std::lock_guard is, or else the frame's. It owns the name.
 */
static const char *source_function(struct symbols *syms, const struct walk *k, uint32_t i)
{
	uint32_t end = i + 1 < k->n ? k->first[i + 1] : k->nids;
	struct symbol s;

	for (uint32_t at = k->first[i]; at + 1 < end; at++) {
		symbols_by_id(syms, k->ids[at], &s);
		if (!wait_site_is_inlined_library(s.name))
			return s.name;
	}
	return k->frames[i].name;
}

/* Of a wait on a futex: to the lock's row, who waits for it; to the stack's, for what kind. */
static void tell_site(struct wait_stacks *w, struct entry *e, const struct walk *k, uint64_t lock,
		      double ns)
{
	struct wait_site site;
	struct symbols *syms;

	if (e->reason != BLOCKED_FUTEX && wait_site_find_told(k->frames, k->n, e->reason, &site)) {
		e->kind = site.kind;
		e->site = site.site < k->n ? k->frames[site.site].name : "";
		e->via = site.via < k->n && site.via != site.site ? k->frames[site.via].name : "";
	}
	if (!lock)
		return;
	wait_site_find(k->frames, k->n, &site);
	syms = session_symbols(w->se);
	e->kind = site.kind;
	locks_note_site(w->locks, lock,
			&(struct lock_site){
				.kind = site.kind,
				.site = site.site < k->n ? source_function(syms, k, site.site) : "",
				.via = site.via < k->n ? k->frames[site.via].name : "",
				.condvar = site.condvar,
				.ns = ns});
}

/* ---- waits that are over -------------------------------------------------------------------- */

/* The waker of most waits, if one is: by majority vote (Boyer and Moore). */
static void vote_waker(struct entry *e, const struct contract_wait_stack *in)
{
	if (in->waker_kind == WAKER_UNSEEN)
		return;
	if (e->votes && (e->waker != in->waker || e->waker_kind != in->waker_kind)) {
		e->votes--;
		return;
	}
	if (!e->votes++) {
		e->waker = in->waker;
		e->waker_kind = in->waker_kind;
		snapshot_string(e->waker_comm, sizeof(e->waker_comm), in->waker_comm);
	}
}

static int on_stack(void *ctx, void *data, size_t size)
{
	struct wait_stacks *w = ctx;
	const struct contract_wait_stack *in = data;
	struct unwind_regs regs;
	struct walk k;
	struct entry *e;

	if (size < sizeof(*in) || in->sample.slice > size - sizeof(*in) || !in->ns ||
	    in->wait >= WAIT_CLASSES)
		return 0;
	sampler_set_registers(&regs, in->sample.ip, in->sample.sp, in->sample.bp,
			      (const uint64_t *)in->sample.regs);
	walk_stack(w, in->sample.pid, &regs, in + 1, in->sample.slice, &k);
	if (!k.nids)
		k.ids[k.nids++] = 0; /* "[unknown]" */
	e = entry_of(w, sched_reason(in->wait), k.ids, k.nids);
	e->tick_ns += (double)in->weight_ns;
	e->tick_count += (double)in->weight_ns / (double)in->ns;
	if (in->ns > e->max_ns)
		e->max_ns = in->ns;
	e->tid = (int32_t)in->sample.tid;
	e->timed = in->wait == WAIT_SLEEP;
	vote_waker(e, in);
	if (k.ids[0])
		tell_site(w, e, &k, in->lock, (double)in->weight_ns);
	return 0;
}

static void drain(struct session *se, void *priv)
{
	(void)se;
	ring_buffer__consume(((struct wait_stacks *)priv)->ring);
}

/* More were chosen than may be taken: those of their kind that were stand for them. */
static void settle(struct wait_stacks *w)
{
	double taken_ns[BLOCKED_REASONS] = {0};

	for (uint32_t c = 0; c < WAIT_CLASSES; c++) {
		uint64_t missed = w->bss->wait_missed_ns[c];

		w->pool_ns[sched_reason(c)] += (double)(missed - w->missed_ns[c]);
		w->missed_ns[c] = missed;
	}
	for (uint32_t i = 0; i < ENTRIES; i++)
		taken_ns[w->entries[i].reason] += w->entries[i].tick_ns;
	for (uint32_t i = 0; i < ENTRIES; i++) {
		struct entry *e = &w->entries[i];
		double by = 1;

		if (e->tick_ns <= 0)
			continue;
		by += w->pool_ns[e->reason] / taken_ns[e->reason];
		e->ns += e->tick_ns * by;
		e->count += e->tick_count * by;
		e->tick_ns = e->tick_count = 0;
	}
	for (int r = 0; r < BLOCKED_REASONS; r++)
		if (taken_ns[r] > 0)
			w->pool_ns[r] = 0;
}

/* The rate of stacks follows 1 / period where waits are shorter than it, and falls else. */
static void set_period(struct wait_stacks *w, uint64_t interval_ns)
{
	uint64_t chosen = w->bss->wait_stacks_chosen;
	double want = RATE * (double)interval_ns / 1e9, got = (double)(chosen - w->chosen);
	double by = want > 0 ? got / want : 1;

	w->chosen = chosen;
	w->period_ns *= by < 0.5 ? 0.5 : by > 16 ? 16 : by;
	w->period_ns = fmin(fmax(w->period_ns, PERIOD_MIN_NS), PERIOD_MAX_NS);
	w->bss->wait_period_ns = (uint64_t)w->period_ns;
	w->bss->wait_stacks_left = BURST;
}

/* ---- waits that go on ----------------------------------------------------------------------- */

static struct sleeper *sleeper_of(struct wait_stacks *w, const struct contract_thread *row)
{
	struct sleeper *old = NULL;

	for (uint32_t i = 0; i < SLEEPERS; i++) {
		struct sleeper *s = &w->sleepers[i];

		if (s->seen && s->tid == row->tid && s->wait_id == row->wait_id)
			return s;
		if (!old && s->seen + 1 < w->ticks)
			old = s;
	}
	if (old)
		*old = (struct sleeper){
			.tid = row->tid, .wait_id = row->wait_id, .entry = UINT32_MAX};
	return old;
}

static bool read_sleeper(struct wait_stacks *w, const struct contract_thread *row,
			 struct sleeper *s)
{
	uint64_t first = 4096 - (row->sp & 4095);
	struct iovec here = {w->slice, sizeof(w->slice)};
	struct iovec there[5];
	struct unwind_regs regs;
	struct entry *e;
	struct walk k;
	ssize_t n;

	/* By pages: it gives what lies before one that is missing. */
	for (int i = 0; i < 5; i++)
		there[i] = (struct iovec){(void *)(uintptr_t)(row->sp + (i ? first : 0) +
							      (i ? (uint64_t)(i - 1) * 4096 : 0)),
					  i ? 4096 : first};
	n = process_vm_readv(session_pid_of(w->se, row->tgid), &here, 1, there, 5, 0);
	if (n <= 0)
		return false;
	sampler_set_registers(&regs, row->ip, row->sp, row->bp, (const uint64_t *)row->regs);
	walk_stack(w, row->tgid, &regs, w->slice, (size_t)n, &k);
	if (!k.n)
		return false;
	e = entry_of(w, sched_reason(row->wait), k.ids, k.nids);
	s->entry = (uint32_t)(e - w->entries);
	s->hash = e->hash;
	tell_site(w, e, &k, row->wait == WAIT_FUTEX ? row->lock : 0, (double)SLEEP_NS);
	return true;
}

static void add_sleepers(struct wait_stacks *w, const struct threads *t)
{
	uint32_t reads = READS;

	for (uint32_t i = 0; i < ENTRIES; i++)
		w->entries[i].sleeping_ns = w->entries[i].sleepers = 0;
	for (uint32_t i = 0; i < t->n && !t->gone; i++) {
		const struct contract_thread *row = &t->now[i];
		uint64_t blocked, queued, from = row->off_ns;
		struct sleeper *s;
		struct entry *e;

		if (!row->sp || row->wait >= WAIT_CLASSES || row->wait == WAIT_RUNQ)
			continue;
		threads_present_wait(row, &blocked, &queued);
		if (queued || blocked < SLEEP_NS)
			continue;
		s = sleeper_of(w, row);
		if (!s)
			continue;
		s->seen = w->ticks;
		if (s->entry != UINT32_MAX && w->entries[s->entry].hash != s->hash)
			s->entry = UINT32_MAX;
		if (s->entry == UINT32_MAX && (!reads || !reads-- || !read_sleeper(w, row, s)))
			continue;
		e = &w->entries[s->entry];
		if (from < w->reset_ns)
			from = w->reset_ns;
		e->sleepers++;
		e->sleeping_ns += row->at_ns > from ? row->at_ns - from : 0;
		if (blocked > e->max_ns)
			e->max_ns = blocked;
		e->tid = (int32_t)row->tid;
	}
}

/* ---- into the snapshot ---------------------------------------------------------------------- */

static double entry_ns(const struct entry *e)
{
	return e->used ? e->ns + (double)e->sleeping_ns : 0;
}

static void waker_text(const struct entry *e, char *out, size_t size)
{
	out[0] = '\0';
	if (e->count <= 0)
		return;
	if (e->timed)
		snprintf(out, size, "timer");
	else if (e->waker_kind == WAKER_INTERRUPT)
		snprintf(out, size, "interrupt");
	else if (e->waker)
		snprintf(out, size, "%s/%u", e->waker_comm, e->waker);
}

/* A wait that ends gives way to its estimate: never less than was shown. */
static void show_lock(struct entry *e, double ns)
{
	e->prev_ns = e->shown_ns;
	if (ns > (double)e->shown_ns)
		e->shown_ns = (uint64_t)ns;
}

static void fill(struct wait_stacks *w, struct snapshot *s)
{
	uint32_t top[SNAP_WAIT_STACKS], n = 0;

	for (uint32_t i = 0; i < ENTRIES; i++) {
		double ns = entry_ns(&w->entries[i]);
		uint32_t at = n;

		show_lock(&w->entries[i], ns);
		if (ns <= 0)
			continue;
		/* cppcheck-suppress uninitvar ; the first n are set */
		while (at && entry_ns(&w->entries[top[at - 1]]) < ns)
			at--;
		if (n == SNAP_WAIT_STACKS)
			s->truncated++;
		else
			n++;
		if (at == SNAP_WAIT_STACKS)
			continue;
		memmove(top + at + 1, top + at, (n - 1 - at) * sizeof(*top));
		top[at] = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct entry *e = &w->entries[top[i]];
		struct snap_wait_stack *out = &s->wait_stacks[s->nwait_stacks++];

		out->reason = e->reason;
		out->ns = (uint64_t)entry_ns(e);
		out->count = (uint64_t)(e->count + 0.5) + e->sleepers;
		out->max_ns = e->max_ns;
		out->tid = e->tid;
		snapshot_string(out->kind, sizeof(out->kind), e->kind ? e->kind : "");
		waker_text(e, out->waker, sizeof(out->waker));
		out->nframes = e->n;
		for (uint32_t f = 0; f < e->n; f++)
			out->frames[f] = symbols_snapshot(session_symbols(w->se), e->ids[f], s);
	}
}

void wait_stacks_tick(struct wait_stacks *w, const struct threads *t, struct snapshot *s)
{
	struct session_cost cost = {.events = w->bss->wait_stacks_chosen - w->chosen,
				    .dropped = w->bss->wait_stacks_lost - w->lost};

	w->ticks++;
	ring_buffer__consume(w->ring);
	settle(w);
	w->lost = w->bss->wait_stacks_lost;
	session_add_cost(w->se, &cost);
	set_period(w, session_interval_ns(w->se));
	add_sleepers(w, t);
	fill(w, s);
}

void wait_stacks_each_lock(const struct wait_stacks *w, wait_stacks_lock_fn *fn, void *ctx)
{
	for (uint32_t i = 0; i < ENTRIES; i++) {
		const struct entry *e = &w->entries[i];

		if (!e->used || !e->site || !e->shown_ns)
			continue;
		fn(ctx, &(struct wait_stack_lock){.kind = e->kind,
						  .site = e->site,
						  .via = e->via,
						  .reason = e->reason,
						  .tid = e->tid,
						  .ns = e->shown_ns,
						  .last_ns = e->shown_ns - e->prev_ns,
						  .count = (uint64_t)(e->count + 0.5) + e->sleepers,
						  .max_ns = e->max_ns});
	}
}

void wait_stacks_reset(struct wait_stacks *w)
{
	memset(w->entries, 0, sizeof(w->entries));
	memset(w->sleepers, 0, sizeof(w->sleepers));
	w->reset_ns = session_now_ns(w->se);
}

bool wait_stacks_all_waits(const struct wait_stacks *w)
{
	return w->faults_too;
}

const char *wait_stacks_program(const struct wait_stacks *w)
{
	return w->faults_too ? "on_sched_exit" : "on_wait_exit";
}

/* ---- life ----------------------------------------------------------------------------------- */

static int attach(struct wait_stacks *w, struct bpf *b, char *why, size_t why_size)
{
	if (!bpf_attach_tp(b, "on_sched_exit", why, why_size)) {
		w->faults_too = true;
		return 0;
	}
	return bpf_attach_tp(b, "on_wait_exit", why, why_size);
}

struct wait_stacks *wait_stacks_new(struct session *se, struct locks *locks, char *why,
				    size_t why_size)
{
	struct perftop_bpf *skel = bpf_skeleton(session_bpf(se));
	struct wait_stacks *w;

	if (session_config(se)->no_wait_stacks) {
		snprintf(why, why_size, "turned off by --no-wait-stacks");
		return NULL;
	}
	if (!session_symbols(se)) {
		snprintf(why, why_size, "no permission to read /proc/%d/maps", session_pid(se));
		return NULL;
	}
	if (procfs_is_32_bit(session_pid(se))) {
		snprintf(why, why_size, "a 32-bit program, of which reasons are not told either");
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	w->se = se;
	w->locks = locks;
	w->bss = skel->bss;
	w->ticks = 1;
	w->ring = ring_buffer__new(bpf_map__fd(skel->maps.wait_stacks), on_stack, w, NULL);
	if (!w->ring)
		snprintf(why, why_size, "the ring of wait stacks: %s", strerror(errno));
	if (!w->ring || attach(w, session_bpf(se), why, why_size)) {
		ring_buffer__free(w->ring);
		free(w);
		return NULL;
	}
	session_watch(se, ring_buffer__epoll_fd(w->ring), drain, w);
	w->period_ns = PERIOD_FIRST_NS;
	w->bss->wait_stacks_left = FIRST_BURST;
	w->bss->wait_period_ns = (uint64_t)w->period_ns;
	return w;
}

void wait_stacks_free(struct wait_stacks *w)
{
	if (!w)
		return;
	w->bss->wait_period_ns = 0;
	session_unwatch(w->se, ring_buffer__epoll_fd(w->ring));
	ring_buffer__free(w->ring);
	free(w);
}
