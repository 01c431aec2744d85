/* SPDX-License-Identifier: Apache-2.0 */
/* heap_priv.h: what the files of the heap collector share. */
#ifndef PERFTOP_HEAP_PRIV_H
#define PERFTOP_HEAP_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/alloc.h"
#include "collectors/session.h"
#include "probes/bucket.h"
#include "probes/contract.h"

/* ---- growth over the last minute. heap_trend.c ----------------------------------------------- */

enum { HEAP_TREND_POINTS = 64 };

struct heap_trend {
	uint64_t at_ns[HEAP_TREND_POINTS], bytes[HEAP_TREND_POINTS];
	uint32_t n, head;
	uint64_t rising_since_ns; /* 0: it does not rise */
};

/* A point a second at most. */
void heap_trend_add(struct heap_trend *t, uint64_t now_ns, uint64_t bytes);
/* Least-squares slope over the points, bytes a second; 0 while they cover less than 5 s. */
double heap_trend_slope(const struct heap_trend *t);
/* Each third of the points lies above the one before it, by more than noise. */
bool heap_trend_rises(const struct heap_trend *t);
uint64_t heap_trend_span_ns(const struct heap_trend *t);

/* ---- brk, mmap, munmap, madvise. heap_mm.c --------------------------------------------------- */

struct heap_mm {
	/* By enum contract_heap_call, at the last tick. */
	uint64_t calls[CONTRACT_HEAP_CALLS], bytes[CONTRACT_HEAP_CALLS];
	uint32_t bins[BUCKET_COUNT]; /* scratch: pauses */
};

/* Fill rates and pauses from the snapshot's system calls and what eBPF adds; why they miss. */
void heap_mm_tick(struct heap_mm *m, struct session *se, struct snapshot *s);

/* ---- the verdict. heap_words.c --------------------------------------------------------------- */

struct heap_facts {
	const struct alloc_stats *stats; /* NULL: not known */
	const char *why;		 /* not known */
	const struct heap_trend *trend;
	bool trend_live; /* the trend is of live bytes, else of anonymous memory */
	uint64_t now_ns;
	uint64_t left_ns; /* until all of a heap that is read piece by piece is known; 0: unknown */
	bool script;	  /* the program is an interpreter with an allocator of its own */
	/* sample mode: the first suspect, NULL = none */
	const struct snap_heap_site *suspect;
	const char *suspect_name;
	bool sampling;
};

/* Sets verdict and words of h, whose other fields are filled in. */
void heap_words(struct snap_heap *h, const struct heap_facts *f);

/* ---- the in-process sampler. heap_sampler.c -------------------------------------------------- */

struct heap_sampler;

struct heap_sampler *heap_sampler_new(struct session *se);
void heap_sampler_free(struct heap_sampler *hs, struct session *se);
void heap_sampler_reset(struct heap_sampler *hs);
/* Fills rows of s and sets the section's text; false while there is nothing to read. */
bool heap_sampler_tick(struct heap_sampler *hs, struct session *se, struct snapshot *s);
/* All that lives was counted from the program's start. */
bool heap_sampler_from_start(const struct heap_sampler *hs);
/* What the allocator said of itself from inside; false when it says nothing. */
bool heap_sampler_allocator(const struct heap_sampler *hs, struct alloc_stats *out);
/* The site of s->heap_sites that most looks like a leak, or NULL. */
const struct snap_heap_site *heap_sampler_suspect(const struct snapshot *s);

#endif
