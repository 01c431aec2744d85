/* SPDX-License-Identifier: Apache-2.0 */
/* locks.c: the target's futex addresses: who waited there, how long, and whether it is a mutex. */
#include "collectors/locks.h"

#include <bpf/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/lock_layout.h"
#include "collectors/lock_name.h"
#include "collectors/map_read.h"
#include "collectors/target_set.h"
#include "collectors/threads.h"
#include "collectors/wait_site.h"
#include "collectors/wait_sum.h"
#include "probes/contract.h"

enum {
	LOCKS_MAX = CONTRACT_LOCKS,
	LOCKS_SLOTS = 2 * LOCKS_MAX, /* a power of two */
	LOCKS_FULL = CONTRACT_LOCKS / 4 * 3,
	LOCKS_LOOKS = 32,  /* reads of the target's memory a tick */
	LOCKS_NAMES = 4,   /* addresses named a tick */
	LOCKS_SITES = 4,   /* kept of an address */
	LOCKS_HANDED = 16, /* waits by which it is told whether a semaphore is a lock */
	LOCKS_TRIES = 16,  /* ticks that a name is looked for */
};

struct lock_row {
	uint64_t key;		    /* see contract_lock_key */
	struct contract_lock total; /* finished waits, from the map */
	struct wait_sum sum;	    /* with those that go on */
	uint32_t owner, owner_tid;  /* seen last: by the target's own count, and by ours */
	bool seen_owner;	    /* its owner was once a live thread of the target */
	bool named;		    /* name was looked for */
	uint32_t shown_before;	    /* ticks in which it was not idle, until named */
	char name[SNAP_NAME];
	uint64_t rwlock; /* where the rwlock begins that it lies in; 0: in none */
	pid_t pid;	 /* whose own it is, with several; 0: anyone's, or not known yet */
	struct lock_site sites[LOCKS_SITES];
	uint32_t base_bins[CONTRACT_LOCK_BINS];
};

struct locks {
	int map_fd;
	uint32_t n;
	struct lock_row rows[LOCKS_MAX];
	uint16_t slots[LOCKS_SLOTS];   /* row + 1 by hash of the key, 0 = free */
	uint64_t keys[CONTRACT_LOCKS]; /* scratch for reading the map */
	struct contract_lock values[CONTRACT_LOCKS];
};

struct locks *locks_new(int map_fd)
{
	struct locks *l = calloc(1, sizeof(*l));

	if (l)
		l->map_fd = map_fd;
	return l;
}

void locks_free(struct locks *l)
{
	free(l);
}

static uint16_t *slot_of(struct locks *l, uint64_t key)
{
	uint32_t h = (uint32_t)(key * 0x9E3779B97F4A7C15ull >> 40);

	while (l->slots[h % LOCKS_SLOTS] && l->rows[l->slots[h % LOCKS_SLOTS] - 1].key != key)
		h++;
	return &l->slots[h % LOCKS_SLOTS];
}

static struct lock_row *row_of(struct locks *l, uint64_t key)
{
	uint16_t *slot = slot_of(l, key);

	if (!*slot) {
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): full, not absent */
		if (l->n == LOCKS_MAX)
			return NULL;
		memset(&l->rows[l->n], 0, sizeof(l->rows[0]));
		l->rows[l->n].key = key;
		*slot = (uint16_t)++l->n;
	}
	return &l->rows[*slot - 1];
}

/* Forget what nobody waited at since the tick before, here and in the map. */
static void make_room(struct locks *l)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		if (l->rows[i].sum.idle)
			bpf_map_delete_elem(l->map_fd, &l->rows[i].key);
		else
			l->rows[kept++] = l->rows[i];
	}
	l->n = kept;
	memset(l->slots, 0, sizeof(l->slots));
	for (uint32_t i = 0; i < l->n; i++)
		*slot_of(l, l->rows[i].key) = (uint16_t)(i + 1);
}

void locks_read_finished(struct locks *l)
{
	uint32_t n;

	if (l->n >= LOCKS_FULL)
		make_room(l);
	n = map_read(l->map_fd, l->keys, sizeof(l->keys[0]), l->values, sizeof(l->values[0]),
		     CONTRACT_LOCKS);
	for (uint32_t i = 0; i < l->n; i++)
		wait_sum_begin(&l->rows[i].sum);
	for (uint32_t i = 0; i < n; i++) {
		struct lock_row *r = row_of(l, l->keys[i]);

		if (!r)
			continue;
		r->sum.idle = r->total.waits == l->values[i].waits;
		r->total = l->values[i];
	}
}

