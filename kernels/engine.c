/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c: `perftop engine`: memory, threads, signals. */
#include "kernels/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "kernels/engine_state.h"
#include "kernels/ordered.h"

#define PEAK_BUDGET_NS (5 * 1000 * 1000ull)

static void register_metrics(struct engine_metrics *m)
{
	m->response = perftop_hist("query.response", "ns", "from scheduled arrival to answer");
	m->service = perftop_hist("query.service", "ns", "time that a worker spent on a query");
	m->drain = perftop_hist("learner.drain", "ns", "draining the buffer and one learning step");
	m->loop_a = perftop_hist("learning.loop_a", "ns", "what learning adds to a request");
	m->completed = perftop_counter("query.completed", "", "queries answered");
	m->recorded =
		perftop_counter("trajectory.recorded", "", "trajectories put into the buffer");
	m->dropped = perftop_counter("trajectory.dropped", "", "lost because the buffer was full");
	m->drained = perftop_counter("trajectory.drained", "", "taken out by the learner");
	m->cas_attempts = perftop_counter("trajectory.cas_attempts", "", "tries to claim a slot");
	m->cas_failures = perftop_counter("trajectory.cas_failures", "", "lost to another writer");
	m->capacity = perftop_gauge("trajectory.capacity", "", "slots of the buffer");
	m->used = perftop_gauge("trajectory.used", "", "slots taken");
	m->peak = perftop_gauge("machine.peak_gflops_x1000", "",
				"f32 multiply-add peak of one core, in 1/1000 GFLOP/s");
	m->workers = perftop_gauge("engine.workers", "", "threads that serve");
	m->load = perftop_gauge("engine.load_qps", "/s", "queries a second asked for; 0: no limit");
	m->reward = perftop_gauge("learning.reward_x1000", "", "mean reward, in 1/1000");
}

static void choose_kernels(struct engine *e)
{
	enum isa isa = e->options.isa;

	metered_init(&e->metrics.attention, kernels_select("attention_flash", isa));
	metered_init(&e->metrics.lora_forward, kernels_select("micro_lora_forward", isa));
	metered_init(&e->metrics.lora_update, kernels_select("micro_lora_update", isa));
	e->weights = kernels_select("attention_weights", isa);
	e->quantize = kernels_select("quantize_i8", isa);
}

/* Hands out pieces of one block; with no block, only counts. */
static void *take(char *base, size_t *used, size_t bytes)
{
	size_t at = *used;

	*used = (at + bytes + 63) / 64 * 64;
	return base ? base + at : NULL;
}

/* Lays everything out in e->arena and returns its size; called first with none, to learn that. */
static size_t lay_out(struct engine *e, size_t *ring_at, size_t *shared_at)
{
	const struct engine_options *o = &e->options;
	const size_t floats = (size_t)o->heads * o->seq * o->dim, lora = ENGINE_RANK * ENGINE_DIM;
	struct lora *const loras[] = {&e->start, &e->teacher};
	struct attention a;
	char *m = e->arena;
	size_t used = 0;

	attention_set_packed(&a, o->heads, o->kv_heads, o->seq, o->seq, o->dim);
	e->worker = take(m, &used, o->workers * sizeof(*e->worker));
	for (uint32_t i = 0; i < o->workers; i++) {
		struct engine_worker none = {.index = i}, *w = m ? &e->worker[i] : &none;

		w->out = take(m, &used, floats * sizeof(float));
		w->weights = take(m, &used, o->seq * sizeof(float));
		w->scratch_bytes = attention_flash_scratch(&a);
		w->scratch = take(m, &used, w->scratch_bytes);
	}
	e->tokens = take(m, &used, (2 * floats + 64 * ENGINE_DIM) * sizeof(float));
	e->context = take(m, &used, 2 * floats * sizeof(float));
	e->noise = take(m, &used, ENGINE_NOISE * sizeof(float));
	for (int i = 0; i < 2; i++)
		*loras[i] = (struct lora){ENGINE_DIM,
					  ENGINE_DIM,
					  ENGINE_RANK,
					  1,
					  take(m, &used, lora * sizeof(float)),
					  take(m, &used, lora * sizeof(float))};
	e->gradient.a = take(m, &used, lora * sizeof(float));
	e->gradient.b = take(m, &used, lora * sizeof(float));
	*shared_at = used;
	take(m, &used, lora_shared_bytes(o->workers, ENGINE_DIM, ENGINE_DIM, ENGINE_RANK));
	*ring_at = used;
	take(m, &used, o->buffer * sizeof(struct trajectory_slot));
	return used;
}

static void fill(float *p, size_t n, float scale, uint64_t *seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = scale * (float)(2 * engine_random(seed) - 1);
}

static void make_data(struct engine *e)
{
	const struct engine_options *o = &e->options;
	const size_t floats = (size_t)o->heads * o->seq * o->dim;
	uint64_t seed = 0x9e3779b97f4a7c15ull;

	fill(e->tokens, 2 * floats + 64 * ENGINE_DIM, 0.5f, &seed);
	fill(e->context, 2 * floats, 1, &seed);
	/* Uniform noise of standard deviation sigma: half its width is sigma * sqrt(3). */
	fill(e->noise, ENGINE_NOISE, ENGINE_SIGMA * 1.7320508f, &seed);
	fill(e->start.a, ENGINE_DIM, 0.1f, &seed);
	fill(e->start.b, ENGINE_DIM, 0.1f, &seed);
	fill(e->teacher.a, ENGINE_DIM, 0.2f, &seed);
	fill(e->teacher.b, ENGINE_DIM, 0.5f, &seed);
	/* Half of the way is given, so that learning shows within seconds. */
	for (uint32_t d = 0; d < ENGINE_DIM; d++)
		e->start.a[d] += e->teacher.a[d] / 2;
	for (uint32_t i = 0; i < o->workers; i++) {
		e->worker[i].engine = e;
		e->worker[i].index = i;
		e->worker[i].seed = seed + 0x1234567 * (i + 1);
	}
}

