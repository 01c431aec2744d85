/* SPDX-License-Identifier: Apache-2.0 */
/* deadlock.c: threads that wait for each other, for good. */
#include "collectors/deadlock.h"

#include <inttypes.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "collectors/lock_layout.h"
#include "collectors/lock_name.h"
#include "collectors/locks.h"
#include "collectors/maps.h"
#include "collectors/procfs.h"
#include "collectors/target_set.h"
#include "collectors/threads.h"

enum {
	DEADLOCK_LOCKS = 64,	 /* different mutexes looked at in a tick */
	DEADLOCK_STEPS = 16,	 /* threads in a circle */
	DEADLOCK_PROCESSES = 16, /* whose standstill is remembered */
	DEADLOCK_ASK = 4096,	 /* threads whose system calls are read */
	STATE_ENDED = 0x30,	 /* EXIT_DEAD | EXIT_ZOMBIE of linux/sched.h */
};
/* A wait that is shorter is none to look at. */
#define LASTS_NS 1000000000ull

struct standstill {
	uint32_t tgid;
	uint64_t threads; /* which, and which absence of each: a hash */
	uint64_t since_ns;
	bool asked, untimed;
};

struct deadlock {
	uint64_t found; /* the circle of the last tick, hashed; 0 = none */
	uint32_t nstood;
	struct standstill stood[DEADLOCK_PROCESSES];
};

struct held {
	uint64_t key;
	uint32_t tgid, owner, kind; /* owner: as the target counts; 0 = not known */
};

/* What one tick sees. */
struct look {
	const struct threads *t;
	struct held held[DEADLOCK_LOCKS];
	uint32_t nheld;
};

/* A circle, or one thread and what it waits for. */
struct ring {
	const struct contract_thread *at[DEADLOCK_STEPS];
	uint32_t n;
	uint32_t orphan; /* the holder that is no thread; 0 = a circle */
};

struct deadlock *deadlock_new(void)
{
	return calloc(1, sizeof(struct deadlock));
}

void deadlock_free(struct deadlock *d)
{
	free(d);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x9E3779B97F4A7C15ull ^ h >> 29;
}

static bool waits_long(const struct contract_thread *row)
{
	return row->wait == WAIT_FUTEX && row->off_ns && !row->wake_ns &&
	       row->at_ns > row->off_ns + LASTS_NS;
}

/* For a mutex, whose plain wait has no timeout (lll_lock_wait of glibc). */
static bool waits_for_mutex(const struct contract_thread *row)
{
	return waits_long(row) && row->lock && lock_layout_mutex_op(row->lock_op);
}

static pid_t pid_of(const struct threads *t, uint32_t tgid)
{
	return t->set ? target_set_pid_of(t->set, tgid) : t->pid;
}

static struct held *find_held(struct look *k, const struct contract_thread *row)
{
	for (uint32_t i = 0; i < k->nheld; i++)
		if (k->held[i].key == row->lock && k->held[i].tgid == row->tgid)
			return &k->held[i];
	return NULL;
}

/* Who holds the mutex that the thread waits for, read now; NULL when no more are looked at. */
static struct held *holder_of(struct look *k, const struct contract_thread *row)
{
	struct held *h = find_held(k, row);

	if (h || k->nheld == DEADLOCK_LOCKS)
		return h;
	h = &k->held[k->nheld++];
	*h = (struct held){.key = row->lock, .tgid = row->tgid};
	h->owner =
		lock_layout_mutex(pid_of(k->t, row->tgid), contract_lock_addr(row->lock), &h->kind);
	return h;
}

/* The walk has come back to where it was: what it came by before that only leads here. */
static bool close_ring(struct ring *r, const struct contract_thread *row)
{
	uint32_t first = 0;

	while (first < r->n && r->at[first] != row)
		first++;
	if (first == r->n)
		return false;
	r->n -= first;
	for (uint32_t i = 0; i < r->n; i++)
		r->at[i] = r->at[first + i];
	return true;
}

static bool walk(struct look *k, struct locks *locks, const struct contract_thread *row,
		 struct ring *out)
{
	for (out->n = 0; out->n < DEADLOCK_STEPS; out->n++) {
		const struct held *h;

		if (close_ring(out, row))
			return true;
		if (!waits_for_mutex(row))
			return false;
		out->at[out->n] = row;
		h = holder_of(k, row);
		if (!h || !h->owner)
			return false;
		row = threads_by_ns_tid(k->t, h->owner);
		if (row && row->tgid == h->tgid)
			continue;
		/* A word that only looks like a mutex has no holder either: its stack must tell. */
		out->orphan = h->owner;
		out->at[0] = out->at[out->n];
		out->n = 1;
		return !row && !(h->kind & LOCK_KIND_ROBUST) && locks &&
		       locks_is_pthread(locks, h->key);
	}
	return false;
}