/* The process whose own it is; the first one where any may wait there, or it is gone. */
static pid_t process_of(const struct lock_row *r, const struct threads *t)
{
	uint32_t low = contract_lock_tgid(r->key);

	for (uint32_t i = 0; low && i < t->n; i++)
		if ((t->now[i].tgid & 0xffff) == low)
			return t->set ? target_set_pid_of(t->set, t->now[i].tgid)
				      : (pid_t)t->now[i].tgid;
	return t->pid;
}

static const struct lock_site *top_site(const struct lock_row *r)
{
	const struct lock_site *most = NULL;

	for (uint32_t i = 0; i < LOCKS_SITES; i++)
		if (r->sites[i].ns > 0 && (!most || r->sites[i].ns > most->ns))
			most = &r->sites[i];
	return most;
}

/*
 * A semaphore or a futex that serves as a lock: who got through lets the next one through. A queue
 * is handed on as well while there is something in it; most of the time it is empty.
 */
static bool is_handed_on(const struct lock_row *r)
{
	const struct lock_site *site = top_site(r);

	return site && wait_site_may_be_lock(site->kind) && r->total.handed >= LOCKS_HANDED &&
	       r->total.handed_ns / 3 >= r->total.other_ns;
}

/* The last to get through that does not wait there again: not at all, or for something else. */
static void look_at_last(struct lock_row *r, const struct threads *t)
{
	for (uint32_t n = 1; n <= CONTRACT_LOCK_LAST; n++) {
		uint32_t tid = r->total.last[(r->total.through - n) % CONTRACT_LOCK_LAST];

		for (uint32_t i = 0; i < t->n; i++)
			if (t->now[i].tid == tid &&
			    (!t->now[i].off_ns || t->now[i].lock != r->key)) {
				r->owner_tid = tid;
				return;
			}
	}
	r->owner_tid = 0;
}

/* Readers leave no name. */
static void look_at_writer(struct lock_row *r, const struct threads *t, uint32_t *looks)
{
	const struct contract_thread *row;
	uint32_t writer;

	if (!r->sum.waiting || !*looks)
		return;
	(*looks)--;
	if (!lock_layout_rwlock(process_of(r, t), r->rwlock, &writer))
		return;
	row = writer ? threads_by_ns_tid(t, writer) : NULL;
	r->owner_tid = row ? row->tid : 0;
}

static void check_owner(struct lock_row *r, const struct threads *t, uint32_t *looks)
{
	const struct contract_thread *owner;

	if (r->rwlock) {
		look_at_writer(r, t, looks);
		return;
	}
	if (!r->seen_owner && is_handed_on(r)) {
		look_at_last(r, t);
		return;
	}
	/*
	 * A plain wait alone may be anything; glibc's mutex also names its holder beside the lock
	 * word. Believe it when the holder is a thread of the target.
	 */
	if (!lock_layout_mutex_op(r->total.op))
		return;
	if (!r->total.owner && r->sum.waiting && *looks) {
		(*looks)--;
		/* Held since before perftop came, or by one that was not seen to wait for it. */
		r->total.owner =
			lock_layout_mutex(process_of(r, t), contract_lock_addr(r->key), NULL);
	}
	if (!r->total.owner || r->total.owner == r->owner)
		return;
	owner = threads_by_ns_tid(t, r->total.owner);
	if (owner) {
		r->seen_owner = true;
		r->owner = r->total.owner;
		r->owner_tid = owner->tid;
	}
}

