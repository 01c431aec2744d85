/* SPDX-License-Identifier: Apache-2.0 */
/* hnsw_file.c: an index as a file, and back with nothing in it believed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/durable.h"
#include "kernels/patterns/hnsw_state.h"

/*
 * The header, then for all slots in use: level, state (a byte each, padded to 8), vectors, links of
 * level 0, and the blocks of upper links. What follows from these is not in the file: codes, where
 * a node's blocks begin, the list of free slots.
 */
struct hnsw_header {
	uint32_t dim, links, storage, capacity;
	uint32_t used, nblocks, entry;
	int32_t top;
	uint64_t random, spare;
};
_Static_assert(sizeof(struct hnsw_header) == 48, "the file's format");

static const char hnsw_kind[] = "hnsw";
enum { HNSW_VERSION = 1 };
#define HNSW_FILE_MAX (1ull << 40)

static size_t padded(size_t n)
{
	return (n + 7) / 8 * 8;
}

/* Bytes of the parts of a file, in order. */
struct hnsw_layout {
	size_t header, levels, states, vectors, links, blocks, total;
};

static struct hnsw_layout layout_of(const struct hnsw_header *f)
{
	struct hnsw_layout l = {
		.header = sizeof(*f),
		.levels = padded(f->used),
		.states = padded(f->used),
		.vectors = padded((size_t)f->used * f->dim * sizeof(float)),
		.links = padded((size_t)f->used * (1 + 2 * (size_t)f->links) * sizeof(uint32_t)),
		.blocks = (size_t)f->nblocks * (1 + (size_t)f->links) * sizeof(uint32_t),
	};

	l.total = l.header + l.levels + l.states + l.vectors + l.links + l.blocks;
	return l;
}

/* A part of the file for each node: rows are wider in memory. */
static void pack_rows(const struct hnsw *h, char *vectors, char *links)
{
	const size_t link_bytes = (1 + h->max_links0) * sizeof(uint32_t);

	for (uint32_t id = 0; id < h->used; id++) {
		memcpy(vectors + id * h->vector_bytes,
		       h->o.storage == HNSW_I8 ? h->vectors.mem + id * h->vector_bytes
					       : hnsw_row(h, id),
		       h->vector_bytes);
		memcpy(links + id * link_bytes, hnsw_links(h, id, 0), link_bytes);
	}
}

int hnsw_pack(const struct hnsw *h, void **data, size_t *size)
{
	struct hnsw_header f;
	struct hnsw_layout l;
	char *p;

	if (!h || !data || !size)
		return -EINVAL;
	f = (struct hnsw_header){h->o.dim,   h->o.links, h->o.storage, h->o.capacity, h->used,
				 h->nblocks, h->entry,	 h->top,       h->random,     0};
	l = layout_of(&f);
	p = calloc(1, l.total);
	if (!p)
		return -ENOMEM;
	*data = p;
	*size = l.total;
	memcpy(p, &f, sizeof(f));
	p += l.header;
	memcpy(p, h->level, h->used);
	p += l.levels;
	memcpy(p, h->state, h->used);
	p += l.states;
	pack_rows(h, p, p + l.vectors);
	p += l.vectors + l.links;
	memcpy(p, h->blocks.mem, l.blocks);
	return 0;
}

int hnsw_save(const struct hnsw *h, const char *path)
{
	struct iovec part = {0};
	int err = path ? hnsw_pack(h, &part.iov_base, &part.iov_len) : -EINVAL;

	if (err)
		return err;
	err = durable_save(path, hnsw_kind, HNSW_VERSION, &part, 1);
	free(part.iov_base);
	return err;
}

static int header_read(struct hnsw_header *f, const void *data, size_t size)
{
	if (size < sizeof(*f))
		return -EBADMSG;
	memcpy(f, data, sizeof(*f));
	if (!f->dim || f->dim > HNSW_MAX_DIM || f->links < 2 || f->links > HNSW_MAX_LINKS)
		return -EBADMSG;
	if (f->storage > HNSW_I8 || f->used > f->capacity || f->capacity > 1u << 30)
		return -EBADMSG;
	if (f->top < HNSW_NONE || f->top > HNSW_MAX_LEVEL || f->nblocks > size)
		return -EBADMSG;
	return layout_of(f).total == size ? 0 : -EBADMSG;
}