static bool find_ring(struct look *k, struct locks *locks, struct ring *out)
{
	for (uint32_t i = 0; i < k->t->n; i++) {
		const struct contract_thread *row = &k->t->now[i];

		/* All who wait for one mutex come to the same end. */
		if (!waits_for_mutex(row) || find_held(k, row))
			continue;
		*out = (struct ring){.n = 0};
		if (walk(k, locks, row, out))
			return true;
	}
	return false;
}

static uint64_t hash_ring(const struct ring *r)
{
	uint64_t h = r->orphan + 1;

	for (uint32_t i = 0; i < r->n; i++)
		h = mix(mix(h, r->at[i]->tid), r->at[i]->wait_id);
	return h;
}

/* Appends, and says nothing of what does not fit. */
static void add(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add(char *out, size_t size, const char *fmt, ...)
{
	size_t n = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out + n, size - n, fmt, ap);
	va_end(ap);
}

/* Its name too where that tells more than the process's. */
static void add_thread(char *out, size_t size, const struct snapshot *s,
		       const struct contract_thread *row)
{
	char comm[16];

	snapshot_string(comm, sizeof(comm), row->comm);
	if (strcmp(comm, s->target.comm) != 0)
		add(out, size, "%s/%u", comm, row->tid);
	else
		add(out, size, "%s%u", out[0] ? "" : "thread ", row->tid);
}

static void add_lock(char *out, size_t size, const struct snapshot *s,
		     const struct contract_thread *row)
{
	struct snap_lock plain = {.addr = contract_lock_addr(row->lock), .kind = "mutex"};
	char name[SNAP_NAME];

	for (uint32_t i = 0; i < s->nlocks; i++)
		if (s->locks[i].addr == plain.addr)
			plain = s->locks[i];
	lock_name_words(&plain, name, sizeof(name));
	add(out, size, "%.60s", name);
}

static bool is_in(const struct ring *r, const struct contract_thread *row)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (r->at[i] == row)
			return true;
	return false;
}

/* It waits for what one of the ring holds, or for one who does. */
static bool leads_to(struct look *k, const struct ring *r, const struct contract_thread *row)
{
	for (uint32_t step = 0; row && step < DEADLOCK_STEPS && waits_for_mutex(row); step++) {
		const struct held *h = holder_of(k, row);

		if (!h || (r->orphan && h->owner == r->orphan))
			return h;
		row = threads_by_ns_tid(k->t, h->owner);
		if (row && is_in(r, row))
			return true;
	}
	return false;
}

static uint32_t count_behind(struct look *k, const struct ring *r)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->t->n; i++)
		n += !is_in(r, &k->t->now[i]) && leads_to(k, r, &k->t->now[i]);
	return n;
}

static void say_ring(struct look *k, const struct ring *r, struct snapshot *s)
{
	struct snap_deadlock *d = &s->deadlock;
	size_t size = sizeof(d->words);

	s->ndeadlock = 1;
	*d = (struct snap_deadlock){.pid = pid_of(k->t, r->at[0]->tgid), .threads = r->n};
	snprintf(d->kind, sizeof(d->kind), "%s",
		 r->orphan   ? "orphan"
		 : r->n == 1 ? "self"
			     : "cycle");
	d->behind = count_behind(k, r);
	for (uint32_t i = 0; i < r->n; i++) {
		uint64_t ns = r->at[i]->at_ns - r->at[i]->off_ns;

		if (!i || ns < d->ns)
			d->ns = ns;
		if (!i)
			add_thread(d->words, size, s, r->at[i]);
		else
			add(d->words, size, ", which");
		add(d->words, size, " waits for ");
		add_lock(d->words, size, s, r->at[i]);
		if (r->orphan) {
			add(d->words, size, " held by thread %u, which is not there any more",
			    r->orphan);
		} else if (r->n == 1) {
			add(d->words, size, ", which it holds itself");
		} else {
			add(d->words, size, " held by ");
			add_thread(d->words, size, s, r->at[(i + 1) % r->n]);
		}
	}
	if (d->behind)
		add(d->words, size, "; %u more behind", d->behind);
}

bool deadlock_waits_untimed(const char *line, uint64_t *addr)
{
	uint64_t a[4];
	long nr;

	if (sscanf(line, "%ld 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64, &nr, &a[0],
		   &a[1], &a[2], &a[3]) != 5 ||
	    nr != SYS_futex || a[3])
		return false;
	*addr = (a[1] & FUTEX_PRIVATE_FLAG) ? 0 : a[0];
	switch (a[1] & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
	case FUTEX_WAIT_REQUEUE_PI:
		return true;
	default:
		return false;
	}
}

struct owner_of_page {
	uint64_t addr;
	bool own;
};

static void look_at_mapping(void *ctx, const struct maps_line *line)
{
	struct owner_of_page *p = ctx;

	if (p->addr >= line->start && p->addr < line->end)
		p->own = !line->shared;
}

