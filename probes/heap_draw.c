/* SPDX-License-Identifier: Apache-2.0 */
/* heap_draw.c: when the next sample is due, and how far apart samples are. */
#include <string.h>
#include <time.h>

#include "probes/heap_inner.h"

enum {
	BOOST_MAX = 24,
	/* Live samples above which the mean doubles, once each step: the table stays half empty. */
	TABLE_SOFT = HEAP_TABLE / 4,
	TABLE_STEP = HEAP_TABLE / 16,
	/*
	 * So many samples in less than so long are more than their sites need, and than the ring
	 * holds until a reader comes that does so once a second: 1 % of the program's time.
	 */
	PACE_SAMPLES = 256,
	PACE_NS = 62500000,
};

uint64_t heap_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* -ln(u) to 1e-12, for 0 < u <= 1, without libm, which the program may not have loaded. */
static double minus_log(double u)
{
	uint64_t bits;
	double m, t, t2;
	int64_t e;

	memcpy(&bits, &u, sizeof(bits));
	e = (int64_t)(bits >> 52) - 1023;
	bits = (bits & ((1ull << 52) - 1)) | 1023ull << 52;
	memcpy(&m, &bits, sizeof(m));
	if (m > 1.4142135623730951) {
		m /= 2;
		e++;
	}
	/* ln m = 2 artanh t, with |t| < 0.1716. */
	t = (m - 1) / (m + 1);
	t2 = t * t;
	m = 1.0 / 11 + t2 * (1.0 / 13 + t2 / 15);
	m = 1.0 / 5 + t2 * (1.0 / 7 + t2 * (1.0 / 9 + t2 * m));
	m = 2 * t * (1 + t2 * (1.0 / 3 + t2 * m));
	return -((double)e * 0.6931471805599453 + m);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void heap_sample_draw(struct heap_cell *c)
{
	struct heap_segment_header *seg = heap_segment();
	struct heap_state *st = heap_state_of(seg);
	uint64_t mean = heap_read(&heap_control_of(seg)->mean_bytes);
	double u = (double)((next_random(&c->random) >> 11) + 1) * (1.0 / 9007199254740992.0);
	double ahead;

	mean = mean ? mean : HEAP_DEFAULT_MEAN_BYTES;
	mean = mean > 1ull << 36 ? 1ull << 36 : mean;
	mean <<= heap_read(&st->boost);
	c->mean_bytes = mean;
	ahead = minus_log(u) * (double)mean;
	c->left = (ahead < HEAP_FAR ? (int64_t)ahead : HEAP_FAR) - heap_hidden();
	__atomic_store_n(&st->mean_bytes, mean, __ATOMIC_RELAXED);
}

static void boost_to(struct heap_state *st, uint64_t from, uint64_t to)
{
	__atomic_compare_exchange_n(&st->boost, &from, to, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void heap_boost_for_ring(struct heap_state *st, uint64_t tail)
{
	uint64_t last = heap_read(&st->boost_tail), boost = heap_read(&st->boost);

	if (boost >= BOOST_MAX || last == tail + 1 ||
	    !__atomic_compare_exchange_n(&st->boost_tail, &last, tail + 1, 0, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&st->boost_ns, heap_now_ns(), __ATOMIC_RELAXED);
	boost_to(st, boost, boost + 1);
}

static void boost_for_pace(struct heap_state *st, uint64_t boost, uint64_t now)
{
	uint64_t id = heap_read(&st->next_id), from_id = heap_read(&st->pace_id), from;

	if (id - from_id < PACE_SAMPLES ||
	    !__atomic_compare_exchange_n(&st->pace_id, &from_id, id, 0, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	from = __atomic_exchange_n(&st->pace_ns, now, __ATOMIC_RELAXED);
	if (now - from >= PACE_NS || boost >= BOOST_MAX)
		return;
	__atomic_store_n(&st->boost_ns, now, __ATOMIC_RELAXED);
	boost_to(st, boost, boost + 1);
}

void heap_boost_adjust(struct heap_state *st, uint64_t mean_wanted, uint64_t waiting_bytes,
		       uint64_t now)
{
	uint64_t used = heap_read(&st->table_used), boost = heap_read(&st->boost);

	/* Who asks for a mean gets it, as far as there is room. */
	if (!mean_wanted)
		boost_for_pace(st, boost, now);
	if (used > TABLE_SOFT + boost * TABLE_STEP && boost < BOOST_MAX) {
		__atomic_store_n(&st->boost_ns, now, __ATOMIC_RELAXED);
		boost_to(st, boost, boost + 1);
	} else if (boost && waiting_bytes < HEAP_RING_BYTES / 4 &&
		   used + TABLE_STEP < TABLE_SOFT + (boost - 1) * TABLE_STEP &&
		   now - heap_read(&st->boost_ns) > 5000000000ull) {
		__atomic_store_n(&st->boost_ns, now, __ATOMIC_RELAXED);
		boost_to(st, boost, boost - 1);
	}
}
