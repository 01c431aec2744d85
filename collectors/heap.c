/* SPDX-License-Identifier: Apache-2.0 */
/* heap.c: the target's heap: what it holds, whether it grows, and what state that is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/heap_priv.h"
#include "collectors/procfs.h"

/*
 * The kernel walks all page tables for smaps_rollup, 1 ms for some 250 MB. It is read so seldom
 * that it takes a 20,000th of a CPU, or a 1,000th while RSS changes.
 */
enum { ROLLUP_SHARE = 20000, ROLLUP_SHARE_STALE = 1000, READ_BUDGET_NS = 4 * 1000 * 1000 };
/* The allocator's reading may take a 50th, and a tenth until all was looked at once, if that is
 * soon. */
enum { READ_SHARE = 50, HURRY_SHARE = 10, HURRY_NS = 500 * 1000 * 1000 };

struct heap {
	struct alloc *alloc;
	struct alloc_stats stats;
	struct heap_trend trend;
	bool trend_live;
	uint64_t pss_bytes, rollup_at_ns;	       /* when to read it again */
	uint64_t rollup_rss_bytes, rollup_stale_at_ns; /* or when RSS is another than then */
	uint64_t read_at_ns;			       /* the allocator, likewise */
	uint64_t begun_at_ns, hurried_ns; /* its last reading, and what those in a hurry took */
	uint64_t left_ns;		  /* until it is known what it holds; 0: no idea */
	bool have_stats, outside;	  /* outside: the allocator was read, not asked */
	struct heap_mm mm;
	struct heap_sampler *sampler;
	uint64_t dispatched; /* reclaim, at the last tick */
	struct snap_heap last;
};

static int heap_start(struct session *se, void **priv)
{
	enum heap_mode mode = session_config(se)->heap;
	struct heap *h;

	if (mode == HEAP_OFF) {
		session_section(se, "heap", SECTION_ABSENT, "--heap=proc",
				"turned off by --heap=off");
		return -ENOENT;
	}
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->alloc = alloc_new(session_pid(se), session_symbols(se));
	if (h->alloc && mode == HEAP_SAMPLE)
		h->sampler = heap_sampler_new(se);
	if (!h->alloc || (mode == HEAP_SAMPLE && !h->sampler)) {
		alloc_free(h->alloc);
		free(h);
		session_section(se, "heap", SECTION_ABSENT, NULL, "out of memory");
		return -ENOMEM;
	}
	session_section(se, "heap", SECTION_LIVE, NULL, "read from outside");
	*priv = h;
	return 0;
}

/* PSS is a part of RSS, so one that was read before RSS changed is soon another. */
static bool rollup_is_stale(const struct heap *h, uint64_t rss_bytes)
{
	uint64_t most = rss_bytes > h->rollup_rss_bytes ? rss_bytes : h->rollup_rss_bytes;

	return most - rss_bytes > most / 8 || most - h->rollup_rss_bytes > most / 8;
}

static void read_rollup(struct heap *h, struct session *se, uint64_t rss_bytes)
{
	uint64_t begin = clock_mono_ns(), took;
	char buf[2048];

	if (begin < h->rollup_at_ns &&
	    (begin < h->rollup_stale_at_ns || !rollup_is_stale(h, rss_bytes)))
		return;
	if (procfs_read(session_pid(se), "smaps_rollup", buf, sizeof(buf)) > 0)
		h->pss_bytes = procfs_field(buf, "Pss", 0) * 1024;
	took = clock_mono_ns() - begin;
	h->rollup_rss_bytes = rss_bytes;
	h->rollup_at_ns = begin + took * ROLLUP_SHARE;
	h->rollup_stale_at_ns = begin + took * ROLLUP_SHARE_STALE;
}

/* At the pace since the last reading. */
static void guess_left(struct heap *h, double looked, uint64_t begin)
{
	double gain = h->stats.looked - looked, left = 1 - h->stats.looked;

	h->left_ns = 0;
	if (h->stats.partial && !h->stats.partial_why && h->begun_at_ns && gain > 0)
		h->left_ns = (uint64_t)(left / gain * (double)(begin - h->begun_at_ns));
	h->begun_at_ns = begin;
}

static void read_allocator(struct heap *h)
{
	uint64_t begin = clock_mono_ns(), took;
	bool before = h->outside, hurry;
	double looked = h->stats.partial ? h->stats.looked : 0;
	int err;

	if (begin < h->read_at_ns)
		return;
	err = alloc_read(h->alloc, begin, READ_BUDGET_NS, &h->stats);
	h->outside = !err || (h->outside && err == -EAGAIN);
	h->have_stats = h->outside || (h->have_stats && err == -EAGAIN);
	guess_left(h, looked, begin);
	took = clock_mono_ns() - begin;
	hurry = h->stats.partial && !h->stats.partial_why && h->hurried_ns < HURRY_NS;
	h->hurried_ns += hurry ? took : 0;
	/* The first time it was looked for, too, which is not done again. */
	if (before || !h->outside)
		h->read_at_ns = begin + took * (hurry ? HURRY_SHARE : READ_SHARE);
}

