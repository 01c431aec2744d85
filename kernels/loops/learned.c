/* SPDX-License-Identifier: Apache-2.0 */
/* learned.c: what the slow loops know. */
#include "kernels/loops/learned.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/kernels.h"

#define DECAY  0.99f /* of the Fisher information: about the last hundred batches */
#define LAMBDA 1.0f
#define KEEP   0.9f

static size_t lines(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

static void *take(char *base, size_t *used, size_t bytes)
{
	size_t at = *used;

	*used = at + lines(bytes);
	return base ? base + at : NULL;
}

struct parts {
	struct published_reader *readers;
	void *ewc, *graph;
	size_t ewc_bytes, graph_bytes;
};

/* Lays out the arena; called first with none, to learn its size. */
static size_t lay_out(struct learned *l, struct parts *p)
{
	const struct learned_options *o = &l->options;
	struct lora_base shape = {o->dim, o->dim, o->rank, o->layers, 1, NULL};
	const size_t floats = lora_base_floats(&shape);
	size_t used = 0;

	p->readers = take(l->arena, &used, o->readers * sizeof(*p->readers));
	for (int i = 0; i < LEARNED_COPIES; i++) {
		l->base[i] = shape;
		l->base[i].weights = take(l->arena, &used, floats * sizeof(float));
	}
	p->ewc_bytes = ewc_bytes(floats, LEARNED_TASKS);
	p->ewc = take(l->arena, &used, p->ewc_bytes);
	p->graph_bytes = dream_graph_bytes(o->dim, o->memories);
	p->graph = take(l->arena, &used, p->graph_bytes);
	return used;
}

static double random_unit(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(*seed >> 11) / 0x1p53;
}

/* Hu et al. 2021, section 4.1: A random, B zero, so that at first nothing is added. */
static void start_base(struct lora_base *b, uint64_t seed)
{
	const float scale = 1 / sqrtf((float)b->dim_in);

	memset(b->weights, 0, lora_base_floats(b) * sizeof(float));
	for (uint32_t layer = 0; layer < b->layers; layer++)
		for (uint32_t r = 0; r < b->rank; r++)
			for (uint32_t i = 0; i < b->dim_in; i++)
				b->weights[lora_base_index(b, layer, false, r, i)] =
					scale * (float)(2 * random_unit(&seed) - 1);
}

static int start_patterns(struct learned *l)
{
	const struct pattern_store_options o = {l->options.dim, l->options.patterns,
						LEARNED_MERGE_SIMILARITY, l->options.isa};
	pthread_rwlockattr_t attr;
	int err = 0;

	l->patterns = pattern_store_new(&o, &err);
	if (!l->patterns)
		return err;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	err = pthread_rwlock_init(&l->patterns_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	if (err)
		pattern_store_free(l->patterns);
	return -err;
}

int learned_init(struct learned *l, const struct learned_options *o)
{
	struct ewc_config config = {0, LEARNED_TASKS, DECAY, LAMBDA, KEEP};
	struct lora_base shape;
	struct parts p;
	size_t bytes;
	int err;

	memset(l, 0, sizeof(*l));
	l->options = *o;
	shape = (struct lora_base){o->dim, o->dim, o->rank, o->layers, 1, (float[1]){0}};
	if (lora_base_check(&shape) || !dream_graph_bytes(o->dim, o->memories))
		return -EINVAL;
	config.n = lora_base_floats(&shape);
	bytes = lay_out(l, &p);
	l->arena = aligned_alloc(64, bytes);
	if (!l->arena)
		return -ENOMEM;
	lay_out(l, &p);
	published_init(&l->turn, p.readers, o->readers, LEARNED_COPIES);
	start_base(&l->base[0], o->seed);
	err = ewc_init(&l->ewc, &config, o->isa, p.ewc, p.ewc_bytes);
	if (!err)
		err = dream_graph_init(&l->graph, o->dim, o->memories, o->isa, p.graph,
				       p.graph_bytes);
	if (!err)
		err = start_patterns(l);
	if (err) {
		free(l->arena);
		l->arena = NULL;
	}
	return err;
}

void learned_fini(struct learned *l)
{
	if (!l->arena)
		return;
	pthread_rwlock_destroy(&l->patterns_lock);
	pattern_store_free(l->patterns);
	free(l->arena);
	l->arena = NULL;
}

void learned_bytes(const struct learned *l, struct learned_bytes *b)
{
	b->base = LEARNED_COPIES * lora_base_floats(&l->base[0]) * sizeof(float);
	b->ewc = ewc_bytes(l->ewc.config.n, LEARNED_TASKS);
	/* Of the memories that are there: pages are touched as they are used. */
	b->graph = l->graph.count *
		   (sizeof(struct dream_node) + sizeof(*l->graph.weight) + l->graph.code_bytes);
	b->patterns = pattern_store_bytes(l->patterns);
}

const struct lora_base *learned_acquire(struct learned *l, uint32_t reader)
{
	return &l->base[published_acquire(&l->turn, reader)];
}

void learned_release(struct learned *l, uint32_t reader)
{
	published_release(&l->turn, reader);
}

const struct lora_base *learned_current(const struct learned *l)
{
	return &l->base[l->turn.current];
}

struct lora_base *learned_begin(struct learned *l)
{
	const struct timespec nap = {0, 100 * 1000};
	int at;

	/* A reader holds a copy for microseconds: longer only when it is not running. */
	while ((at = published_begin(&l->turn)) < 0)
		nanosleep(&nap, NULL);
	memcpy(l->base[at].weights, learned_current(l)->weights,
	       lora_base_floats(&l->base[0]) * sizeof(float));
	return &l->base[at];
}

void learned_publish(struct learned *l)
{
	published_publish(&l->turn);
}

float learned_quality(double reward)
{
	double q = exp(reward);

	return q < 1 ? (float)fmax(q, 1e-6) : 1; /* NaN is 1e-6 too */
}

int learned_find(struct learned *l, struct pattern_searcher *s, const float *x, uint32_t k,
		 struct pattern_found *found)
{
	int n;

	if (pthread_rwlock_tryrdlock(&l->patterns_lock))
		return -EAGAIN;
	n = pattern_store_count(l->patterns) ? pattern_store_find(l->patterns, s, x, k, found) : 0;
	pthread_rwlock_unlock(&l->patterns_lock);
	return n;
}
