/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_tcmalloc.h: gperftools' tcmalloc, read from outside: page heap, central and thread caches.
 */
#ifndef PERFTOP_ALLOC_TCMALLOC_H
#define PERFTOP_ALLOC_TCMALLOC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/alloc_place.h"

/*
 * src/{page_heap,central_freelist,thread_cache,common,span}.h of gperftools 2.10, 64-bit. The page
 * size is not known before the class sizes are.
 */
enum {
	TCMALLOC_CLASSES = 128,
	TCMALLOC_CENTRAL_BYTES = 1216, /* of one class */
	TCMALLOC_CACHES = 4096,	       /* threads that are followed */
};

struct tcmalloc_pages { /* PageHeap::Stats */
	uint64_t system, free, unmapped, committed, scavenges, commits, total_commit, decommits;
	uint64_t total_decommit, reserves, total_reserve;
};

struct tcmalloc_central { /* CentralFreeListPadded */
	uint64_t lock, size_class, empty[6], nonempty[6];
	uint64_t num_spans, counter;
	uint64_t slots[64][2];
	int32_t used_slots, cache_size, max_cache_size, pad;
	uint64_t padding[6];
};

/* Of ThreadCache: the end of it, and two of the lists before that. */
struct tcmalloc_cache {
	int32_t size_of_1, size_of_2;
	int32_t size, max_size;
	uint64_t sampler[3], tid, in_setspecific, next, prev;
};

struct tcmalloc {
	pid_t pid;
	uint32_t nclasses;
	int32_t bytes[TCMALLOC_CLASSES]; /* of an object */
	uint64_t span_pages[TCMALLOC_CLASSES];
	uint64_t pages, central, caches; /* addresses */
	int32_t moved[TCMALLOC_CLASSES]; /* objects that go to a thread at once */
	struct tcmalloc_central centrals[TCMALLOC_CLASSES]; /* scratch */
};

int tcmalloc_find(const struct alloc_place *p, struct alloc_found *out);
/* It is none: -EBADMSG; -errno of reading. */
int tcmalloc_read_cache(const struct tcmalloc *tc, uint64_t addr, struct tcmalloc_cache *out);
bool tcmalloc_pages_plausible(const struct tcmalloc_pages *p);

#endif
