/* SPDX-License-Identifier: Apache-2.0 */
/* loop_b.c: the background loop. */
#include "kernels/loops/loop_b.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/loops/evolution.h"
#include "kernels/patterns/metered_patterns.h"

enum { KMEANS_ITERATIONS = 15, TRAJECTORIES_A_CLUSTER = 10 };

static void *take(char *base, size_t *used, size_t bytes)
{
	size_t at = *used;

	*used = (at + bytes + 63) / 64 * 64;
	return base ? base + at : NULL;
}

static struct kmeans kmeans_of(const struct loop_b *b, uint32_t n)
{
	uint32_t k = n / TRAJECTORIES_A_CLUSTER;

	k = k < 1 ? 1 : k > b->options.clusters ? b->options.clusters : k;
	return (struct kmeans){
		.x = b->query,
		.x_row = b->learned->options.dim,
		.n = n,
		.k = k,
		.dim = b->learned->options.dim,
		.max_iterations = KMEANS_ITERATIONS,
		.seed = b->seed,
		.centres = b->centres,
		.assign = b->assign,
		.counts = b->counts,
	};
}

static size_t lay_out(struct loop_b *b)
{
	const struct loop_b_options *o = &b->options;
	const struct learned_options *l = &b->learned->options;
	const size_t vectors = (size_t)o->trajectories * l->dim * sizeof(float);
	size_t used = 0;

	b->query = take(b->arena, &used, vectors);
	b->gradient = take(b->arena, &used, vectors);
	b->reward = take(b->arena, &used, o->trajectories * sizeof(float));
	b->pattern = take(b->arena, &used, o->trajectories * sizeof(uint64_t));
	b->centres = take(b->arena, &used, (size_t)o->clusters * l->dim * sizeof(float));
	b->mean = take(b->arena, &used, b->learned->ewc.config.n * sizeof(float));
	b->assign = take(b->arena, &used, o->trajectories * sizeof(uint32_t));
	b->counts = take(b->arena, &used, o->clusters * sizeof(uint32_t));
	b->sum.weights = take(b->arena, &used, b->learned->ewc.config.n * sizeof(float));
	b->sum.count = take(b->arena, &used, l->layers * sizeof(uint32_t));
	b->scratch = take(b->arena, &used, b->scratch_bytes);
	return used;
}

int loop_b_init(struct loop_b *b, struct learned *l, const struct loop_b_options *o,
		const struct loop_b_metrics *m)
{
	const enum isa isa = l->options.isa;
	struct kmeans km;

	memset(b, 0, sizeof(*b));
	if (o->trajectories < 2 || !o->clusters || o->clusters > o->trajectories || !o->batch ||
	    o->clusters > l->ewc.config.n || !(o->sigma > 0) || !(o->rate > 0) ||
	    !(o->max_step > 0))
		return -EINVAL;
	b->options = *o;
	b->learned = l;
	b->seed = l->options.seed;
	if (m)
		b->metrics = *m;
	b->metrics.gradient.kernel = kernels_select("lora_base_gradient", isa);
	b->metrics.kmeans.kernel = kernels_select("matrix", isa);
	km = kmeans_of(b, o->trajectories);
	km.k = o->clusters;
	b->scratch_bytes = kmeans_scratch(&km);
	b->arena = aligned_alloc(64, lay_out(b));
	if (!b->arena)
		return -ENOMEM;
	lay_out(b);
	lora_base_clear(&l->base[0], &b->sum);
	return 0;
}

void loop_b_fini(struct loop_b *b)
{
	free(b->arena);
	b->arena = NULL;
}

/* splitmix64 */
static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* One number that is not finite would spoil a cycle, and the weights for good. */
static bool is_finite(const struct trajectory *t)
{
	float sum = t->query_scale + t->quality;

	for (uint32_t s = 0; s < t->nsteps; s++)
		sum += t->steps[s].scale + t->steps[s].reward;
	return isfinite(sum);
}

int loop_b_stage(struct loop_b *b, const struct trajectory *t)
{
	const uint32_t dim = b->learned->options.dim, most = b->options.trajectories;
	uint64_t at;

	if (t->dim != dim || !is_finite(t))
		return -EINVAL;
	at = b->offered++;
	if (at >= most)
		at = draw(&b->seed) % b->offered;
	if (at >= most)
		return 0;
	b->staged += b->staged < most;
	trajectory_read_query(t, b->query + at * dim);
	evolution_gradient_of(t, b->options.sigma, b->gradient + at * dim);
	b->reward[at] = t->quality;
	b->pattern[at] = t->pattern;
	return 0;
}

/* Under the lock: patterns found for requests get their due, then new ones come. */
static void change_patterns(struct loop_b *b, const struct kmeans *km, uint64_t now_ns,
			    struct loop_b_result *r)
{
	struct learned *l = b->learned;

	pthread_rwlock_wrlock(&l->patterns_lock);
	for (uint32_t i = 0; i < b->staged; i++)
		if (b->pattern[i]) /* one that is gone by now is no error */
			(void)pattern_store_use(l->patterns, b->pattern[i],
						learned_quality(b->reward[i]), now_ns);
	for (uint32_t c = 0; c < km->k; c++)
		if (km->counts[c])
			r->patterns_new +=
				!pattern_store_add(l->patterns, km->centres + (size_t)c * km->dim,
						   b->mean[c], km->counts[c], 0, now_ns, NULL);
	pthread_rwlock_unlock(&l->patterns_lock);
}

