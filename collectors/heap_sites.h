/* SPDX-License-Identifier: Apache-2.0 */
/* heap_sites.h: samples of a heap added up: sites, lifetimes, generations, leak suspects. */
#ifndef PERFTOP_HEAP_SITES_H
#define PERFTOP_HEAP_SITES_H

#include <stddef.h>
#include <stdint.h>

#include "collectors/heap_segment.h"

/*
 * Everything here rests on samples: a sample of b bytes taken with mean m stands for
 * 1 / (1 - exp(-b / m)) objects, so each figure is an unbiased estimate. Exact totals are in
 * heap_segment.h. Memory is bounded: HEAP_TABLE live samples, HEAP_SITES sites, and the site
 * "[other]" (nframes 0) for what comes after those.
 *
 *	h = heap_sites_new(heap_stack_ids, &stacks);
 *	each tick: heap_sites_update(h, segment, now); heap_sites_report(h, now, &report);
 */
enum {
	HEAP_SITES = 4096,
	HEAP_SITE_FRAMES = 64,
	HEAP_TOP = 64, /* sites in a report */
	HEAP_GENERATIONS = 5,
	HEAP_LIFETIMES = 64, /* bin i: 2^i <= ns < 2^(i + 1), bin 0 also below */
};

/* Upper ends of the generations, in ns of age: 1 s, 10 s, 1 min, 10 min, no end. */
extern const uint64_t heap_generation_top_ns[HEAP_GENERATIONS];

/* One call stack that allocates. Rates and growth are since the site was first seen. */
struct heap_site {
	uint32_t nframes;		   /* 0: "[other]" */
	uint32_t frames[HEAP_SITE_FRAMES]; /* ids from the resolver, innermost first */
	double live_bytes, live_objects;
	double alloc_bytes, alloc_objects; /* ever */
	double rate_bytes;		   /* allocated a second, over about the last ten seconds */
	double growth_bytes; /* live bytes gained a second: slope of the whole watch */
	uint64_t age_p50_ns; /* of what lives, by objects */
	double leak_score;   /* 0 to 100: grows all the time and what it holds is old */
	uint32_t samples;    /* ever taken here: below about 5, believe nothing */
};

struct heap_report {
	double live_bytes, live_objects;   /* estimates from live samples, to compare with exact */
	double alloc_bytes, alloc_objects; /* sampled since the library began to be read */
	double generation_bytes[HEAP_GENERATIONS], generation_objects[HEAP_GENERATIONS];
	double lifetimes[HEAP_LIFETIMES];	   /* objects freed, by how long they lived */
	double lifetime_bytes[HEAP_LIFETIMES];	   /* and their bytes */
	double lifetime_unknown;		   /* objects freed whose record was lost */
	uint64_t lifetime_p50_ns, lifetime_p99_ns; /* of those freed */
	uint32_t live_samples;
	uint32_t nsites; /* distinct stacks ever seen */
	uint32_t ntop;	 /* rows in top, most live bytes first */
	struct heap_site top[HEAP_TOP];
	uint32_t nsuspects;		     /* indices into top are not used: rows of their own */
	struct heap_site suspects[HEAP_TOP]; /* leak_score > 0, bytes at stake first */
	uint32_t npauses;
	struct heap_pause {
		uint64_t duration_ns, bytes, time_ns;
		uint32_t op; /* enum heap_op */
		uint32_t tid, nframes;
		uint32_t frames[HEAP_SITE_FRAMES];
	} pauses[16]; /* the longest of about the last minute, longest first */
};

/* Stack of an event as up to max ids, innermost first; returns how many. */
typedef uint32_t heap_stack_fn(void *arg, const struct heap_event *e, uint32_t *ids, uint32_t max);

/* A resolver that unwinds the slice and looks up symbols: ids are struct symbol.id. */
struct heap_stacks {
	struct symbols *syms;
	struct unwinder *unwinder;
	struct heap_segment *segment; /* whose own frames are left out */
	uint64_t complete, broken;    /* stacks that reached the thread's start; others */
	uint32_t cut;		      /* of the broken, for want of stack: it asks for more */
};
heap_stack_fn heap_stack_ids; /* arg: struct heap_stacks */

struct heap_sites;

struct heap_sites *heap_sites_new(heap_stack_fn *stack, void *arg); /* NULL without memory */
void heap_sites_free(struct heap_sites *h);
void heap_sites_reset(struct heap_sites *h); /* sums begin anew; what lives is kept */

/*
 * Drain the segment into h and, when records were lost, drop what no longer lives. now_ns is of
 * CLOCK_MONOTONIC. Allocates nothing. 0 or what heap_segment_drain returned.
 */
int heap_sites_update(struct heap_sites *h, struct heap_segment *s, uint64_t now_ns);

/* The same by hand: one event. */
void heap_sites_event(struct heap_sites *h, const struct heap_event *e);

/* About a quarter of a millisecond with 10,000 live samples. r is some 50 KB: not on the stack. */
void heap_sites_report(struct heap_sites *h, uint64_t now_ns, struct heap_report *r);

#endif
