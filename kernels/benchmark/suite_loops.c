/* SPDX-License-Identifier: Apache-2.0 */
/* suite_loops.c: learning loops A, B and C, and what they cost the engine. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/benchmark/engine_memory.h"
#include "kernels/benchmark/query_cost.h"
#include "kernels/engine_state.h"

#define SONA_A "SONA performance benchmarks, loop A"
#define SONA_B "SONA performance benchmarks, loop B"
#define SONA_C "SONA performance benchmarks, loop C"

enum { DIM = ENGINE_DIM, STEPS = TRAJECTORY_STEPS, ROUNDS = 12 };

/* ---- loop A ---------------------------------------------------------------------------------- */

struct a_work {
	struct trajectory_ring ring;
	struct lora_shared micro;
	struct loop_a_shared shared;
	struct loop_a a;
	struct loop_a_request request;
	float rewards[STEPS];
	struct trajectory_attention attention;
};

static int on_inference(void *arg)
{
	struct a_work *w = arg;
	int err = loop_a_on_inference(&w->a, &w->request);

	if (trajectory_ring_peek(&w->ring))
		trajectory_ring_release(&w->ring);
	return err;
}

static int flush(void *arg)
{
	struct a_work *w = arg;

	w->a.gradient.count = 1;
	return loop_a_flush(&w->a) ? 0 : -EBUSY;
}

static int a_init(struct benchmark *b, struct a_work *w)
{
	const enum isa isa = benchmark_isa(b);
	const size_t shared = (lora_shared_bytes(1, DIM, DIM, 1) + 63) / 64 * 64;
	const size_t slots = 64 * sizeof(struct trajectory_slot);
	float *f = benchmark_floats(b, (STEPS + 5) * DIM);
	void *ring = benchmark_alloc(b, slots), *micro = benchmark_alloc(b, shared);
	struct lora start;
	int err;

	if (!f || !ring || !micro)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	start = (struct lora){DIM, DIM, 1, 1, f, f + DIM};
	err = trajectory_ring_init(&w->ring, ring, slots);
	err = err ? err : lora_shared_init(&w->micro, 1, &start, micro, shared);
	w->shared = (struct loop_a_shared){
		.ring = &w->ring,
		.micro = &w->micro,
		.quantize = kernels_select("quantize_i8", isa)->run.quantize,
		.quantize_rows = kernels_select("quantize_rows_i8", isa)->run.quantize_rows,
		.sigma = ENGINE_SIGMA,
		.rate = 1e-6f,
		.max_step = 1e-6f,
		.batch = 4,
	};
	w->shared.metrics.update.kernel = kernels_select("micro_lora_update", isa);
	w->a = (struct loop_a){.shared = &w->shared, .gradient = {f + 2 * DIM, f + 3 * DIM, 0}};
	for (int s = 0; s < STEPS; s++)
		w->rewards[s] = -0.01f * (float)(s + 1);
	w->request = (struct loop_a_request){.query = f + 4 * DIM,
					     .dim = DIM,
					     .steps = STEPS,
					     .answers = f + 5 * DIM,
					     .rewards = w->rewards,
					     .attention = &w->attention};
	return err;
}

static int loop_a(struct benchmark *b)
{
	const struct benchmark_param params[] = {{"D", NULL, DIM}, {"steps", NULL, STEPS}};
	struct benchmark_case c[2];
	double ns[2];
	struct a_work w;
	int err = a_init(b, &w);

	if (err)
		return err;
	memset(c, 0, sizeof(c));
	c[0] = (struct benchmark_case){.name = "on_inference", .run = on_inference, .arg = &w};
	c[1] = (struct benchmark_case){.name = "flush_updates", .run = flush, .arg = &w};
	c[0].isa = c[1].isa = benchmark_isa(b);
	err = benchmark_contest(b, "loop A", params, 2, c, 2, ns);
	err = err ? err
		  : benchmark_time_target(b,
					  &(struct benchmark_limit){
						  "loop A, on_inference, as published", SONA_A,
						  "650 us", 650e3, "recording and accumulation"},
					  ns[0]);
	err = err ? err
		  : benchmark_time_target(
			    b,
			    &(struct benchmark_limit){"loop A, flush_updates, as published", SONA_A,
						      "120 us", 120e3,
						      "a step of micro-LoRA, published"},
			    ns[1]);
	err = err ? err
		  : benchmark_time_target(b,
					  &(struct benchmark_limit){"loop A, both, as published",
								    SONA_A, "770 us", 770e3, NULL},
					  ns[0] + ns[1]);
	return err ? err
		   : benchmark_time_target(b,
					   &(struct benchmark_limit){"loop A, both", SONA_A,
								     "< 1 ms", 1e6, NULL},
					   ns[0] + ns[1]);
}

/* ---- loops B and C --------------------------------------------------------------------------- */

static int add_phase(struct benchmark *b, const char *name, double *ns, uint32_t n)
{
	return benchmark_add_samples(b, name, NULL, 0, ns, n);
}

struct phases {
	double all[ROUNDS], phase[5][ROUNDS];
};

