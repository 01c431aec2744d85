/* SPDX-License-Identifier: Apache-2.0 */
/* calls_record.c: what is noted when a call begins and when it returns. */
#include "probes/calls_inner.h"

#ifdef __x86_64__

struct calls_own calls_own __attribute__((aligned(4096)));
uint64_t calls_originals[CALLS_STUBS];
struct calls_live calls_table[CALLS_TABLE + CALLS_PROBES] __attribute__((aligned(64)));
struct calls_segment *calls_segment;

static __thread struct calls_shard *own_shard __attribute__((tls_model("initial-exec")));
static __thread uint32_t own_shared __attribute__((tls_model("initial-exec")));

/* ---- counting ------------------------------------------------------------------------------- */

/*
 * One instruction, so that a signal handler that counts too comes before or after it. A shard of
 * one's own needs no lock.
 */
static inline void add(__u64 *to, uint64_t n, uint32_t shared)
{
	if (__builtin_expect(shared, 0))
		__asm__ volatile("lock addq %1,%0" : "+m"(*to) : "r"(n) : "cc");
	else
		__asm__ volatile("addq %1,%0" : "+m"(*to) : "r"(n) : "cc");
}

static inline void raise_to(__u64 *max, uint64_t n)
{
	__u64 was = __atomic_load_n(max, __ATOMIC_RELAXED);

	while (was < n &&
	       !__atomic_compare_exchange_n(max, &was, n, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/*
 * By the thread's own address: that of one that has ended is taken again with its memory, and the
 * shard with it. So threads that come and go need no more shards than there are at a time.
 */
static CALLS_COLD struct calls_shard *find_shard(void)
{
	struct calls_segment *seg = calls_segment;
	uint64_t self, none;
	uint32_t i, k;

	__asm__("movq %%fs:0,%0" : "=r"(self));
	i = (uint32_t)(self * 0x9e3779b97f4a7c15ull >> 40);
	for (k = 0; k < CALLS_SHARDS - 1; k++)
		if (__atomic_load_n(&seg->owners[k], __ATOMIC_ACQUIRE) == self)
			break;
	for (uint32_t n = 0; k == CALLS_SHARDS - 1 && n < CALLS_SHARDS - 1; n++) {
		uint32_t at = (i + n) % (CALLS_SHARDS - 1);

		none = 0;
		if (__atomic_compare_exchange_n(&seg->owners[at], &none, self, 0, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED)) {
			k = at;
			break;
		}
	}
	own_shared = k == CALLS_SHARDS - 1;
	own_shard = calls_shard_of(seg, k);
	return own_shard;
}

static CALLS_COLD void note_used(uint32_t stub)
{
	struct calls_segment *seg = calls_segment;
	uint64_t shard = (uint64_t)(own_shard - calls_shard_of(seg, 0));

	__atomic_fetch_or(&seg->used[shard][stub / 64], 1ull << (stub % 64), __ATOMIC_RELAXED);
}

static inline struct calls_hist *hist_of(uint32_t stub)
{
	struct calls_shard *s = own_shard;

	if (__builtin_expect(!s, 0))
		s = find_shard();
	return &s->hists[stub];
}

static inline void record(const struct calls_live *live, uint64_t ticks)
{
	struct calls_segment *seg = calls_segment;
	struct calls_hist *h;
	uint64_t ns;

	if (!calls_own.counts || live->epoch != (uint16_t)seg->epoch)
		return;
	ticks = ticks > live->begin ? ticks - live->begin : 0; /* on another CPU it may be less */
	ns = (uint64_t)((unsigned __int128)ticks * seg->ns_per_tick >> 32);
	h = hist_of(live->stub);
	add(&h->h.bins[bucket_index(ns)], 1, own_shared);
	add(&h->h.sum, ns, own_shared);
	if (ns > h->h.max)
		raise_to(&h->h.max, ns);
	add(&h->h.count, 1, own_shared); /* last: the reader sums up what lies below */
}

/* ---- the table ------------------------------------------------------------------------------ */

static inline struct calls_live *find(uint64_t key)
{
	struct calls_live *l = &calls_table[calls_place(key & ~7ull)];

	for (uint32_t i = 0; i < CALLS_PROBES; i++)
		if (__atomic_load_n(&l[i].key, __ATOMIC_RELAXED) == key)
			return &l[i];
	return NULL;
}

static inline void release(struct calls_live *l)
{
	__atomic_store_n(&l->key, l->key | CALLS_FREE, __ATOMIC_RELEASE);
}

static CALLS_COLD void release_chain(struct calls_live *first, uint64_t ticks)
{
	for (uint32_t i = 1; i <= first->chained; i++) {
		struct calls_live *l = find(first->key + i);

		if (!l)
			continue;
		if (ticks)
			record(l, ticks);
		release(l);
	}
}

/*
 * A free place, or one of the same key: nobody else has this stack word, so it is what a call left
 * that never returned. The first of these, so that a later one of the same key is never found.
 */
static inline struct calls_live *claim(uint64_t key)
{
	struct calls_live *l = &calls_table[calls_place(key & ~7ull)];

	for (uint32_t i = 0; i < CALLS_PROBES; i++) {
		uint64_t has = __atomic_load_n(&l[i].key, __ATOMIC_RELAXED);

		if (has == key) {
			if (l[i].chained)
				release_chain(&l[i], 0);
			return &l[i];
		}
		if ((!has || has & CALLS_FREE) &&
		    __atomic_compare_exchange_n(&l[i].key, &has, key, 0, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return &l[i];
	}
	return NULL;
}

/* The function was jumped to by one that is timed, and returns for both. */
static CALLS_COLD void enter_tail(uint32_t stub, uint64_t *word)
{
	struct calls_live *first = find((uint64_t)word), *l = NULL;
	uint32_t lo, hi;

	if (first && first->chained < CALLS_CHAIN)
		l = claim((uint64_t)word + first->chained + 1u);
	if (!l) {
		add(&calls_segment->untimed, 1, 1);
		return;
	}
	l->stub = stub;
	l->epoch = (uint16_t)calls_segment->epoch;
	l->chained = 0;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	l->begin = lo | (uint64_t)hi << 32;
	first->chained++;
}

/* ---- from the stubs ------------------------------------------------------------------------- */

struct calls_entry calls_enter(uint32_t stub, uint64_t *word)
{
	struct calls_entry e = {.original = calls_originals[stub]};

	/* Its own histogram first: what is not timed is counted. */
	struct calls_hist *h = hist_of(stub);

	if (__builtin_expect(!h->h.calls, 0))
		note_used(stub);
	add(&h->h.calls, 1, own_shared);
	if (__builtin_expect(*word == (uint64_t)calls_return, 0)) {
		enter_tail(stub, word);
		return e;
	}
	e.live = claim((uint64_t)word);
	if (__builtin_expect(!e.live, 0)) {
		add(&calls_segment->untimed, 1, 1);
		return e;
	}
	e.live->caller = *word;
	e.live->stub = stub;
	e.live->epoch = (uint16_t)calls_segment->epoch;
	e.live->chained = 0;
	return e;
}

/* Nobody has read for long: perftop was killed. Its stubs go on to the functions from now on. */
static CALLS_COLD void pass_on(void)
{
	for (uint32_t i = 0; i < CALLS_STUBS; i++)
		__atomic_store_n(&calls_own.gates[i], 0, __ATOMIC_RELAXED);
}

void calls_leave(struct calls_live *live, uint64_t ticks)
{
	record(live, ticks);
	if (__builtin_expect(live->chained, 0))
		release_chain(live, ticks);
	release(live);
	if (__builtin_expect(ticks > calls_segment->until_ticks, 0))
		pass_on();
}

#endif
