/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_mimalloc.c: finds mimalloc's segments in a process, and adds up what they hold. */
#include "collectors/alloc_mimalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/alloc_memory.h"
#include "collectors/alloc_place.h"
#include "collectors/clock.h"
#include "collectors/maps.h"

enum { PAGE = 4096, FIND_TRIES = 16 };
#define FIRST_NS 100000000ull

static bool is_resident(const struct mimalloc *mi, uint64_t addr)
{
	uint64_t word = 0;

	return mi->pagemap < 0 ||
	       (pread(mi->pagemap, &word, 8, (off_t)(addr / PAGE * 8)) == 8 && word >> 62);
}

static void add_segments(void *ctx, const struct maps_line *line)
{
	struct mimalloc *mi = ctx;
	uint64_t at = (line->start + MIMALLOC_SEGMENT_BYTES - 1) &
		      ~(uint64_t)(MIMALLOC_SEGMENT_BYTES - 1);

	if (line->path[0] || line->shared)
		return;
	for (; at < line->end && !mi->cut; at += MIMALLOC_SEGMENT_BYTES) {
		if (mi->n == MIMALLOC_SEGMENTS)
			mi->cut = true;
		else if (is_resident(mi, at))
			mi->segments[mi->n++] = at;
	}
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void fill(struct mimalloc *mi)
{
	const struct mimalloc_counts *c = &mi->now;

	mi->last = (struct alloc_stats){
		.obtained_bytes = c->blocks + c->metadata,
		.live_bytes = c->live,
		.retained_bytes = c->blocks - c->live,
		.metadata_bytes = c->metadata,
		.mmapped_known = true,
		.arenas = c->nthreads,
		.free_small_bytes = c->small_free,
		.trim_bytes = c->whole_free,
	};
	mi->have = true;
}

static int begin_round(struct mimalloc *mi)
{
	mi->n = mi->at = 0;
	mi->cut = false;
	mi->now = (struct mimalloc_counts){0};
	return maps_read(mi->pid, add_segments, mi);
}

static int mimalloc_read(void *state, uint64_t now_ns, uint64_t budget_ns, struct alloc_stats *out)
{
	struct mimalloc *mi = state;
	uint64_t until = clock_mono_ns() + budget_ns;
	int err = mi->at < mi->n ? 0 : begin_round(mi);

	while (!err && mi->at < mi->n && clock_mono_ns() < until)
		err = mimalloc_add_segment(mi, mi->segments[mi->at++]);
	if (!err && (mi->cut || (mi->at == mi->n && !mi->now.segments)))
		err = mi->cut ? -ENOTSUP : -EAGAIN;
	if (err) {
		mi->n = mi->at = 0;
		return err;
	}
	if (mi->at == mi->n)
		fill(mi);
	*out = mi->last;
	return mi->have ? 0 : -EINPROGRESS;
}

static void mimalloc_free(void *state)
{
	struct mimalloc *mi = state;

	if (mi->pagemap >= 0)
		close(mi->pagemap);
	free(mi);
}

/* mov imm32, %eax; ret: 209 is 2.0.9. */
static void read_version(const struct alloc_place *p, struct alloc_found *out)
{
	struct alloc_symbol s = {"mi_version", 0};
	uint8_t code[16];
	int32_t v;
	int at;

	if (alloc_elf_symbols(p->fd, &s, 1) || !s.vaddr ||
	    alloc_memory_read(p->pid, p->bias + s.vaddr, code, sizeof(code)))
		return;
	at = memcmp(code, "\xf3\x0f\x1e\xfa", 4) ? 0 : 4; /* endbr64 */
	memcpy(&v, code + at + 1, sizeof(v));
	if (code[at] == 0xb8 && code[at + 5] == 0xc3 && v >= 100 && v < 1000)
		snprintf(out->version, sizeof(out->version), "%d.%d.%d", v / 100 % 10, v / 10 % 10,
			 v % 10);
}

static int mimalloc_find(const struct alloc_place *p, struct alloc_found *out)
{
	struct mimalloc *mi = calloc(1, sizeof(*mi));
	struct alloc_stats stats;
	char path[32];
	int err;

	read_version(p, out);
	if (!mi)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", p->pid);
	mi->pid = p->pid;
	mi->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	/* Segments without pages are known by those with some: twice. They may change meanwhile. */
	err = -EAGAIN;
	for (int i = 0; i < FIND_TRIES && err == -EAGAIN; i++) {
		err = mimalloc_read(mi, 0, FIRST_NS, &stats);
		if (!err)
			err = mimalloc_read(mi, 0, FIRST_NS, &stats);
	}
	out->state = mi;
	if (!err || err == -EINPROGRESS)
		return 0;
	snprintf(out->why, sizeof(out->why), "%s",
		 err == -EAGAIN	 ? "no segments were found that are laid out as those of 2.0.9"
		 : err == -EPERM ? "no permission to read its memory"
				 : "its memory cannot be read");
	mimalloc_free(mi);
	out->state = NULL;
	return err == -EAGAIN ? err : -ENOTSUP;
}

const struct alloc_reader alloc_mimalloc = {
	.find = mimalloc_find,
	.read = mimalloc_read,
	.free = mimalloc_free,
};
