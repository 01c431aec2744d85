/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_glibc.h: glibc's malloc, read from outside: its arenas, bins and heaps. */
#ifndef PERFTOP_ALLOC_GLIBC_H
#define PERFTOP_ALLOC_GLIBC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/alloc.h"

/*
 * malloc/malloc.c and malloc/arena.c of glibc 2.27 to 2.41, 64-bit. The offsets of struct
 * malloc_state have been the same since 2.27; those of struct malloc_par are counted back from its
 * tcache fields, which were appended to it.
 */
enum {
	GLIBC_MINOR_FIRST = 27,
	GLIBC_MINOR_LAST = 41,
	GLIBC_MINOR_MANGLED = 32, /* from here on list pointers of fastbins are mangled */
	GLIBC_FASTBINS = 10,
	GLIBC_BINS = 127,
	GLIBC_ARENAS = 1024, /* looked at; a program has 8 a CPU at most */
	GLIBC_HEAP_BYTES = 64 << 20,
	GLIBC_PAGE = 4096,
};

struct glibc_state {
	uint32_t mutex, flags, have_fastchunks, pad;
	uint64_t fastbins[GLIBC_FASTBINS];
	uint64_t top, last_remainder;
	uint64_t bins[2 * GLIBC_BINS]; /* fd and bk of each */
	uint32_t binmap[4];
	uint64_t next, next_free, attached_threads, system_mem, max_system_mem;
};

enum { GLIBC_NONCONTIGUOUS = 2 }; /* of glibc_state.flags */

struct glibc_chunk {
	uint64_t prev_size, size, fd, bk;
};

/* What free memory is made of. */
struct glibc_free {
	uint64_t bytes, chunks, small_bytes, trim_bytes;
};
void glibc_free_add(struct glibc_free *f, uint64_t addr, uint64_t size);

struct glibc_walk;

struct glibc {
	pid_t pid;
	uint32_t minor; /* of the version: 36 of 2.36 */
	uint64_t main_arena;
	uint64_t tcache_bins; /* in mp_; 0: not found */
	uint64_t arenas[GLIBC_ARENAS];
	struct glibc_state state; /* scratch */
	struct glibc_walk *walk;  /* NULL until it is needed */
	uint32_t torn, whole;	  /* readings in a row, of lists that changed, and that did not */
	struct glibc_free floor;  /* the most that was found free in the state floor_state */
	uint64_t floor_state;
};

/*
 * Is this a main arena? 0; -EAGAIN it may be one, that was not used yet; else -EBADMSG.
 */
int glibc_check_arena(struct glibc *g, uint64_t addr);
/* Find mp_ in [start, end), libc's writable data. */
int glibc_find_par(struct glibc *g, uint64_t start, uint64_t end, uint64_t brk_start);
/* 0, -EAGAIN or the errno of reading; see alloc_read(). */
int glibc_read(struct glibc *g, uint64_t now_ns, uint64_t budget_ns, struct alloc_stats *out);

/* ---- alloc_glibc_walk.c: every chunk of every heap, some of it each tick -------------------- */

struct glibc_walk *glibc_walk_new(void);
void glibc_walk_free(struct glibc_walk *w);
/* Go on for budget_ns; true when there is a whole round to be had, which then stands until the
 * next. g->arenas[0..n) are current. */
bool glibc_walk_step(struct glibc_walk *w, struct glibc *g, uint32_t narenas, uint64_t now_ns,
		     uint64_t budget_ns);
bool glibc_walk_done(const struct glibc_walk *w); /* a round was ended */
/* Of the last whole round, without what lies at the arenas' ends; *ended_ns: when. */
const struct glibc_free *glibc_walk_result(const struct glibc_walk *w, uint64_t *ended_ns);
/* Share of the round under way that was looked at, and what is free in it. */
double glibc_walk_progress(const struct glibc_walk *w, struct glibc_free *so_far);
const char *glibc_walk_why(const struct glibc_walk *w); /* "" unless it cannot be walked */

#endif
