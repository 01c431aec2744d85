/* SPDX-License-Identifier: Apache-2.0 */
/* kvcache_pages.h: pages of the cache, their references, ages and index; internal to kvcache. */
#ifndef KERNELS_KVCACHE_PAGES_H
#define KERNELS_KVCACHE_PAGES_H

#include "kernels/kvcache/kvcache.h"

/*
 * A page is in one of three places: referred to by sequences (refs > 0), cached (refs 0, indexed,
 * in the list of ages), or free. id names contents: the page's tokens and all before them. It is
 * never used again, so a page whose parent was thrown out cannot be found under a parent that
 * happens to live in the same place. 0: not known yet.
 */
struct kvcache_page {
	uint32_t refs;
	uint32_t older, newer; /* in the list of ages; newer alone links the free ones */
	uint32_t chain;	       /* next in its bucket */
	uint64_t id, parent;
	bool indexed;
};

struct kvcache_sequence {
	bool open;
	uint32_t length, committed;
};

/* A page with one reference, from the free ones or in place of the oldest cached one; or NONE. */
uint32_t kvcache_page_take(struct kvcache *c);
void kvcache_page_hold(struct kvcache *c, uint32_t page);
void kvcache_page_drop(struct kvcache *c, uint32_t page);
/* The indexed page with these page_tokens tokens behind contents `parent`, or NONE. */
uint32_t kvcache_page_find(const struct kvcache *c, uint64_t parent, const uint32_t *tokens);
/* Gives page, to which one sequence refers, its id. Returns the page to use from now on, with its
 * reference: another one when the same contents are indexed already. */
uint32_t kvcache_page_seal(struct kvcache *c, uint32_t page, uint64_t parent);

static inline uint32_t *kvcache_page_tokens(const struct kvcache *c, uint32_t page)
{
	return c->tokens + (size_t)page * c->shape.page_tokens;
}

#endif
