/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_mimalloc.h: mimalloc, read from outside: its segments, and the pages in them. */
#ifndef PERFTOP_ALLOC_MIMALLOC_H
#define PERFTOP_ALLOC_MIMALLOC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/alloc.h"

/*
 * include/mimalloc-types.h of mimalloc 2.0.9, 64-bit, as it is without MI_SECURE and MI_DEBUG.
 * Release builds keep no statistics, but every page counts its blocks, and segments are found by
 * their alignment: each carries its own address, encoded with a number of the process.
 */
enum {
	MIMALLOC_SEGMENT_BYTES = 32 << 20,
	MIMALLOC_SLICE_BYTES = 64 << 10,
	MIMALLOC_SLICES = 512,
	MIMALLOC_SEGMENTS = 32768,	 /* 1 TiB */
	MIMALLOC_THREADS = 64,		 /* told apart, of those that own segments */
	MIMALLOC_PAGE_BYTES = 512 << 10, /* the largest of more than one block */
};

struct mi_slice { /* mi_page_t */
	uint32_t slice_count, slice_offset;
	uint16_t flags, capacity, reserved, more_flags;
	uint64_t free;
	uint32_t used, block_bytes;
	uint64_t local_free, thread_free, heap, next, prev, padding;
};

struct mi_segment {
	uint64_t memid, pinned, mem_alignment, mem_align_offset, allow_decommit, decommit_expire;
	uint64_t decommit_mask[8], commit_mask[8];
	uint64_t abandoned_next, next, abandoned, abandoned_visits, used, cookie;
	uint64_t segment_slices, info_slices;
	uint32_t kind, pad; /* 0 normal, 1 huge */
	uint64_t slice_entries, thread_id;
	struct mi_slice slices[MIMALLOC_SLICES];
};

struct mimalloc_counts {
	uint64_t live, blocks, small_free, whole_free, metadata;
	uint32_t segments, nthreads;
	uint64_t threads[MIMALLOC_THREADS];
};

struct mimalloc {
	pid_t pid;
	int pagemap;
	uint64_t key; /* a cookie is its segment's address xor this; 0: not known yet */
	uint32_t n, at;
	struct mimalloc_counts now;
	struct alloc_stats last;
	bool have, cut;
	struct mi_segment segment;		/* scratch */
	uint64_t page[MIMALLOC_PAGE_BYTES / 8]; /* likewise */
	uint64_t segments[MIMALLOC_SEGMENTS];
};

/* What is read may be torn: 0 also for what is no segment; -EAGAIN: one that does not add up. */
int mimalloc_add_segment(struct mimalloc *mi, uint64_t addr);

#endif