static void fill_allocator(const struct heap *h, struct snap_heap *out)
{
	const struct alloc_stats *st = &h->stats;

	snapshot_string(out->allocator, sizeof(out->allocator), alloc_name(h->alloc));
	if (!h->have_stats)
		return;
	out->obtained_bytes = st->obtained_bytes;
	out->live_bytes = st->live_bytes;
	out->retained_bytes = st->retained_bytes;
	out->live_at_most = st->partial;
	out->mmapped_bytes = st->mmapped_bytes;
	out->arenas = st->arenas;
}

/* A trend of one measure says nothing of another. */
static void add_trend(struct heap *h, struct snap_heap *out, uint64_t now_ns)
{
	bool live = h->have_stats && !h->stats.partial;
	uint64_t bytes;

	live &= !snapshot_heap_is_own(out);
	live |= out->live_bytes && h->sampler && out->live_bytes >= out->anon_bytes / 2;
	bytes = live ? out->live_bytes : out->anon_bytes;
	if (live != h->trend_live) {
		h->trend = (struct heap_trend){0};
		h->trend_live = live;
	}
	out->growth_of_live = live;
	if (bytes)
		heap_trend_add(&h->trend, now_ns, bytes);
}

static void say_proc(struct heap *h, struct session *se, const struct snap_heap *out)
{
	bool rates = session_bpf(se) && session_config(se)->syscalls != SYSCALL_OFF;
	const char *more = rates ? "" : "; no rates of brk, mmap, munmap, madvise: they need eBPF";

	if (h->have_stats && rates)
		session_section(se, "heap", SECTION_LIVE, NULL,
				"%s read from outside, without a stop%s", out->allocator,
				h->stats.mmapped_known
					? ""
					: "; blocks in mappings of their own are missing");
	else if (h->have_stats)
		session_section(se, "heap", SECTION_DEGRADED, session_privilege_fix(se),
				"%s read from outside%s", out->allocator, more);
	else
		session_section(se, "heap", SECTION_DEGRADED,
				strstr(alloc_why(h->alloc), "--heap=sample") ? "--heap=sample"
									     : NULL,
				"resident memory only: %.160s%s", alloc_why(h->alloc), more);
}

/* --heap=trace: the probes are those of -e, and so are their budget and their notes. */
static void fill_trace(struct session *se, struct snapshot *s)
{
	const struct snap_section *func = session_find_section(se, "func");
	const char *note = "", *sample = "--heap=sample";
	double dearest_ns = 0;
	uint32_t rows = 0;

	for (uint32_t i = 0; i < s->nlatency; i++) {
		const struct snap_latency *l = &s->latency[i];
		bool frees = !strcmp(l->name, "free") || !strcmp(l->name, "realloc");
		bool allocs = !strcmp(l->name, "malloc") || !strcmp(l->name, "calloc") ||
			      !strcmp(l->name, "realloc");

		if (l->source != LATENCY_UPROBE || (!frees && !allocs))
			continue;
		rows++;
		dearest_ns = l->cost_ns > dearest_ns ? l->cost_ns : dearest_ns;
		s->heap.alloc_rate += allocs ? l->rate : 0;
		s->heap.free_rate += frees ? l->rate : 0;
		/* func.c's words for what it no longer sees whole, to keep its budget. */
		if (strstr(l->note, "estimate") || strstr(l->note, "detached"))
			note = l->note;
	}
	if (!rows && func && func->status == SECTION_ABSENT) {
		session_section(se, "heap", SECTION_DEGRADED, sample,
				"resident memory only: --heap=trace: %s", func->reason);
		return;
	}
	session_section(se, "heap", note[0] || !rows ? SECTION_DEGRADED : SECTION_LIVE, sample,
			"%u functions counted by eBPF, up to %.1f µs a call%s%s; "
			"sizes and call sites need --heap=sample",
			rows, dearest_ns / 1e3, note[0] ? ": " : "", note);
}

static void fill_words(struct heap *h, struct session *se, struct snapshot *s, bool sampling)
{
	struct heap_facts facts = {
		.stats = h->have_stats ? &h->stats : NULL,
		.why = alloc_why(h->alloc),
		.trend = &h->trend,
		.trend_live = h->trend_live,
		.now_ns = session_now_ns(se),
		.left_ns = h->left_ns,
		.script = snapshot_is_python(s),
		.sampling = sampling,
		.suspect = sampling ? heap_sampler_suspect(s) : NULL,
		.suspect_name = "",
	};

	if (facts.suspect && facts.suspect->nframes)
		facts.suspect_name = s->symbols[facts.suspect->frames[0]].name;
	heap_words(&s->heap, &facts);
}

