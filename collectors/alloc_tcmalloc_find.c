/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_tcmalloc_find.c: finds tcmalloc's variables by what they hold. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/alloc_memory.h"
#include "collectors/alloc_tcmalloc.h"

/*
 * Size classes rise from 8 bytes to 256 KiB and are followed by their number; central lists carry
 * the number of their class, one after the other; the page heap's sums are sums of each other.
 */
enum { LARGEST = 256 << 10 };

static bool is_version(void *ctx, const char *text)
{
	struct alloc_found *out = ctx;
	unsigned int major, minor;

	if (sscanf(text, "gperftools %2u.%2u", &major, &minor) != 2)
		return false;
	snprintf(out->version, sizeof(out->version), "%u.%u", major % 100, minor % 100);
	return true;
}

/* num_objects_to_move_, class_to_size_, class_to_pages_, num_size_classes of SizeMap. */
static bool is_sizes(struct tcmalloc *tc, const struct alloc_data *d, size_t at)
{
	const int32_t *ints = (const int32_t *)d->words;
	size_t pages = (at + TCMALLOC_CLASSES + 1) / 2;
	uint32_t n = 1;

	if (at < TCMALLOC_CLASSES || pages + TCMALLOC_CLASSES >= d->n)
		return false;
	while (n < TCMALLOC_CLASSES && ints[at + n] > ints[at + n - 1])
		n++;
	if (n < 16 || ints[at + n - 1] != LARGEST || d->words[pages + TCMALLOC_CLASSES] != n)
		return false;
	for (uint32_t i = 1; i < n; i++)
		if (!d->words[pages + i] || d->words[pages + i] > 256)
			return false;
	tc->nclasses = n;
	memcpy(tc->moved, ints + at - TCMALLOC_CLASSES, sizeof(tc->moved));
	memcpy(tc->bytes, ints + at, sizeof(tc->bytes));
	memcpy(tc->span_pages, d->words + pages, sizeof(tc->span_pages));
	return true;
}

static bool find_sizes(struct tcmalloc *tc, const struct alloc_data *d)
{
	const int32_t *ints = (const int32_t *)d->words;

	for (size_t i = 0; i + 4 < 2 * d->n; i++)
		if (!ints[i] && ints[i + 1] == 8 && ints[i + 2] == 16 && is_sizes(tc, d, i))
			return true;
	return false;
}

/* Where the class stands in the list of class 0. */
static bool is_central(const struct tcmalloc *tc, const struct alloc_data *d, size_t at)
{
	static const size_t step = TCMALLOC_CENTRAL_BYTES / 8;

	if (!at || d->n - at < tc->nclasses * step)
		return false;
	for (uint32_t i = 0; i < tc->nclasses; i++)
		if (d->words[at + i * step] != i)
			return false;
	return true;
}

static bool find_central(struct tcmalloc *tc, const struct alloc_data *d)
{
	static const size_t step = TCMALLOC_CENTRAL_BYTES / 8;

	for (size_t i = 0; i + 2 * step < d->n; i++)
		if (d->words[i + step] == 1 && d->words[i + 2 * step] == 2 &&
		    is_central(tc, d, i)) {
			tc->central = d->start + 8 * (i - 1);
			return true;
		}
	return false;
}

static bool find_pages(struct tcmalloc *tc, const struct alloc_data *d)
{
	struct tcmalloc_pages p;

	for (size_t i = 0; i + sizeof(p) / 8 <= d->n; i++) {
		if (!d->words[i])
			continue;
		memcpy(&p, d->words + i, sizeof(p));
		if (tcmalloc_pages_plausible(&p)) {
			tc->pages = d->start + 8 * i;
			return true;
		}
	}
	return false;
}

/* The list's length; 0: it is no list of thread caches. */
static uint32_t count_caches(const struct tcmalloc *tc, uint64_t at)
{
	struct tcmalloc_cache c;
	uint64_t before = 0;
	uint32_t n = 0;

	for (; at && n < TCMALLOC_CACHES; n++) {
		if (tcmalloc_read_cache(tc, at, &c) || c.prev != before)
			return 0;
		before = at;
		at = c.next;
	}
	return n;
}

/* Without its symbol the head of the list is known by the number of caches, which stands by it. */
static bool find_caches(struct tcmalloc *tc, const struct alloc_data *d)
{
	for (size_t i = 1; i + 1 < d->n; i++) {
		uint64_t w = d->words[i];
		uint32_t n;

		if (w < 1 << 16 || w >= 1ull << 47 || w & 7)
			continue;
		n = count_caches(tc, w);
		if (n && ((int32_t)d->words[i - 1] == (int32_t)n ||
			  (int32_t)d->words[i + 1] == (int32_t)n)) {
			tc->caches = d->start + 8 * i;
			return true;
		}
	}
	return false;
}

static bool look(struct tcmalloc *tc, const struct alloc_data *data, int n)
{
	bool sizes = false, central = false, pages = false;

	for (int i = 0; !sizes && i < n; i++)
		sizes = find_sizes(tc, &data[i]);
	for (int i = 0; sizes && !central && i < n; i++)
		central = find_central(tc, &data[i]);
	for (int i = 0; central && !pages && i < n; i++)
		pages = find_pages(tc, &data[i]);
	for (int i = 0; pages && !tc->caches && i < n; i++)
		find_caches(tc, &data[i]);
	return pages && tc->caches;
}

int tcmalloc_find(const struct alloc_place *p, struct alloc_found *out)
{
	struct alloc_symbol s = {"_ZN8tcmalloc11ThreadCache13thread_heaps_E", 0};
	struct alloc_data data[ALLOC_DATA_MAX];
	struct tcmalloc *tc = calloc(1, sizeof(*tc));
	bool found;
	int n;

	alloc_file_strings(p->fd, "gperftools ", is_version, out);
	n = tc ? alloc_place_data(p, data) : -ENOMEM;
	if (n < 0) {
		free(tc);
		snprintf(out->why, sizeof(out->why), "%s",
			 n == -EPERM ? "no permission to read its memory"
				     : "its variables cannot be read");
		return n;
	}
	tc->pid = p->pid;
	if (!alloc_elf_symbols(p->fd, &s, 1) && s.vaddr)
		tc->caches = p->bias + s.vaddr;
	found = look(tc, data, n);
	alloc_data_free(data, n);
	if (!found) {
		free(tc);
		snprintf(out->why, sizeof(out->why),
			 "no variables were found that are laid out as those of gperftools 2.10");
		return -EAGAIN;
	}
	out->state = tc;
	return 0;
}