/* Levels and states; with them where each node's blocks are, and how many nodes of which kind. */
static int read_nodes(struct hnsw *h, const struct hnsw_header *f, const uint8_t *level,
		      const uint8_t *state)
{
	int top = HNSW_NONE;

	for (uint32_t id = 0; id < f->used; id++) {
		if (level[id] > HNSW_MAX_LEVEL || state[id] > HNSW_DEAD ||
		    hnsw_slot_new(h, level[id]) != id || h->level[id] != level[id])
			return -EBADMSG;
		h->state[id] = state[id];
		h->live += state[id] == HNSW_LIVE;
		h->dead += state[id] == HNSW_DEAD;
		if (state[id] != HNSW_FREE && level[id] > top)
			top = level[id];
	}
	for (uint32_t id = f->used; id-- > 0;)
		if (state[id] == HNSW_FREE)
			h->free[h->nfree++] = id;
	if (h->nblocks != f->nblocks || top != f->top)
		return -EBADMSG;
	if (top != HNSW_NONE &&
	    (f->entry >= f->used || state[f->entry] == HNSW_FREE || level[f->entry] != top))
		return -EBADMSG;
	h->entry = f->entry;
	h->top = top;
	h->random = f->random ? f->random : 1;
	return 0;
}

/* A link leads to a node that is there, and on that level. */
static bool links_are_good(const struct hnsw *h, uint32_t id, int level)
{
	const struct hnsw_links *links = hnsw_links(h, id, level);

	if (links->count > hnsw_max_links(h, level))
		return false;
	for (uint32_t i = 0; i < links->count; i++) {
		uint32_t to = links->id[i];

		if (to >= h->used || h->state[to] == HNSW_FREE || h->level[to] < level)
			return false;
	}
	return true;
}

static int read_rows(struct hnsw *h, const char *vectors, const char *links)
{
	const size_t link_bytes = (1 + h->max_links0) * sizeof(uint32_t);
	float *vector = malloc(h->vector_bytes); /* the data may lie at any address */
	int err = vector ? 0 : -ENOMEM;

	for (uint32_t id = 0; id < h->used && !err; id++) {
		memcpy(vector, vectors + id * h->vector_bytes, h->vector_bytes);
		if (!hnsw_finite(vector, h->o.dim))
			err = -EBADMSG;
		else
			hnsw_slot_fill(h, id, vector);
		memcpy(hnsw_links(h, id, 0), links + id * link_bytes, link_bytes);
	}
	free(vector);
	for (uint32_t id = 0; id < h->used && !err; id++)
		for (int l = 0; h->state[id] != HNSW_FREE && l <= h->level[id]; l++)
			if (!links_are_good(h, id, l))
				err = -EBADMSG;
	return err;
}

static int read_all(struct hnsw *h, const struct hnsw_header *f, const char *p)
{
	struct hnsw_layout l = layout_of(f);
	const uint8_t *level = (const uint8_t *)p + l.header;
	int err = read_nodes(h, f, level, level + l.levels);

	if (err)
		return err;
	p += l.header + l.levels + l.states;
	memcpy(h->blocks.mem, p + l.vectors + l.links, l.blocks);
	return read_rows(h, p, p + l.vectors);
}

struct hnsw *hnsw_parse(const void *data, size_t size, const struct hnsw_options *o, int *err)
{
	struct hnsw_options take;
	struct hnsw_header f;
	struct hnsw *h = NULL;
	int e = data && o ? header_read(&f, data, size) : -EINVAL;

	if (!e) {
		take = *o;
		take.dim = f.dim;
		take.links = f.links;
		take.storage = (enum hnsw_storage)f.storage;
		if (take.capacity < f.capacity)
			take.capacity = f.capacity;
		h = hnsw_alloc(&take, &e);
	}
	if (!e)
		e = read_all(h, &f, data);
	if (err)
		*err = e;
	if (!e)
		return h;
	hnsw_free(h);
	return NULL;
}

struct hnsw *hnsw_load(const char *path, const struct hnsw_options *o, int *err)
{
	struct hnsw *h = NULL;
	void *data = NULL;
	size_t size = 0;
	int e = durable_load(path, hnsw_kind, HNSW_VERSION, HNSW_FILE_MAX, &data, &size);

	if (!e)
		h = hnsw_parse(data, size, o, &e);
	free(data);
	if (err)
		*err = e;
	return h;
}
