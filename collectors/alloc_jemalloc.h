/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_jemalloc.h: jemalloc, read from outside: its arenas, their statistics and thread caches. */
#ifndef PERFTOP_ALLOC_JEMALLOC_H
#define PERFTOP_ALLOC_JEMALLOC_H

#include <stdint.h>
#include <sys/types.h>

#include "collectors/alloc_place.h"

/*
 * include/jemalloc/internal/{arena_structs,arena_stats,bin,ecache,base,tcache_structs}.h of
 * jemalloc 5.3, 64-bit with pages of 4 KiB, as it is without --enable-debug. Bin sizes, their
 * number and shards are read from its own table, since --with-lg-quantum changes them.
 */
enum {
	JEMALLOC_BINS = 64,
	JEMALLOC_SHARDS = 1024, /* bins of one arena with all shards */
	JEMALLOC_LARGE = 196,
	JEMALLOC_ARENAS = 4095,
	JEMALLOC_ARENA_BYTES = 78952, /* its bins follow */
};

struct jemalloc_bin_info {
	uint64_t reg_bytes, slab_bytes;
	uint32_t nregs, nshards;
	uint64_t nbits, ngroups; /* of the slab's bitmap */
};

struct jemalloc_bin {
	uint8_t lock[112];
	uint64_t nmalloc, ndalloc, nrequests, curregs, nfills, nflushes;
	uint64_t nslabs, reslabs, curslabs, nonfull;
	uint64_t slabcur, slabs_nonfull[2], slabs_full;
};

struct jemalloc_large {
	uint64_t nmalloc, ndalloc, nrequests, nfills, nflushes, curlextents;
};

/* What is read of an arena, piece by piece. jemalloc_read_arena() */
struct jemalloc_cache {
	uint64_t npages, guarded_npages;
	uint32_t state, ind;
};
struct jemalloc_arena {
	struct jemalloc_large large[JEMALLOC_LARGE];
	uint64_t caches;  /* first of the list of thread caches' descriptors */
	uint64_t nactive; /* pages */
	struct jemalloc_cache dirty, muzzy, retained;
	uint32_t shard_ind, ind;
	uint64_t shard_base, base;
	struct jemalloc_bin bins[JEMALLOC_SHARDS];
};

struct jemalloc {
	pid_t pid;
	uint64_t arenas; /* address of the table */
	uint32_t nbins, nshards;
	struct jemalloc_bin_info bins[JEMALLOC_BINS];
	uint64_t table[JEMALLOC_ARENAS];
	struct jemalloc_arena arena; /* scratch */
};

/* 0; -EBADMSG: it is no such arena; -errno of reading. */
int jemalloc_read_arena(struct jemalloc *je, uint64_t addr, uint32_t ind);
int jemalloc_find(const struct alloc_place *p, struct alloc_found *out);

#endif
