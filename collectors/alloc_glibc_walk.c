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
 * larger one since, but its old header stays in memory and leads on to a boundary, until it is
 * overwritten. What does not lead on is read again, then from where a piece before it began.
 */
enum {
	WALK_REGIONS = 8192,
	WALK_BUFFER = 64 << 10,
	WALK_TRIES = 5, /* of a heap, before the round is given up */
	WALK_MARKS = 16,
};
#define WALK_REST_NS   30000000000ull /* between two rounds */
#define WALK_SIZE_BITS 7ull
#define PREV_IN_USE    1ull

struct walk_region {
	uint64_t start, end; /* end: of the last chunk, or 0 where a chunk of size 0 ends it */
	uint64_t arena;
};

/* Where a piece began. */
struct walk_mark {
	uint64_t at, before, size;
	struct glibc_free free;
};

struct glibc_walk {
	struct walk_region regions[WALK_REGIONS];
	uint32_t nregions, region, tries;
	bool active, have;
	uint64_t at;	       /* next header to look at; 0: begin the region */
	uint64_t before, size; /* the chunk before it */
	struct glibc_free now, region_now, last;
	struct walk_mark marks[WALK_MARKS];
	uint32_t nmarks, fails; /* fails: one after the other, up to failed_at */
	uint64_t failed_at;
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

static uint64_t region_end(const struct walk_region *r)
{
	return r->end ? r->end : (r->start | (GLIBC_HEAP_BYTES - 1)) + 1;
}

static void add_free(struct glibc_free *to, const struct glibc_free *f)
{
	to->bytes += f->bytes;
	to->chunks += f->chunks;
	to->small_bytes += f->small_bytes;
	to->trim_bytes += f->trim_bytes;
}

double glibc_walk_progress(const struct glibc_walk *w, struct glibc_free *so_far)
{
	uint64_t all = 0, done = 0;

	*so_far = (struct glibc_free){0};
	if (!w->active)
		return 0;
	*so_far = w->now;
	for (uint32_t i = 0; i < w->nregions; i++) {
		all += region_end(&w->regions[i]) - w->regions[i].start;
		if (i < w->region)
			done += region_end(&w->regions[i]) - w->regions[i].start;
	}
	if (w->at) {
		add_free(so_far, &w->region_now);
		done += w->at - w->regions[w->region].start;
	}
	return all ? (double)done / (double)all : 0;
}

static void add_region(struct glibc_walk *w, uint64_t start, uint64_t end, uint64_t arena)
{
	if (w->nregions < WALK_REGIONS)
		w->regions[w->nregions++] = (struct walk_region){start, end, arena};
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
		add_region(w, (base + 15) & ~15ull, g->state.top, g->arenas[0]);
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
			add_region(w, (arena + sizeof(struct glibc_state) + 15) & ~15ull, end,
				   arena);
		else
			add_region(w, heap + info_bytes, end, arena);
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

/* A whole header at w->at is in the buffer of n bytes that begins at `from`. */
static int next_headers(struct glibc_walk *w, const struct walk_region *r, uint64_t from, size_t n)
{
	while (w->at + 16 <= from + n) {
		const uint64_t *c = &w->buffer[(w->at - from) / 8];
		uint64_t size = c[1] & ~WALK_SIZE_BITS;

		if (w->before && !(c[1] & PREV_IN_USE)) {
			/* A free chunk's size stands at its end as well. */
			if (c[0] != w->size)
				return -EAGAIN;
			glibc_free_add(&w->region_now, w->before, w->size);
		}
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

/* The arena's end moved: what follows was given back, or is one chunk with what comes after it. */
static bool is_past_end(struct glibc_walk *w, struct glibc *g, struct walk_region *r)
{
	uint64_t top, next = w->at + w->size;

	if (!r->end || alloc_memory_read(g->pid, r->arena + offsetof(struct glibc_state, top), &top,
					 sizeof(top)))
		return false;
	if (top >= r->start && top < r->end)
		r->end = top;
	return w->at >= r->end || (w->size >= 32 && !(w->size & 8) && next > r->end && next <= top);
}

static void set_mark(struct glibc_walk *w)
{
	if (w->nmarks == WALK_MARKS)
		memmove(w->marks, w->marks + 1, --w->nmarks * sizeof(w->marks[0]));
	w->marks[w->nmarks++] = (struct walk_mark){w->at, w->before, w->size, w->region_now};
}

/* To where the piece that failed began, the next time to one before it, which sets its own mark. */
static bool step_back(struct glibc_walk *w)
{
	uint32_t back = w->fails++ ? 2 : 1;
	const struct walk_mark *m;

	if (w->nmarks < back)
		return false;
	w->nmarks -= back;
	m = &w->marks[w->nmarks];
	w->failed_at = w->at > w->failed_at || w->fails == 1 ? w->at : w->failed_at;
	w->at = m->at;
	w->before = m->before;
	w->size = m->size;
	w->region_now = m->free;
	return true;
}

static int walk_piece(struct glibc_walk *w, struct glibc *g, const struct walk_region *r)
{
	uint64_t end = region_end(r) + (r->end ? 16 : 0), from = w->at;
	size_t n = end - from < WALK_BUFFER ? (size_t)(end - from) : WALK_BUFFER;

	if (from + 16 > end)
		return -EAGAIN;
	/* The rest of a heap may not be mapped yet: one page always is. */
	if (alloc_memory_read(g->pid, from, w->buffer, n)) {
		n = GLIBC_PAGE - (size_t)(from & (GLIBC_PAGE - 1));
		if (alloc_memory_read(g->pid, from, w->buffer, n))
			return -EAGAIN;
	}
	return next_headers(w, r, from, n);
}

/* 1: the region is done, 0: the budget is, -EAGAIN: it makes no sense. */
static int walk_region(struct glibc_walk *w, struct glibc *g, uint64_t until_ns)
{
	struct walk_region *r = &w->regions[w->region];
	int done = 0;

	if (!w->at) {
		w->at = r->start;
		w->before = 0;
		w->region_now = (struct glibc_free){0};
		w->nmarks = w->fails = 0;
	}
	while (!done && clock_mono_ns() < until_ns) {
		set_mark(w);
		done = walk_piece(w, g, r);
		if (done < 0 && is_past_end(w, g, r))
			return 1;
		if (done < 0 && step_back(w))
			done = 0;
		else if (w->at > w->failed_at)
			w->fails = 0;
	}
	return done;
}

/* Of a heap that was given back nothing is free. */
static bool is_gone(struct glibc *g, const struct walk_region *r)
{
	uint64_t owner;

	return !r->end && (alloc_memory_read(g->pid, r->start & ~(uint64_t)(GLIBC_HEAP_BYTES - 1),
					     &owner, sizeof(owner)) ||
			   owner != r->arena);
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
		if (done < 0 && !is_gone(g, &w->regions[w->region])) {
			if (++w->tries == WALK_TRIES)
				w->active = false;
			return w->have;
		}
		if (done > 0)
			add_free(&w->now, &w->region_now);
		w->region++;
		w->tries = 0;
	}
	end_round(w);
	return true;
}
