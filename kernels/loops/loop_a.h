/* SPDX-License-Identifier: Apache-2.0 */
/* loop_a.h: the instant loop: each request is recorded, and micro-LoRA learns from it at once. */
#ifndef KERNELS_LOOP_A_H
#define KERNELS_LOOP_A_H

#include <stdint.h>

#include "kernels/kernels.h"
#include "kernels/lora/lora_shared.h"
#include "kernels/trajectory/trajectory_ring.h"

/* Counted where they are registered; a zeroed handle counts nowhere. */
struct loop_a_metrics {
	struct perftop_counter recorded, dropped, cas_attempts, cas_failures, updates;
	struct metered update; /* of micro-LoRA */
};

/* What all workers share. Filled in by the caller before they start, then read-only but for `busy`,
 * the ring and the weights, which have rules of their own. */
struct loop_a_shared {
	struct trajectory_ring *ring;
	struct lora_shared *micro;
	quantize_fn *quantize;
	quantize_rows_fn *quantize_rows;
	struct loop_a_metrics metrics;
	float sigma;	/* of the noise between a request's answers */
	float rate;	/* of a step down the mean gradient */
	float max_step; /* its longest: a gradient from few requests is mostly noise */
	uint32_t batch; /* requests that a step is made from */
	char pad[60];
	uint64_t busy; /* 1 while a worker changes the weights */
};

/* One a worker: its own gradient, so that workers meet only once in `batch` requests. */
struct loop_a {
	struct loop_a_shared *shared;
	uint32_t reader; /* of the weights: 0 for the first worker, and so on */
	struct trajectory_writer writer;
	struct lora_gradient gradient;
};

/* One request that was answered: k answers of dim floats, one after another, and their rewards. */
struct loop_a_request {
	uint64_t id;
	const float *query;
	uint32_t dim, steps;
	const float *answers, *rewards;
	const struct trajectory_attention *attention;
	uint64_t pattern; /* that was found for it; 0: none */
	float expected;	  /* quality of the pattern */
	uint64_t now_ns;
};

/*
 * Records the request in the ring (or counts it as dropped when that is full), adds its gradient,
 * and flushes when there is a batch. Never waits. 0; -EINVAL for a bad shape, and for a request
 * that is not finite, or whose squares are not: of it nothing is recorded or learned.
 */
int loop_a_on_inference(struct loop_a *a, const struct loop_a_request *r);
/*
 * One step of the weights down what was gathered. When another worker is at it, nothing: the
 * gradient waits for the next time; one that is not finite is dropped. Returns 1 when the weights
 * changed.
 */
int loop_a_flush(struct loop_a *a);

#endif
