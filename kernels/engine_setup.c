/* SPDX-License-Identifier: Apache-2.0 */
/* engine_setup.c: the engine's memory, data, metrics and state, before any thread. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/engine_state.h"

#define PEAK_BUDGET_NS (5 * 1000 * 1000ull)
#define RING_AT_ONCE   ((size_t)16 << 20)
/* Of the peak, which kernels reach to some 0.8: about a third of the CPUs' time. */
#define LOAD_SHARE 0.25
#define LOAD_MOST  500.0

/*
 * Down the mean gradient, by at most MAX_STEP: a gradient from a few samples in 256 dimensions is
 * mostly noise. Stable below 2 / (var(x) |B|^2), about 1 for the data of make_data(); one in a
 * hundred of it lets the noise average out, and rewards level off after half a minute at 500 QPS.
 */
#define RATE	 0.01f
#define MAX_STEP 0.02f
#define BATCH	 4

static void register_learning(struct engine_metrics *m)
{
	m->loop_a = perftop_hist("learning.loop_a", "ns", "what learning adds to a request");
	m->loop_b = perftop_hist("learning.loop_b", "ns", "one background cycle");
	m->loop_c = perftop_hist("learning.loop_c", "ns", "one deep cycle");
	m->save = perftop_hist("learning.save", "ns", "writing what was learned to disk");
	m->a.updates = perftop_counter("learning.updates", "", "steps of micro-LoRA");
	m->searches = perftop_counter("pattern.searches", "", "queries that looked for patterns");
	m->skipped = perftop_counter("pattern.skipped", "",
				     "that did not, since the learner was changing them");
	m->found = perftop_counter("pattern.found", "", "queries that found one");
	m->dreams = perftop_counter("dream.made", "", "dreams");
	m->dreams_kept = perftop_counter("dream.kept", "", "novel and of one piece");
	m->links = perftop_counter("dream.links", "", "associations that dreams left");
	m->save_failures = perftop_counter("learning.save_failures", "", "states not written");
	m->reward = perftop_gauge("learning.reward_x1000", "", "mean reward, in 1/1000");
	m->patterns = perftop_gauge("pattern.count", "", "patterns in the store");
	m->memories = perftop_gauge("memory.nodes", "", "memories that dreams walk over");
	m->tasks = perftop_gauge("ewc.tasks", "", "tasks finished");
	m->staged = perftop_gauge("learning.staged", "", "trajectories that wait for loop B");
}

static void register_metrics(struct engine_metrics *m)
{
	m->response = perftop_hist("query.response", "ns", "from scheduled arrival to answer");
	m->service = perftop_hist("query.service", "ns", "time that a worker spent on a query");
	m->drain = perftop_hist("learner.drain", "ns", "draining the buffer");
	m->completed = perftop_counter("query.completed", "", "queries answered");
	m->a.recorded =
		perftop_counter("trajectory.recorded", "", "trajectories put into the buffer");
	m->a.dropped =
		perftop_counter("trajectory.dropped", "", "lost because the buffer was full");
	m->drained = perftop_counter("trajectory.drained", "", "taken out by the learner");
	m->a.cas_attempts = perftop_counter("trajectory.cas_attempts", "", "tries to claim a slot");
	m->a.cas_failures =
		perftop_counter("trajectory.cas_failures", "", "lost to another writer");
	m->capacity = perftop_gauge("trajectory.capacity", "", "slots of the buffer");
	m->used = perftop_gauge("trajectory.used", "", "slots taken");
	m->peak = perftop_gauge("machine.peak_gflops_x1000", "",
				"f32 multiply-add peak of one core, in 1/1000 GFLOP/s");
	m->workers = perftop_gauge("engine.workers", "", "threads that serve");
	m->load = perftop_gauge("engine.load_qps", "/s", "queries a second asked for; 0: no limit");
	register_learning(m);
}

