/* SPDX-License-Identifier: Apache-2.0 */
/* heap_sampler.c: --heap=sample: rows of what libperftop_heap.so keeps inside the process. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/clock.h"
#include "collectors/heap_priv.h"
#include "collectors/heap_sites.h"
#include "collectors/inject.h"
#include "collectors/symbols.h"

enum {
	FIND_TRIES = 100, /* ticks in which a launched command may still be loading it */
	LOAD_TRIES = 5,
	SIZE_ROWS = 48, /* powers of two */
};

struct heap_sampler {
	pid_t pid;
	bool injected, hopeless;
	bool waits; /* the library is in it, and makes its segment with the next allocation */
	uint32_t finds, loads;
	char why[INJECT_WHY];
	struct inject_result loaded;
	struct inject_follow follow;
	struct heap_segment *segment;
	struct heap_sites *sites;
	struct heap_stacks stacks;
	struct heap_report report;
	uint64_t allocs, frees, alloc_bytes, dropped; /* at the last tick */
	bool counted;
};

struct heap_sampler *heap_sampler_new(struct session *se)
{
	struct heap_sampler *hs = calloc(1, sizeof(*hs));

	if (!hs)
		return NULL;
	hs->pid = session_pid(se);
	hs->stacks.syms = session_symbols(se);
	hs->stacks.unwinder = session_unwinder(se, hs->pid);
	hs->sites = heap_sites_new(heap_stack_ids, &hs->stacks);
	if (!hs->sites) {
		free(hs);
		return NULL;
	}
	return hs;
}

void heap_sampler_free(struct heap_sampler *hs, struct session *se)
{
	struct inject_unloaded out;
	char why[INJECT_WHY];

	if (!hs)
		return;
	heap_segment_free(hs->segment);
	/* What was loaded on request goes with the session; what was preloaded stays. */
	if (hs->injected && inject_unload(hs->pid, &out, why, sizeof(why)) && session_pid(se))
		session_event(se, "taking the heap sampler out: %.180s", why);
	heap_sites_free(hs->sites);
	free(hs);
}

void heap_sampler_reset(struct heap_sampler *hs)
{
	heap_sites_reset(hs->sites);
}

bool heap_sampler_from_start(const struct heap_sampler *hs)
{
	return hs && hs->segment && heap_segment_totals(hs->segment)->from == HEAP_FROM_START;
}

/* More than this part of what is free was freed or taken since: its pieces are others now. */
#define SINCE_SHARE 4

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What lives now, by the allocator's account and what was counted since it was asked. */
static bool live_told(const struct heap_totals *t, uint64_t *live, uint64_t *then)
{
	int64_t since = (int64_t)((uint64_t)t->live_bytes - t->told.counted);

	if (t->told.live == HEAP_NOT_TOLD) {
		*live = *then = t->live_bytes > 0 ? (uint64_t)t->live_bytes : 0;
		return t->from == HEAP_FROM_START;
	}
	*then = t->told.live;
	*live = since < 0 ? less(*then, (uint64_t)-since) : *then + (uint64_t)since;
	return true;
}

/*
 * The program is not trusted with more than being wrong: no figure depends on another's order. What
 * it freed since it was asked it still holds, as far as is known here: the caller bounds that by
 * what is resident.
 */
bool heap_sampler_allocator(const struct heap_sampler *hs, struct alloc_stats *out)
{
	const struct heap_totals *t = hs->segment ? heap_segment_totals(hs->segment) : NULL;
	uint64_t live, then, kept;

	if (!t || !t->told.answered_ns || !live_told(t, &live, &then))
		return false;
	kept = less(t->told.held, live);
	*out = (struct alloc_stats){
		.obtained_bytes = live + kept,
		.live_bytes = live,
		.retained_bytes = kept,
		.mmapped_known = true,
		.arenas = (uint32_t)t->told.arenas,
		.free_unknown = t->told.small == HEAP_NOT_TOLD ||
				less(then, live) + less(live, then) > kept / SINCE_SHARE,
	};
	if (!out->free_unknown) {
		out->free_small_bytes = t->told.small < kept ? t->told.small : kept;
		out->trim_bytes = t->told.whole < kept ? t->told.whole : kept;
	}
	return true;
}

/* ---- getting at it --------------------------------------------------------------------------- */

static void say_loaded(const struct heap_sampler *hs, struct session *se)
{
	const struct inject_result *r = &hs->loaded;

	if (r->tid)
		session_event(se,
			      "loaded the heap sampler: thread %u stood still for %.2f ms, "
			      "%u calls lead to it",
			      r->tid, (double)r->stop_ns / 1e6, r->slots);
	else
		session_event(se, "the heap sampler was in it already: %u calls lead to it again",
			      r->slots);
}

