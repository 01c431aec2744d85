/* SPDX-License-Identifier: Apache-2.0 */
/* worker_pool.c: threads that wait on a condition, woken together. */
#include "kernels/benchmark/worker_pool.h"

#include <errno.h>

/* With the lock held. */
static void report_back(struct worker_pool *p)
{
	if (!--p->pending)
		pthread_cond_signal(&p->done);
}

static void wait_for_all(struct worker_pool *p)
{
	while (p->pending)
		pthread_cond_wait(&p->done, &p->lock);
}

static void *work(void *arg)
{
	struct worker_pool *p = arg;
	uint64_t seen = 0;

	pthread_mutex_lock(&p->lock);
	report_back(p);
	for (;;) {
		while (p->round == seen && !p->stop)
			pthread_cond_wait(&p->work, &p->lock);
		if (p->stop)
			break;
		seen = p->round;
		report_back(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int worker_pool_init(struct worker_pool *p, uint32_t size)
{
	int err = 0;

	if (size > WORKER_POOL_MAX)
		return -EINVAL;
	*p = (struct worker_pool){.pending = size};
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, NULL);
	for (; p->size < size && !err; p->size += !err)
		err = -pthread_create(&p->threads[p->size], NULL, work, p);
	if (err) {
		worker_pool_fini(p);
		return err;
	}
	pthread_mutex_lock(&p->lock);
	wait_for_all(p);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

void worker_pool_fini(struct worker_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->size; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->done);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
}

void worker_pool_round(struct worker_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->pending = p->size;
	p->round++;
	pthread_cond_broadcast(&p->work);
	wait_for_all(p);
	pthread_mutex_unlock(&p->lock);
}
