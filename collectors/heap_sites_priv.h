/* SPDX-License-Identifier: Apache-2.0 */
/* heap_sites_priv.h: what the files that add up a heap's samples share. */
#ifndef PERFTOP_HEAP_SITES_PRIV_H
#define PERFTOP_HEAP_SITES_PRIV_H

#include "collectors/heap_sites.h"

enum {
	INDEX_SIZE = 4 * HEAP_SITES, /* sparse, so that runs stay short */
	POINTS = 32,
	POINT_STEP_NS = 100000000,
	PAUSES = 16,
	CUT_MAX = 8, /* stacks cut short before longer slices are asked for */
};
#define PAUSE_KEEP_NS 60000000000ull
#define LEAK_OLD_NS   30000000000ull

struct point {
	uint64_t ns;
	double live_bytes;
};

struct site {
	uint32_t nframes, samples, live_samples, npoints;
	uint32_t frames[HEAP_SITE_FRAMES];
	double live_bytes, live_objects, alloc_bytes, alloc_objects;
	double alloc_before, rate_bytes;
	uint64_t point_ns, step_ns; /* point_ns: when the next one is due */
	struct point points[POINTS];
	double old_bytes; /* while reporting: see leak_score() */
};

/* A sample that lives, at the index that it has in the library's table. */
struct live {
	uint64_t id; /* 0: none */
	uint64_t bytes, time_ns;
	double weight;
	uint32_t site;
};

struct heap_sites {
	heap_stack_fn *stack;
	void *arg;
	double live_bytes, live_objects, alloc_bytes, alloc_objects, lifetime_unknown;
	double lifetimes[HEAP_LIFETIMES], lifetime_bytes[HEAP_LIFETIMES];
	struct heap_pause pauses[PAUSES];
	uint64_t lost, first_ns, history_ns; /* first_ns: of the first sample, or the reset */
	uint32_t live_samples, nsites;
	uint32_t index[INDEX_SIZE]; /* of sites by frames, 0: none */
	struct site sites[HEAP_SITES];
	struct live live[HEAP_TABLE];
	/* Scratch of the report. */
	float ages[2 * HEAP_TOP][256];
	uint16_t row_of[HEAP_SITES]; /* in ages, 1 more; 0: in no report */
	double score[HEAP_SITES];
};

#endif
