/* SPDX-License-Identifier: Apache-2.0 */
/* kvcache_pages.c: pages of the cache: references, ages, and the index by contents. */
#include "kernels/kvcache/kvcache_pages.h"

#include <string.h>

static uint32_t *bucket(const struct kvcache *c, uint64_t parent, const uint32_t *tokens)
{
	uint64_t h = parent;

	/* The multiplier of splitmix64 (Steele et al. 2014); its high bits are the mixed ones. */
	for (uint32_t i = 0; i < c->shape.page_tokens; i++)
		h = ((h ^ h >> 29) + tokens[i] + 1) * 0x9e3779b97f4a7c15u;
	return c->index + (h >> 32 & (c->buckets - 1));
}

static void index_remove(struct kvcache *c, uint32_t page)
{
	struct kvcache_page *p = &c->page[page];
	uint32_t *at = bucket(c, p->parent, kvcache_page_tokens(c, page));

	while (*at != page)
		at = &c->page[*at].chain;
	*at = p->chain;
	p->indexed = false;
}

static void cached_remove(struct kvcache *c, uint32_t page)
{
	struct kvcache_page *p = &c->page[page];

	*(p->older == KVCACHE_NONE ? &c->oldest : &c->page[p->older].newer) = p->newer;
	*(p->newer == KVCACHE_NONE ? &c->newest : &c->page[p->newer].older) = p->older;
	c->stats.cached--;
}

static void cached_add(struct kvcache *c, uint32_t page)
{
	struct kvcache_page *p = &c->page[page];

	p->older = c->newest;
	p->newer = KVCACHE_NONE;
	*(p->older == KVCACHE_NONE ? &c->oldest : &c->page[p->older].newer) = page;
	c->newest = page;
	c->stats.cached++;
}

uint32_t kvcache_page_take(struct kvcache *c)
{
	uint32_t page = c->free;

	if (page != KVCACHE_NONE) {
		c->free = c->page[page].newer;
		c->stats.free--;
	} else if (c->oldest != KVCACHE_NONE) {
		page = c->oldest;
		cached_remove(c, page);
		index_remove(c, page);
		c->stats.evicted++;
	} else {
		return KVCACHE_NONE;
	}
	c->page[page] = (struct kvcache_page){.refs = 1};
	c->stats.used++;
	return page;
}

void kvcache_page_hold(struct kvcache *c, uint32_t page)
{
	if (c->page[page].refs++)
		return;
	cached_remove(c, page);
	c->stats.used++;
}

void kvcache_page_drop(struct kvcache *c, uint32_t page)
{
	struct kvcache_page *p = &c->page[page];

	if (--p->refs)
		return;
	c->stats.used--;
	if (p->indexed) {
		cached_add(c, page);
		return;
	}
	p->newer = c->free;
	c->free = page;
	c->stats.free++;
}

uint32_t kvcache_page_find(const struct kvcache *c, uint64_t parent, const uint32_t *tokens)
{
	size_t bytes = c->shape.page_tokens * sizeof(*tokens);
	uint32_t page = *bucket(c, parent, tokens);

	while (page != KVCACHE_NONE && (c->page[page].parent != parent ||
					memcmp(kvcache_page_tokens(c, page), tokens, bytes) != 0))
		page = c->page[page].chain;
	return page;
}

uint32_t kvcache_page_seal(struct kvcache *c, uint32_t page, uint64_t parent)
{
	struct kvcache_page *p = &c->page[page];
	uint32_t *tokens = kvcache_page_tokens(c, page);
	uint32_t same = kvcache_page_find(c, parent, tokens), *at;

	if (same != KVCACHE_NONE) {
		kvcache_page_hold(c, same);
		kvcache_page_drop(c, page);
		return same;
	}
	p->parent = parent;
	p->id = ++c->last_id;
	at = bucket(c, parent, tokens);
	p->chain = *at;
	*at = page;
	p->indexed = true;
	return page;
}