static void choose_kernels(struct engine *e)
{
	struct engine_metrics *m = &e->metrics;
	enum isa isa = e->options.isa;

	metered_init(&m->attention, kernels_select("attention_flash", isa));
	metered_init(&m->lora_forward, kernels_select("micro_lora_forward", isa));
	metered_init(&m->a.update, kernels_select("micro_lora_update", isa));
	if (e->options.learning != ENGINE_LEARN_FULL)
		return;
	metered_init(&m->base_forward, kernels_select("lora_base_forward", isa));
	metered_init(&m->b.gradient, kernels_select("lora_base_gradient", isa));
	metered_init(&m->b.fisher, kernels_select("ewc_fisher", isa));
	metered_init(&m->b.constrain, kernels_select("ewc_constrain", isa));
	metered_init_as(&m->b.kmeans, "kmeans", kernels_select("matrix", isa));
	metered_init_as(&m->pattern_search, "pattern_search", kernels_select("distance_l2", isa));
}

/* Hands out pieces of one block; with no block, only counts. */
static void *take(char *base, size_t *used, size_t bytes)
{
	size_t at = *used;

	*used = (at + bytes + 63) / 64 * 64;
	return base ? base + at : NULL;
}

static void lay_out_worker(struct engine *e, struct engine_worker *w, size_t *used)
{
	const struct engine_options *o = &e->options;
	const size_t lora = ENGINE_RANK * ENGINE_DIM * sizeof(float);
	struct attention a;

	attention_set_packed(&a, o->heads, o->kv_heads, o->seq, o->seq, o->dim);
	w->out = take(e->arena, used, (size_t)o->heads * o->seq * o->dim * sizeof(float));
	w->weights = take(e->arena, used, (size_t)o->heads * o->seq * sizeof(float));
	w->scratch_bytes = attention_flash_scratch(&a);
	w->scratch = take(e->arena, used, w->scratch_bytes);
	w->a.gradient.a = take(e->arena, used, lora);
	w->a.gradient.b = take(e->arena, used, lora);
}

/* Lays everything out in e->arena and returns its size; called first with none, to learn that. */
static size_t lay_out(struct engine *e, size_t *ring_at, size_t *shared_at)
{
	const struct engine_options *o = &e->options;
	const size_t floats = (size_t)o->heads * o->seq * o->dim, lora = ENGINE_RANK * ENGINE_DIM;
	struct lora *const loras[] = {&e->start, &e->teacher};
	char *m = e->arena;
	size_t used = 0;

	e->worker = take(m, &used, o->workers * sizeof(*e->worker));
	for (uint32_t i = 0; i < o->workers; i++) {
		struct engine_worker none = {.index = i};

		lay_out_worker(e, m ? &e->worker[i] : &none, &used);
	}
	e->tokens = take(m, &used, 2 * floats * sizeof(float));
	e->queries = take(m, &used, (size_t)ENGINE_QUERIES * ENGINE_DIM * sizeof(float));
	e->context = take(m, &used, 2 * floats * sizeof(float));
	e->noise = take(m, &used, ENGINE_NOISE * sizeof(float));
	for (int i = 0; i < 2; i++)
		*loras[i] = (struct lora){ENGINE_DIM,
					  ENGINE_DIM,
					  ENGINE_RANK,
					  1,
					  take(m, &used, lora * sizeof(float)),
					  take(m, &used, lora * sizeof(float))};
	*shared_at = used;
	/* The learner reads them too, to save them. */
	take(m, &used, lora_shared_bytes(o->workers + 1, ENGINE_DIM, ENGINE_DIM, ENGINE_RANK));
	*ring_at = used;
	take(m, &used, o->buffer * sizeof(struct trajectory_slot));
	return used;
}

static void fill(float *p, size_t n, float scale, uint64_t *seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = scale * (float)(2 * engine_random(seed) - 1);
}

/*
 * Queries come from topics, and topics from fewer fields, as they do in life: so there are patterns
 * to find, and memories that have something in common across them. Each float has the variance of
 * one that is uniform in [-0.5, 0.5].
 */
