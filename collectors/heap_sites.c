/* SPDX-License-Identifier: Apache-2.0 */
/* heap_sites.c: adds up the samples of a heap by site, by age, and by how long they lived. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/heap_sites_priv.h"

const uint64_t heap_generation_top_ns[HEAP_GENERATIONS] = {
	1000000000ull, 10000000000ull, 60000000000ull, 600000000000ull, UINT64_MAX,
};

struct heap_sites *heap_sites_new(heap_stack_fn *stack, void *arg)
{
	struct heap_sites *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->stack = stack;
	h->arg = arg;
	h->nsites = 1; /* [other] */
	return h;
}

void heap_sites_free(struct heap_sites *h)
{
	free(h);
}

/* ---- sites ---------------------------------------------------------------------------------- */

static uint64_t hash_frames(const uint32_t *ids, uint32_t n)
{
	uint64_t h = n;

	for (uint32_t i = 0; i < n; i++)
		h = (h ^ ids[i]) * 0x9e3779b97f4a7c15ull ^ h >> 29;
	return h ^ h >> 32;
}

/* The site with these frames, made if it is new; "[other]" when there are too many. */
static uint32_t site_of(struct heap_sites *h, const uint32_t *ids, uint32_t n, uint64_t now)
{
	uint64_t at = hash_frames(ids, n);
	struct site *s;

	if (!n)
		return 0;
	for (;; at++) {
		uint32_t i = h->index[at % INDEX_SIZE];

		if (!i)
			break;
		s = &h->sites[i];
		if (s->nframes == n && !memcmp(s->frames, ids, n * sizeof(*ids)))
			return i;
	}
	if (h->nsites == HEAP_SITES)
		return 0;
	s = &h->sites[h->nsites];
	s->nframes = n;
	memcpy(s->frames, ids, n * sizeof(*ids));
	s->point_ns = now;
	h->index[at % INDEX_SIZE] = h->nsites;
	return h->nsites++;
}

/* ---- events --------------------------------------------------------------------------------- */

static double weight_of(uint64_t bytes, uint64_t mean)
{
	return 1 / -expm1(-(double)bytes / (double)mean);
}

static void forget(struct heap_sites *h, struct live *l)
{
	struct site *s = &h->sites[l->site];
	double objects = l->weight, bytes = l->weight * (double)l->bytes;

	s->live_objects -= objects;
	s->live_bytes -= bytes;
	h->live_objects -= objects;
	h->live_bytes -= bytes;
	if (!--s->live_samples) { /* no dust from adding and subtracting doubles */
		s->live_objects = 0;
		s->live_bytes = 0;
	}
	if (!--h->live_samples) {
		h->live_objects = 0;
		h->live_bytes = 0;
	}
	l->id = 0;
}

static void on_alloc(struct heap_sites *h, const struct heap_event *e)
{
	struct live *l = &h->live[e->index];
	uint32_t ids[HEAP_SITE_FRAMES];
	struct site *s;
	uint32_t n;

	if (l->id) { /* the record of its free was lost */
		h->lifetime_unknown += l->weight;
		forget(h, l);
	}
	if (!h->first_ns)
		h->first_ns = e->time_ns;
	n = h->stack(h->arg, e, ids, HEAP_SITE_FRAMES);
	l->id = e->id;
	l->bytes = e->bytes;
	l->time_ns = e->time_ns;
	l->weight = weight_of(e->bytes, e->mean_bytes);
	l->site = site_of(h, ids, n < HEAP_SITE_FRAMES ? n : HEAP_SITE_FRAMES, e->time_ns);
	s = &h->sites[l->site];
	s->samples++;
	s->live_samples++;
	h->live_samples++;
	s->live_objects += l->weight;
	s->alloc_objects += l->weight;
	h->live_objects += l->weight;
	h->alloc_objects += l->weight;
	s->live_bytes += l->weight * (double)e->bytes;
	s->alloc_bytes += l->weight * (double)e->bytes;
	h->live_bytes += l->weight * (double)e->bytes;
	h->alloc_bytes += l->weight * (double)e->bytes;
}

static void on_free(struct heap_sites *h, const struct heap_event *e)
{
	struct live *l = &h->live[e->index];
	uint32_t bin;
	uint64_t ns;

	if (!e->id || l->id != e->id) /* taken before we came */
		return;
	ns = e->time_ns > l->time_ns ? e->time_ns - l->time_ns : 0;
	bin = ns ? 63 - (uint32_t)__builtin_clzll(ns) : 0;
	h->lifetimes[bin] += l->weight;
	h->lifetime_bytes[bin] += l->weight * (double)l->bytes;
	forget(h, l);
}

/* The longest of the last minute; an old one gives way first. */
static void on_pause(struct heap_sites *h, const struct heap_event *e)
{
	struct heap_pause *p = &h->pauses[0];

	for (uint32_t i = 0; i < PAUSES; i++) {
		struct heap_pause *q = &h->pauses[i];

		if (q->time_ns + PAUSE_KEEP_NS < e->time_ns)
			q->duration_ns = 0;
		if (q->duration_ns < p->duration_ns)
			p = q;
	}
	if (p->duration_ns >= e->duration_ns)
		return;
	p->duration_ns = e->duration_ns;
	p->bytes = e->bytes;
	p->time_ns = e->time_ns;
	p->op = e->op;
	p->tid = e->tid;
	p->nframes = h->stack(h->arg, e, p->frames, HEAP_SITE_FRAMES);
}