/* Trajectories of queries that come from topics, with answers that differ by noise. */
static int make_trajectories(struct benchmark *b, struct trajectory *t, uint32_t n)
{
	const float *f = benchmark_floats(b, 64 * DIM), *noise = benchmark_floats(b, 1 << 16);
	float rewards[STEPS];

	if (!f || !noise)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		float x[DIM], y[STEPS * DIM];

		for (uint32_t d = 0; d < DIM; d++)
			x[d] = f[(i % 64) * DIM + d] + 0.5f * noise[(i * 37 + d) % (1 << 16)];
		for (uint32_t d = 0; d < STEPS * DIM; d++)
			y[d] = 0.1f * noise[(i * 91 + d) % (1 << 16)];
		for (uint32_t s = 0; s < STEPS; s++)
			rewards[s] = 0.01f * noise[(i * STEPS + s) % (1 << 16)] - 0.02f;
		trajectory_begin(&t[i], quantize_i8_scalar, i, x, DIM, i);
		trajectory_add_steps(&t[i], quantize_rows_i8_scalar, y, STEPS, NULL, rewards, i);
		t[i].quality = -0.02f;
	}
	return 0;
}

static int run_b(struct loop_b *lb, const struct trajectory *t, uint32_t n, struct phases *p,
		 uint32_t round)
{
	const uint64_t start = perftop_now_ns();
	struct loop_b_result r;
	uint64_t staged;
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++)
		err = loop_b_stage(lb, &t[i]);
	staged = perftop_now_ns();
	err = err ? err : loop_b_cycle(lb, start, &r);
	if (err)
		return err;
	p->all[round] = (double)(perftop_now_ns() - start);
	p->phase[0][round] = (double)(staged - start);
	p->phase[1][round] = (double)r.extract_ns;
	p->phase[2][round] = (double)r.gradient_ns;
	p->phase[3][round] = (double)r.constrain_ns + (double)r.update_ns;
	p->phase[4][round] = (double)r.fisher_ns;
	return 0;
}

static int report_b(struct benchmark *b, struct phases *p, uint32_t rounds, double *cycle_ns)
{
	static const char *const names[] = {"loop B: ingestion", "loop B: pattern extraction",
					    "loop B: gradients", "loop B: EWC++ constraint, update",
					    "loop B: Fisher update"};
	static const struct benchmark_limit limits[] = {
		{"loop B, cycle of 1000 trajectories", SONA_B, "< 30 s", 30e9, NULL},
		{"loop B, stretch", SONA_B, "< 15 s", 15e9, NULL},
		{"loop B, as published", SONA_B, "25 s", 25e9, NULL},
	};
	int err = 0;

	for (int i = 0; i < 5 && !err; i++)
		err = add_phase(b, names[i], p->phase[i], rounds);
	err = err ? err : add_phase(b, "loop B: cycle of 1000 trajectories", p->all, rounds);
	*cycle_ns = err ? NAN : benchmark_quantile_ns(b, 0, 0.5);
	for (int i = 0; i < 3 && !err; i++)
		err = benchmark_time_target(b, &limits[i], *cycle_ns);
	return err;
}

static int loop_b(struct benchmark *b, struct learned *l, double *cycle_ns)
{
	const uint32_t n = benchmark_quick(b) ? 40 : 1000, rounds = benchmark_quick(b) ? 2 : ROUNDS;
	struct trajectory *t = benchmark_alloc(b, n * sizeof(*t));
	struct loop_b_options o = LOOP_B_OPTIONS_DEFAULT;
	struct phases p = {{0}, {{0}}};
	struct loop_b lb;
	int err = t ? make_trajectories(b, t, n) : -ENOMEM;

	err = err ? err : loop_b_init(&lb, l, &o, NULL);
	if (err)
		return err;
	for (uint32_t i = 0; i < rounds && !err; i++)
		err = run_b(&lb, t, n, &p, i);
	loop_b_fini(&lb);
	return err ? err : report_b(b, &p, rounds, cycle_ns);
}

static int fill_memories(struct benchmark *b, struct learned *l)
{
	const float *f = benchmark_floats(b, 1 << 16);

	if (!f)
		return -ENOMEM;
	while (l->graph.count < l->options.memories) {
		const uint32_t i = l->graph.count;
		uint32_t ids[4], n = 0;
		float x[DIM];
		int err;

		for (uint32_t d = 0; d < DIM; d++)
			x[d] = f[(i % 500) * 97 + d] + 0.7f * f[(i * 61 + d) % 60000];
		for (; n < 4 && (n + 1) * 500 <= i; n++)
			ids[n] = i - (n + 1) * 500;
		err = dream_graph_put(&l->graph, x, fabsf(f[i % 60000]), ids, n, NULL);
		if (err)
			return err;
	}
	return 0;
}

