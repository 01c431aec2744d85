/* SPDX-License-Identifier: Apache-2.0 */
/* perftop_shard.c: gives each thread its shard; what updates do when they find none. */
#include <errno.h>

#include "probes/perftop_inner.h"

static struct perftop_shard *no_shard;

/* Initialised to a cell that stays empty, so that the fast path tests one pointer, not two. */
__thread struct perftop_shard **perftop_cell __attribute__((tls_model("initial-exec"))) = &no_shard;

static __thread struct {
	uint64_t epoch; /* of the segment that perftop_cell belongs to */
	int busy;	/* in here: a signal handler's updates go to the shared shard */
	int ended;	/* the thread gave its shard back and runs its last destructors */
	int refused;	/* counted as refused */
} own __attribute__((tls_model("initial-exec")));

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static int key_made;

/*
 * The thread ends. Its shard keeps what it counted, and the next thread goes on from there. The
 * release pairs with the acquire in take_index: the next owner's loads see our last stores.
 */
static void give_back(void *arg)
{
	struct inner *in = inner_get();
	uint32_t i;

	(void)arg;
	own.ended = 1;
	/* After a fork the cell may be another thread's by now: the epoch tells. */
	if (!in || own.epoch != in->epoch || perftop_cell == &no_shard)
		return;
	i = (uint32_t)(perftop_cell - in->cell);
	perftop_cell = &no_shard;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&in->cell[i], NULL, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&in->segment->threads, 1, __ATOMIC_RELAXED);
	__atomic_fetch_and(&in->used[i / 64], ~(1ull << (i % 64)), __ATOMIC_RELEASE);
}

static void make_key(void)
{
	key_made = !pthread_key_create(&key, give_back);
}

