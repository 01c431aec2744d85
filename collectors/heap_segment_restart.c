/* SPDX-License-Identifier: Apache-2.0 */
/* heap_segment_restart.c: a heap's segment begins anew, where its library was off for a while. */
#include <errno.h>
#include <string.h>

#include "collectors/clock.h"
#include "collectors/heap_segment_priv.h"

/* A sample whose free was missed would stay for good, and hide the next at its address. */
static void clear_table(struct heap_segment *s, struct heap_state *st)
{
	uint64_t *table = (uint64_t *)(s->base + HEAP_TABLE_OFFSET);

	for (uint32_t i = 0; i < HEAP_TABLE; i++) {
		uint64_t p = heap_segment_load(&table[i]);

		if (p && __atomic_compare_exchange_n(&table[i], &p, 0, 0, __ATOMIC_ACQ_REL,
						     __ATOMIC_RELAXED))
			__atomic_fetch_sub(&st->table_used, 1, __ATOMIC_RELAXED);
	}
}

static void clear_shard(struct heap_segment *s, uint32_t i)
{
	memset(s->base + HEAP_SHARDS_OFFSET + i * HEAP_SHARD_BYTES, 0, sizeof(struct heap_shard));
}

int heap_segment_restart(struct heap_segment *s)
{
	struct heap_state *st = (struct heap_state *)(s->base + HEAP_STATE_OFFSET);
	struct heap_control *control = heap_segment_control(s);
	uint32_t n = __atomic_load_n(&st->shards, __ATOMIC_ACQUIRE);
	uint64_t now = clock_mono_ns();

	/* Bounds the number of shards too. */
	if (heap_segment_refresh(s) == -EBADMSG)
		return -EBADMSG;
	clear_table(s, st);
	for (uint32_t i = 0; i < n && i < HEAP_THREADS; i++)
		clear_shard(s, i);
	if (__atomic_load_n(&st->shared, __ATOMIC_ACQUIRE))
		clear_shard(s, HEAP_THREADS);
	memset(s->base + HEAP_PAUSES_OFFSET, 0, BUCKET_COUNT * sizeof(uint64_t));
	st->boost = st->samples = st->dropped = st->dropped_bytes = st->unread = 0;
	st->lost_frees = st->lost_pauses = st->timed = st->pauses = st->pause_max_ns = 0;
	st->refused_threads = 0;
	st->told.asked_ns = st->told.answered_ns = 0;
	s->tail = __atomic_load_n(&st->head, __ATOMIC_ACQUIRE);
	__atomic_store_n(&control->tail, s->tail, __ATOMIC_RELEASE);
	__atomic_store_n(&control->reader_ns, now, __ATOMIC_RELAXED);
	((struct heap_segment_header *)s->base)->start_ns = now;
	s->head.start_ns = s->totals.start_ns = now;
	return heap_segment_refresh(s);
}

bool heap_segment_is_read(const struct heap_segment *s)
{
	uint64_t last = heap_segment_load(&heap_segment_control(s)->reader_ns);
	uint64_t now = clock_mono_ns();

	return last && last <= now && now - last < 3000000000u;
}
