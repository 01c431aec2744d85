/* SPDX-License-Identifier: Apache-2.0 */
/* lora_shared.h: micro-LoRA weights that many workers read while one learner replaces them. */
#ifndef KERNELS_LORA_SHARED_H
#define KERNELS_LORA_SHARED_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/loops/published.h"
#include "kernels/lora/lora.h"

/* readers + 2 copies (published.h), so that the learner never waits. Memory is the caller's. */
struct lora_shared {
	struct published turn;
	struct lora *copies; /* all of one shape */
};

/* Bytes for lora_shared_init: readers, copies and their weights. */
size_t lora_shared_bytes(uint32_t readers, uint32_t dim_in, uint32_t dim_out, uint32_t rank);
/* All copies start as `from`. -EINVAL for a bad shape or storage not 64-byte aligned. */
int lora_shared_init(struct lora_shared *s, uint32_t readers, const struct lora *from,
		     void *storage, size_t bytes);

/* Weights that stay as they are until release; one at a time a reader. */
const struct lora *lora_shared_acquire(struct lora_shared *s, uint32_t reader);
void lora_shared_release(struct lora_shared *s, uint32_t reader);

/* The learner's: a private copy of the current weights; change it, then publish it. */
struct lora *lora_shared_begin(struct lora_shared *s);
void lora_shared_publish(struct lora_shared *s);

#endif
