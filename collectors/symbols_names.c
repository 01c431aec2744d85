/* SPDX-License-Identifier: Apache-2.0 */
/* symbols_names.c: the names of the functions seen, under dense ids. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/snapshot.h"
#include "collectors/symbols_priv.h"

enum { CHUNK_BYTES = 16384 };

/* Strings never move, so that callers may keep pointers to them. */
struct name_chunk {
	struct name_chunk *next;
	size_t used;
	char bytes[CHUNK_BYTES];
};

static uint32_t name_hash(uint64_t space, uint64_t start)
{
	uint64_t h = (space ^ start * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;

	return (uint32_t)(h >> 32);
}

/* A cleaned copy of src; NULL without memory. */
static const char *names_copy(struct names *t, const char *src)
{
	char clean[NAME_BYTES];
	size_t n;
	char *p;

	snapshot_string(clean, sizeof(clean), src);
	n = strlen(clean) + 1;
	if (!t->chunks || CHUNK_BYTES - t->chunks->used < n) {
		struct name_chunk *c = malloc(sizeof(*c));

		if (!c)
			return NULL;
		c->next = t->chunks;
		c->used = 0;
		t->chunks = c;
	}
	p = t->chunks->bytes + t->chunks->used;
	memcpy(p, clean, n);
	t->chunks->used += n;
	return p;
}

static void hash_insert(struct names *t, uint32_t id)
{
	uint32_t mask = t->hash_size - 1;
	uint32_t i = name_hash(t->records[id].space, t->records[id].start) & mask;

	while (t->hash[i])
		i = (i + 1) & mask;
	t->hash[i] = id + 1;
}

static int names_grow(struct names *t)
{
	uint32_t cap = t->cap ? t->cap * 2 : 256;
	struct name_record *records = realloc(t->records, cap * sizeof(*records));
	uint32_t *hash;

	if (!records)
		return -ENOMEM;
	t->records = records;
	hash = calloc(cap * 2, sizeof(*hash));
	if (!hash)
		return -ENOMEM;
	free(t->hash);
	t->hash = hash;
	t->hash_size = cap * 2;
	t->cap = cap;
	for (uint32_t i = 0; i < t->n; i++)
		hash_insert(t, i);
	return 0;
}

int names_init(struct names *t)
{
	memset(t, 0, sizeof(*t));
	if (names_grow(t))
		return -ENOMEM;
	/* NAME_UNKNOWN and NAME_OTHER, in this order, in a space that nothing else uses. */
	names_add(t, 0, NAME_UNKNOWN, "[unknown]", "");
	names_add(t, 0, NAME_OTHER, "[other]", "");
	return t->n == 2 ? 0 : -ENOMEM;
}

void names_fini(struct names *t)
{
	while (t->chunks) {
		struct name_chunk *next = t->chunks->next;

		free(t->chunks);
		t->chunks = next;
	}
	free(t->records);
	free(t->hash);
}

int64_t names_find(const struct names *t, uint64_t space, uint64_t start)
{
	uint32_t mask = t->hash_size - 1;

	for (uint32_t i = name_hash(space, start) & mask; t->hash[i]; i = (i + 1) & mask) {
		const struct name_record *r = &t->records[t->hash[i] - 1];

		if (r->space == space && r->start == start)
			return t->hash[i] - 1;
	}
	return -ENOENT;
}

/* Modules are few and repeat: look among the latest records before copying. */
static const char *names_module(struct names *t, const char *module)
{
	char clean[NAME_BYTES];

	snapshot_string(clean, sizeof(clean), module);
	for (uint32_t i = t->n, tries = 0; i > 0 && tries < 64; i--, tries++)
		if (!strcmp(t->records[i - 1].module, clean))
			return t->records[i - 1].module;
	return names_copy(t, clean);
}

uint32_t names_add(struct names *t, uint64_t space, uint64_t start, const char *name,
		   const char *module)
{
	struct name_record r = {.space = space, .start = start};

	if (t->n == NAMES_MAX || (t->n == t->cap && names_grow(t)))
		return NAME_OTHER;
	r.name = names_copy(t, name);
	r.module = names_module(t, module);
	if (!r.name || !r.module)
		return NAME_OTHER;
	t->records[t->n] = r;
	hash_insert(t, t->n);
	return t->n++;
}