static void make_queries(struct engine *e, uint64_t *seed)
{
	enum { FIELDS = 8, TOPICS = 64 };
	static const float share[] = {0.5f, 0.4f, 0.76811f}; /* their squares add up to 1 */
	float field[FIELDS][ENGINE_DIM], topic[ENGINE_DIM];

	fill(field[0], FIELDS * ENGINE_DIM, 0.5f, seed);
	for (uint32_t q = 0; q < ENGINE_QUERIES; q++) {
		float *x = e->queries + (size_t)q * ENGINE_DIM;
		uint64_t topic_seed = 1 + q % TOPICS;

		fill(topic, ENGINE_DIM, 0.5f, &topic_seed);
		fill(x, ENGINE_DIM, 0.5f, seed);
		for (uint32_t d = 0; d < ENGINE_DIM; d++)
			x[d] = share[0] * field[q % FIELDS][d] + share[1] * topic[d] +
			       share[2] * x[d];
	}
}

static void make_data(struct engine *e)
{
	const struct engine_options *o = &e->options;
	const size_t floats = (size_t)o->heads * o->seq * o->dim;
	uint64_t seed = 0x9e3779b97f4a7c15ull;

	fill(e->tokens, 2 * floats, 0.5f, &seed);
	make_queries(e, &seed);
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

static int fail(const char *what, int err)
{
	fprintf(stderr, "perftop engine: cannot set up %s: %s\n", what, strerror(-err));
	return 1;
}

/* The folder, and the right to use it: two engines would overwrite each other's state. */
static int open_folder(struct engine *e)
{
	const char *folder = e->options.state;
	char path[PATH_MAX];

	if (mkdir(folder, 0700) && errno != EEXIST)
		goto failed;
	if (snprintf(path, sizeof(path), "%s/lock", folder) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		goto failed;
	}
	e->state_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (e->state_fd < 0)
		goto failed;
	if (!flock(e->state_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK) {
		fprintf(stderr, "perftop engine: --state %s: another engine uses it\n", folder);
		return 1;
	}
failed:
	fprintf(stderr,
		"perftop engine: --state %s: %s; name a folder in one that you can write to\n",
		folder, strerror(errno));
	return 1;
}

static int set_aside(const char *folder, const char *file, const char *why)
{
	char kept[PATH_MAX];
	int err = learned_set_aside(folder, file, kept, sizeof(kept));

	if (err)
		fprintf(stderr, "perftop engine: %s/%s cannot be set aside: %s\n", folder, file,
			strerror(-err));
	else
		fprintf(stderr, "perftop engine: %s/%s %s; it is kept as %s\n", folder, file, why,
			kept);
	return err ? 1 : 0;
}

/* Until all that is there is loaded or, when told to, set aside. */
static int load_state(struct engine *e)
{
	const char *folder = e->options.state, *file, *why;
	int err;

	while ((err = learned_load(&e->learned, &e->start, folder, &file))) {
		why = err == -EPROTO ? "is of another version or shape" : "is damaged";
		if (err != -EBADMSG && err != -EPROTO) {
			fprintf(stderr, "perftop engine: %s/%s: %s\n", folder, file,
				strerror(-err));
			return 1;
		}
		if (!e->options.state_fresh) {
			fprintf(stderr,
				"perftop engine: %s/%s %s; nothing was changed. "
				"--state-fresh sets it aside and begins anew\n",
				folder, file, why);
			return 1;
		}
		if (set_aside(folder, file, why))
			return 1;
	}
	return 0;
}

static int init_learning(struct engine *e)
{
	const struct engine_options *o = &e->options;
	const struct learned_options options = {
		ENGINE_DIM,	 ENGINE_BASE_RANK, 1,	   o->workers,
		ENGINE_PATTERNS, ENGINE_MEMORIES,  0x5eed, o->isa};
	struct loop_b_options b = LOOP_B_OPTIONS_DEFAULT;
	int err = learned_init(&e->learned, &options);

	if (err)
		return fail("what is learned", err);
	b.sigma = ENGINE_SIGMA;
	err = loop_b_init(&e->loop_b, &e->learned, &b, &e->metrics.b);
	if (err)
		return fail("loop B", err);
	if (o->state && (open_folder(e) || load_state(e)))
		return 1;
	for (uint32_t i = 0; i < o->workers; i++) {
		e->worker[i].searcher = pattern_searcher_new(e->learned.patterns);
		if (!e->worker[i].searcher)
			return fail("a search for patterns", -ENOMEM);
	}
	return 0;
}

static void init_loop_a(struct engine *e)
{
	e->loop_a = (struct loop_a_shared){
		.ring = &e->ring,
		.micro = &e->shared,
		.quantize = kernels_select("quantize_i8", e->options.isa)->run.quantize,
		.quantize_rows =
			kernels_select("quantize_rows_i8", e->options.isa)->run.quantize_rows,
		.metrics = e->metrics.a,
		.sigma = ENGINE_SIGMA,
		.rate = RATE,
		.max_step = MAX_STEP,
		.batch = BATCH,
	};
	for (uint32_t i = 0; i < e->options.workers; i++) {
		e->worker[i].a.shared = &e->loop_a;
		e->worker[i].a.reader = i;
	}
}

/* So many queries a second that attention takes LOAD_SHARE of the workers' CPUs at their peak. */
static double bearable_load(const struct engine_options *o, double peak_gflops)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	double workers = cpus > 0 && o->workers > (unsigned long)cpus ? (double)cpus : o->workers;
	struct attention a;
	double qps;

	attention_set_packed(&a, o->heads, o->kv_heads, o->seq, o->seq, o->dim);
	a.causal = o->causal;
	qps = floor(LOAD_SHARE * peak_gflops * 1e9 * workers / (double)attention_flops(&a));
	return qps < 1 ? 1 : qps > LOAD_MOST ? LOAD_MOST : qps;
}

static void show_options(struct engine *e)
{
	struct engine_options *o = &e->options;
	double peak = peak_measure_gflops(kernels_select("peak", o->isa)->run.peak, PEAK_BUDGET_NS);

	if (o->load_qps < 0)
		o->load_qps = bearable_load(o, peak);
	perftop_set(e->metrics.capacity, (int64_t)e->ring.capacity);
	perftop_set(e->metrics.workers, o->workers);
	perftop_set(e->metrics.load, (int64_t)o->load_qps);
	perftop_set(e->metrics.peak, (int64_t)(1000 * peak));
}

int engine_init(struct engine *e)
{
	const struct engine_options *o = &e->options;
	size_t ring_at, shared_at, bytes = lay_out(e, &ring_at, &shared_at);
	int err;

	e->state_fd = -1;
	e->arena = aligned_alloc(64, bytes);
	if (!e->arena)
		return fail("memory", -ENOMEM);
	/* So that no query waits for a page. A ring so long that few use all of it gets its own as
	 * it is used. */
	memset(e->arena, 0, bytes - ring_at <= RING_AT_ONCE ? bytes : ring_at);
	lay_out(e, &ring_at, &shared_at);
	make_data(e);
	choose_kernels(e);
	register_metrics(&e->metrics);
	if (o->learning != ENGINE_LEARN_NONE && init_learning(e))
		return 1;
	err = lora_shared_init(&e->shared, o->workers + 1, &e->start, (char *)e->arena + shared_at,
			       ring_at - shared_at);
	err = err ? err
		  : trajectory_ring_init(&e->ring, (char *)e->arena + ring_at, bytes - ring_at);
	if (err)
		return fail("the buffer", err);
	init_loop_a(e);
	show_options(e);
	return 0;
}

void engine_fini(struct engine *e)
{
	for (uint32_t i = 0; e->arena && i < e->options.workers; i++)
		pattern_searcher_free(e->worker[i].searcher);
	loop_b_fini(&e->loop_b);
	learned_fini(&e->learned);
	if (e->arena && e->state_fd >= 0)
		close(e->state_fd);
	free(e->arena);
	e->arena = NULL;
}
