/* SPDX-License-Identifier: Apache-2.0 */
/* loop_c.c: the deep loop. */
#include "kernels/loops/loop_c.h"

#include <errno.h>
#include <string.h>

#include "probes/perftop.h"

/* Patterns keep this much of their room, so that what comes next finds a place. */
#define FILL 0.75

static void lap(uint64_t *sum, uint64_t *t)
{
	uint64_t now = perftop_now_ns();

	*sum += now - *t;
	*t = now;
}

/* The middle of a dream as a pattern, of the quality of its memories. */
static void remember(struct learned *l, const struct dream *d, uint64_t now_ns)
{
	float middle[DREAM_MAX_DIM] = {0}, one[DREAM_MAX_DIM], quality = 0;

	for (uint32_t i = 0; i < d->length; i++) {
		dream_graph_read(&l->graph, d->path[i], one);
		for (uint32_t k = 0; k < l->graph.dim; k++)
			middle[k] += one[k];
		quality += l->graph.node[d->path[i]].importance / (float)d->length;
	}
	pthread_rwlock_wrlock(&l->patterns_lock);
	/* One without length, where memories cancel out, is no pattern. */
	(void)pattern_store_add(l->patterns, middle, quality, 1, LOOP_C_PATTERN_DREAM, now_ns,
				NULL);
	pthread_rwlock_unlock(&l->patterns_lock);
}

static int dream_once(struct learned *l, const struct loop_c_options *o, uint64_t *seed,
		      uint64_t now_ns, struct loop_c_result *r)
{
	uint64_t t = perftop_now_ns();
	struct dream_value v;
	struct dream d;
	int err = dream_walk(&l->graph, &o->dream, seed, &d);

	lap(&r->dream_ns, &t);
	err = err ? err : dream_evaluate(&l->graph, &o->dream, &d, &v);
	lap(&r->phi_ns, &t);
	if (err)
		return err;
	r->dreams++;
	r->novelty += v.novelty / (float)o->dreams;
	r->phi += v.phi / (float)o->dreams;
	if (v.kept) {
		int links = dream_integrate(&l->graph, &o->dream, &d, &v);

		r->kept++;
		r->links += links > 0 ? (uint32_t)links : 0;
		remember(l, &d, now_ns);
	}
	lap(&r->integrate_ns, &t);
	return 0;
}

static uint32_t consolidate_patterns(struct learned *l, const struct loop_c_options *o,
				     uint64_t now_ns)
{
	const uint32_t keep = (uint32_t)(FILL * l->options.patterns);
	int merged, pruned;

	pthread_rwlock_wrlock(&l->patterns_lock);
	merged = pattern_store_consolidate(l->patterns, o->same, now_ns);
	pruned = pattern_store_prune(l->patterns, keep ? keep : 1, 0, o->half_life_ns, now_ns);
	pthread_rwlock_unlock(&l->patterns_lock);
	return (uint32_t)((merged > 0 ? merged : 0) + (pruned > 0 ? pruned : 0));
}

int loop_c_cycle(struct learned *l, const struct loop_c_options *o, uint64_t *seed, uint64_t now_ns,
		 struct loop_c_result *r)
{
	uint64_t t;
	int err = 0;

	*r = (struct loop_c_result){0};
	for (uint32_t i = 0; i < o->dreams && !err && l->graph.count >= 2; i++)
		err = dream_once(l, o, seed, now_ns, r);
	t = perftop_now_ns();
	dream_graph_fade(&l->graph, o->fade);
	r->patterns_gone = consolidate_patterns(l, o, now_ns);
	lap(&r->memory_ns, &t);
	err = err ? err : ewc_finish_task(&l->ewc, learned_current(l)->weights);
	if (!err && l->ewc.ntasks == l->ewc.config.max_tasks)
		ewc_consolidate(&l->ewc);
	lap(&r->ewc_ns, &t);
	l->cycles_c += !err;
	l->dreams += r->dreams;
	l->dreams_kept += r->kept;
	return err;
}
