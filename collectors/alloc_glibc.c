/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_glibc.c: arenas of glibc's malloc: what they obtained, and what lies in their bins. */
#include "collectors/alloc_glibc.h"

#include <errno.h>
#include <string.h>

#include "collectors/alloc_memory.h"
#include "collectors/clock.h"

_Static_assert(offsetof(struct glibc_state, top) == 96, "as in malloc_state");
_Static_assert(offsetof(struct glibc_state, next) == 2160, "the same");
_Static_assert(sizeof(struct glibc_state) == 2200, "the same");

enum {
	SMALL_BYTES = 4096,
	CHUNK_HEADER = 48,  /* sizeof(struct malloc_chunk): trimming leaves it alone */
	BIN_CHUNKS = 20000, /* looked at by following lists: 10 ms; more are found by walking */
	LIST_TRIES = 4,	    /* of a list that changes while it is followed */
	TORN_MAX = 3,	    /* readings in a row with such lists, before all chunks are walked */
	WHOLE_MIN = 10,	    /* without, before walking ends */
};

#define SIZE_BITS     7ull
#define SIZE_MAX_SANE (1ull << 46)

void glibc_free_add(struct glibc_free *f, uint64_t addr, uint64_t size)
{
	uint64_t from = (addr + CHUNK_HEADER + GLIBC_PAGE - 1) & ~(uint64_t)(GLIBC_PAGE - 1);
	uint64_t to = (addr + size) & ~(uint64_t)(GLIBC_PAGE - 1);

	f->bytes += size;
	f->chunks++;
	if (size < SMALL_BYTES)
		f->small_bytes += size;
	if (to > from)
		f->trim_bytes += to - from;
}

/* Address of the chunk whose fd and bk are the bin's two words. */
static uint64_t bin_head(uint64_t arena, uint32_t bin)
{
	return arena + offsetof(struct glibc_state, bins) + 16ull * bin - 16;
}

static bool plausible(const struct glibc_state *st)
{
	return st->mutex <= 2 && st->flags <= 3 && st->have_fastchunks <= 1 && !(st->top & 15) &&
	       !(st->system_mem & 7) && st->system_mem <= st->max_system_mem &&
	       st->max_system_mem < SIZE_MAX_SANE && st->attached_threads < 1 << 24;
}

/* An empty bin points to itself, and no bin points to nothing. */
static int check_bins(struct glibc *g, uint64_t addr)
{
	const struct glibc_state *st = &g->state;
	uint32_t own = 0;

	for (uint32_t i = 0; i < GLIBC_BINS; i++) {
		uint64_t head = bin_head(addr, i);

		if (!st->bins[2 * i] || !st->bins[2 * i + 1] || st->bins[2 * i] & 15)
			return -EBADMSG;
		own += st->bins[2 * i] == head && st->bins[2 * i + 1] == head;
	}
	/* A program with chunks in most of 127 bins at once was never seen, one in each never. */
	return own ? 0 : -EBADMSG;
}

static bool is_empty(const struct glibc_state *st)
{
	for (uint32_t i = 0; i < 2 * GLIBC_BINS; i++)
		if (st->bins[i])
			return false;
	return !st->top && !st->system_mem;
}

int glibc_check_arena(struct glibc *g, uint64_t addr)
{
	uint64_t next;
	int err =
		addr & 7 ? -EBADMSG : alloc_memory_read(g->pid, addr, &g->state, sizeof(g->state));

	if (err)
		return err == -EFAULT ? -EBADMSG : err;
	if (!plausible(&g->state) || !g->state.next || g->state.next & 7)
		return -EBADMSG;
	next = g->state.next;
	/* Its list closes in itself before the first allocation too: it is initialised so. */
	if (is_empty(&g->state))
		return next == addr ? -EAGAIN : -EBADMSG;
	return check_bins(g, addr);
}

/* ---- the list of arenas ---------------------------------------------------------------------- */

/* An arena other than the first sits behind the heap_info of a heap of its own. */
static bool is_heap_arena(struct glibc *g, uint64_t addr)
{
	uint64_t heap = addr & ~(uint64_t)(GLIBC_HEAP_BYTES - 1), owner;

	return addr - heap >= 32 && addr - heap <= 64 &&
	       !alloc_memory_read(g->pid, heap, &owner, sizeof(owner)) && owner == addr;
}

