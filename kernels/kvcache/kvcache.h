/* SPDX-License-Identifier: Apache-2.0 */
/* kvcache.h: keys and values of many sequences in pages: shared prefixes, forks, a fixed budget. */
#ifndef KERNELS_KVCACHE_H
#define KERNELS_KVCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/decode/kv.h"

enum {
	KVCACHE_ALIGN = 64, /* what storage must be aligned to, in bytes */
	KVCACHE_MAX_PAGE_TOKENS = 1024,
	KVCACHE_NONE = UINT32_MAX,
};

/*
 * A page holds page_tokens tokens for every layer and KV head, so a sequence has one block table
 * for all layers (Kwon et al. 2023, "PagedAttention"). Within a page, for each layer and head:
 * rows of K, rows of V, then for int8 their scales. decode.h reads pages in place.
 *
 * A page that is full and committed is known by its tokens and the page before it, back to the
 * first: a later prompt that begins with the same tokens shares the pages, by count of references.
 * What no sequence refers to any more stays for later prompts until its room is needed; the one
 * that was let go first leaves first, and of one sequence its end before its beginning. Tokens are
 * compared, not only their hash.
 *
 * One thread at a time. Nothing is allocated: all lives in the caller's storage.
 */
struct kvcache_shape {
	uint32_t layers, kv_heads, head_dim;
	enum kv_type type;
	uint32_t page_tokens;	/* 16..64 are usual */
	uint32_t max_sequences; /* open at once */
	uint32_t max_tokens;	/* of one sequence */
};

struct kvcache_stats {
	uint32_t pages, used, cached, free; /* used by sequences; cached: by none, but reusable */
	uint64_t prompt_tokens, hit_tokens; /* of kvcache_open: asked for, and found */
	uint64_t evicted, copied;	    /* pages: thrown out; copied to be written to */
};

struct kvcache_page; /* opaque, as are the next two: kvcache_pages.h */
struct kvcache_sequence;

struct kvcache {
	struct kvcache_shape shape;
	size_t head_bytes, page_bytes;
	uint32_t table_pages; /* room of one block table */
	uint32_t buckets;     /* of the index; a power of two */
	struct kvcache_page *page;
	struct kvcache_sequence *sequence;
	uint32_t *index, *tables, *tokens;
	char *rows;
	uint32_t free, oldest, newest; /* lists of pages: free ones, cached ones by age */
	uint64_t last_id;
	struct kvcache_stats stats;
};

/* Bytes of storage that hold `pages` pages; 0 for a shape out of range, or more than can be
 * addressed. */
size_t kvcache_storage(const struct kvcache_shape *shape, uint32_t pages);
/* As many pages as fit. -EINVAL for a bad shape or alignment, -ENOSPC when not one fits. */
int kvcache_init(struct kvcache *c, const struct kvcache_shape *shape, void *storage, size_t bytes);

/*
 * A new sequence that shares the longest known prefix of the n tokens of its prompt, in whole
 * pages, and never all of it: the last token has to be run anyway. *reused says how many tokens it
 * then has; the caller appends the others. -ENOSPC when max_sequences are open, -ERANGE for a
 * prompt beyond max_tokens.
 */
int kvcache_open(struct kvcache *c, const uint32_t *tokens, uint32_t n, uint32_t *sequence,
		 uint32_t *reused);
/* A new sequence with the same tokens, sharing all pages; whoever appends to a shared page copies
 * it first. -EINVAL unless all of its tokens are committed. */
int kvcache_fork(struct kvcache *c, uint32_t sequence, uint32_t *fork);
/* Gives up a sequence's pages. -EINVAL when it is not open. */
int kvcache_close(struct kvcache *c, uint32_t sequence);

/* Room for n more tokens, or for none of them: -ENOSPC when the budget is used up by open
 * sequences, -ERANGE beyond max_tokens. */
int kvcache_append(struct kvcache *c, uint32_t sequence, const uint32_t *tokens, uint32_t n);
/*
 * One layer's keys and values of tokens from..from + n - 1, which must be appended and not
 * committed: head h of token from + i is at k + i * row + h * head, head_dim floats (strides in
 * floats), v likewise.
 */
int kvcache_write(struct kvcache *c, uint32_t sequence, uint32_t layer, uint32_t from, uint32_t n,
		  const float *k, const float *v, size_t row, size_t head);
/* Everything appended is written in every layer: from now on others may share its full pages. */
int kvcache_commit(struct kvcache *c, uint32_t sequence);

/* Tokens of a sequence; 0 when it is not open. */
uint32_t kvcache_length(const struct kvcache *c, uint32_t sequence);
/* What decode reads of one layer; good until the next call that changes this sequence. */
int kvcache_view(const struct kvcache *c, uint32_t sequence, uint32_t layer, struct kv_view *view);

#endif
