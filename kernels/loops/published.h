/* SPDX-License-Identifier: Apache-2.0 */
/* published.h: which of several copies readers use, while one writer makes the next. */
#ifndef KERNELS_PUBLISHED_H
#define KERNELS_PUBLISHED_H

#include <stdint.h>

/*
 * `current` says which copy to read; a reader announces the one that it is reading; the writer
 * writes into a copy that is neither current nor announced, and then makes it current. (Hazard
 * pointers, M. Michael 2004, with a fixed set of copies: nothing is ever freed.)
 *
 * Progress: a reader goes round again only when a new copy was published between its two loads.
 * With readers + 2 copies there is always one to write into, and the writer is wait-free; with
 * fewer it may have to come again. Memory is the caller's. The copies are too: this hands out their
 * numbers.
 */
struct published_reader {
	uint64_t announced; /* copy + 1, or 0 */
	char pad[56];
};

struct published {
	uint64_t current;
	char pad[56];
	struct published_reader *readers;
	uint32_t nreaders, ncopies;
	uint32_t writing; /* the writer's */
};

/* Copy 0 is current. readers[nreaders] is the caller's; ncopies >= 2. */
void published_init(struct published *p, struct published_reader *readers, uint32_t nreaders,
		    uint32_t ncopies);
/* The copy that stays as it is until release; one at a time a reader. */
uint32_t published_acquire(struct published *p, uint32_t reader);
void published_release(struct published *p, uint32_t reader);
/* The writer's: a copy that nobody reads, or -EBUSY; and making it the current one. */
int published_begin(struct published *p);
void published_publish(struct published *p);

#endif