static int list_arenas(struct glibc *g, uint32_t *n)
{
	uint64_t at = g->main_arena;
	int err;

	*n = 0;
	do {
		if (*n == GLIBC_ARENAS)
			break;
		if (*n && !is_heap_arena(g, at))
			return -EAGAIN;
		g->arenas[(*n)++] = at;
		err = alloc_memory_read(g->pid, at + offsetof(struct glibc_state, next), &at,
					sizeof(at));
		if (err)
			return err;
	} while (at != g->main_arena);
	return 0;
}

/* ---- one arena ------------------------------------------------------------------------------- */

struct reading {
	struct glibc *g;
	struct glibc_free free;
	uint64_t system, top_bytes, fast_bytes;
	uint64_t state;		  /* a hash of what leads to the free chunks */
	uint32_t left, fast_left; /* chunks that may still be looked at */
	bool cut, fast_cut;	  /* there were more */
	bool torn;		  /* a list changed each time that it was followed */
};

static int follow_bin(struct reading *r, uint64_t head, uint64_t at)
{
	struct glibc_chunk c;
	uint64_t back = head;

	for (; at != head; at = c.fd) {
		int err;

		if (!r->left) {
			r->cut = true;
			return 0;
		}
		r->left--;
		err = alloc_memory_read(r->g->pid, at, &c, sizeof(c));
		if (err)
			return err == -EFAULT ? -EAGAIN : err;
		if (c.bk != back || (c.size & ~SIZE_BITS) < 32 || c.size > SIZE_MAX_SANE)
			return -EAGAIN;
		glibc_free_add(&r->free, at, c.size & ~SIZE_BITS);
		back = at;
	}
	return 0;
}

/* Of a list that never holds together, what was seen of it counts. */
static int read_bin(struct reading *r, uint64_t head, uint64_t at)
{
	struct glibc_free before = r->free;
	int err = follow_bin(r, head, at);

	for (uint32_t i = 1; err == -EAGAIN && i < LIST_TRIES; i++) {
		r->free = before;
		err = alloc_memory_read(r->g->pid, head + 16, &at, sizeof(at));
		if (!err)
			err = follow_bin(r, head, at);
	}
	r->torn |= err == -EAGAIN;
	return err == -EAGAIN ? 0 : err;
}

/* Safe-linking: a list pointer is stored xor the page number of its own address. */
static int follow_fastbin(struct reading *r, uint32_t bin, uint64_t at)
{
	while (at) {
		struct glibc_chunk c;
		uint64_t size;
		int err;

		if (!r->fast_left) {
			r->fast_cut = true;
			return 0;
		}
		r->fast_left--;
		err = at & 15 ? -EFAULT : alloc_memory_read(r->g->pid, at, &c, 24);
		if (err)
			return err == -EFAULT ? -EAGAIN : err;
		size = c.size & ~SIZE_BITS;
		if (size != 16ull * (bin + 2))
			return -EAGAIN;
		r->fast_bytes += size;
		at = r->g->minor >= GLIBC_MINOR_MANGLED ? ((at + 16) >> 12) ^ c.fd : c.fd;
	}
	return 0;
}

static int read_fastbin(struct reading *r, uint64_t arena, uint32_t bin, uint64_t at)
{
	uint64_t before = r->fast_bytes, list = arena + offsetof(struct glibc_state, fastbins);
	int err = follow_fastbin(r, bin, at);

	for (uint32_t i = 1; err == -EAGAIN && i < LIST_TRIES; i++) {
		r->fast_bytes = before;
		err = alloc_memory_read(r->g->pid, list + 8ull * bin, &at, sizeof(at));
		if (!err)
			err = follow_fastbin(r, bin, at);
	}
	r->torn |= err == -EAGAIN;
	return err == -EAGAIN ? 0 : err;
}

