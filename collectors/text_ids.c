/* SPDX-License-Identifier: Apache-2.0 */
/* text_ids.c: a hash table with open addressing over an arena of bytes. */
#include "collectors/text_ids.h"

#include <string.h>
#include <sys/mman.h>

enum {
	TEXT_SLOTS = 16384,
	TEXT_MAX = TEXT_SLOTS / 4 * 3,
	TEXT_ARENA_BYTES = 2 << 20,
};

struct text_slot {
	uint32_t hash; /* 0 = free */
	uint32_t offset, size;
	int64_t id;
};

struct text_ids {
	uint32_t used, arena_used;
	struct text_slot slots[TEXT_SLOTS];
	char arena[TEXT_ARENA_BYTES];
};

struct text_ids *text_ids_new(void)
{
	void *p = mmap(NULL, sizeof(struct text_ids), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void text_ids_free(struct text_ids *t)
{
	if (t)
		munmap(t, sizeof(*t));
}

void text_ids_forget(struct text_ids *t)
{
	t->used = t->arena_used = 0;
	memset(t->slots, 0, sizeof(t->slots));
}

/* FNV-1a, with 0 kept for a free slot. */
static uint32_t text_hash(const void *key, size_t size)
{
	const unsigned char *p = key;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 16777619u;
	return h ? h : 1;
}

int64_t text_ids_find(const struct text_ids *t, const void *key, size_t size)
{
	uint32_t hash = text_hash(key, size);

	for (uint32_t i = hash % TEXT_SLOTS;; i = (i + 1) % TEXT_SLOTS) {
		const struct text_slot *s = &t->slots[i];

		if (!s->hash)
			return -1;
		if (s->hash == hash && s->size == size && !memcmp(t->arena + s->offset, key, size))
			return s->id;
	}
}

void text_ids_add(struct text_ids *t, const void *key, size_t size, int64_t id)
{
	uint32_t hash = text_hash(key, size), i = hash % TEXT_SLOTS;

	if (size > TEXT_ARENA_BYTES)
		return;
	if (t->used == TEXT_MAX || size > TEXT_ARENA_BYTES - t->arena_used)
		text_ids_forget(t);
	while (t->slots[i].hash)
		i = (i + 1) % TEXT_SLOTS;
	memcpy(t->arena + t->arena_used, key, size);
	t->slots[i] = (struct text_slot){hash, t->arena_used, (uint32_t)size, id};
	t->arena_used += (uint32_t)size;
	t->used++;
}
