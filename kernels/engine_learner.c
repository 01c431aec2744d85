/* SPDX-License-Identifier: Apache-2.0 */
/* engine_learner.c: the thread that drains trajectories and runs the slow loops. */
#include <string.h>
#include <time.h>

#include "kernels/engine_state.h"
#include "kernels/ordered.h"

/* A pause is cut into these, so that stopping does not wait for a long one. */
#define NAP_NS (20 * 1000 * 1000ull)

struct learner {
	struct engine *engine;
	double reward; /* a running mean over about the last 16 drains */
	bool any;
	uint64_t seed;	       /* of dreams */
	uint64_t b_due, c_due; /* when the next cycles are */
};

/* All that is there now. */
static void drain(struct learner *l)
{
	struct engine *e = l->engine;
	const uint64_t start = perftop_now_ns(), most = e->ring.capacity;
	const struct trajectory *t;
	double reward = 0;
	uint64_t n = 0;

	for (; n < most && (t = trajectory_ring_peek(&e->ring)); n++) {
		reward += t->quality;
		if (e->options.learning == ENGINE_LEARN_FULL)
			loop_b_stage(&e->loop_b, t);
		trajectory_ring_release(&e->ring);
	}
	perftop_set(e->metrics.used, (int64_t)trajectory_ring_used(&e->ring));
	if (!n)
		return;
	perftop_add(e->metrics.drained, n);
	perftop_record(e->metrics.drain, perftop_now_ns() - start);
	reward /= (double)n;
	l->reward = l->any ? l->reward + (reward - l->reward) / 16 : reward;
	l->any = true;
	perftop_set(e->metrics.reward, (int64_t)(l->reward * 1000));
	perftop_set(e->metrics.staged, e->loop_b.staged);
}

static void show_learned(const struct engine *e)
{
	const struct engine_metrics *m = &e->metrics;

	perftop_set(m->patterns, pattern_store_count(e->learned.patterns));
	perftop_set(m->memories, e->learned.graph.count);
	perftop_set(m->tasks, (int64_t)e->learned.ewc.finished);
}

/* The learner is the last of the readers of micro-LoRA. */
static void save(struct engine *e)
{
	const uint32_t reader = e->options.workers;
	const uint64_t start = perftop_now_ns();
	int err;

	if (!e->options.state)
		return;
	err = learned_save(&e->learned, lora_shared_acquire(&e->shared, reader), e->options.state);
	lora_shared_release(&e->shared, reader);
	e->saves += !err;
	e->save_failures += err != 0;
	e->save_error = err;
	if (err) {
		e->last_save_error = err;
		perftop_inc(e->metrics.save_failures);
	} else {
		perftop_record(e->metrics.save, perftop_now_ns() - start);
	}
}

static void cycle_b(struct engine *e)
{
	const uint64_t start = perftop_now_ns();
	struct loop_b_result r;

	if (!loop_b_cycle(&e->loop_b, start, &r) && r.trajectories >= 2)
		perftop_record(e->metrics.loop_b, perftop_now_ns() - start);
	perftop_set(e->metrics.staged, e->loop_b.staged);
}

static void cycle_c(struct learner *l)
{
	struct engine *e = l->engine;
	const struct loop_c_options o = LOOP_C_OPTIONS_DEFAULT;
	const uint64_t start = perftop_now_ns();
	struct loop_c_result r;

	if (loop_c_cycle(&e->learned, &o, &l->seed, start, &r))
		return;
	perftop_record(e->metrics.loop_c, perftop_now_ns() - start);
	perftop_add(e->metrics.dreams, r.dreams);
	perftop_add(e->metrics.dreams_kept, r.kept);
	perftop_add(e->metrics.links, r.links);
}

/* The cycles that are due; the next ones count from now, so that none pile up. */
static void run_slow_loops(struct learner *l)
{
	struct engine *e = l->engine;
	uint64_t now = perftop_now_ns();
	bool b = now >= l->b_due, c = now >= l->c_due;

	if (e->options.learning != ENGINE_LEARN_FULL || !(b || c))
		return;
	if (b)
		cycle_b(e);
	if (c)
		cycle_c(l);
	show_learned(e);
	save(e);
	now = perftop_now_ns();
	if (b)
		l->b_due = now + e->options.loop_b_ns;
	if (c)
		l->c_due = now + e->options.loop_c_ns;
}

/* Sleeps in pieces, and keeps the gauge of the buffer fresh while it does. */
static void pause_for(const struct engine *e, uint64_t ns)
{
	const uint64_t end = perftop_now_ns() + ns;
	uint64_t now;

	while (!ordered_load_64(&e->stop_learner) && (now = perftop_now_ns()) < end) {
		uint64_t nap = end - now < NAP_NS ? end - now : NAP_NS;
		struct timespec ts = {(time_t)(nap / 1000000000u), (long)(nap % 1000000000u)};

		nanosleep(&ts, NULL);
		perftop_set(e->metrics.used, (int64_t)trajectory_ring_used(&e->ring));
	}
}

void *engine_learner_run(void *arg)
{
	struct engine *e = arg;
	uint64_t now = perftop_now_ns();
	struct learner l = {
		.engine = e,
		.seed = now,
		.b_due = now + e->options.loop_b_ns,
		.c_due = now + e->options.loop_c_ns,
	};
	bool last = false;

	/* Here, for it holds up nobody: queries are served, and the buffer has room. */
	engine_compare(e);
	while (!last) {
		last = ordered_load_64(&e->stop_learner);
		pause_for(e, e->options.drain_delay_ns);
		drain(&l);
		run_slow_loops(&l);
	}
	/* What the time since the last cycle has taught is not lost. */
	if (e->options.learning == ENGINE_LEARN_FULL)
		cycle_b(e);
	if (e->options.learning != ENGINE_LEARN_NONE)
		save(e);
	return NULL;
}