/* The header lies where the arena says, as long as the arena says the same afterwards. */
static int read_top(struct reading *r, uint64_t arena)
{
	uint64_t top = r->g->state.top, after = 0;
	struct glibc_chunk c = {0};
	int err = 0;

	for (uint32_t i = 0; i < LIST_TRIES; i++, top = after) {
		err = alloc_memory_read(r->g->pid, top, &c, 16);
		if (err && err != -EFAULT)
			return err;
		if (alloc_memory_read(r->g->pid, arena + offsetof(struct glibc_state, top), &after,
				      sizeof(after)))
			return -EAGAIN;
		if (!err && after == top)
			break;
	}
	c.size &= ~SIZE_BITS;
	if (err || after != top || c.size > r->g->state.system_mem) {
		r->torn = true;
		return 0;
	}
	r->top_bytes += c.size;
	if (c.size > CHUNK_HEADER)
		r->free.trim_bytes += (c.size - CHUNK_HEADER) & ~(uint64_t)(GLIBC_PAGE - 1);
	return 0;
}

/* Its figures are changed one after the other. */
static int read_state(struct reading *r, uint64_t addr)
{
	struct glibc_state *st = &r->g->state;

	for (uint32_t i = 0; i < LIST_TRIES; i++) {
		int err = alloc_memory_read(r->g->pid, addr, st, sizeof(*st));

		if (err)
			return err;
		if (plausible(st))
			return 0;
	}
	return -EAGAIN;
}

static void add_state(struct reading *r, const struct glibc_state *st)
{
	const uint64_t *words = st->fastbins;
	uint32_t n = (offsetof(struct glibc_state, binmap) - 16) / 8;

	r->state = (r->state ^ st->system_mem) * 0x100000001b3ull;
	for (uint32_t i = 0; i < n; i++)
		r->state = (r->state ^ words[i]) * 0x100000001b3ull;
}

static int read_arena(struct reading *r, uint64_t addr)
{
	const struct glibc_state *st = &r->g->state;
	int err = read_state(r, addr);

	if (err)
		return err;
	r->system += st->system_mem;
	add_state(r, st);
	if (is_empty(st) || !st->top)
		return 0;
	/* Before the first allocation the top is the bins' own head. */
	if (st->top != bin_head(addr, 0))
		err = read_top(r, addr);
	for (uint32_t i = 0; !err && i < GLIBC_BINS; i++)
		err = read_bin(r, bin_head(addr, i), st->bins[2 * i]);
	for (uint32_t i = 0; !err && i < GLIBC_FASTBINS; i++)
		err = read_fastbin(r, addr, i, st->fastbins[i]);
	return err;
}

/* ---- mp_ ------------------------------------------------------------------------------------- */

/* tcache_bins, tcache_max_bytes, tcache_count, tcache_unsorted_limit as they are without tunables;
 * sbrk_base stands before them. */
static bool is_tcache(const uint64_t *w, uint64_t brk_start)
{
	uint64_t base = w[-1];

	if (w[0] != 64 || w[1] != 1032 || w[2] > 127 || w[3] > 1 << 20)
		return false;
	return !base || (base >= brk_start && base < brk_start + (64 << 20)) || !brk_start;
}

int glibc_find_par(struct glibc *g, uint64_t start, uint64_t end, uint64_t brk_start)
{
	uint64_t words[512];

	g->tcache_bins = 0;
	if (end - start > 1 << 20)
		end = start + (1 << 20);
	/* Pieces overlap, so that none of the words looked at is at an edge of one. */
	for (uint64_t at = start; at + 64 < end; at += sizeof(words) - 64) {
		size_t n = end - at < sizeof(words) ? end - at : sizeof(words);

		if (alloc_memory_read(g->pid, at, words, n))
			return -EFAULT;
		for (uint32_t i = 3; i + 4 <= n / 8; i++)
			if (is_tcache(words + i, brk_start)) {
				g->tcache_bins = at + 8ull * i;
				return 0;
			}
	}
	return -ENOENT;
}

/* mmapped_mem, max_mmapped_mem, sbrk_base, tcache_bins; n_mmaps by version. */
static void read_par(struct glibc *g, struct alloc_stats *out)
{
	uint64_t mem[2];
	int32_t n;

	if (!g->tcache_bins || alloc_memory_read(g->pid, g->tcache_bins - 24, mem, sizeof(mem)) ||
	    mem[0] > mem[1] || mem[1] > SIZE_MAX_SANE)
		return;
	out->mmapped_bytes = mem[0];
	out->mmapped_known = true;
	if (!alloc_memory_read(g->pid, g->tcache_bins - (g->minor >= 35 ? 44 : 40), &n, sizeof(n)))
		out->mmaps = n > 0 ? (uint32_t)n : 0;
}