static int engine_init(struct engine *e)
{
	const struct engine_options *o = &e->options;
	size_t ring_at, shared_at, bytes = lay_out(e, &ring_at, &shared_at);
	int err;

	e->arena = aligned_alloc(64, bytes);
	if (!e->arena)
		return -ENOMEM;
	/* Not the ring, whose pages come as they are used. */
	memset(e->arena, 0, ring_at);
	lay_out(e, &ring_at, &shared_at);
	make_data(e);
	choose_kernels(e);
	register_metrics(&e->metrics);
	err = lora_shared_init(&e->shared, o->workers, &e->start, (char *)e->arena + shared_at,
			       ring_at - shared_at);
	if (err)
		return err;
	err = trajectory_ring_init(&e->ring, (char *)e->arena + ring_at, bytes - ring_at);
	if (err)
		return err;
	perftop_set(e->metrics.capacity, (int64_t)e->ring.capacity);
	perftop_set(e->metrics.workers, o->workers);
	perftop_set(e->metrics.load, (int64_t)o->load_qps);
	perftop_set(e->metrics.peak,
		    (int64_t)(1000 * peak_measure_gflops(kernels_select("peak", o->isa)->run.peak,
							 PEAK_BUDGET_NS)));
	return 0;
}

static int start_threads(struct engine *e)
{
	int err = pthread_create(&e->learner, NULL, engine_learner_run, e);

	e->learner_started = !err;
	e->arrival_ns = perftop_now_ns();
	for (uint32_t i = 0; i < e->options.workers && !err; i++) {
		struct engine_worker *w = &e->worker[i];

		err = pthread_create(&w->thread, NULL, engine_worker_run, w);
		w->started = !err;
	}
	return -err;
}

/* Returns what a worker failed with, or NULL. */
static const char *stop_threads(struct engine *e)
{
	void *failure = NULL, *f;

	ordered_store_64(&e->stop, 1);
	for (uint32_t i = 0; i < e->options.workers; i++)
		if (e->worker[i].started && !pthread_join(e->worker[i].thread, &f) && f)
			failure = f;
	ordered_store_64(&e->stop_learner, 1);
	if (e->learner_started)
		pthread_join(e->learner, NULL);
	return failure;
}

/* Until the duration is over or a signal of set arrives. */
static void wait_for_end(const sigset_t *set, uint64_t duration_ns)
{
	const uint64_t end = perftop_now_ns() + duration_ns;

	for (;;) {
		uint64_t now = perftop_now_ns(), left = duration_ns ? end - now : 3600000000000ull;
		struct timespec ts;

		if (duration_ns && now >= end)
			return;
		ts.tv_sec = (time_t)(left / 1000000000u);
		ts.tv_nsec = (long)(left % 1000000000u);
		if (sigtimedwait(set, NULL, &ts) > 0)
			return;
	}
}

static void report(const struct engine *e)
{
	unsigned long long recorded = 0, dropped = 0;

	for (uint32_t i = 0; i < e->options.workers; i++) {
		recorded += e->worker[i].writer.recorded;
		dropped += e->worker[i].writer.dropped;
	}
	printf("engine served %llu recorded %llu dropped %llu\n", recorded + dropped, recorded,
	       dropped);
}

static int engine_run(struct engine *e, const sigset_t *set)
{
	const struct engine_options *o = &e->options;
	const char *failure;
	int err;

	if (o->verbose) {
		printf("engine pid %d workers %u load %g isa %s\n", (int)getpid(), o->workers,
		       o->load_qps, isa_name(e->metrics.attention.kernel->isa));
		fflush(stdout);
	}
	err = start_threads(e);
	if (!err)
		wait_for_end(set, o->duration_ns);
	failure = stop_threads(e);
	if (err)
		fprintf(stderr, "perftop engine: cannot start a thread: %s\n", strerror(-err));
	if (failure)
		fprintf(stderr, "perftop engine: %s\n", failure);
	if (o->verbose)
		report(e);
	return err || failure ? 1 : 0;
}

int engine_main(int argc, char **argv)
{
	struct engine *e = calloc(1, sizeof(*e));
	pid_t parent = getppid();
	sigset_t set, old;
	int status = 1, err;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* Before any thread, so that all inherit it and only wait_for_end takes them. */
	pthread_sigmask(SIG_BLOCK, &set, &old);
	if (!e) {
		fputs("perftop engine: out of memory\n", stderr);
		goto cleanup;
	}
	status = 2;
	if (engine_options_parse(&e->options, argc, argv))
		goto cleanup;
	status = 0;
	if (e->options.help) {
		engine_options_help();
		goto cleanup;
	}
	if (e->options.die_with_parent) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent) /* it died before we asked */
			goto cleanup;
	}
	status = 1;
	err = engine_init(e);
	if (err) {
		fprintf(stderr, "perftop engine: cannot set up: %s\n", strerror(-err));
		goto cleanup;
	}
	status = engine_run(e, &set);
cleanup:
	if (e)
		free(e->arena);
	free(e);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return status;
}