static int run_c(struct learned *l, uint64_t *seed, struct phases *p, uint32_t round)
{
	const struct loop_c_options o = LOOP_C_OPTIONS_DEFAULT;
	const uint64_t start = perftop_now_ns();
	struct loop_c_result r;
	int err = ewc_observe(&l->ewc, learned_current(l)->weights); /* a task to consolidate */

	err = err ? err : loop_c_cycle(l, &o, seed, start, &r);
	if (err)
		return err;
	p->all[round] = (double)(perftop_now_ns() - start);
	p->phase[0][round] = (double)r.dream_ns;
	p->phase[1][round] = (double)r.phi_ns;
	p->phase[2][round] = (double)r.integrate_ns;
	p->phase[3][round] = (double)r.memory_ns;
	p->phase[4][round] = (double)r.ewc_ns;
	return 0;
}

static int loop_c(struct benchmark *b, struct learned *l)
{
	static const char *const names[] = {"loop C: 50 dreams", "loop C: novelty and phi",
					    "loop C: integration", "loop C: consolidating memory",
					    "loop C: consolidating EWC++"};
	static const struct benchmark_limit limits[] = {
		{"loop C, cycle of 50 dreams, 50,000 memories", SONA_C, "< 10 min", 600e9, NULL},
		{"loop C, stretch", SONA_C, "< 5 min", 300e9, NULL},
	};
	const uint32_t rounds = benchmark_quick(b) ? 2 : ROUNDS;
	struct phases p = {{0}, {{0}}};
	uint64_t seed = 9;
	int err = fill_memories(b, l);

	for (uint32_t i = 0; i < rounds && !err; i++)
		err = run_c(l, &seed, &p, i);
	for (int i = 0; i < 5 && !err; i++)
		err = add_phase(b, names[i], p.phase[i], rounds);
	err = err ? err : add_phase(b, "loop C: cycle of 50 dreams", p.all, rounds);
	for (int i = 0; i < 2 && !err; i++)
		err = benchmark_time_target(b, &limits[i], benchmark_quantile_ns(b, 0, 0.5));
	return err;
}

/* ---- what was learned, on disk --------------------------------------------------------------- */

struct keep_work {
	struct learned *l;
	struct lora micro;
	char folder[240];
};

static int save_all(void *arg)
{
	struct keep_work *w = arg;

	return learned_save(w->l, &w->micro, w->folder);
}

static int load_all(void *arg)
{
	struct keep_work *w = arg;
	struct learned l;
	const char *file;
	int err = learned_init(&l, &w->l->options);

	if (err)
		return err;
	err = learned_load(&l, &w->micro, w->folder, &file);
	if (!err && l.graph.count != w->l->graph.count)
		err = -EBADMSG;
	learned_fini(&l);
	return err;
}

/* Signals that end the program wait meanwhile, so that no file is left behind. */
static int keep_contest(struct benchmark *b, struct keep_work *w)
{
	const struct benchmark_case save = {
		.name = "learned_save", .isa = ISA_COUNT, .run = save_all, .arg = w, .once = true};
	const struct benchmark_case load = {
		.name = "learned_load", .isa = ISA_COUNT, .run = load_all, .arg = w, .once = true};
	static const char *const files[] = {LEARNED_FILE, LEARNED_PATTERNS};
	sigset_t ending, old;
	char path[300];
	int err;

	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &ending, &old);
	err = mkdtemp(w->folder) ? 0 : -errno;
	if (!err) {
		err = benchmark_contest(b, "saving what was learned", NULL, 0, &save, 1, NULL);
		if (!err)
			err = benchmark_contest(b, "taking up what was learned", NULL, 0, &load, 1,
						NULL);
		for (int i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "%s/%s", w->folder, files[i]);
			unlink(path);
		}
		rmdir(w->folder);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

static int keeping(struct benchmark *b, struct learned *l)
{
	const char *folder = getenv("TMPDIR");
	struct keep_work w = {.l = l, .micro = {DIM, DIM, 1, 1, NULL, NULL}};

	w.micro.a = benchmark_floats(b, DIM);
	w.micro.b = benchmark_floats(b, DIM);
	if (!w.micro.a || !w.micro.b)
		return -ENOMEM;
	snprintf(w.folder, sizeof(w.folder), "%.200s/perftop-learned.XXXXXX",
		 folder && *folder ? folder : "/tmp");
	return keep_contest(b, &w);
}

static int slow_loops(struct benchmark *b, double *b_cycle_ns)
{
	struct learned_options o = {DIM, ENGINE_BASE_RANK, 1, 1, ENGINE_PATTERNS, 50000,
				    1,	 benchmark_isa(b)};
	struct learned l;
	int err;

	if (benchmark_quick(b))
		o.memories = 600;
	err = learned_init(&l, &o);
	if (err)
		return err;
	err = loop_b(b, &l, b_cycle_ns);
	err = err ? err : loop_c(b, &l);
	err = err ? err : keeping(b, &l);
	learned_fini(&l);
	return err;
}

int suite_loops(struct benchmark *b)
{
	double b_cycle_ns = NAN;
	int err = loop_a(b);

	benchmark_release(b);
	err = err ? err : slow_loops(b, &b_cycle_ns);
	benchmark_release(b);
	err = err ? err : query_cost(b, b_cycle_ns);
	return err ? err : engine_memory(b);
}
