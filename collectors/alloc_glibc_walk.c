/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_glibc_walk.c: every chunk of glibc's heaps in address order, a little each tick. */
#include "collectors/alloc_glibc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/alloc_memory.h"
#include "collectors/clock.h"

/*
 * A chunk's size leads to the next one, whose lowest size bit tells whether this one is in use. The
 * program goes on meanwhile: a chunk at which the last tick left off may have been swallowed by a
 * larger one since, but its old header stays in memory and leads on to a boundary. Where it does
 * not, the heap is begun again.
 */
enum {
	WALK_REGIONS = 8192,
	WALK_BUFFER = 64 << 10,
	WALK_TRIES = 5, /* of a heap, before the round is given up */
};
#define WALK_REST_NS   30000000000ull /* between two rounds */
#define WALK_SIZE_BITS 7ull
#define PREV_IN_USE    1ull

struct walk_region {
	uint64_t start, end; /* end: of the last chunk, or 0 where a chunk of size 0 ends it */
};

struct glibc_walk {
	struct walk_region regions[WALK_REGIONS];
	uint32_t nregions, region, tries;
	bool active, have;
	uint64_t at;	       /* next header to look at; 0: begin the region */
	uint64_t before, size; /* the chunk before it */
	struct glibc_free now, region_now, last;
	uint64_t ended_ns;
	char why[96];
	uint64_t buffer[WALK_BUFFER / 8];
};

struct glibc_walk *glibc_walk_new(void)
{
	return calloc(1, sizeof(struct glibc_walk));
}

void glibc_walk_free(struct glibc_walk *w)
{
	free(w);
}

bool glibc_walk_done(const struct glibc_walk *w)
{
	return w->have;
}

const struct glibc_free *glibc_walk_result(const struct glibc_walk *w, uint64_t *ended_ns)
{
	*ended_ns = w->ended_ns;
	return &w->last;
}

const char *glibc_walk_why(const struct glibc_walk *w)
{
	return w->why;
}

static void add_region(struct glibc_walk *w, uint64_t start, uint64_t end)
{
	if (w->nregions < WALK_REGIONS)
		w->regions[w->nregions++] = (struct walk_region){start, end};
}

/* The main arena grows by brk from sbrk_base on, as long as nobody else moves the break. */
static int add_main(struct glibc_walk *w, struct glibc *g)
{
	uint64_t base;

	if (g->state.flags & GLIBC_NONCONTIGUOUS)
		return -ENOTSUP;
	if (!g->tcache_bins || alloc_memory_read(g->pid, g->tcache_bins - 8, &base, sizeof(base)))
		return -ENOENT;
	if (base && g->state.top > base)
		add_region(w, (base + 15) & ~15ull, g->state.top);
	return 0;
}

/* heap_info: ar_ptr, prev, size. The arena lies in the first of its heaps, the top in the last. */
static int add_heaps(struct glibc_walk *w, struct glibc *g, uint64_t arena)
{
	uint64_t mask = ~(uint64_t)(GLIBC_HEAP_BYTES - 1), heap = g->state.top & mask, info[3];
	uint64_t info_bytes = arena & ~mask, end = g->state.top;

	for (uint32_t i = 0; heap && i < WALK_REGIONS; i++, heap = info[1]) {
		if (alloc_memory_read(g->pid, heap, info, sizeof(info)) || info[0] != arena)
			return -EAGAIN;
		if (heap == (arena & mask))
			add_region(w, (arena + sizeof(struct glibc_state) + 15) & ~15ull, end);
		else
			add_region(w, heap + info_bytes, end);
		end = 0;
	}
	return 0;
}

static int begin_round(struct glibc_walk *w, struct glibc *g, uint32_t narenas)
{
	int err = 0;

	w->nregions = w->region = w->tries = 0;
	w->at = 0;
	w->now = (struct glibc_free){0};
	for (uint32_t i = 0; !err && i < narenas; i++) {
		err = alloc_memory_read(g->pid, g->arenas[i], &g->state, sizeof(g->state));
		if (!err && g->state.top && g->state.system_mem)
			err = i ? add_heaps(w, g, g->arenas[i]) : add_main(w, g);
	}
	w->why[0] = '\0';
	if (err == -ENOTSUP)
		memcpy(w->why, "its main arena is not one piece", 32);
	else if (err == -ENOENT)
		memcpy(w->why, "mp_ was not found", 18);
	w->active = !err;
	return err;
}

/* A whole header at *at is in the buffer of n bytes that begins at `from`. */
static int next_headers(struct glibc_walk *w, const struct walk_region *r, uint64_t from, size_t n)
{
	while (w->at + 16 <= from + n) {
		uint64_t head = w->buffer[(w->at + 8 - from) / 8], size = head & ~WALK_SIZE_BITS;

		if (w->before && !(head & PREV_IN_USE))
			glibc_free_add(&w->region_now, w->before, w->size);
		w->before = w->at;
		w->size = size;
		if (w->at == r->end || (!r->end && size < 32))
			return 1;
		if (size < 32 || size & 8 || (r->end && w->at + size > r->end))
			return -EAGAIN;
		w->at += size;
	}
	return 0;
}

/* 1: the region is done, 0: the budget is, -EAGAIN: it makes no sense. */
static int walk_region(struct glibc_walk *w, struct glibc *g, uint64_t until_ns)
{
	const struct walk_region *r = &w->regions[w->region];
	uint64_t heap_end = (r->start | (GLIBC_HEAP_BYTES - 1)) + 1;
	int done = 0;

	if (!w->at) {
		w->at = r->start;
		w->before = 0;
		w->region_now = (struct glibc_free){0};
	}
	while (!done && clock_mono_ns() < until_ns) {
		uint64_t end = r->end ? r->end + 16 : heap_end, from = w->at;
		size_t n = end - from < WALK_BUFFER ? (size_t)(end - from) : WALK_BUFFER;

		if (from + 16 > end)
			return -EAGAIN;
		/* The rest of a heap may not be mapped yet: one page always is. */
		if (alloc_memory_read(g->pid, from, w->buffer, n)) {
			n = GLIBC_PAGE - (size_t)(from & (GLIBC_PAGE - 1));
			if (alloc_memory_read(g->pid, from, w->buffer, n))
				return -EAGAIN;
		}
		done = next_headers(w, r, from, n);
	}
	return done;
}

static void end_round(struct glibc_walk *w)
{
	w->last = w->now;
	w->have = true;
	w->active = false;
	w->ended_ns = clock_mono_ns();
}

bool glibc_walk_step(struct glibc_walk *w, struct glibc *g, uint32_t narenas, uint64_t now_ns,
		     uint64_t budget_ns)
{
	uint64_t until = clock_mono_ns() + budget_ns;

	if (!w->active) {
		if (w->have && now_ns < w->ended_ns + WALK_REST_NS)
			return true;
		if (begin_round(w, g, narenas))
			return w->have;
	}
	while (w->region < w->nregions) {
		int done = walk_region(w, g, until);

		if (!done)
			return w->have;
		w->at = 0;
		if (done < 0) {
			if (++w->tries == WALK_TRIES)
				w->active = false;
			return w->have;
		}
		w->now.bytes += w->region_now.bytes;
		w->now.chunks += w->region_now.chunks;
		w->now.small_bytes += w->region_now.small_bytes;
		w->now.trim_bytes += w->region_now.trim_bytes;
		w->region++;
		w->tries = 0;
	}
	end_round(w);
	return true;
}