/* The lowest free index, so that few shards are ever touched; -1 when all have an owner. */
static int take_index(struct inner *in)
{
	for (uint32_t w = 0; w < PERFTOP_MAX_THREADS / 64; w++) {
		uint64_t old = __atomic_load_n(&in->used[w], __ATOMIC_RELAXED);

		while (~old) {
			uint64_t bit = ~old & (old + 1);

			if (__atomic_compare_exchange_n(&in->used[w], &old, old | bit, 0,
							__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return (int)(w * 64) + __builtin_ctzll(bit);
		}
	}
	return -1;
}

static struct perftop_shard *take_shard(struct inner *in, struct perftop_segment *seg)
{
	int i = take_index(in);
	struct perftop_shard *s;
	uint32_t n;

	if (i < 0) {
		if (!own.refused)
			__atomic_fetch_add(&seg->refused_threads, 1, __ATOMIC_RELAXED);
		own.refused = 1;
		return NULL;
	}
	s = inner_shard(seg, (uint32_t)i);
	__atomic_store_n(&s->offset, (uint64_t)((char *)s - (char *)seg), __ATOMIC_RELAXED);
	n = __atomic_load_n(&seg->shards, __ATOMIC_RELAXED);
	while (n <= (uint32_t)i &&
	       !__atomic_compare_exchange_n(&seg->shards, &n, (uint32_t)i + 1, 0, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	__atomic_fetch_add(&seg->threads, 1, __ATOMIC_RELAXED);
	own.epoch = in->epoch;
	__atomic_store_n(&in->cell[i], s, __ATOMIC_RELAXED);
	perftop_cell = &in->cell[i];
	pthread_setspecific(key, in); /* any value: it makes give_back run */
	return s;
}

/* This thread's shard, or NULL when the update has to go to the shared one. */
static struct perftop_shard *get_shard(void)
{
	struct perftop_shard *s = perftop_own_shard();
	struct perftop_segment *seg;
	struct inner *in;
	int saved_errno;

	if (s || own.busy || own.ended)
		return s;
	saved_errno = errno;
	own.busy = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	pthread_once(&key_once, make_key);
	in = inner_get();
	seg = in ? inner_segment(in) : NULL;
	if (seg && key_made) /* without a key a shard could not be given back */
		s = take_shard(in, seg);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	own.busy = 0;
	errno = saved_errno;
	return s;
}

/* The segment if there is one by now; counts the update as lost if not. */
static struct perftop_segment *shared_segment(void)
{
	struct inner *in = inner_get();
	struct perftop_segment *seg = in ? __atomic_load_n(&in->segment, __ATOMIC_ACQUIRE) : NULL;

	if (!seg && in)
		__atomic_fetch_add(&in->lost, 1, __ATOMIC_RELAXED);
	return seg;
}

void perftop_add_slow(uint32_t slot, uint64_t n)
{
	struct perftop_shard *s;
	struct perftop_segment *seg;

	if (!slot)
		return;
	s = get_shard();
	if (s) {
		perftop_bump(&s->value[slot], n);
		return;
	}
	seg = shared_segment();
	if (!seg)
		return;
	__atomic_fetch_add(&inner_shard(seg, PERFTOP_MAX_THREADS)->value[slot], n,
			   __ATOMIC_RELAXED);
	__atomic_store_n(&seg->shared, 1, __ATOMIC_RELEASE);
}

void perftop_gauge_slow(uint32_t slot, int64_t v, int add)
{
	struct perftop_segment *seg;
	int64_t *word;

	if (!slot)
		return;
	get_shard(); /* makes the segment in a forked child */
	seg = shared_segment();
	if (!seg)
		return;
	word = (int64_t *)((char *)seg + PERFTOP_GAUGES_OFFSET) + slot;
	if (add)
		__atomic_fetch_add(word, v, __ATOMIC_RELAXED);
	else
		__atomic_store_n(word, v, __ATOMIC_RELAXED);
}

/* Bins of this thread for the slot, from the segment's free ones; NULL when they are used up. */
static struct perftop_bins *take_bins(struct perftop_shard *s, uint32_t slot)
{
	struct perftop_segment *seg = (void *)((char *)s - s->offset);
	uint32_t n = __atomic_load_n(&seg->bins, __ATOMIC_RELAXED), none = 0;
	struct perftop_bins *b;

	if (!slot) {
		b = inner_shared_bins(seg, 0);
	} else {
		do {
			if (n >= seg->max_bins)
				return NULL;
		} while (!__atomic_compare_exchange_n(&seg->bins, &n, n + 1, 0, __ATOMIC_RELAXED,
						      __ATOMIC_RELAXED));
		b = (struct perftop_bins *)((char *)seg + PERFTOP_BINS_OFFSET) + n;
		__atomic_store_n(&b->slot, slot, __ATOMIC_RELEASE);
	}
	/* A signal handler may have been faster: its bins stay, ours are left empty. */
	if (!__atomic_compare_exchange_n(&s->hist[slot], &none, (uint32_t)((char *)b - (char *)s),
					 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		b = (struct perftop_bins *)((char *)s + none);
	return b;
}

static void record_shared(struct perftop_segment *seg, uint32_t slot, uint64_t v)
{
	struct perftop_bins *b = inner_shared_bins(seg, slot);
	uint64_t max = __atomic_load_n(&b->max, __ATOMIC_RELAXED);
	unsigned int i = bucket_index(v);

	while (v > max && !__atomic_compare_exchange_n(&b->max, &max, v, 0, __ATOMIC_RELAXED,
						       __ATOMIC_RELAXED))
		;
	__atomic_fetch_or(&b->touched, 1ull << (i / 32), __ATOMIC_RELAXED);
	__atomic_fetch_add(&b->bins[i], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&b->sum, v, __ATOMIC_RELAXED);
	__atomic_fetch_add(&b->count, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&b->slot, slot, __ATOMIC_RELAXED);
	__atomic_store_n(&inner_metric(seg, slot - 1)->shared, 1, __ATOMIC_RELEASE);
}

void perftop_record_slow(uint32_t slot, uint64_t v)
{
	struct perftop_shard *s;
	struct perftop_segment *seg;
	struct perftop_bins *b;
	uint32_t at;

	s = slot ? get_shard() : perftop_own_shard();
	if (s) {
		at = __atomic_load_n(&s->hist[slot], __ATOMIC_RELAXED);
		b = at ? (void *)((char *)s + at) : take_bins(s, slot);
		if (b) {
			perftop_bins_record(b, v);
			return;
		}
	}
	seg = slot ? shared_segment() : NULL;
	if (seg)
		record_shared(seg, slot, v);
}

void perftop_scope_one_in_start(struct perftop_scope_one_in *s)
{
	s->scope = perftop_scope_begin(s->scope.hist);
}

/* The next every - 1 are counted like it. Without bins of the thread's own every one is timed. */
void perftop_scope_one_in_stop(struct perftop_scope_one_in *s)
{
	const uint64_t v = perftop_scope_ns(&s->scope);
	struct perftop_bins *b;

	perftop_record(s->scope.hist, v);
	b = perftop_own_bins(s->scope.hist);
	if (!b)
		return;
	perftop_bump(&b->timed, 1);
	if (s->every < 2)
		return;
	__atomic_store_n(&b->last, v, __ATOMIC_RELAXED);
	__atomic_store_n(&b->last_bin, bucket_index(v), __ATOMIC_RELAXED);
	__atomic_store_n(&b->due, b->count + s->every - 1, __ATOMIC_RELAXED);
}

uint32_t perftop_count_left(struct perftop_hist h, uint64_t *v)
{
	const struct perftop_bins *b = perftop_own_bins(h);

	if (!b || b->due <= b->count)
		return 0;
	*v = b->last;
	return (uint32_t)(b->due - b->count);
}

void perftop_count_more(struct perftop_hist h, uint64_t n, uint64_t v)
{
	struct perftop_bins *b = perftop_own_bins(h);

	if (b) {
		if (n)
			perftop_bins_count(b, b->last_bin, b->last, n);
		return;
	}
	while (n--)
		perftop_record_slow(h.slot, v);
}
