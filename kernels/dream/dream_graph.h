/* SPDX-License-Identifier: Apache-2.0 */
/* dream_graph.h: memories and their associations: what dreams walk over. */
#ifndef KERNELS_DREAM_GRAPH_H
#define KERNELS_DREAM_GRAPH_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/isa.h"
#include "kernels/patterns/distance.h"
#include "kernels/patterns/scan.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
	DREAM_LINKS = 8,      /* most associations of a memory */
	DREAM_MAX_DIM = 4096, /* of an embedding */
};

/*
 * One memory as a walk sees it: one cache line, so a step costs one miss. Its links are drawn by
 * their weights with the alias method (Walker 1977; Vose 1991): slot i stands for itself with
 * probability own[i] / 65536, else for slot alias[i]. One draw, no search.
 */
struct dream_node {
	uint32_t link[DREAM_LINKS];
	uint16_t own[DREAM_LINKS];
	uint8_t alias[DREAM_LINKS];
	uint8_t degree;
	char pad[3];
	float importance; /* 0..1: how gladly a dream begins here */
} __attribute__((aligned(64)));

/*
 * Embeddings are of length 1, kept as int8 codes (struct distance_code): 264 bytes of 256 floats,
 * |error| <= max|x| / 254 a component. 50,000 memories of dim 256 take 18.4 MB. Readers together or
 * one writer alone. Memory is the caller's.
 */
struct dream_graph {
	uint32_t dim, capacity, count;
	struct dream_node *node;
	float (*weight)[DREAM_LINKS]; /* of the links, > 0; what own and alias are made from */
	char *codes;
	size_t code_bytes; /* from one code to the next */
	const struct kernel *distance;
	float (*quantize)(const float *x, int8_t *codes, uint32_t n);
};

/* Bytes of storage, or 0 for a shape out of range. */
size_t dream_graph_bytes(uint32_t dim, uint32_t capacity);
/* Empty. Storage is 64-byte aligned and outlives g; pages are touched as they are used. -EINVAL. */
int dream_graph_init(struct dream_graph *g, uint32_t dim, uint32_t capacity, enum isa isa,
		     void *storage, size_t bytes);

/*
 * A memory, scaled to length 1, linked both ways to the most similar ones there are (a scan of all
 * codes), by weights of their cosines, where these are above 0. *id may be NULL. At capacity it
 * takes the place of the least important one, whose links end. -EINVAL for an embedding that has no
 * length or is not finite, or an importance outside [0, 1].
 */
int dream_graph_add(struct dream_graph *g, const float *embedding, float importance, uint32_t *id);
/* The same with links to ids that the caller knows, of an index; they must be there. -ENOSPC. */
int dream_graph_put(struct dream_graph *g, const float *embedding, float importance,
		    const uint32_t *ids, uint32_t n, uint32_t *id);

/*
 * A link of that weight from one to another, or more weight to the one there is. When all links are
 * taken it replaces the lightest, if that is lighter. 1 when there is a new link, else 0; -EINVAL.
 */
int dream_graph_link(struct dream_graph *g, uint32_t from, uint32_t to, float weight);
/* Multiplies the weight of a link; 0, or -ENOENT. */
int dream_graph_strengthen(struct dream_graph *g, uint32_t from, uint32_t to, float factor);
/* All importances times factor: what is not dreamt of fades. */
void dream_graph_fade(struct dream_graph *g, float factor);

/* Cosine of two memories, from their codes. */
float dream_graph_similarity(const struct dream_graph *g, uint32_t a, uint32_t b);
const struct distance_code *dream_graph_code(const struct dream_graph *g, uint32_t id);
/* Back to floats, [dim]. */
void dream_graph_read(const struct dream_graph *g, uint32_t id, float *embedding);
/* 0, or -EBADMSG when something in memory that came from a file cannot be: before it is walked. */
int dream_graph_check(const struct dream_graph *g);

#ifdef __cplusplus
}
#endif

#endif
