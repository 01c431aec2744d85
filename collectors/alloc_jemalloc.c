/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_jemalloc.c: jemalloc's statistics of one moment, added up over its arenas. */
#include "collectors/alloc_jemalloc.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "collectors/alloc.h"
#include "collectors/alloc_memory.h"

#define PAGE	   4096ull
#define SMALL	   4096ull
#define MOST_SLABS (1ull << 40)

enum {
	/* struct arena_s */
	AT_LARGE = 976, /* stats.lstats */
	AT_CACHES = 10400,
	AT_NACTIVE = 10656,
	AT_DIRTY = 10728, /* pa_shard.pac.ecache_* */
	ECACHE_BYTES = 19440,
	AT_SHARD_IND = 78888,
	AT_SHARD_BASE = 78920,
	AT_IND = 78928,
	AT_BASE = 78936,
	/* struct ecache_s */
	AT_NPAGES = 9752,
	AT_GUARDED_NPAGES = 19408,
	AT_STATE = 19424,
	/* struct base_s; SC_NSIZES queues stand before it */
	AT_AVAIL = 168,

	STATE_DIRTY = 1,
	STATE_MUZZY = 2,
	STATE_RETAINED = 3,
	TRIES = 3, /* of an arena, before the reading is given up */
	CACHES = 4096,
	CACHE_BINS = 73,
};

struct reading {
	struct jemalloc *je;
	uint64_t live, slabs, slab_live, small_free, large, active, dirty, metadata, cached;
	uint32_t arenas, caches_left;
};

/* ---- an arena -------------------------------------------------------------------------------- */

struct pieces {
	struct iovec here[24], there[24];
	uint32_t n;
	size_t bytes;
};

static void add_piece(struct pieces *p, uint64_t addr, void *buf, size_t n)
{
	p->here[p->n] = (struct iovec){buf, n};
	p->there[p->n++] = (struct iovec){(void *)(uintptr_t)addr, n};
	p->bytes += n;
}

static void add_cache(struct pieces *p, uint64_t ecache, struct jemalloc_cache *c)
{
	add_piece(p, ecache + AT_NPAGES, &c->npages, 8);
	add_piece(p, ecache + AT_GUARDED_NPAGES, &c->guarded_npages, 8);
	add_piece(p, ecache + AT_STATE, &c->state, 8);
}

static bool is_cache(const struct jemalloc_cache *c, uint32_t state, uint32_t ind)
{
	return c->state == state && c->ind == ind;
}

/* Numbers and pointers that a coincidence does not bring together. */
static bool is_arena(const struct jemalloc_arena *a, uint32_t ind)
{
	return a->ind == ind && a->shard_ind == ind && a->base && a->base == a->shard_base &&
	       is_cache(&a->dirty, STATE_DIRTY, ind) && is_cache(&a->muzzy, STATE_MUZZY, ind) &&
	       is_cache(&a->retained, STATE_RETAINED, ind);
}

int jemalloc_read_arena(struct jemalloc *je, uint64_t addr, uint32_t ind)
{
	struct jemalloc_arena *a = &je->arena;
	struct pieces p = {.n = 0};
	ssize_t got;

	add_piece(&p, addr + AT_IND, &a->ind, 4);
	add_piece(&p, addr + AT_SHARD_IND, &a->shard_ind, 4);
	add_piece(&p, addr + AT_SHARD_BASE, &a->shard_base, 8);
	add_piece(&p, addr + AT_BASE, &a->base, 8);
	add_cache(&p, addr + AT_DIRTY, &a->dirty);
	add_cache(&p, addr + AT_DIRTY + ECACHE_BYTES, &a->muzzy);
	add_cache(&p, addr + AT_DIRTY + 2 * ECACHE_BYTES, &a->retained);
	add_piece(&p, addr + AT_NACTIVE, &a->nactive, 8);
	add_piece(&p, addr + AT_LARGE, a->large, sizeof(a->large));
	add_piece(&p, addr + AT_CACHES, &a->caches, 8);
	add_piece(&p, addr + JEMALLOC_ARENA_BYTES, a->bins, je->nshards * sizeof(*a->bins));
	got = process_vm_readv(je->pid, p.here, p.n, p.there, p.n, 0);
	if (got < 0 && errno != EFAULT)
		return -errno;
	return (size_t)got == p.bytes && is_arena(a, ind) ? 0 : -EBADMSG;
}

/* ---- what it says ---------------------------------------------------------------------------- */

/* Groups of four between powers of two, from 16 KiB on. */
static uint64_t large_bytes(uint32_t i)
{
	uint64_t base = (16ull << 10) << (i / 4);

	return base + i % 4 * (base / 4);
}

/* Counters of one bin are written under its lock, but read while they are: some apart, or torn. */
static bool adds_up(const struct jemalloc_bin *b, const struct jemalloc_bin_info *info)
{
	uint64_t slack = 4ull * info->nregs;
	uint64_t live = b->nmalloc - b->ndalloc;

	return b->curslabs < MOST_SLABS && b->curregs <= b->curslabs * info->nregs + slack &&
	       live + slack >= b->curregs && live <= b->curregs + slack;
}

