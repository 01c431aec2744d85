/* SPDX-License-Identifier: Apache-2.0 */
/* sample_trail.h: the last CPU samples by time and thread: what ran there, and then. */
#ifndef PERFTOP_SAMPLE_TRAIL_H
#define PERFTOP_SAMPLE_TRAIL_H

#include <stdint.h>

/* At 99 Hz more than a minute of a busy CPU; a power of two. */
enum { SAMPLE_TRAIL = 8192 };

struct sample_trail {
	uint64_t added;
	struct {
		uint64_t time_ns; /* CLOCK_MONOTONIC */
		uint32_t tid, function;
	} last[SAMPLE_TRAIL];
};

/* function: a struct symbol.id. time_ns 0: not known, and not kept. */
void sample_trail_add(struct sample_trail *t, uint64_t time_ns, uint32_t tid, uint32_t function);

/*
 * The function that most samples of a thread were in from one time to another. Returns how many,
 * of *all; 0: there are none.
 */
uint32_t sample_trail_top(const struct sample_trail *t, uint32_t tid, uint64_t from_ns,
			  uint64_t to_ns, uint32_t *function, uint32_t *all);

#endif
