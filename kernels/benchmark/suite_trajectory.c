/* SPDX-License-Identifier: Apache-2.0 */
/* suite_trajectory.c: recording steps, the buffer of trajectories, and writers that contend. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/kernels.h"
#include "kernels/ordered.h"
#include "kernels/trajectory/trajectory_ring.h"

#define SONA "SONA performance benchmarks, trajectory recording"

enum { DIM = TRAJECTORY_DIM, STEPS = TRAJECTORY_STEPS };

/* Records go into one slot after another, as they do in use: the next is as cold as a ring is long.
 */
struct record_work {
	struct trajectory *slots;
	uint64_t at, nslots;
	const float *x; /* query, then activations [STEPS][DIM] */
	float rewards[STEPS];
	struct trajectory_attention attention;
	struct trajectory full;
	quantize_fn *quantize;
	quantize_rows_fn *rows;
	float sum; /* what was read, so that it is */
};

static struct trajectory *next_slot(struct record_work *w)
{
	return &w->slots[w->at++ % w->nslots];
}

static int record_together(void *arg)
{
	struct record_work *w = arg;
	struct trajectory *t = next_slot(w);
	int err = trajectory_begin(t, w->quantize, w->at, w->x, DIM, 1);

	return err ? err
		   : trajectory_add_steps(t, w->rows, w->x + DIM, STEPS, &w->attention, w->rewards,
					  2);
}

static int record_step_by_step(void *arg)
{
	struct record_work *w = arg;
	struct trajectory *t = next_slot(w);
	int err = trajectory_begin(t, w->quantize, w->at, w->x, DIM, 1);

	for (uint32_t s = 0; s < STEPS && !err; s++)
		err = trajectory_add_step(t, w->quantize, w->x + (size_t)(s + 1) * DIM,
					  &w->attention, w->rewards[s], 2);
	return err;
}

static int copy_record(void *arg)
{
	struct record_work *w = arg;

	memcpy(next_slot(w), &w->full, sizeof(w->full));
	return 0;
}

/* What any recording has to do at least: read the floats, write the bytes. */
static int copy_and_read(void *arg)
{
	struct record_work *w = arg;
	float s[64] = {0};

	memcpy(next_slot(w), &w->full, sizeof(w->full));
	for (size_t i = 0; i < (size_t)(STEPS + 1) * DIM; i += 64)
		for (size_t l = 0; l < 64; l++)
			s[l] += w->x[i + l];
	for (size_t l = 0; l < 64; l++)
		w->sum += s[l];
	return 0;
}

static int record_init(struct benchmark *b, struct record_work *w, uint64_t nslots, enum isa isa)
{
	memset(w, 0, sizeof(*w));
	w->nslots = nslots;
	w->slots = benchmark_alloc(b, nslots * sizeof(*w->slots));
	w->x = benchmark_floats(b, (size_t)(STEPS + 1) * DIM);
	w->quantize = kernels_select("quantize_i8", isa)->run.quantize;
	w->rows = kernels_select("quantize_rows_i8", isa)->run.quantize_rows;
	return w->slots && w->x ? 0 : -ENOMEM;
}

static int record_targets(struct benchmark *b, const double *ns)
{
	char why[160];
	const struct benchmark_limit limits[] = {
		{"trajectory step, d=256, 8 heads", SONA, "< 10 us", 1e4, why},
		{"trajectory step, stretch", SONA, "< 5 us", 5e3, why},
		{"trajectory step, as published", SONA, "3.8 us", 3.8e3, why},
	};
	int err = 0;

	snprintf(why, sizeof(why),
		 "%zu bytes a step where floats take 9,216: int8 and the 8 "
		 "heaviest weights of each head",
		 sizeof(struct trajectory_step));
	for (int i = 0; i < 3 && !err; i++)
		err = benchmark_time_target(b, &limits[i], ns[1]);
	err = err ? err
		  : benchmark_target(b,
				     &(struct benchmark_target){
					     .name = "memory of a step, d=256, 8 heads",
					     .seed = SONA,
					     .target = "9,216 bytes",
					     .limit = 9216,
					     .measured = sizeof(struct trajectory_step),
					     .unit = "bytes",
					     .reason = "with 4 heads, published 5,120, as many"});
	return err ? err
		   : benchmark_target(b, &(struct benchmark_target){
						 .name = "trajectory step, d=512",
						 .seed = SONA,
						 .target = "< 10 us",
						 .limit = 10,
						 .measured = NAN,
						 .unit = "us",
						 .reason = "records hold up to 256 floats, the "
							   "engine's width"});
}