static bool add_bins(struct reading *r)
{
	const struct jemalloc *je = r->je;
	uint32_t at = 0;

	for (uint32_t i = 0; i < je->nbins; i++) {
		const struct jemalloc_bin_info *info = &je->bins[i];
		uint64_t live = 0, slabs = 0;

		for (uint32_t k = 0; k < info->nshards; k++, at++) {
			const struct jemalloc_bin *b = &je->arena.bins[at];

			if (!adds_up(b, info))
				return false;
			live += b->curregs * info->reg_bytes;
			slabs += b->curslabs * info->slab_bytes;
		}
		live = live < slabs ? live : slabs;
		r->slab_live += live;
		r->slabs += slabs;
		r->small_free += info->reg_bytes < SMALL ? slabs - live : 0;
	}
	return true;
}

static bool add_large(struct reading *r)
{
	for (uint32_t i = 0; i < JEMALLOC_LARGE; i++) {
		const struct jemalloc_large *l = &r->je->arena.large[i];
		uint64_t n = l->nmalloc - l->ndalloc;

		if (n && (l->ndalloc > l->nmalloc || n > MOST_SLABS / 4 || i > 120))
			return false;
		r->large += n * large_bytes(i);
	}
	return true;
}

/* Free blocks that threads keep: a list of descriptors, each with its thread's bins. */
struct cache_bin {
	uint64_t stack_head, nrequests;
	uint16_t low_water, full, empty, pad;
};

static uint64_t cached_in(const struct jemalloc *je, const struct cache_bin *bins)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < CACHE_BINS; i++) {
		uint16_t n = (uint16_t)(bins[i].empty - (uint16_t)bins[i].stack_head) / 8;
		uint16_t max = (uint16_t)(bins[i].empty - bins[i].full) / 8;

		if (bins[i].stack_head && n <= max)
			bytes += n * (i < je->nbins ? je->bins[i].reg_bytes
						    : large_bytes(i - je->nbins));
	}
	return bytes;
}

/* What cannot be followed, since threads come and go, counts as live. */
static void add_caches(struct reading *r)
{
	uint64_t first = r->je->arena.caches, at = first, descriptor[3];
	struct cache_bin bins[CACHE_BINS];
	pid_t pid = r->je->pid;

	while (at && r->caches_left) {
		r->caches_left--;
		if (alloc_memory_read(pid, at, descriptor, sizeof(descriptor)) ||
		    alloc_memory_read(pid, descriptor[2], bins, sizeof(bins)))
			return;
		r->cached += cached_in(r->je, bins);
		at = descriptor[0] == first ? 0 : descriptor[0];
	}
}

static uint64_t metadata_bytes(const struct jemalloc *je)
{
	uint64_t resident, at = AT_AVAIL + 16ull * (je->nbins + JEMALLOC_LARGE) + 8;

	if (alloc_memory_read(je->pid, je->arena.base + at, &resident, sizeof(resident)) ||
	    resident & (PAGE - 1) || resident > MOST_SLABS)
		return 0;
	return resident;
}

static uint64_t cache_pages(const struct jemalloc_cache *c)
{
	return c->npages + c->guarded_npages;
}

/* Slabs and large blocks are what active pages are made of. */
static int add_arena(struct reading *r, uint64_t addr, uint32_t ind)
{
	const struct jemalloc_arena *a = &r->je->arena;
	struct reading before = *r;
	uint64_t active, used, slack;

	for (int i = 0; i < TRIES; i++) {
		int err = jemalloc_read_arena(r->je, addr, ind);

		if (err)
			return err == -EBADMSG ? -EAGAIN : err;
		*r = before;
		active = a->nactive * PAGE;
		slack = active / 16 + (1 << 20);
		if (!add_bins(r) || !add_large(r) || a->nactive > MOST_SLABS / PAGE ||
		    cache_pages(&a->dirty) + cache_pages(&a->muzzy) > MOST_SLABS / PAGE)
			continue;
		used = r->slabs - before.slabs + r->large - before.large;
		if (used > active + slack)
			continue;
		/* Blocks are there, and none is counted: built with --disable-stats. */
		if (!used && active > slack)
			return -ENOTSUP;
		r->active += active > used ? active : used;
		r->dirty += (cache_pages(&a->dirty) + cache_pages(&a->muzzy)) * PAGE;
		r->metadata += metadata_bytes(r->je);
		add_caches(r);
		r->arenas++;
		return 0;
	}
	return -EAGAIN;
}

static void fill(const struct reading *r, struct alloc_stats *out)
{
	uint64_t allocated = r->slab_live + r->large;
	uint64_t cached = r->cached < allocated ? r->cached : allocated;

	*out = (struct alloc_stats){
		.obtained_bytes = r->active + r->dirty + r->metadata,
		.live_bytes = allocated - cached,
		.retained_bytes = r->active - allocated + cached + r->dirty,
		.metadata_bytes = r->metadata,
		.mmapped_known = true,
		.arenas = r->arenas,
		.free_small_bytes = r->small_free,
		.trim_bytes = r->dirty,
		.thread_bytes = cached,
	};
}

static int jemalloc_read(void *state, uint64_t now_ns, uint64_t budget_ns, struct alloc_stats *out)
{
	struct jemalloc *je = state;
	struct reading r = {.je = je, .caches_left = CACHES};
	int err = alloc_memory_read(je->pid, je->arenas, je->table, sizeof(je->table));

	for (uint32_t i = 0; !err && i < JEMALLOC_ARENAS; i++)
		if (je->table[i])
			err = add_arena(&r, je->table[i], i);
	if (!err && !r.arenas)
		err = -EAGAIN;
	if (!err)
		fill(&r, out);
	return err;
}

const struct alloc_reader alloc_jemalloc = {
	.find = jemalloc_find,
	.read = jemalloc_read,
	.free = free,
};