void locks_add_waiting(struct locks *l, const struct threads *t)
{
	uint32_t looks = LOCKS_LOOKS;

	/* The waits of a process that is gone have ended, and are in the map. */
	for (uint32_t i = 0; i < t->n && !t->gone; i++) {
		const struct contract_thread *row = &t->now[i];
		struct lock_row *r;
		uint64_t blocked;

		if (!row->lock || row->wait != WAIT_FUTEX || !row->off_ns)
			continue;
		r = row_of(l, row->lock);
		if (!r)
			continue;
		blocked = wait_sum_add(&r->sum, t, row);
		r->total.op = row->lock_op;
		if (row->lock_owner)
			r->total.owner = row->lock_owner;
		if (blocked > r->total.max_ns)
			r->total.max_ns = blocked;
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): full, not absent */
	for (uint32_t i = 0; i < l->n; i++) {
		struct lock_row *r = &l->rows[i];

		wait_sum_show(&r->sum, r->total.waits, r->total.wait_ns);
		if (r->sum.idle)
			continue;
		if (contract_lock_tgid(r->key) && !r->pid)
			r->pid = process_of(r, t);
		check_owner(r, t, &looks);
	}
}

void locks_carry(struct locks *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		wait_sum_carry(&l->rows[i].sum);
}

void locks_reset(struct locks *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		wait_sum_reset(&l->rows[i].sum, l->rows[i].total.waits);
		memcpy(l->rows[i].base_bins, l->rows[i].total.bins, sizeof(l->rows[i].base_bins));
	}
}

/* Who waits there would run if he could. */
static bool is_lock(const struct lock_row *r)
{
	const struct lock_site *site = top_site(r);

	return r->seen_owner || (site && wait_site_is_lock(site->kind)) || is_handed_on(r);
}

bool locks_is_pthread(struct locks *l, uint64_t key)
{
	const uint16_t *slot = slot_of(l, key);
	const struct lock_site *site = *slot ? top_site(&l->rows[*slot - 1]) : NULL;

	return site && !strcmp(site->kind, "mutex");
}

/* The order in which the snapshot's few places are given. */
static bool goes_before(const struct lock_row *x, const struct lock_row *y)
{
	bool x_lock = is_lock(x), y_lock = is_lock(y);

	return x_lock != y_lock ? x_lock : wait_sum_exceeds(&x->sum, &y->sum);
}

void locks_note_site(struct locks *l, uint64_t key, const struct lock_site *site)
{
	struct lock_row *r = row_of(l, key);
	struct lock_site *least;

	if (!r)
		return;
	least = r->sites;
	for (uint32_t i = 0; i < LOCKS_SITES; i++) {
		struct lock_site *at = &r->sites[i];

		if (at->ns > 0 && at->kind == site->kind && at->site == site->site &&
		    at->via == site->via) {
			at->ns += site->ns;
			return;
		}
		if (at->ns < least->ns)
			least = at;
	}
	/* The newcomer takes over the time of the one it drives out: no later one is held back. */
	*least = (struct lock_site){site->kind, site->site, site->via, site->condvar,
				    least->ns + site->ns};
}

static bool is_condvar(const struct lock_row *r)
{
	const struct lock_site *site = top_site(r);

	return site && site->condvar && !r->seen_owner;
}

static bool has_two_words(const struct lock_row *r)
{
	return r->rwlock || is_condvar(r);
}

/* The row of the first word that this one, its second, is added to. */
static const struct lock_row *other_half(struct locks *l, uint64_t key)
{
	const uint16_t *slot = slot_of(l, key);

	return *slot && has_two_words(&l->rows[*slot - 1]) ? &l->rows[*slot - 1] : NULL;
}

/* Where what is waited for begins, which has the name. */
static uint64_t begin_of(struct lock_row *r, pid_t pid)
{
	uint64_t addr = contract_lock_addr(r->key), first = addr & ~7ull;
	const struct lock_site *site = top_site(r);
	uint32_t writer;

	if (is_condvar(r))
		return first - COND_FIRST;
	if (!site || strcmp(site->kind, "rwlock") != 0)
		return addr;
	/* One that nobody holds just now looks like nothing: it is asked for again. */
	if (lock_layout_rwlock(pid, first - RWLOCK_FIRST, &writer))
		r->rwlock = first - RWLOCK_FIRST;
	return r->rwlock ? r->rwlock : r->shown_before < LOCKS_TRIES ? 0 : addr;
}

void locks_name_some(struct locks *l, locks_symbols_fn *symbols, void *arg, const struct threads *t)
{
	uint32_t left = LOCKS_NAMES;

	for (uint32_t i = 0; i < l->n && left && !t->gone; i++) {
		struct lock_row *r = &l->rows[i];
		uint64_t addr;
		pid_t pid;

		/* Its stack, by which a condition variable is known, comes a tick later. */
		if (r->named || r->sum.idle || !r->shown_before++)
			continue;
		pid = process_of(r, t);
		addr = begin_of(r, pid);
		r->named = addr;
		if (!addr)
			continue;
		lock_name_find(symbols ? symbols(arg, pid) : NULL, pid, t, addr, r->name,
			       sizeof(r->name));
		left--;
	}
}

