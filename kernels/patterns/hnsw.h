/* SPDX-License-Identifier: Apache-2.0 */
/* hnsw.h: approximate nearest neighbours by a hierarchy of navigable small-world graphs. */
#ifndef KERNELS_HNSW_H
#define KERNELS_HNSW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/isa.h"
#include "kernels/patterns/scan.h"

/*
 * Malkov and Yashunin 2018, "Efficient and robust approximate nearest neighbor search using
 * Hierarchical Navigable Small World graphs". Distances are squared L2; for cosine similarity
 * insert and ask with vectors of length 1, where the order is the same.
 *
 * Threads: any number may search at once, each with a searcher of its own, while nobody changes the
 * index. Inserting, deleting and repairing are for one thread, alone.
 */
enum hnsw_storage {
	HNSW_F32, /* the graph is walked over the vectors themselves */
	HNSW_I8,  /* over int8 codes beside the links; the best are measured again in f32 */
};

struct hnsw_options {
	uint32_t dim;	   /* 1..HNSW_MAX_DIM */
	uint32_t capacity; /* most vectors; address space is reserved, memory used as they come */
	uint32_t links;	   /* M, of a node on the upper levels; 2 M on the lowest; 0: 16 */
	uint32_t build_ef; /* candidates looked at for an insertion; 0: 200 */
	enum hnsw_storage storage;
	uint64_t seed; /* of the levels; 0: a fixed one */
	enum isa isa;
};

enum { HNSW_MAX_DIM = 8192, HNSW_MAX_LINKS = 128, HNSW_MAX_EF = 4096 };

struct hnsw;	      /* the index */
struct hnsw_searcher; /* what one thread needs to search it */

/* NULL for options out of range (*err = -EINVAL) or without memory (-ENOMEM); err may be NULL. */
struct hnsw *hnsw_new(const struct hnsw_options *o, int *err);
void hnsw_free(struct hnsw *h);

/*
 * Copies the vector in. *id is its number from now until it is deleted: below capacity, and the
 * lowest ones are used first, so arrays by id serve for what belongs to a vector. Numbers of
 * deleted vectors come again after a repair. 0; -EINVAL for a vector that is not finite; -ENOSPC at
 * capacity.
 */
int hnsw_insert(struct hnsw *h, const float *vector, uint32_t *id);

/* Another vector under the same number, with links of its own. As hnsw_insert(), or -ENOENT. */
int hnsw_update(struct hnsw *h, uint32_t id, const float *vector);

/*
 * No search finds it any more. Its node still leads to others until a repair, which happens by
 * itself when one node in eight is deleted (but 16), or when an insertion needs the room: every
 * node that links to deleted ones chooses anew among its links and theirs (Singh et al. 2021,
 * "FreshDiskANN", section 4.3). -ENOENT when there is no such vector.
 */
int hnsw_delete(struct hnsw *h, uint32_t id);
int hnsw_repair(struct hnsw *h);

struct hnsw_searcher *hnsw_searcher_new(const struct hnsw *h, uint32_t max_ef);
void hnsw_searcher_free(struct hnsw_searcher *s);

/*
 * The k nearest found, nearest first, with their distance in f32. ef >= k candidates are kept: more
 * of them find more. Returns how many there are; -EINVAL for k 0, ef above the searcher's, a null
 * pointer, or a query that is not finite. Allocates nothing.
 */
int hnsw_search(const struct hnsw *h, struct hnsw_searcher *s, const float *query, uint32_t k,
		uint32_t ef, struct neighbour *out);
/* The same by looking at every vector in f32: what a recall is measured against. */
int hnsw_search_exact(const struct hnsw *h, const float *query, uint32_t k, struct neighbour *out);

struct hnsw_stats {
	uint32_t count, deleted; /* vectors that can be found; nodes that wait for a repair */
	uint32_t slots;		 /* numbers in use are below */
	uint32_t levels;
	uint64_t memory_bytes;	 /* of vectors, codes, links and the rest, that are in use */
	uint64_t reserved_bytes; /* of address space */
};
void hnsw_stats(const struct hnsw *h, struct hnsw_stats *s);
uint32_t hnsw_dim(const struct hnsw *h);
/* The vector as inserted, [dim]; NULL when there is none. Valid until the index changes. */
const float *hnsw_vector(const struct hnsw *h, uint32_t id);
/* Distances measured by the searches of s so far. */
uint64_t hnsw_searcher_distances(const struct hnsw_searcher *s);

/*
 * A file holds a version and a checksum, and appears whole or not at all (durable.h). Loading takes
 * dim, links, storage and the vectors from the file, capacity (when larger than the file's), isa
 * and build_ef from o. Nothing in the file is believed: -EBADMSG for one that is damaged,
 * -EPROTO for another version, else the error of the file system.
 */
int hnsw_save(const struct hnsw *h, const char *path);
/* What it writes, for a file of the caller's; *data to be given to free(). */
int hnsw_pack(const struct hnsw *h, void **data, size_t *size);
struct hnsw *hnsw_load(const char *path, const struct hnsw_options *o, int *err);
/* From memory: what hnsw_load() does once the checksum was right. */
struct hnsw *hnsw_parse(const void *data, size_t size, const struct hnsw_options *o, int *err);

#endif