static void load(struct heap_sampler *hs, struct session *se)
{
	const char *library = session_config(se)->heap_library;
	int err;

	if (!library) {
		snprintf(hs->why, sizeof(hs->why),
			 "libperftop_heap.so was not found beside perftop or in ../lib");
		hs->hopeless = true;
		return;
	}
	err = inject_load(hs->pid, library, &hs->loaded, hs->why, sizeof(hs->why));
	if (!err || err == -EALREADY) {
		hs->injected = !err;
		hs->waits = true;
		if (!err)
			say_loaded(hs, se);
		return;
	}
	hs->loads++;
	hs->hopeless = (err != -EAGAIN && err != -ETIMEDOUT) || hs->loads == LOAD_TRIES;
}

/*
 * There is a segment already. One that an earlier perftop switched off counts nothing until it is
 * hooked in again; one that a killed perftop left behind counts, and is ours to take out.
 */
static bool take_over(struct heap_sampler *hs, struct session *se)
{
	bool off = inject_is_off(hs->pid);

	if (!off && heap_segment_is_read(hs->segment))
		return true;
	if (off && heap_segment_restart(hs->segment) == -EBADMSG) {
		snprintf(hs->why, sizeof(hs->why), "%s", heap_segment_why(hs->segment));
		hs->hopeless = true;
		return false;
	}
	load(hs, se);
	return !off || hs->injected;
}