static int ratio_target(struct benchmark *b, uint64_t nslots, const double *ns)
{
	char name[64], why[200];

	snprintf(name, sizeof(name), "trajectory record, next of %llu slots",
		 (unsigned long long)nslots);
	snprintf(why, sizeof(why),
		 "%.2fx of a memcpy of the stored bytes with a read of the floats they are made "
		 "from, "
		 "four times as many",
		 ns[1] / ns[4]);
	return benchmark_target(
		b, &(struct benchmark_target){.name = name,
					      .seed = "goal of this engine",
					      .target = "<= 1.3x",
					      .limit = 1.3,
					      .measured = ns[1] / ns[3],
					      .unit = "x",
					      .baseline = "memcpy of the bytes it stores",
					      .reason = why});
}

static int record_contest(struct benchmark *b, uint64_t nslots)
{
	const enum isa isa = benchmark_isa(b);
	const struct benchmark_param params[] = {{"slots", NULL, (double)nslots}, {"D", NULL, DIM}};
	struct benchmark_case c[5];
	struct record_work w, scalar;
	double ns[5];
	int err = record_init(b, &w, nslots, isa);

	if (err)
		return err;
	scalar = w;
	scalar.quantize = quantize_i8_scalar;
	memset(c, 0, sizeof(c));
	c[0] = (struct benchmark_case){.name = "step by step",
				       .run = record_step_by_step,
				       .arg = &scalar,
				       .baseline = "textbook"};
	c[1] = (struct benchmark_case){
		.name = "steps together", .run = record_together, .isa = isa};
	c[2] = (struct benchmark_case){
		.name = "step by step", .run = record_step_by_step, .isa = isa};
	c[3] = (struct benchmark_case){
		.name = "memcpy of the bytes stored", .run = copy_record, .baseline = "memcpy"};
	c[4] = (struct benchmark_case){.name = "memcpy, and read of the floats",
				       .run = copy_and_read,
				       .baseline = "memcpy and read"};
	for (int i = 0; i < 5; i++) {
		c[i].arg = i ? &w : &scalar;
		c[i].ops = STEPS;
		c[i].bytes = sizeof(struct trajectory);
	}
	err = benchmark_contest(b, "record 10 steps", params, 2, c, 5, ns);
	err = err ? err : ratio_target(b, nslots, ns);
	if (!err && nslots == 1)
		err = record_targets(b, ns);
	benchmark_release(b);
	return err;
}

/* ---- the buffer ------------------------------------------------------------------------------ */

struct ring_work {
	struct trajectory_ring ring;
	struct trajectory_writer writer;
	struct trajectory record;
};

static int pass_through(void *arg)
{
	struct ring_work *w = arg;
	struct trajectory *t = trajectory_ring_claim(&w->ring, &w->writer);

	if (!t)
		return -ENOSPC;
	memcpy(t, &w->record, trajectory_bytes(&w->record));
	trajectory_ring_publish(&w->ring, &w->writer);
	if (!trajectory_ring_peek(&w->ring))
		return -EIO;
	trajectory_ring_release(&w->ring);
	return 0;
}

static int buffer_contest(struct benchmark *b)
{
	enum { SLOTS = 10000 };
	const uint32_t n = benchmark_quick(b) ? 16 : SLOTS;
	const size_t bytes = n * sizeof(struct trajectory_slot);
	void *storage = benchmark_alloc(b, bytes);
	struct ring_work empty, full;
	struct benchmark_case c[2];
	int err;

	if (!storage)
		return -ENOMEM;
	memset(&empty, 0, sizeof(empty));
	empty.record.nsteps = 0;
	err = trajectory_ring_init(&empty.ring, storage, bytes);
	full = empty;
	full.record.nsteps = STEPS;
	if (!err)
		err = trajectory_ring_init(&full.ring, benchmark_alloc(b, bytes), bytes);
	memset(c, 0, sizeof(c));
	c[0] = (struct benchmark_case){.name = "without steps", .run = pass_through, .arg = &empty};
	c[1] = (struct benchmark_case){.name = "with 10 steps", .run = pass_through, .arg = &full};
	err = err ? err : benchmark_contest(b, "buffer: record and drain", NULL, 0, c, 2, NULL);
	benchmark_release(b);
	return err;
}

