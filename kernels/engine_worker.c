/* SPDX-License-Identifier: Apache-2.0 */
/* engine_worker.c: a thread that takes queries as they arrive, and answers them. */
#include <math.h>
#include <time.h>

#include "kernels/engine_state.h"
#include "kernels/ordered.h"

/* How long a sleeping worker may take to notice that it is to stop. */
#define NAP_NS (20 * 1000 * 1000ull)

/*
 * The scheduled arrival of the next query: open loop, one Poisson stream for all workers. Whoever
 * moves arrival_ns on serves the query that was due then, however late that is, so a queue that
 * builds up is seen in the response times (no coordinated omission).
 */
static uint64_t take_arrival(struct engine *e, uint64_t *seed)
{
	uint64_t due = ordered_load_64(&e->arrival_ns), next;

	if (e->options.load_qps <= 0)
		return perftop_now_ns();
	do
		next = due + (uint64_t)(-log(engine_random(seed)) * 1e9 / e->options.load_qps);
	while (!ordered_cas_64(&e->arrival_ns, &due, next));
	return due;
}

/* Sleep until then; false when the engine stops first. */
static bool wait_until(const struct engine *e, uint64_t due_ns)
{
	while (!ordered_load_64(&e->stop)) {
		uint64_t now = perftop_now_ns(), until = due_ns;
		struct timespec ts;

		if (now >= due_ns)
			return true;
		if (until > now + NAP_NS)
			until = now + NAP_NS;
		ts.tv_sec = (time_t)(until / 1000000000u);
		ts.tv_nsec = (long)(until % 1000000000u);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	}
	return false;
}

static int serve(struct engine_worker *w)
{
	uint64_t id = ordered_fetch_add_64(&w->engine->issued, 1);
	const struct engine_query q = {id, w->engine->queries +
						   id * 104729 % ENGINE_QUERIES * ENGINE_DIM};
	struct engine_answer answer;

	return engine_process(w, &q, &answer);
}

/* Returns NULL, or what failed (a constant string): a programming error, not a state of the world.
 */
void *engine_worker_run(void *arg)
{
	struct engine_worker *w = arg;
	const struct engine_metrics *m = &w->engine->metrics;

	for (;;) {
		uint64_t due = take_arrival(w->engine, &w->seed), start, end;

		if (!wait_until(w->engine, due))
			return NULL;
		start = perftop_now_ns();
		if (serve(w))
			return (void *)"a kernel refused its arguments";
		end = perftop_now_ns();
		PERFTOP_USDT(engine, query, end - due);
		perftop_record(m->service, end - start);
		perftop_record(m->response, end - due);
		perftop_inc(m->completed);
	}
}