static bool no_other_can_wake(const struct contract_thread *row, pid_t pid)
{
	struct owner_of_page page = {.addr = 0};
	char name[64], line[256];

	snprintf(name, sizeof(name), "task/%u/syscall", row->tid);
	if (procfs_read(pid, name, line, sizeof(line)) <= 0 ||
	    !deadlock_waits_untimed(line, &page.addr))
		return false;
	return !page.addr || (!maps_read(pid, look_at_mapping, &page) && page.own);
}

/* Whether it has slept since the reading before; without eBPF, where its CPU time tells it. */
static bool sleeps(const struct threads *t, const struct contract_thread *row, uint32_t *hint)
{
	const struct contract_thread *before;

	if (t->iter_fd >= 0)
		return waits_long(row);
	before = threads_before(t, row->tid, hint);
	return before && row->state == 1 && before->run_ns == row->run_ns &&
	       before->run_delay_ns == row->run_delay_ns;
}

/* All threads of a process, hashed with the absence that each is in; 0 when one is not waiting. */
static uint64_t hash_sleepers(const struct threads *t, uint32_t tgid, struct snap_deadlock *out)
{
	uint32_t hint = 0;
	uint64_t h = 1;

	out->threads = 0;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct contract_thread *row = &t->now[i];
		uint64_t ns = row->off_ns ? row->at_ns - row->off_ns : 0;

		if (row->tgid != tgid || row->state & STATE_ENDED)
			continue;
		if (!sleeps(t, row, &hint))
			return 0;
		h = mix(mix(h, row->tid), row->wait_id + row->run_ns);
		if (!out->threads++ || ns < out->ns)
			out->ns = ns;
	}
	return out->threads ? h : 0;
}

static bool ask_all(const struct threads *t, uint32_t tgid, pid_t pid)
{
	uint32_t left = DEADLOCK_ASK;

	for (uint32_t i = 0; i < t->n; i++) {
		if (t->now[i].tgid != tgid || t->now[i].state & STATE_ENDED)
			continue;
		if (!left-- || !no_other_can_wake(&t->now[i], pid))
			return false;
	}
	return true;
}

static struct standstill *remembered(struct deadlock *d, uint32_t tgid)
{
	for (uint32_t i = 0; i < d->nstood; i++)
		if (d->stood[i].tgid == tgid)
			return &d->stood[i];
	if (d->nstood == DEADLOCK_PROCESSES)
		return NULL;
	d->stood[d->nstood] = (struct standstill){.tgid = tgid};
	return &d->stood[d->nstood++];
}

static bool stands_still(struct deadlock *d, const struct threads *t, uint32_t tgid,
			 struct snap_deadlock *out)
{
	uint64_t h = hash_sleepers(t, tgid, out);
	struct standstill *was;

	/* Of a process that runs, nothing has to be remembered. */
	if (!h) {
		for (uint32_t i = 0; i < d->nstood; i++)
			if (d->stood[i].tgid == tgid)
				d->stood[i] = d->stood[--d->nstood];
		return false;
	}
	was = remembered(d, tgid);
	if (!was)
		return false;
	if (was->threads != h) {
		*was = (struct standstill){.tgid = tgid, .threads = h, .since_ns = t->now_ns};
		return false;
	}
	out->pid = pid_of(t, tgid);
	if (!out->ns)
		out->ns = t->now_ns - was->since_ns;
	if (!was->asked && out->ns >= LASTS_NS) {
		was->asked = true;
		was->untimed = ask_all(t, tgid, out->pid);
	}
	return was->untimed;
}

static void find_standstill(struct deadlock *d, const struct threads *t, struct snapshot *s)
{
	struct snap_deadlock *out = &s->deadlock;
	uint32_t last = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t tgid = t->now[i].tgid;

		/* Threads lie by their numbers: those of one process mostly side by side. */
		if (i && tgid == last)
			continue;
		last = tgid;
		if (t->iter_fd >= 0 && !waits_long(&t->now[i]))
			continue;
		*out = (struct snap_deadlock){.pid = 0};
		if (!stands_still(d, t, tgid, out))
			continue;
		s->ndeadlock = 1;
		snprintf(out->kind, sizeof(out->kind), "standstill");
		if (out->threads == 1)
			snprintf(out->words, sizeof(out->words),
				 "its only thread waits, without a timeout, for what no other "
				 "process can give: only a signal can wake it");
		else
			snprintf(out->words, sizeof(out->words),
				 "all %u threads wait for each other, without a timeout: only a "
				 "signal can wake them",
				 out->threads);
		return;
	}
}

void deadlock_fill(struct deadlock *d, const struct threads *t, struct locks *locks,
		   struct snapshot *s)
{
	struct look k = {.t = t};
	struct ring r;
	uint64_t found = 0;

	if (t->gone)
		return;
	if (find_ring(&k, locks, &r)) {
		found = hash_ring(&r);
		if (found == d->found)
			say_ring(&k, &r, s);
	}
	d->found = found;
	if (!s->ndeadlock)
		find_standstill(d, t, s);
}
