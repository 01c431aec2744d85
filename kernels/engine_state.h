/* SPDX-License-Identifier: Apache-2.0 */
/* engine_state.h: what the engine's threads share; private to kernels/engine*.c. */
#ifndef KERNELS_ENGINE_STATE_H
#define KERNELS_ENGINE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "kernels/loops/learned.h"
#include "kernels/loops/loop_a.h"
#include "kernels/loops/loop_b.h"
#include "kernels/loops/loop_c.h"
#include "kernels/lora/lora_shared.h"
#include "kernels/trajectory/trajectory_ring.h"
#include "probes/perftop.h"

enum {
	ENGINE_DIM = 256, /* of embeddings, and so of micro-LoRA */
	ENGINE_RANK = 1,
	ENGINE_BASE_RANK = 8,
	ENGINE_PATTERNS = 4096,
	ENGINE_MEMORIES = 8192,
	ENGINE_QUERIES = 1024, /* different ones; they come again */
	ENGINE_FOUND = 4,      /* patterns looked up for a query */
	ENGINE_MAX_WORKERS = 256,
	ENGINE_NOISE = 1 << 16, /* floats in the pool that exploration draws from */
};

enum engine_learning {
	ENGINE_LEARN_NONE,  /* attention alone: what learning is compared with */
	ENGINE_LEARN_MICRO, /* loop A */
	ENGINE_LEARN_FULL,  /* loops A, B and C */
};

struct engine_options {
	uint32_t workers;     /* 0: one a CPU */
	double load_qps;      /* 0: as fast as possible; below 0: what this machine bears */
	uint64_t duration_ns; /* 0: until told to stop */
	uint32_t seq, dim, heads, kv_heads;
	bool causal;
	enum isa isa;
	uint64_t buffer; /* slots */
	uint64_t drain_delay_ns;
	enum engine_learning learning;
	uint64_t loop_b_ns, loop_c_ns; /* from one cycle to the next */
	const char *state;	       /* folder, of argv; NULL: nothing is kept */
	bool state_fresh;	       /* set what cannot be loaded aside, and begin anew */
	bool verbose, die_with_parent, help;
};

/* 0, or -EINVAL after saying on stderr what is wrong. */
int engine_options_parse(struct engine_options *o, int argc, char **argv);
void engine_options_help(void);

struct engine_metrics {
	struct metered attention, lora_forward, base_forward, pattern_search;
	struct loop_a_metrics a;
	struct loop_b_metrics b;
	struct perftop_hist response, service, drain, loop_a, loop_b, loop_c, save;
	struct perftop_counter completed, drained, searches, skipped, found, dreams, dreams_kept,
		links, save_failures;
	struct perftop_gauge capacity, used, peak, workers, load, reward, patterns, memories, tasks,
		staged;
};

struct engine_query {
	uint64_t id;
	const float *x; /* [ENGINE_DIM] */
};

/* What a query was answered with; y is the worker's until the next query. */
struct engine_answer {
	const float *y;	      /* [ENGINE_DIM]; the first step's, where it explores */
	float reward;	      /* mean over the steps; 0 without learning */
	uint64_t pattern;     /* most similar one; 0: none */
	float expected;	      /* its quality */
	uint64_t learning_ns; /* what learning added to the query's time */
};

struct engine_worker {
	struct engine *engine;
	pthread_t thread;
	uint32_t index;
	bool started;
	uint64_t seed;
	struct loop_a a;
	struct pattern_searcher *searcher;
	float *out;	/* [heads][seq][dim] */
	float *weights; /* [heads][seq] */
	void *scratch;
	size_t scratch_bytes;
	float answer[TRAJECTORY_STEPS][ENGINE_DIM];
	float reward[TRAJECTORY_STEPS];
	float target[ENGINE_DIM];
	struct trajectory_attention kept;
} __attribute__((aligned(64))); /* neighbours count into lines of their own */

/*
 * Everything is allocated before the threads start. Read-only afterwards, except the stops, arrival
 * and issued (atomic), the ring, the shared weights and what was learned (each with rules of its
 * own).
 */
struct engine {
	struct engine_options options;
	struct engine_metrics metrics;
	uint64_t stop;	       /* for the workers */
	uint64_t stop_learner; /* after them, so that its last drain finds all they recorded */
	char pad0[48];
	uint64_t arrival_ns; /* of the next query; workers race for it */
	char pad1[56];
	uint64_t issued; /* number of the next query */
	char pad2[56];
	struct trajectory_ring ring;
	struct lora_shared shared; /* its last reader is the learner */
	struct loop_a_shared loop_a;
	struct learned learned;
	struct loop_b loop_b;
	struct engine_worker *worker;
	pthread_t learner;
	bool learner_started;
	struct lora start, teacher; /* weights at start, and those that rewards pull towards */
	float *tokens;	/* twice heads * seq * dim floats: a query's are a window into it */
	float *queries; /* embeddings [ENGINE_QUERIES][ENGINE_DIM] */
	float *context; /* keys, then values */
	float *noise;
	void *arena;		       /* that the ring, the data and the workers' memory lie in */
	int state_fd;		       /* of the folder's lock; -1: none */
	uint64_t saves, save_failures; /* the learner's, until it is joined */
	int save_error;		       /* of the last one; 0: it was written */
	int last_save_error;	       /* of the last that was not */
};

/* 0, or 1 after saying on stderr what is wrong. engine_fini() may be called either way. */
int engine_init(struct engine *e);
void engine_fini(struct engine *e);

/*
 * One query on a worker's own memory: the most similar patterns, attention, base and micro-LoRA,
 * rewards, and the instant loop. 0, or -EINVAL from a kernel. The time that learning added goes to
 * learning.loop_a.
 */
int engine_process(struct engine_worker *w, const struct engine_query *q,
		   struct engine_answer *answer);

/* Exploration: each step of a query answers with this much noise, so that rewards tell a slope. */
#define ENGINE_SIGMA 0.1f

/* Threads: 0 or -errno; engine_stop() returns what a worker failed with, or NULL. */
int engine_start(struct engine *e);
/*
 * Times the attention and micro-LoRA kernels in use beside their baselines, some 50 ms once, and
 * sets gauges kernel.NAME.ISA.vs_scalar_x100 and .vs_standard_x100. Sequences of more than
 * ENGINE_COMPARE_FLOATS numbers a head are left out.
 */
enum { ENGINE_COMPARE_FLOATS = 512 * 64 };
void engine_compare(const struct engine *e);
const char *engine_stop(struct engine *e);

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
