/* SPDX-License-Identifier: Apache-2.0 */
/* pattern_store.h: what was learned: embeddings with a quality, found again by similarity. */
#ifndef KERNELS_PATTERN_STORE_H
#define KERNELS_PATTERN_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/isa.h"

/*
 * Embeddings are scaled to length 1 when they come in, so that the distance is 2 - 2 cos. Up to
 * PATTERN_EXACT_MAX patterns a search looks at all of them, which is faster there and misses
 * nothing; beyond, at an HNSW index over int8 codes.
 *
 * Threads: as hnsw.h, readers together or one writer alone; each reader has its own
 * pattern_searcher.
 */
struct pattern {
	uint64_t id;	/* never used twice; 0 is none */
	float quality;	/* mean reward of what it was made from, weighted by count */
	uint32_t count; /* observations merged into it */
	uint32_t uses;	/* times that pattern_store_use() was told of it */
	uint32_t kind;	/* the caller's */
	uint64_t created_ns, updated_ns;
};

struct pattern_found {
	struct pattern pattern;
	float similarity; /* cosine, -1..1 */
};

struct pattern_store_options {
	uint32_t dim, capacity;
	float merge_similarity; /* an observation this similar to a pattern becomes part of it;
				   above 1: never */
	enum isa isa;
};

struct pattern_store;
struct pattern_searcher;

/* NULL with *err -EINVAL or -ENOMEM; err may be NULL. */
struct pattern_store *pattern_store_new(const struct pattern_store_options *o, int *err);
void pattern_store_free(struct pattern_store *s);

/*
 * An observation: `count` of them (>= 1) with their mean embedding and quality. It is merged into
 * the most similar pattern when that is similar enough: embedding and quality become the means
 * weighted by the counts. At capacity one pattern in 64, those of least worth (see prune), go
 * first. *id is the pattern it became or joined; id may be NULL. Returns 1 when merged, 0 when new;
 * -EINVAL for an embedding without length or not finite, a quality that is not finite, or count 0.
 */
int pattern_store_add(struct pattern_store *s, const float *embedding, float quality,
		      uint32_t count, uint32_t kind, uint64_t now_ns, uint64_t *id);
/* A pattern served and went as well as quality says: moves its quality, counts the use. -ENOENT. */
int pattern_store_use(struct pattern_store *s, uint64_t id, float quality, uint64_t now_ns);
int pattern_store_remove(struct pattern_store *s, uint64_t id);

/*
 * Keeps the `keep` patterns of most worth, and of those the ones of at least min_quality. Worth is
 * quality * log2(1 + count + uses), halved for each half_life_ns since updated (0: never).
 * Returns how many went.
 */
int pattern_store_prune(struct pattern_store *s, uint32_t keep, float min_quality,
			uint64_t half_life_ns, uint64_t now_ns);
/* Merges pairs of patterns at least this similar, which drift brought together. How many went. */
int pattern_store_consolidate(struct pattern_store *s, float similarity, uint64_t now_ns);

struct pattern_searcher *pattern_searcher_new(const struct pattern_store *s);
void pattern_searcher_free(struct pattern_searcher *p);
/* What the searches so far have measured: 3 FLOPs for each float or code of a vector, and those. */
struct pattern_work {
	uint64_t flops, bytes;
};
struct pattern_work pattern_searcher_work(const struct pattern_searcher *p);

/* The k most similar, most similar first. Returns how many; -EINVAL. Allocates nothing. */
enum { PATTERN_MAX_K = 128 };
int pattern_store_find(const struct pattern_store *s, struct pattern_searcher *p,
		       const float *query, uint32_t k, struct pattern_found *out);

uint32_t pattern_store_count(const struct pattern_store *s);
/* By position, 0..count-1, in no order that lasts beyond a change. NULL beyond. */
const struct pattern *pattern_store_at(const struct pattern_store *s, uint32_t i);
const float *pattern_store_embedding(const struct pattern_store *s, uint32_t i);
/* Position of a pattern; -ENOENT. */
int pattern_store_position(const struct pattern_store *s, uint64_t id);
/* Bytes in use by all of it. */
uint64_t pattern_store_bytes(const struct pattern_store *s);

/* As hnsw_save() and hnsw_load(): whole or not at all, checked, nothing in it believed. dim comes
 * from the file, capacity when it is larger there. */
int pattern_store_save(const struct pattern_store *s, const char *path);
struct pattern_store *pattern_store_load(const char *path, const struct pattern_store_options *o,
					 int *err);
/* From memory: what pattern_store_load() does once the checksum was right. */
struct pattern_store *pattern_store_parse(const void *data, size_t size,
					  const struct pattern_store_options *o, int *err);

/*
 * Patterns up to which a search is exact: there it is the faster one. Measured at dim 256 with
 * AVX2, k = 10: they are level at 1,000 clustered patterns (34 us), at 2,000 random ones (55 us).
 */
enum { PATTERN_EXACT_MAX = 1024 };

#endif