/* ---- contention ------------------------------------------------------------------------------ */

enum { WRITERS = 4 };

struct contend {
	struct trajectory_ring ring;
	uint64_t pause_ns; /* a writer's, between records: its share of the rate; 0: none */
	uint64_t stop;
	struct contend_writer {
		struct contend *all;
		pthread_t thread;
		struct trajectory_writer w;
	} writer[WRITERS];
};

static void *write_on(void *arg)
{
	struct contend_writer *self = arg;

	while (!ordered_load_64(&self->all->stop)) {
		struct trajectory *t = trajectory_ring_claim(&self->all->ring, &self->w);

		if (t) {
			t->nsteps = 0;
			trajectory_ring_publish(&self->all->ring, &self->w);
		}
		if (self->all->pause_ns)
			nanosleep(&(struct timespec){0, (long)self->all->pause_ns}, NULL);
	}
	return NULL;
}

static int run_writers(struct contend *c, uint64_t duration_ns)
{
	const uint64_t end = perftop_now_ns() + duration_ns;
	uint32_t up = 0;
	int err = 0;

	for (; up < WRITERS && !err; up += !err) {
		c->writer[up].all = c;
		err = pthread_create(&c->writer[up].thread, NULL, write_on, &c->writer[up]);
	}
	while (perftop_now_ns() < end && !err)
		if (trajectory_ring_peek(&c->ring))
			trajectory_ring_release(&c->ring);
	ordered_store_64(&c->stop, 1);
	for (uint32_t i = 0; i < up; i++)
		pthread_join(c->writer[i].thread, NULL);
	return -err;
}

/* Failed CAS of all attempts, in percent; *rate: records a second. */
static int contention(struct benchmark *b, uint64_t pause_ns, double *pct, double *rate)
{
	const uint64_t duration_ns = benchmark_quick(b) ? 20000000 : 1500000000;
	const size_t bytes = 1024 * sizeof(struct trajectory_slot);
	struct contend *c = benchmark_alloc(b, sizeof(*c));
	void *storage = benchmark_alloc(b, bytes);
	uint64_t attempts = 0, failures = 0, recorded = 0;
	int err;

	if (!c || !storage)
		return -ENOMEM;
	c->pause_ns = pause_ns;
	err = trajectory_ring_init(&c->ring, storage, bytes);
	err = err ? err : run_writers(c, duration_ns);
	for (int i = 0; i < WRITERS; i++) {
		attempts += c->writer[i].w.cas_attempts;
		failures += c->writer[i].w.cas_failures;
		recorded += c->writer[i].w.recorded;
	}
	*pct = attempts ? 100.0 * (double)failures / (double)attempts : NAN;
	*rate = (double)recorded * 1e9 / (double)duration_ns;
	benchmark_release(b);
	return err;
}

static int contention_target(struct benchmark *b)
{
	double pct = NAN, rate = 0, most_pct = NAN, most_rate = 0;
	char why[200];
	/* Each of four writers a record every 0.1 ms at most: far above any rate of the engine. */
	int err = contention(b, 100000, &pct, &rate);

	err = err ? err : contention(b, 0, &most_pct, &most_rate);
	if (err)
		return err;
	snprintf(why, sizeof(why),
		 "%d writers, %.0f records a second in all; without a pause %.2g records a second "
		 "and "
		 "%.1f %%",
		 WRITERS, rate, most_rate, most_pct);
	return benchmark_target(b,
				&(struct benchmark_target){.name = "buffer contention: failed CAS",
							   .seed = SONA,
							   .target = "< 1 %",
							   .limit = 1,
							   .measured = pct,
							   .unit = "%",
							   .reason = why});
}

int suite_trajectory(struct benchmark *b)
{
	static const uint64_t slots[] = {1, 1024, 10000};
	const int n = benchmark_quick(b) ? 1 : 3;
	int err = 0;

	for (int i = 0; i < n && !err; i++)
		err = record_contest(b, slots[i]);
	err = err ? err : buffer_contest(b);
	return err ? err : contention_target(b);
}
