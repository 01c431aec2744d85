/* SPDX-License-Identifier: Apache-2.0 */
/* history.c: rings of points, found by the hash of what they belong to. */
#include "tui/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 2 * HISTORY_SERIES };

/* FNV-1a; 64 bits make a collision between a few thousand rows a matter of 1e-13. */
static uint64_t key_hash(enum history_kind kind, const char *name, uint32_t sub)
{
	uint64_t h = 0xcbf29ce484222325ull ^ ((uint64_t)kind << 32 | sub);

	h *= 0x100000001b3ull;
	for (const unsigned char *p = (const unsigned char *)name; *p; p++)
		h = (h ^ *p) * 0x100000001b3ull;
	return h ? h : 1;
}

static uint32_t slot_of(const struct history *h, uint64_t hash)
{
	uint32_t i = (uint32_t)(hash ^ hash >> 32) % SLOTS;

	while (h->slots[i] && h->slots[i]->hash != hash)
		i = (i + 1) % SLOTS;
	return i;
}

/* Take the series unseen longest out of the table and put back those probed past its place. */
static struct series *take_oldest(struct history *h)
{
	uint32_t old = 0;
	struct series *s;

	for (uint32_t i = 0; i < SLOTS; i++)
		if (h->slots[i] &&
		    (!h->slots[old] || h->slots[i]->last_seq < h->slots[old]->last_seq))
			old = i;
	s = h->slots[old];
	h->slots[old] = NULL;
	for (uint32_t i = (old + 1) % SLOTS; h->slots[i]; i = (i + 1) % SLOTS) {
		struct series *move = h->slots[i];

		h->slots[i] = NULL;
		h->slots[slot_of(h, move->hash)] = move;
	}
	h->n--;
	return s;
}

static void add_point(struct history *h, enum history_kind kind, const char *name, uint32_t sub,
		      uint64_t seq, double v)
{
	uint64_t hash = key_hash(kind, name, sub);
	struct series *s = h->slots[slot_of(h, hash)];

	if (!s) {
		s = h->n < HISTORY_SERIES ? malloc(sizeof(*s)) : take_oldest(h);
		if (!s)
			return;
		*s = (struct series){.hash = hash, .last_seq = seq - 1};
		h->slots[slot_of(h, hash)] = s;
		h->n++;
	}
	if (s->last_seq == seq) /* two rows of one name: the first stands */
		return;
	/* A row that was gone for some ticks has gaps there, so that all sparklines share a time
	 * axis. */
	for (uint64_t gap = seq - s->last_seq - 1; gap && gap < HISTORY_POINTS; gap--) {
		s->v[s->head] = NAN;
		s->head = (s->head + 1) % HISTORY_POINTS;
		s->n += s->n < HISTORY_POINTS;
	}
	s->v[s->head] = (float)v;
	s->head = (s->head + 1) % HISTORY_POINTS;
	s->n += s->n < HISTORY_POINTS;
	s->last_seq = seq;
}

uint32_t history_class(const struct snap_latency *l)
{
	uint32_t hash = 0;

	for (const char *c = l->module; *c; c++)
		hash = hash * 31 + (unsigned char)*c;
	return hash;
}

void history_add(struct history *h, const struct snapshot *s)
{
	/* Its own clock: the session's numbers jump when ticks are skipped or a replay restarts. */
	uint64_t seq = ++h->last_seq;
	double worst = 0;

	add_point(h, HISTORY_CPU, "", 0, seq, s->proc.user_pct + s->proc.sys_pct);
	add_point(h, HISTORY_RSS, "", 0, seq, (double)s->proc.rss_bytes);
	add_point(h, HISTORY_CTXSW, "", 0, seq,
		  s->proc.ctxsw_voluntary_rate + s->proc.ctxsw_involuntary_rate);
	for (uint32_t i = 0; i < s->nlatency; i++) {
		const struct snap_latency *l = &s->latency[i];

		add_point(h, HISTORY_LATENCY, l->name, l->source, seq,
			  l->recent_p99 ? (double)l->recent_p99 : NAN);
		if (!strcmp(l->unit, "ns") && (double)l->recent_p99 > worst)
			worst = (double)l->recent_p99;
	}
	add_point(h, HISTORY_P99, "", 0, seq, worst > 0 ? worst : NAN);
	for (uint32_t i = 0; i < s->nsyscalls; i++)
		add_point(h, HISTORY_SYSCALL, s->syscalls[i].name, history_class(&s->syscalls[i]),
			  seq, s->syscalls[i].rate);
	for (uint32_t i = 0; i < s->nblock; i++)
		add_point(h, HISTORY_BLOCK, s->block[i].name, history_class(&s->block[i]), seq,
			  s->block[i].recent_p99 ? (double)s->block[i].recent_p99 : NAN);
	for (uint32_t i = 0; i < s->ncounters; i++)
		add_point(h, HISTORY_COUNTER, s->counters[i].name, 0, seq,
			  s->counters[i].kind == COUNTER_GAUGE ? (double)s->counters[i].value
							       : s->counters[i].rate);
	for (uint32_t i = 0; i < s->nkernels; i++)
		add_point(h, HISTORY_KERNEL, s->kernels[i].name, 0, seq, s->kernels[i].gflops);
	for (uint32_t i = 0; i < s->nthreads; i++)
		add_point(h, HISTORY_THREAD, "", (uint32_t)s->threads[i].tid, seq,
			  s->threads[i].cpu_pct);
	if (s->nheap)
		add_point(h, HISTORY_HEAP, "", s->heap.growth_of_live, seq,
			  (double)(s->heap.growth_of_live ? s->heap.live_bytes
							  : s->heap.anon_bytes));
	if (s->ntrajectory)
		add_point(h, HISTORY_TRAJECTORY, "", 0, seq, (double)s->trajectory.used);
}

const struct series *history_find(const struct history *h, enum history_kind kind, const char *name,
				  uint32_t sub)
{
	return h->slots[slot_of(h, key_hash(kind, name, sub))];
}

float series_at(const struct series *s, uint32_t back)
{
	if (!s || back >= s->n)
		return NAN;
	return s->v[(s->head + HISTORY_POINTS - 1 - back) % HISTORY_POINTS];
}

float series_max(const struct series *v, uint32_t n)
{
	float max = -INFINITY;

	for (uint32_t i = 0; i < n; i++) {
		float p = series_at(v, i);

		max = !isnan(p) && p > max ? p : max;
	}
	return max;
}

void history_fini(struct history *h)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		free(h->slots[i]);
	memset(h, 0, sizeof(*h));
}
