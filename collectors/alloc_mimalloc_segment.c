/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_mimalloc_segment.c: what the pages of one of mimalloc's segments hold. */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "collectors/alloc_memory.h"
#include "collectors/alloc_mimalloc.h"

#define HUGE_BLOCK (1u << 31)

enum {
	PAGE = 4096,
	SMALL = 4096, /* a piece below is small */
	TRIES = 8,
};
/* The lowest bits of thread_free: a block of the page waits in its heap's list, too. */
enum { DELAYED_BITS = 3, DELAYED_FREEING = 1, DELAYED_NO = 2 };

/* ---- a segment ------------------------------------------------------------------------------- */

static bool is_segment(const struct mimalloc *mi, const struct mi_segment *s, uint64_t addr)
{
	uint64_t key = s->cookie ^ addr;

	/* The number is learnt from a segment that holds pages. */
	if (s->kind > 1 || !s->cookie || !key || (mi->key ? key != mi->key : !s->used))
		return false;
	return s->slice_entries && s->slice_entries <= MIMALLOC_SLICES && s->info_slices &&
	       s->info_slices <= 4 && s->segment_slices >= s->slice_entries &&
	       (s->kind || s->segment_slices == MIMALLOC_SLICES) && s->used <= s->slice_entries;
}

/* Pages of the kernel that are there, of n bytes. */
static uint64_t resident_bytes(const struct mimalloc *mi, uint64_t addr, uint64_t n)
{
	uint64_t words[512], pages = 0, first = addr / PAGE, end = (addr + n) / PAGE;

	if (mi->pagemap < 0)
		return 0;
	while (first < end) {
		size_t want = end - first < 512 ? (size_t)(end - first) : 512;
		ssize_t got = pread(mi->pagemap, words, want * 8, (off_t)(first * 8));

		if (got < 8)
			break;
		for (ssize_t i = 0; i < got / 8; i++)
			pages += words[i] >> 62 != 0;
		first += (uint64_t)got / 8;
	}
	return pages * PAGE;
}

/*
 * Blocks that other threads freed are in use to mimalloc, until the thread that owns their page
 * looks. They are a list in the page, and it has not to be torn: -1.
 */
static int64_t count_freed(struct mimalloc *mi, const struct mi_slice *page, uint64_t page_addr,
			   uint64_t thread_free_addr)
{
	uint64_t at = page->thread_free & ~(uint64_t)DELAYED_BITS,
		 delayed = page->thread_free & DELAYED_BITS;
	uint64_t bytes = (uint64_t)page->slice_count * MIMALLOC_SLICE_BYTES, now;
	int64_t n = delayed == DELAYED_FREEING || delayed == DELAYED_NO;

	if (!at)
		return n;
	if (page->reserved == 1)
		return 1;
	if (bytes > sizeof(mi->page) || alloc_memory_read(mi->pid, page_addr, mi->page, bytes))
		return -1;
	for (; at; n++) {
		if (at < page_addr || at - page_addr > bytes - 8 || at & 7 || n >= page->used)
			return -1;
		at = mi->page[(at - page_addr) / 8];
	}
	/* Collected meanwhile, the list would have gone on with blocks that are free already. */
	if (alloc_memory_read(mi->pid, thread_free_addr, &now, sizeof(now)) || now <= DELAYED_BITS)
		return -1;
	return n;
}

static bool add_page(struct mimalloc *mi, const struct mi_segment *s, uint64_t addr, uint64_t at)
{
	const struct mi_slice *page = &s->slices[at];
	uint64_t bytes = (uint64_t)page->slice_count * MIMALLOC_SLICE_BYTES;
	uint64_t block = page->block_bytes;
	struct mimalloc_counts *c = &mi->now;
	int64_t freed;

	if (s->kind && block >= HUGE_BLOCK)
		block = bytes;
	if (page->used > page->capacity || page->capacity > page->reserved ||
	    page->reserved * block > bytes)
		return false;
	freed = count_freed(mi, page, addr + at * MIMALLOC_SLICE_BYTES,
			    addr + offsetof(struct mi_segment, slices) + at * sizeof(*page) +
				    offsetof(struct mi_slice, thread_free));
	if (freed < 0 || freed > page->used)
		return false;
	c->live += (page->used - (uint64_t)freed) * block;
	c->blocks += page->capacity * block;
	if (page->used == freed)
		c->whole_free += page->capacity * block;
	else if (block < SMALL)
		c->small_free += (page->capacity - page->used + (uint64_t)freed) * block;
	return true;
}

/* Spans of slices one after the other: pages in use, and what is free between them. */
static bool add_spans(struct mimalloc *mi, const struct mi_segment *s, uint64_t addr)
{
	uint64_t pages = 0, at = s->info_slices;

	while (at < s->slice_entries) {
		const struct mi_slice *slice = &s->slices[at];
		uint64_t n = slice->slice_count, end = at + n;

		/* The one page of a huge segment goes on behind the slices that are told. */
		if (!n || slice->slice_offset ||
		    (end > s->slice_entries && (!s->kind || !slice->block_bytes)))
			return false;
		if (slice->block_bytes) {
			pages++;
			if (!add_page(mi, s, addr, at))
				return false;
		} else {
			uint64_t free_bytes = resident_bytes(mi, addr + at * MIMALLOC_SLICE_BYTES,
							     n * MIMALLOC_SLICE_BYTES);

			mi->now.whole_free += free_bytes;
			mi->now.blocks += free_bytes;
		}
		at = end;
	}
	return pages == s->used;
}

static void add_thread(struct mimalloc_counts *c, uint64_t id)
{
	uint32_t i = 0;

	while (i < c->nthreads && c->threads[i] != id)
		i++;
	if (id && i == c->nthreads && i < MIMALLOC_THREADS)
		c->threads[c->nthreads++] = id;
}

/* Given back by its thread, and kept for the next that wants one. */
static bool add_cached(struct mimalloc *mi, const struct mi_segment *s, uint64_t addr)
{
	uint64_t info = s->info_slices * MIMALLOC_SLICE_BYTES;
	uint64_t bytes = resident_bytes(mi, addr + info, MIMALLOC_SEGMENT_BYTES - info);

	mi->now.whole_free += bytes;
	mi->now.blocks += bytes;
	return true;
}

int mimalloc_add_segment(struct mimalloc *mi, uint64_t addr)
{
	struct mi_segment *s = &mi->segment;
	struct mimalloc_counts before = mi->now;
	size_t header = offsetof(struct mi_segment, slices);
	int err = alloc_memory_read(mi->pid, addr, s, header);

	if (err == -EPERM || err == -ESRCH)
		return err;
	if (err || !is_segment(mi, s, addr))
		return 0;
	for (int i = 0; i < TRIES; i++) {
		mi->now = before;
		if (alloc_memory_read(mi->pid, addr, s, sizeof(*s)) || !is_segment(mi, s, addr))
			return 0;
		mi->now.segments++;
		mi->now.metadata += resident_bytes(mi, addr, s->info_slices * MIMALLOC_SLICE_BYTES);
		add_thread(&mi->now, s->thread_id);
		if (s->used ? add_spans(mi, s, addr) : add_cached(mi, s, addr)) {
			mi->key = s->cookie ^ addr;
			return 0;
		}
	}
	mi->now = before;
	return -EAGAIN;
}
