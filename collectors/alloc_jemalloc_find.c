/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_jemalloc_find.c: finds jemalloc's table of arenas, in stripped programs too. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/alloc_jemalloc.h"
#include "collectors/alloc_memory.h"

/*
 * Nothing exported leads there, and code differs by compiler. But the variables know each other:
 * the table of size classes can be recomputed from itself, and an arena is one when its numbers and
 * pointers agree. The table of arenas is where 4095 words in a row are arenas of their own index,
 * or none.
 */
enum { TRY_POINTERS = 65536 };

/* "5.3.0-0-g54eaed1d8b56" */
static bool is_version(void *ctx, const char *text)
{
	struct alloc_found *out = ctx;
	unsigned int major, minor, patch, commits;
	char hash;

	if (sscanf(text, "%2u.%2u.%2u-%6u-%c", &major, &minor, &patch, &commits, &hash) != 5 ||
	    hash != 'g')
		return false;
	snprintf(out->version, sizeof(out->version), "%u.%u.%u", major % 100, minor % 100,
		 patch % 100);
	return true;
}

static bool is_bin_info(const struct jemalloc_bin_info *b, uint64_t before)
{
	return b->reg_bytes > before && b->reg_bytes < 16 << 10 && b->slab_bytes <= 1 << 20 &&
	       b->slab_bytes && !(b->slab_bytes & 4095) &&
	       b->nregs == b->slab_bytes / b->reg_bytes && b->nshards && b->nshards <= 64 &&
	       b->nbits == b->nregs && b->ngroups == (b->nregs + 63) / 64;
}

static bool read_bins(struct jemalloc *je, const uint64_t *words, size_t n)
{
	struct jemalloc_bin_info b;
	uint64_t before = 0;

	je->nbins = je->nshards = 0;
	while (je->nbins < JEMALLOC_BINS && n >= sizeof(b) / 8) {
		memcpy(&b, words, sizeof(b));
		if (!is_bin_info(&b, before) || je->nshards + b.nshards > JEMALLOC_SHARDS)
			break;
		je->bins[je->nbins++] = b;
		je->nshards += b.nshards;
		before = b.reg_bytes;
		words += sizeof(b) / 8;
		n -= sizeof(b) / 8;
	}
	/* The last class below 16 KiB, in groups of four. */
	return je->nbins >= 28 && before == 14336;
}

static bool find_bins(struct jemalloc *je, const struct alloc_data *d)
{
	for (size_t i = 0; i + 5 < d->n; i++)
		if (d->words[i] == 8 && d->words[i + 1] == 4096 &&
		    read_bins(je, d->words + i, d->n - i))
			return true;
	return false;
}

static bool is_pointer(uint64_t w)
{
	return w > 1 << 16 && w < 1ull << 47 && !(w & 63);
}

/* How many arenas the table at words has, if it is one. */
static uint32_t is_table(struct jemalloc *je, const uint64_t *words)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < JEMALLOC_ARENAS; i++) {
		if (!words[i])
			continue;
		if (!is_pointer(words[i]) || jemalloc_read_arena(je, words[i], i))
			return 0;
		found++;
	}
	return found;
}

/* Other variables name the first arena too, but not with such neighbours. */
static bool find_table(struct jemalloc *je, const struct alloc_data *d)
{
	uint32_t left = TRY_POINTERS;

	for (size_t i = 0; left && i + JEMALLOC_ARENAS <= d->n; i++) {
		if (!is_pointer(d->words[i]))
			continue;
		left--;
		if (!jemalloc_read_arena(je, d->words[i], 0) && is_table(je, d->words + i)) {
			je->arenas = d->start + 8 * i;
			return true;
		}
	}
	return false;
}

static bool look(struct jemalloc *je, const struct alloc_data *data, int n)
{
	bool bins = false, table = false;

	for (int i = 0; !bins && i < n; i++)
		bins = find_bins(je, &data[i]);
	for (int i = 0; bins && !table && i < n; i++)
		table = find_table(je, &data[i]);
	return table;
}

int jemalloc_find(const struct alloc_place *p, struct alloc_found *out)
{
	struct alloc_data data[ALLOC_DATA_MAX];
	struct jemalloc *je;
	bool found;
	int n;

	alloc_file_strings(p->fd, "-g", is_version, out);
	if (out->version[0] && strncmp(out->version, "5.3.", 4)) {
		snprintf(out->why, sizeof(out->why), "the layout of its arenas is known for 5.3");
		return -ENOTSUP;
	}
	je = calloc(1, sizeof(*je));
	n = je ? alloc_place_data(p, data) : -ENOMEM;
	if (n < 0) {
		free(je);
		snprintf(out->why, sizeof(out->why), "%s",
			 n == -EPERM ? "no permission to read its memory"
				     : "its variables cannot be read");
		return n;
	}
	je->pid = p->pid;
	found = look(je, data, n);
	alloc_data_free(data, n);
	if (!found) {
		free(je);
		snprintf(out->why, sizeof(out->why),
			 "no arenas were found that are laid out as those of 5.3");
		return -EAGAIN;
	}
	out->state = je;
	return 0;
}