static int extract(struct loop_b *b, uint64_t now_ns, struct loop_b_result *r)
{
	const struct kmeans km = kmeans_of(b, b->staged);
	struct kmeans_result result;
	int err =
		metered_kmeans_run(&b->metrics.kmeans, &km, b->scratch, b->scratch_bytes, &result);

	if (err)
		return err;
	r->clusters = km.k;
	r->iterations = result.iterations;
	/* The mean quality of each cluster. */
	memset(b->mean, 0, km.k * sizeof(float));
	for (uint32_t i = 0; i < km.n; i++)
		b->mean[km.assign[i]] +=
			learned_quality(b->reward[i]) / (float)km.counts[km.assign[i]];
	for (uint32_t c = 0; c < km.k; c++)
		b->mean[c] = fminf(b->mean[c], 1);
	change_patterns(b, &km, now_ns, r);
	for (uint32_t c = 0; c < km.k; c++)
		if (km.counts[c]) /* a centre without length is no memory */
			(void)dream_graph_add(&b->learned->graph, km.centres + (size_t)c * km.dim,
					      b->mean[c], NULL);
	return 0;
}

static double norm2(const float *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	return sum;
}

static float step_rate(const struct loop_b *b, const float *gradient, size_t n)
{
	const double norm = sqrt(norm2(gradient, n));

	return norm * b->options.rate <= b->options.max_step ? b->options.rate
							     : (float)(b->options.max_step / norm);
}

/* The mean gradient of `rows` trajectories by the weights `base`, into b->mean. */
static int batch_gradient(struct loop_b *b, const struct lora_base *base, uint32_t from,
			  uint32_t rows)
{
	const uint32_t dim = b->learned->options.dim;
	const struct lora_base_signal s = {b->query + (size_t)from * dim,
					   b->gradient + (size_t)from * dim,
					   NULL,
					   dim,
					   dim,
					   rows,
					   1 / (float)rows};
	int err = 0;

	for (uint32_t layer = 0; layer < base->layers && !err; layer++)
		err = metered_lora_base_gradient(&b->metrics.gradient, base, layer, &s, &b->sum);
	memcpy(b->mean, b->sum.weights, b->learned->ewc.config.n * sizeof(float));
	lora_base_clear(base, &b->sum);
	return err;
}

static int constrain(struct loop_b *b, const struct lora_base *base)
{
	const size_t n = b->learned->ewc.config.n;
	PERFTOP_SCOPE(b->metrics.constrain.ns);

	perftop_add(b->metrics.constrain.flops, 4ull * n);
	perftop_add(b->metrics.constrain.bytes, ewc_constrain_bytes(n, 1));
	return ewc_apply(&b->learned->ewc, base->weights, b->mean);
}

static int observe(struct loop_b *b)
{
	const size_t n = b->learned->ewc.config.n;
	PERFTOP_SCOPE(b->metrics.fisher.ns);

	perftop_add(b->metrics.fisher.flops, 6ull * n);
	perftop_add(b->metrics.fisher.bytes, ewc_fisher_bytes(n, 1));
	return ewc_observe(&b->learned->ewc, b->mean);
}

/* Adds the time since *t and moves it on. */
static void lap(uint64_t *sum, uint64_t *t)
{
	uint64_t now = perftop_now_ns();

	*sum += now - *t;
	*t = now;
}

/* One batch: its gradient, what it tells about the task, and a step that respects earlier ones. */
static int learn_batch(struct loop_b *b, struct lora_base *base, uint32_t from, uint32_t rows,
		       struct loop_b_result *r)
{
	struct learned *l = b->learned;
	uint64_t t = perftop_now_ns();
	int err = batch_gradient(b, base, from, rows);
	float step;

	lap(&r->gradient_ns, &t);
	/* What is too large for Fisher information teaches nothing. */
	if (err || !(norm2(b->mean, l->ewc.config.n) <= FLT_MAX))
		return err;
	if (ewc_surprise(&l->ewc, b->mean) > b->options.surprise && l->ewc.observed > 10) {
		r->task_over = true;
		err = ewc_finish_task(&l->ewc, base->weights);
	}
	err = err ? err : observe(b);
	lap(&r->fisher_ns, &t);
	err = err ? err : constrain(b, base);
	lap(&r->constrain_ns, &t);
	step = step_rate(b, b->mean, l->ewc.config.n);
	for (size_t i = 0; i < l->ewc.config.n && !err; i++)
		base->weights[i] -= step * b->mean[i];
	lap(&r->update_ns, &t);
	return err;
}

static int learn(struct loop_b *b, struct loop_b_result *r)
{
	struct lora_base *next = learned_begin(b->learned);
	int err = 0;

	for (uint32_t from = 0; from < b->staged && !err; from += b->options.batch) {
		uint32_t left = b->staged - from;

		err = learn_batch(b, next, from, left < b->options.batch ? left : b->options.batch,
				  r);
	}
	if (!err)
		learned_publish(b->learned);
	return err;
}

int loop_b_cycle(struct loop_b *b, uint64_t now_ns, struct loop_b_result *r)
{
	uint64_t t = perftop_now_ns();
	int err;

	*r = (struct loop_b_result){.offered = b->offered, .trajectories = b->staged};
	if (b->staged < 2)
		return 0;
	err = extract(b, now_ns, r);
	lap(&r->extract_ns, &t);
	err = err ? err : learn(b, r);
	b->staged = 0;
	b->offered = 0;
	b->learned->cycles_b += !err;
	return err;
}