void heap_sites_event(struct heap_sites *h, const struct heap_event *e)
{
	if (e->index >= HEAP_TABLE)
		return;
	switch (e->kind) {
	case HEAP_RECORD_ALLOC:
		if (e->mean_bytes && e->bytes && e->id)
			on_alloc(h, e);
		break;
	case HEAP_RECORD_FREE:
		on_free(h, e);
		break;
	case HEAP_RECORD_PAUSE:
		on_pause(h, e);
		break;
	}
}

static void event(void *arg, const struct heap_event *e)
{
	heap_sites_event(arg, e);
}

/*
 * Drop what lives here and not there. Drained before, so that a sample whose record still waits is
 * not taken for one that is gone.
 */
static void compare(struct heap_sites *h, const struct heap_segment *s)
{
	for (uint32_t i = 0; i < HEAP_TABLE; i++) {
		struct live *l = &h->live[i];

		if (!l->id || heap_segment_lives(s, i, l->id))
			continue;
		h->lifetime_unknown += l->weight;
		forget(h, l);
	}
}

/* ---- history -------------------------------------------------------------------------------- */

/*
 * Points of live bytes, evenly over the whole watch: when they are full, every other one goes, and
 * from then on half as many come. The rate has a memory of ten seconds.
 */
static void add_history(struct heap_sites *h, uint64_t now)
{
	double dt = h->history_ns ? (double)(now - h->history_ns) / 1e9 : 0;

	if (now < h->history_ns || (h->history_ns && dt < 0.05))
		return;
	h->history_ns = now;
	for (uint32_t i = 0; i < h->nsites; i++) {
		struct site *s = &h->sites[i];
		double fade = exp(-dt / 10), rate;

		rate = dt > 0 ? (s->alloc_bytes - s->alloc_before) / dt : 0;
		s->alloc_before = s->alloc_bytes;
		s->rate_bytes = s->rate_bytes * fade + rate * (1 - fade);
		if (!s->samples || now < s->point_ns)
			continue;
		if (s->npoints == POINTS) {
			for (uint32_t k = 0; k < POINTS / 2; k++)
				s->points[k] = s->points[2 * k];
			s->npoints = POINTS / 2;
			s->step_ns *= 2;
		}
		s->step_ns = s->step_ns ? s->step_ns : POINT_STEP_NS;
		s->points[s->npoints++] = (struct point){now, s->live_bytes};
		s->point_ns = now + s->step_ns;
	}
}

int heap_sites_update(struct heap_sites *h, struct heap_segment *s, uint64_t now_ns)
{
	uint64_t lost = heap_segment_lost(s);
	int64_t n = heap_segment_drain(s, event, h);

	if (n < 0)
		return (int)n;
	if (lost != h->lost) {
		compare(h, s);
		h->lost = lost;
	}
	add_history(h, now_ns);
	return 0;
}

void heap_sites_reset(struct heap_sites *h)
{
	h->alloc_bytes = h->alloc_objects = h->lifetime_unknown = 0;
	h->first_ns = h->history_ns;
	memset(h->lifetimes, 0, sizeof(h->lifetimes));
	memset(h->lifetime_bytes, 0, sizeof(h->lifetime_bytes));
	memset(h->pauses, 0, sizeof(h->pauses));
	for (uint32_t i = 0; i < h->nsites; i++) {
		struct site *s = &h->sites[i];

		s->alloc_bytes = s->alloc_objects = s->alloc_before = s->rate_bytes = 0;
		s->samples = s->live_samples;
		s->npoints = 0;
		s->step_ns = 0;
		s->point_ns = h->history_ns;
	}
}

/* ---- stacks --------------------------------------------------------------------------------- */

uint32_t heap_stack_ids(void *arg, const struct heap_event *e, uint32_t *ids, uint32_t max)
{
	struct heap_stacks *st = arg;
	uint64_t pcs[UNWIND_MAX_FRAMES];
	enum unwind_end end = UNWIND_FAILED;
	uint32_t n, own = 0, out = 0;
	struct symbol sym;

	n = unwind_stack(st->unwinder, &e->regs, e->slice, e->slice_bytes, pcs, UNWIND_MAX_FRAMES,
			 &end);
	if (end == UNWIND_COMPLETE)
		st->complete++;
	else
		st->broken++;
	/* Deep stacks: from now on as much as there may be. */
	if (end == UNWIND_TRUNCATED && n < UNWIND_MAX_FRAMES &&
	    e->slice_bytes >= HEAP_DEFAULT_SLICE_BYTES && st->cut < CUT_MAX && ++st->cut == CUT_MAX)
		heap_segment_set_slice(st->segment, HEAP_SLICE_MAX);
	while (own < n && heap_segment_owns(st->segment, pcs[own]))
		own++;
	for (uint32_t i = own; i < n && out < max; i++) {
		/* Return addresses point behind the call. */
		symbols_lookup(st->syms, pcs[i] - 1, &sym);
		ids[out++] = sym.id;
	}
	return out;
}
