/* SPDX-License-Identifier: Apache-2.0 */
/* worker_pool.h: a pool of waiting threads, for the suite that measures how soon they work. */
#ifndef KERNELS_BENCHMARK_WORKER_POOL_H
#define KERNELS_BENCHMARK_WORKER_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { WORKER_POOL_MAX = 16 };

struct worker_pool {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	pthread_t threads[WORKER_POOL_MAX];
	uint32_t size;
	uint64_t round;	  /* of work given out */
	uint32_t pending; /* threads that have not finished it, or not yet come up */
	bool stop;
};

/* Returns when all threads wait for work. 0 or -errno; fini only after success. */
int worker_pool_init(struct worker_pool *p, uint32_t size);
void worker_pool_fini(struct worker_pool *p);
/* Every thread wakes and reports back: one round of coordination. */
void worker_pool_round(struct worker_pool *p);

#endif
