/* SPDX-License-Identifier: Apache-2.0 */
/* learned.h: what the slow loops know: base LoRA, earlier tasks, patterns, memories; on disk too.
 */
#ifndef KERNELS_LEARNED_H
#define KERNELS_LEARNED_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/dream/dream.h"
#include "kernels/ewc/ewc_tasks.h"
#include "kernels/isa.h"
#include "kernels/lora/lora.h"
#include "kernels/lora/lora_base.h"
#include "kernels/loops/published.h"
#include "kernels/patterns/pattern_store.h"

enum {
	LEARNED_COPIES = 3, /* of the base weights; the writer waits when readers hold two */
	LEARNED_TASKS = 5,
};

/* An observation this similar to a pattern is part of it. */
#define LEARNED_MERGE_SIMILARITY 0.95f

struct learned_options {
	uint32_t dim, rank, layers; /* of base LoRA */
	uint32_t readers;	    /* threads that read the base weights */
	uint32_t patterns;	    /* most of them */
	uint32_t memories;	    /* most, that dreams walk over */
	uint64_t seed;
	enum isa isa;
};

/*
 * One thread learns: it alone calls loops B and C, learned_save(), and touches ewc and graph. Any
 * number of others read the base weights, and the patterns under the lock.
 */
struct learned {
	struct learned_options options;
	struct published turn;
	struct lora_base base[LEARNED_COPIES]; /* of one shape */
	struct ewc ewc;			       /* over the base weights in their layout */
	struct dream_graph graph;
	struct pattern_store *patterns;
	pthread_rwlock_t patterns_lock; /* prefers the writer; readers only ever try */
	uint64_t cycles_b, cycles_c, dreams, dreams_kept;
	void *arena;
};

/* Nothing learned yet: base LoRA adds nothing. -EINVAL, or -ENOMEM with nothing left to free. */
int learned_init(struct learned *l, const struct learned_options *o);
void learned_fini(struct learned *l);
/* Bytes in use by part, for reports; NULL for those not wanted. */
struct learned_bytes {
	uint64_t base, ewc, graph, patterns;
};
void learned_bytes(const struct learned *l, struct learned_bytes *b);

/* Base weights that stay as they are until release; one at a time a reader. */
const struct lora_base *learned_acquire(struct learned *l, uint32_t reader);
void learned_release(struct learned *l, uint32_t reader);
/* The learner's: a private copy of the current weights; waits while readers hold the others. */
struct lora_base *learned_begin(struct learned *l);
void learned_publish(struct learned *l);
const struct lora_base *learned_current(const struct learned *l);

/* A reward (0 at best, and below) as a quality in (0, 1]: what patterns and memories keep. */
float learned_quality(double reward);

/*
 * The most similar pattern to x, or 0 when there is none or the learner is changing them: readers
 * never wait. Returns how many were looked at and fills *found with the first; -EAGAIN when the
 * learner has them.
 */
int learned_find(struct learned *l, struct pattern_searcher *s, const float *x, uint32_t k,
		 struct pattern_found *found);

/*
 * Two files in the folder, LEARNED_FILE (weights, tasks, memories, and micro's weights) and
 * LEARNED_PATTERNS, each whole or not at all, so that after a crash each is one that was saved.
 * They may be of different saves: patterns mean something without the weights, and the other way
 * round.
 *
 * learned_load() takes what is there; nothing in it is believed. 0, also when the folder has none;
 * -EBADMSG for a damaged file, -EPROTO for one of another version or of other shapes (dim, rank,
 * layers); *file then names it, and nothing of it is taken, though patterns may be whose own file
 * was sound. Nothing is changed on disk. For a learner that learned nothing yet.
 */
#define LEARNED_FILE	 "learned.state"
#define LEARNED_PATTERNS "patterns.state"
int learned_save(struct learned *l, const struct lora *micro, const char *folder);
int learned_load(struct learned *l, struct lora *micro, const char *folder, const char **file);
/* A file that cannot be loaded becomes FILE.bad-N, the first N that is free. 0 or -errno. */
int learned_set_aside(const char *folder, const char *file, char *kept, size_t size);

#endif
