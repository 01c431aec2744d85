/* SPDX-License-Identifier: Apache-2.0 */
/* lora_shared.c: publication of micro-LoRA weights. */
#include "kernels/lora/lora_shared.h"

#include <errno.h>
#include <string.h>

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

	return readers * sizeof(struct published_reader) +
	       copies * (sizeof(struct lora) + floats * sizeof(float));
}

int lora_shared_init(struct lora_shared *s, uint32_t readers, const struct lora *from,
		     void *storage, size_t bytes)
{
	struct published_reader *announced = storage;
	float *w;

	if (!s || lora_check(from) || !storage || (uintptr_t)storage % 64)
		return -EINVAL;
	if (bytes < lora_shared_bytes(readers, from->dim_in, from->dim_out, from->rank))
		return -EINVAL;
	published_init(&s->turn, announced, readers, readers + 2);
	s->copies = (struct lora *)(void *)(announced + readers);
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
	return &s->copies[published_acquire(&s->turn, reader)];
}

void lora_shared_release(struct lora_shared *s, uint32_t reader)
{
	published_release(&s->turn, reader);
}

struct lora *lora_shared_begin(struct lora_shared *s)
{
	const uint64_t current = s->turn.current;
	int at = published_begin(&s->turn);

	if (at < 0)
		return NULL; /* not reached: each reader holds one copy at most */
	copy_weights(&s->copies[at], &s->copies[current]);
	return &s->copies[at];
}

void lora_shared_publish(struct lora_shared *s)
{
	published_publish(&s->turn);
}
