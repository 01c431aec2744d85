/* SPDX-License-Identifier: Apache-2.0 */
/* text_ids.h: remembers which texts were seen and the number each was given. */
#ifndef PERFTOP_TEXT_IDS_H
#define PERFTOP_TEXT_IDS_H

#include <stddef.h>
#include <stdint.h>

/*
 * A bounded memory: when it is full it forgets everything, and a text that comes again is new
 * again. All storage is mapped at the start; only what is used becomes resident.
 */
struct text_ids;

struct text_ids *text_ids_new(void); /* NULL without memory */
void text_ids_free(struct text_ids *t);
void text_ids_forget(struct text_ids *t);

/* The id given to these bytes, or -1. */
int64_t text_ids_find(const struct text_ids *t, const void *key, size_t size);
/* Remember an id that is >= 0; the key must not be there yet. */
void text_ids_add(struct text_ids *t, const void *key, size_t size, int64_t id);

#endif
