/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c: `perftop engine`: threads, signals. */
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

int engine_start(struct engine *e)
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

const char *engine_stop(struct engine *e)
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
		recorded += e->worker[i].a.writer.recorded;
		dropped += e->worker[i].a.writer.dropped;
	}
	printf("engine served %llu recorded %llu dropped %llu\n", (unsigned long long)e->issued,
	       recorded, dropped);
	if (e->options.learning == ENGINE_LEARN_FULL)
		printf("engine learned: cycles b %llu c %llu, patterns %u, memories %u, dreams "
		       "%llu "
		       "kept %llu, tasks %llu, saves %llu\n",
		       (unsigned long long)e->learned.cycles_b,
		       (unsigned long long)e->learned.cycles_c,
		       pattern_store_count(e->learned.patterns), e->learned.graph.count,
		       (unsigned long long)e->learned.dreams,
		       (unsigned long long)e->learned.dreams_kept,
		       (unsigned long long)e->learned.ewc.finished, (unsigned long long)e->saves);
}

/* A state that could not be written is a loss that somebody has to hear of. */
static int report_saves(const struct engine *e)
{
	if (!e->save_failures)
		return 0;
	fprintf(stderr,
		"perftop engine: --state %s: %llu of %llu times it could not be written (%s); what "
		"is there is the last that could\n",
		e->options.state, (unsigned long long)e->save_failures,
		(unsigned long long)e->saves + e->save_failures, strerror(-e->last_save_error));
	return e->save_error ? 1 : 0;
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
	err = engine_start(e);
	if (!err)
		wait_for_end(set, o->duration_ns);
	failure = engine_stop(e);
	if (err)
		fprintf(stderr, "perftop engine: cannot start a thread: %s\n", strerror(-err));
	if (failure)
		fprintf(stderr, "perftop engine: %s\n", failure);
	if (o->verbose)
		report(e);
	return err || failure || report_saves(e) ? 1 : 0;
}

int engine_main(int argc, char **argv)
{
	struct engine *e = calloc(1, sizeof(*e));
	pid_t parent = getppid();
	sigset_t set, old;
	int status = 1;

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
	status = engine_init(e);
	if (!status)
		status = engine_run(e, &set);
cleanup:
	if (e)
		engine_fini(e);
	free(e);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return status;
}