/* ---- Concurrency Kit's epochs ---------------------------------------------------------------- */

static bool counter_value(const struct snapshot *s, const char *name, uint64_t *v)
{
	for (uint32_t i = 0; i < s->ncounters; i++)
		if (!strcmp(s->counters[i].name, name)) {
			*v = s->counters[i].value > 0 ? (uint64_t)s->counters[i].value : 0;
			return true;
		}
	return false;
}

/* A program that registers these names through libperftop gets the row: see perftop.h. */
static void fill_reclaim(struct heap *h, struct session *se, struct snapshot *s)
{
	struct snap_reclaim *r = &s->reclaim;
	uint64_t ns = session_interval_ns(se);

	if (!counter_value(s, "reclaim.pending", &r->pending))
		return;
	s->nreclaim = 1;
	counter_value(s, "reclaim.peak", &r->peak);
	counter_value(s, "reclaim.dispatched", &r->dispatched);
	counter_value(s, "reclaim.stalls", &r->stalls);
	counter_value(s, "reclaim.stall_ns", &r->stall_ns);
	if (ns && h->dispatched && r->dispatched > h->dispatched)
		r->dispatched_rate = (double)(r->dispatched - h->dispatched) * 1e9 / (double)ns;
	h->dispatched = r->dispatched;
}

/* From inside, an allocator that cannot be read from outside may speak for itself. */
static bool sample(struct heap *h, struct session *se, struct snapshot *s)
{
	bool sampling = heap_sampler_tick(h->sampler, se, s);
	uint64_t counted = s->heap.live_bytes;

	/* Read from outside it also tells in what pieces the free memory is. */
	if (!sampling || h->outside || !heap_sampler_allocator(h->sampler, &h->stats))
		return sampling;
	h->have_stats = true;
	/* Committed is not touched, and what was held may be given back: only what is resident is
	 * there. */
	if (h->stats.obtained_bytes > s->heap.anon_bytes) {
		h->stats.retained_bytes = s->heap.anon_bytes > h->stats.live_bytes
						  ? s->heap.anon_bytes - h->stats.live_bytes
						  : 0;
		h->stats.obtained_bytes = h->stats.live_bytes + h->stats.retained_bytes;
	}
	fill_allocator(h, &s->heap);
	/* Counted from the program's start it is exact, and of this moment. */
	if (counted) {
		s->heap.live_bytes = counted;
		s->heap.live_at_most = 0;
	}
	return true;
}

static void heap_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct heap *h = priv;
	struct snap_heap *out = &s->heap;
	bool sampling = false;

	fill_reclaim(h, se, s);
	s->nheap = 1;
	if (s->target.state == TARGET_EXITED || s->target.state == TARGET_ZOMBIE ||
	    !s->proc.rss_bytes) {
		*out = h->last;
		return;
	}
	out->mode = session_config(se)->heap;
	out->rss_bytes = s->proc.rss_bytes;
	out->anon_bytes = s->proc.anon_bytes;
	read_rollup(h, se, out->rss_bytes);
	out->pss_bytes = h->pss_bytes < out->rss_bytes ? h->pss_bytes : out->rss_bytes;
	read_allocator(h);
	fill_allocator(h, out);
	heap_mm_tick(&h->mm, se, s);
	out->fault_ns = s->page_faults.mean_ns;
	if (h->sampler)
		sampling = sample(h, se, s);
	else if (out->mode == HEAP_TRACE)
		fill_trace(se, s);
	else
		say_proc(h, se, out);
	add_trend(h, out, session_now_ns(se));
	fill_words(h, se, s, sampling);
	h->last = *out;
}

/* In the first interval, so that the first tick does not have to. */
static void heap_settle(struct session *se, void *priv)
{
	struct heap *h = priv;

	(void)se;
	if (!h->begun_at_ns)
		alloc_look(h->alloc);
}

static void heap_reset(struct session *se, void *priv)
{
	struct heap *h = priv;

	if (h->sampler)
		heap_sampler_reset(h->sampler);
}

static void heap_stop(struct session *se, void *priv)
{
	struct heap *h = priv;

	heap_sampler_free(h->sampler, se);
	alloc_free(h->alloc);
	free(h);
}

const struct collector collector_heap = {
	.name = "heap",
	.help = "memory: what the heap holds, whether it grows, what its allocator keeps",
	.start = heap_start,
	.tick = heap_tick,
	.reset = heap_reset,
	.settle = heap_settle,
	.stop = heap_stop,
};