static bool attach(struct heap_sampler *hs, struct session *se)
{
	int err;

	if (hs->hopeless)
		return false;
	hs->segment = heap_segment_attach(hs->pid, &err, hs->why, sizeof(hs->why));
	if (hs->segment && !session_config(se)->heap_preloaded && !hs->waits &&
	    !take_over(hs, se)) {
		heap_segment_free(hs->segment);
		hs->segment = NULL;
		return false;
	}
	if (hs->segment) {
		hs->stacks.segment = hs->segment;
		return true;
	}
	if (err == -ENOENT && !hs->waits && !session_config(se)->heap_preloaded)
		load(hs, se);
	if (err == -ENOENT && hs->waits)
		snprintf(hs->why, sizeof(hs->why),
			 "the sampler is loaded, and the program has allocated nothing by malloc "
			 "since");
	else if (err != -ENOENT ||
		 (session_config(se)->heap_preloaded && ++hs->finds == FIND_TRIES))
		/* A launched command has it preloaded, and its loader may be at work until then. */
		hs->hopeless = true;
	return false;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static double per_s(uint64_t now, uint64_t *before, uint64_t ns)
{
	double rate = ns && now > *before ? (double)(now - *before) * 1e9 / (double)ns : 0;

	*before = now;
	return rate;
}

static void fill_totals(struct heap_sampler *hs, struct session *se, struct snapshot *s)
{
	const struct heap_totals *t = heap_segment_totals(hs->segment);
	uint64_t ns = hs->counted ? session_interval_ns(se) : 0;
	struct snap_heap *h = &s->heap;
	struct session_cost cost = {.dropped = hs->counted ? t->dropped - hs->dropped : 0};

	session_add_cost(se, &cost);
	hs->dropped = t->dropped;
	h->alloc_rate = per_s(t->allocs, &hs->allocs, ns);
	h->free_rate = per_s(t->frees, &hs->frees, ns);
	h->alloc_bytes_rate = per_s(t->alloc_bytes, &hs->alloc_bytes, ns);
	hs->counted = true;
	if (t->from != HEAP_FROM_LATE && t->size_from != HEAP_SIZE_NONE) {
		h->live_bytes = t->live_bytes > 0 ? (uint64_t)t->live_bytes : 0;
		h->live_at_most = 0;
		h->live_count = t->live_objects > 0 ? (uint64_t)t->live_objects : 0;
	}
	h->sample_mean_bytes = t->mean_bytes;
	h->samples = t->samples;
	h->dropped = t->dropped;
	s->heap_pauses = (struct snap_pauses){
		.threshold_ns = HEAP_DEFAULT_PAUSE_NS,
		.count = t->pauses,
		.p50 = t->pause_p50_ns,
		.p99 = t->pause_p99_ns,
		.max = t->pause_max_ns,
	};
}

/* Classes of the segment, which are finer, in powers of two. Bytes are those of mid-class sizes. */
static void fill_sizes(struct heap_sampler *hs, struct snapshot *s)
{
	const struct heap_totals *t = heap_segment_totals(hs->segment);
	struct snap_heap_size *row = NULL;
	uint64_t low = 0;

	s->nheap_sizes = 0;
	for (uint32_t i = 0; i < HEAP_CLASSES; i++) {
		uint64_t top = heap_class_top(i), live = 0;

		if (!t->class_allocs[i] && !t->class_frees[i]) {
			low = top;
			continue;
		}
		if (!row || top > row->size_max) {
			uint64_t max = row ? row->size_max : 16;

			while (max < top)
				max *= 2;
			if (s->nheap_sizes == SIZE_ROWS)
				return;
			row = &s->heap_sizes[s->nheap_sizes++];
			*row = (struct snap_heap_size){.size_max = max};
		}
		if (t->class_allocs[i] > t->class_frees[i])
			live = t->class_allocs[i] - t->class_frees[i];
		row->allocs += t->class_allocs[i];
		row->live_count += live;
		row->live_bytes += live * (i <= 64 ? top : (low + top) / 2);
		low = top;
	}
}

static void fill_ages(struct heap_sampler *hs, struct snapshot *s)
{
	const struct heap_report *r = &hs->report;

	s->nheap_ages = HEAP_GENERATIONS;
	for (uint32_t g = 0; g < HEAP_GENERATIONS; g++)
		s->heap_ages[g] = (struct snap_heap_age){
			.max_ns = heap_generation_top_ns[g],
			.live_count = (uint64_t)r->generation_objects[g],
			.live_bytes = (uint64_t)r->generation_bytes[g],
		};
	for (uint32_t i = 0, g = 0; i < HEAP_LIFETIMES; i++) {
		/* A bin of lifetimes belongs where its lower end does. */
		while (g + 1 < HEAP_GENERATIONS && 1ull << i > heap_generation_top_ns[g])
			g++;
		s->heap_ages[g].freed_count += (uint64_t)(r->lifetimes[i] + 0.5);
		s->heap_ages[g].freed_bytes += (uint64_t)(r->lifetime_bytes[i] + 0.5);
	}
}

static void add_site(struct heap_sampler *hs, const struct heap_site *in, struct snapshot *s)
{
	struct snap_heap_site *out = &s->heap_sites[s->nheap_sites];

	*out = (struct snap_heap_site){
		.bytes = (uint64_t)in->live_bytes,
		.count = (uint64_t)in->live_objects,
		.total_bytes = (uint64_t)in->alloc_bytes,
		.total_count = (uint64_t)in->alloc_objects,
		.growth_bytes_s = in->growth_bytes,
		.age_p50_ns = in->age_p50_ns,
		.leak_score = in->leak_score / 100,
	};
	if (in->alloc_bytes > 0)
		out->rate = in->rate_bytes * in->alloc_objects / in->alloc_bytes;
	for (uint32_t i = 0; i < in->nframes && i < SNAP_FRAMES; i++)
		out->frames[out->nframes++] = symbols_snapshot(hs->stacks.syms, in->frames[i], s);
	s->nheap_sites++;
}

static bool is_top(const struct heap_report *r, const struct heap_site *site)
{
	for (uint32_t i = 0; i < r->ntop; i++)
		if (r->top[i].nframes == site->nframes &&
		    !memcmp(r->top[i].frames, site->frames,
			    site->nframes * sizeof(site->frames[0])))
			return true;
	return false;
}

/* The largest, then suspects that are not among them. */
static void fill_sites(struct heap_sampler *hs, struct snapshot *s)
{
	const struct heap_report *r = &hs->report;

	s->nheap_sites = 0;
	for (uint32_t i = 0; i < r->ntop && s->nheap_sites < SNAP_HEAP_SITES; i++)
		add_site(hs, &r->top[i], s);
	for (uint32_t i = 0; i < r->nsuspects && s->nheap_sites < SNAP_HEAP_SITES; i++)
		if (!is_top(r, &r->suspects[i]))
			add_site(hs, &r->suspects[i], s);
}

const struct snap_heap_site *heap_sampler_suspect(const struct snapshot *s)
{
	const struct snap_heap_site *best = NULL;

	for (uint32_t i = 0; i < s->nheap_sites; i++) {
		const struct snap_heap_site *h = &s->heap_sites[i];

		if (h->leak_score > 0 && (!best || h->leak_score * h->growth_bytes_s >
							   best->leak_score * best->growth_bytes_s))
			best = h;
	}
	return best;
}

static void say(struct heap_sampler *hs, struct session *se)
{
	const struct heap_totals *t = heap_segment_totals(hs->segment);

	session_section(
		se, "heap", t->dropped ? SECTION_DEGRADED : SECTION_LIVE, NULL,
		"sampled in the process, every %llu KiB, counts %s; +4 to 8 ns an allocation%s",
		(unsigned long long)(t->mean_bytes >> 10),
		t->from != HEAP_FROM_LATE ? "exact"
		: t->told.answered_ns && t->told.live != HEAP_NOT_TOLD
			? "exact since it was loaded, what lives by the allocator's own account"
			: "exact since it was loaded, what lived before is read from outside",
		t->dropped ? "; some samples were dropped" : "");
}

bool heap_sampler_tick(struct heap_sampler *hs, struct session *se, struct snapshot *s)
{
	int err;

	if (!hs->segment && !attach(hs, se)) {
		session_section(se, "heap", SECTION_DEGRADED, NULL, "not sampled: %.200s", hs->why);
		return false;
	}
	if (hs->injected)
		inject_follow(hs->pid, &hs->loaded, &hs->follow);
	err = heap_segment_refresh(hs->segment);
	if (err && err != -ESRCH) {
		session_section(se, "heap", SECTION_DEGRADED, NULL, "not sampled: %.200s",
				heap_segment_why(hs->segment));
		return false;
	}
	heap_sites_update(hs->sites, hs->segment, session_now_ns(se));
	heap_sites_report(hs->sites, session_now_ns(se), &hs->report);
	fill_totals(hs, se, s);
	fill_sizes(hs, s);
	fill_ages(hs, s);
	fill_sites(hs, s);
	if (!err)
		say(hs, se);
	return true;
}