/* ---- all together ---------------------------------------------------------------------------- */

static void set_free(struct reading *r, const struct glibc_free *f, struct alloc_stats *out)
{
	uint64_t free_bytes = f->bytes + r->fast_bytes + r->top_bytes;

	if (free_bytes > r->system)
		free_bytes = r->system;
	out->free_chunks = f->chunks;
	out->free_small_bytes = f->small_bytes + r->fast_bytes;
	out->free_top_bytes = r->top_bytes;
	out->trim_bytes = f->trim_bytes;
	out->retained_bytes = free_bytes;
	out->obtained_bytes = r->system + out->mmapped_bytes;
	out->live_bytes = out->obtained_bytes - free_bytes;
}

/* Until the first round is done: the most that was found, and how far it is. */
static struct glibc_free so_far(struct reading *r, struct alloc_stats *out)
{
	struct glibc *g = r->g;
	const char *why = glibc_walk_why(g->walk);
	struct glibc_free most;

	out->partial = true;
	out->looked = glibc_walk_progress(g->walk, &most);
	out->partial_why = why[0] ? why : NULL;
	if (r->free.bytes > most.bytes)
		most = r->free;
	if (g->floor_state == r->state && g->floor.bytes > most.bytes)
		most = g->floor;
	g->floor = most;
	g->floor_state = r->state;
	return most;
}

/* More pieces than the lists can be followed for, or lists that change while they are. */
static int read_walked(struct reading *r, uint32_t narenas, uint64_t now_ns, uint64_t budget_ns,
		       struct alloc_stats *out)
{
	struct glibc *g = r->g;
	struct glibc_free all;
	uint64_t ended;

	if (!g->walk)
		g->walk = glibc_walk_new();
	if (!g->walk)
		return -ENOMEM;
	/* The first figures are waited for. */
	if (!glibc_walk_done(g->walk))
		budget_ns *= 8;
	if (glibc_walk_step(g->walk, g, narenas, now_ns, budget_ns)) {
		all = *glibc_walk_result(g->walk, &ended);
		/* The ends of the arenas were read just now. */
		all.trim_bytes += r->top_bytes & ~(uint64_t)(GLIBC_PAGE - 1);
		out->age_ns = now_ns > ended ? now_ns - ended : 0;
		out->looked = 1;
	} else {
		all = so_far(r, out);
	}
	set_free(r, &all, out);
	return 0;
}

/* Are the lists as good as walking? */
static bool lists_suffice(struct glibc *g, const struct reading *r)
{
	if (r->cut || r->torn)
		return false;
	g->torn = 0;
	if (g->walk && ++g->whole >= WHOLE_MIN) {
		glibc_walk_free(g->walk);
		g->walk = NULL;
	}
	return true;
}

int glibc_read(struct glibc *g, uint64_t now_ns, uint64_t budget_ns, struct alloc_stats *out)
{
	/* Once there was too much for the lists, only what is short is still followed. */
	struct reading r = {
		.g = g, .left = g->walk ? BIN_CHUNKS / 20 : BIN_CHUNKS, .fast_left = BIN_CHUNKS};
	uint32_t n;
	int err = list_arenas(g, &n);

	*out = (struct alloc_stats){0};
	for (uint32_t i = 0; !err && i < n; i++)
		err = read_arena(&r, g->arenas[i]);
	if (!err && r.torn && !r.cut && !g->walk && ++g->torn < TORN_MAX)
		err = -EAGAIN;
	if (err)
		return err;
	out->arenas = n;
	read_par(g, out);
	out->partial = r.fast_cut;
	if (r.fast_cut)
		out->partial_why = "it has more small free pieces (fastbins) than are counted";
	if (lists_suffice(g, &r)) {
		out->looked = 1;
		set_free(&r, &r.free, out);
		return 0;
	}
	g->whole = 0;
	return read_walked(&r, n, now_ns, budget_ns, out);
}
