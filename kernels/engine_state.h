/* SPDX-License-Identifier: Apache-2.0 */
/* engine_state.h: what the engine's threads share; private to kernels/engine*.c. */
#ifndef KERNELS_ENGINE_STATE_H
#define KERNELS_ENGINE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "kernels/lora/lora_shared.h"
#include "kernels/trajectory/trajectory_ring.h"
#include "probes/perftop.h"

enum {
	ENGINE_DIM = 256, /* of embeddings, and so of micro-LoRA */
	ENGINE_RANK = 1,
	ENGINE_MAX_WORKERS = 256,
	ENGINE_NOISE = 1 << 16, /* floats in the pool that exploration draws from */
};

struct engine_options {
	uint32_t workers;     /* 0: one a CPU */
	double load_qps;      /* 0: as fast as possible */
	uint64_t duration_ns; /* 0: until told to stop */
	uint32_t seq, dim, heads, kv_heads;
	bool causal;
	enum isa isa;
	uint64_t buffer; /* slots */
	uint64_t drain_delay_ns;
	bool verbose, die_with_parent, help;
};

/* 0, or -EINVAL after saying on stderr what is wrong. */
int engine_options_parse(struct engine_options *o, int argc, char **argv);
void engine_options_help(void);

struct engine_metrics {
	struct metered attention, lora_forward, lora_update;
	struct perftop_hist response, service, drain, loop_a;
	struct perftop_counter completed, recorded, dropped, drained, cas_attempts, cas_failures;
	struct perftop_gauge capacity, used, peak, workers, load, reward;
};

struct engine_worker {
	struct engine *engine;
	pthread_t thread;
	uint32_t index;
	bool started;
	uint64_t seed;
	struct trajectory_writer writer;
	float *out;	/* [heads][seq][dim] */
	float *weights; /* [seq] */
	void *scratch;
	size_t scratch_bytes;
	float answer[TRAJECTORY_STEPS][ENGINE_DIM];
	float target[ENGINE_DIM];
	struct trajectory_attention kept;
} __attribute__((aligned(64))); /* neighbours count into lines of their own */

/*
 * Everything is allocated before the threads start. Read-only afterwards, except the stops, arrival
 * and issued (atomic), the ring and the shared weights (each with rules of its own).
 */
struct engine {
	struct engine_options options;
	struct engine_metrics metrics;
	const struct kernel *weights, *quantize;
	uint64_t stop;	       /* for the workers */
	uint64_t stop_learner; /* after them, so that its last drain finds all they recorded */
	char pad0[48];
	uint64_t arrival_ns; /* of the next query; workers race for it */
	char pad1[56];
	uint64_t issued; /* number of the next query */
	char pad2[56];
	struct trajectory_ring ring;
	struct lora_shared shared;
	struct engine_worker *worker;
	pthread_t learner;
	bool learner_started;
	struct lora start, teacher; /* weights at start, and those that rewards pull towards */
	struct lora_gradient gradient;
	float *tokens;	/* twice heads * seq * dim floats: queries are windows into it */
	float *context; /* keys, then values */
	float *noise;
	void *arena; /* that all of the above lies in */
};

/* Exploration: each step of a query answers with this much noise, so that rewards tell a slope. */
#define ENGINE_SIGMA 0.1f

void *engine_worker_run(void *worker);
void *engine_learner_run(void *engine);

/* xorshift64*: enough for arrivals and synthetic data. (0, 1]. */
static inline double engine_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (double)((*seed * 0x2545f4914f6cdd1dull >> 11) + 1) / (double)(1ull << 53);
}

#endif
