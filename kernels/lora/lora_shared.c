/* SPDX-License-Identifier: Apache-2.0 */
/* lora_shared.c: publication of micro-LoRA weights. */
#include "kernels/lora/lora_shared.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/ordered.h"

static size_t weights(const struct lora *l)
{
	return (size_t)l->rank * (l->dim_in + l->dim_out);
}

static void copy_weights(struct lora *to, const struct lora *from)
{
	memcpy(to->a, from->a, (size_t)from->rank * from->dim_in * sizeof(float));
	memcpy(to->b, from->b, (size_t)from->rank * from->dim_out * sizeof(float));
}

size_t lora_shared_bytes(uint32_t readers, uint32_t dim_in, uint32_t dim_out, uint32_t rank)
{
	size_t copies = (size_t)readers + 2, floats = (size_t)rank * ((size_t)dim_in + dim_out);

	return readers * sizeof(struct lora_reader) +
	       copies * (sizeof(struct lora) + floats * sizeof(float));
}

int lora_shared_init(struct lora_shared *s, uint32_t readers, const struct lora *from,
		     void *storage, size_t bytes)
{
	float *w;

	if (!s || lora_check(from) || !storage || (uintptr_t)storage % 64)
		return -EINVAL;
	if (bytes < lora_shared_bytes(readers, from->dim_in, from->dim_out, from->rank))
		return -EINVAL;
	memset(s, 0, sizeof(*s));
	memset(storage, 0, readers * sizeof(struct lora_reader));
	s->nreaders = readers;
	s->readers = storage;
	s->copies = (struct lora *)(void *)(s->readers + readers);
	w = (float *)(void *)(s->copies + readers + 2);
	for (uint32_t i = 0; i < readers + 2; i++, w += weights(from)) {
		s->copies[i] = *from;
		s->copies[i].a = w;
		s->copies[i].b = w + (size_t)from->rank * from->dim_in;
		copy_weights(&s->copies[i], from);
	}
	return 0;
}

const struct lora *lora_shared_acquire(struct lora_shared *s, uint32_t reader)
{
	uint64_t at = ordered_load_64(&s->current), again;

	for (;;) {
		ordered_store_64(&s->readers[reader].announced, at + 1);
		/* Either the learner sees the announcement, or this load sees its new copy. */
		ordered_store_then_load();
		again = ordered_load_64(&s->current);
		if (again == at)
			return &s->copies[at];
		at = again;
	}
}

void lora_shared_release(struct lora_shared *s, uint32_t reader)
{
	ordered_store_64(&s->readers[reader].announced, 0);
}

struct lora *lora_shared_begin(struct lora_shared *s)
{
	const uint64_t current = s->current;

	for (uint32_t i = 0; i < s->nreaders + 2; i++) {
		bool busy = i == current;

		for (uint32_t r = 0; r < s->nreaders && !busy; r++)
			busy = ordered_load_64(&s->readers[r].announced) == i + 1u;
		if (busy)
			continue;
		s->writing = i;
		copy_weights(&s->copies[i], &s->copies[current]);
		return &s->copies[i];
	}
	return NULL; /* not reached: each reader holds one copy at most */
}

void lora_shared_publish(struct lora_shared *s)
{
	ordered_store_64(&s->current, s->writing);
	/* Pairs with acquire: announcements are looked at only after the new copy is visible. */
	ordered_store_then_load();
}