/* Quantile of the finished waits since the reset: the midpoint of a bucket, within 12 %. */
static uint64_t quantile(const struct lock_row *r, double q)
{
	uint64_t n = 0, seen = 0, rank;

	for (uint32_t i = 0; i < CONTRACT_LOCK_BINS; i++)
		n += r->total.bins[i] - r->base_bins[i];
	if (!n)
		return 0;
	rank = (uint64_t)(q * (double)(n - 1)) + 1;
	for (uint32_t i = 0; i < CONTRACT_LOCK_BINS; i++) {
		uint64_t low = bucket_low(i << CONTRACT_LOCK_BITS);
		uint64_t end = bucket_low((i + 1) << CONTRACT_LOCK_BITS);

		seen += r->total.bins[i] - r->base_bins[i];
		if (seen >= rank)
			return low + (end - low) / 2;
	}
	return 0;
}

static void fill_site(const struct lock_row *r, struct snap_lock *out)
{
	const struct lock_site *most = top_site(r);

	snapshot_string(out->kind, sizeof(out->kind),
			r->seen_owner ? "mutex"
			: most	      ? most->kind
				      : "futex");
	out->is_mutex = is_lock(r);
	if (most)
		lock_name_site(most->site, most->via, out->site, sizeof(out->site));
}

static void fill_row(const struct lock_row *r, uint64_t interval_ns, struct snap_lock *out)
{
	out->addr = contract_lock_addr(r->key);
	out->pid = r->pid;
	out->waits = wait_sum_waits(&r->sum);
	out->wait_ns = wait_sum_ns(&r->sum);
	out->max_ns = r->total.max_ns;
	out->pct = wait_sum_pct(&r->sum, interval_ns);
	out->owner_tid = (int32_t)r->owner_tid;
	out->p50 = quantile(r, 0.5);
	out->p99 = quantile(r, 0.99);
	memcpy(out->name, r->name, sizeof(out->name));
	fill_site(r, out);
}

/* Both words of a condition variable or a rwlock in one row; quantiles are those of the busier. */
static void fold(const struct lock_row *r, uint64_t interval_ns, struct snap_lock *out)
{
	struct snap_lock half = {.addr = 0};

	fill_row(r, interval_ns, &half);
	if (half.waits > out->waits) {
		out->p50 = half.p50;
		out->p99 = half.p99;
	}
	out->waits += half.waits;
	out->wait_ns += half.wait_ns;
	out->pct += half.pct;
	if (half.owner_tid)
		out->owner_tid = half.owner_tid;
	if (half.max_ns > out->max_ns)
		out->max_ns = half.max_ns;
}

void locks_fill(struct locks *l, uint64_t interval_ns, struct snapshot *s)
{
	const struct lock_row *top[SNAP_LOCKS];
	uint32_t n = 0;

	/* The SNAP_LOCKS first, by insertion: most rows are turned away at once. */
	for (uint32_t i = 0; i < l->n; i++) {
		const struct lock_row *r = &l->rows[i];
		uint32_t at = n;

		if (!wait_sum_ns(&r->sum))
			continue;
		if (r->key & LOCK_OTHER_WORD && has_two_words(r) &&
		    other_half(l, r->key - LOCK_OTHER_WORD))
			continue;
		if (n == SNAP_LOCKS) {
			s->truncated++;
			if (!goes_before(r, top[n - 1]))
				continue;
			at = --n;
		}
		for (; at && goes_before(r, top[at - 1]); at--)
			top[at] = top[at - 1];
		top[at] = r;
		n++;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct snap_lock *out = &s->locks[s->nlocks++];
		const struct lock_row *half = NULL;

		fill_row(top[i], interval_ns, out);
		if (!(top[i]->key & LOCK_OTHER_WORD) && has_two_words(top[i]))
			half = other_half(l, top[i]->key + LOCK_OTHER_WORD);
		if (half)
			fold(half, interval_ns, out);
	}
}
