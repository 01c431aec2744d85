/* SPDX-License-Identifier: Apache-2.0 */
/* engine_rows.c: kernels, trajectory buffer and learning, from the engine's counters. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/collector.h"
#include "collectors/session.h"

/*
 * The engine names its metrics kernel.NAME.ISA.{ns,flops,bytes}, trajectory.*, learning.*,
 * pattern.*, dream.* and machine.peak_gflops_x1000. Any program that uses these names gets the same
 * rows.
 */
struct kernel_track {
	char key[96]; /* NAME.ISA */
	uint64_t ns;  /* inside the kernel, at the last tick */
	int64_t flops, bytes;
};

struct engine {
	struct kernel_track tracks[SNAP_KERNELS];
	uint32_t n;
};

static int engine_start(struct session *se, void **priv)
{
	*priv = calloc(1, sizeof(struct engine));
	return *priv ? 0 : -ENOMEM;
}

static const struct snap_counter *find(const struct snapshot *s, const char *name)
{
	for (uint32_t i = 0; i < s->ncounters; i++)
		if (!strcmp(s->counters[i].name, name))
			return &s->counters[i];
	return NULL;
}

static int64_t value(const struct snapshot *s, const char *name)
{
	const struct snap_counter *c = find(s, name);

	return c ? c->value : 0;
}

static struct kernel_track *track_of(struct engine *e, const char *key)
{
	for (uint32_t i = 0; i < e->n; i++)
		if (!strcmp(e->tracks[i].key, key))
			return &e->tracks[i];
	if (e->n == SNAP_KERNELS)
		return NULL;
	snprintf(e->tracks[e->n].key, sizeof(e->tracks[0].key), "%s", key);
	return &e->tracks[e->n++];
}

/* Per ns of kernel time in this interval; a reset makes totals fall, then 0 for one tick. */
static double per_ns(int64_t now, int64_t before, uint64_t ns_now, uint64_t ns_before)
{
	return now > before && ns_now > ns_before
		       ? (double)(now - before) / (double)(ns_now - ns_before)
		       : 0;
}

static void fill_kernel(struct engine *e, struct snapshot *s, const struct snap_latency *row,
			const char *key)
{
	struct kernel_track *t = track_of(e, key);
	struct snap_kernel *out;
	char name[SNAP_NAME];
	const char *dot = strrchr(key, '.');
	int64_t flops, bytes, peak = value(s, "machine.peak_gflops_x1000");

	if (!t || !dot || s->nkernels == SNAP_KERNELS)
		return;
	snprintf(name, sizeof(name), "kernel.%s.flops", key);
	flops = value(s, name);
	snprintf(name, sizeof(name), "kernel.%s.bytes", key);
	bytes = value(s, name);
	out = &s->kernels[s->nkernels++];
	snprintf(out->name, sizeof(out->name), "%.*s", (int)(dot - key), key);
	snprintf(out->isa, sizeof(out->isa), "%.15s", dot + 1);
	snprintf(name, sizeof(name), "kernel.%s.vs_scalar_x100", key);
	out->vs_scalar = (double)value(s, name) / 100;
	snprintf(name, sizeof(name), "kernel.%s.vs_standard_x100", key);
	out->vs_standard = (double)value(s, name) / 100;
	out->calls = row->count;
	out->rate = row->rate;
	out->p50 = row->p50;
	out->p99 = row->p99;
	out->sampled = row->sampled;
	out->gflops = per_ns(flops, t->flops, row->sum, t->ns);
	out->gbytes_s = per_ns(bytes, t->bytes, row->sum, t->ns);
	if (peak > 0)
		out->pct_peak = out->gflops * 100000.0 / (double)peak;
	t->ns = row->sum;
	t->flops = flops;
	t->bytes = bytes;
}

static void fill_kernels(struct engine *e, struct snapshot *s)
{
	for (uint32_t i = 0; i < s->nlatency; i++) {
		const struct snap_latency *row = &s->latency[i];
		size_t len = strlen(row->name);
		char key[96];

		if (row->source != LATENCY_COUNTER || strncmp(row->name, "kernel.", 7) ||
		    len < 12 || strcmp(row->name + len - 3, ".ns"))
			continue;
		snprintf(key, sizeof(key), "%.*s", (int)(len - 10), row->name + 7);
		fill_kernel(e, s, row, key);
	}
}

static double rate(const struct snapshot *s, const char *name)
{
	const struct snap_counter *c = find(s, name);

	return c ? c->rate : 0;
}

static void fill_trajectory(struct snapshot *s)
{
	struct snap_trajectory *t = &s->trajectory;
	double attempts = (double)value(s, "trajectory.cas_attempts");

	if (!find(s, "trajectory.capacity"))
		return;
	s->ntrajectory = 1;
	t->capacity = (uint64_t)value(s, "trajectory.capacity");
	t->used = (uint64_t)value(s, "trajectory.used");
	t->recorded = (uint64_t)value(s, "trajectory.recorded");
	t->dropped = (uint64_t)value(s, "trajectory.dropped");
	t->drained = (uint64_t)value(s, "trajectory.drained");
	t->recorded_rate = rate(s, "trajectory.recorded");
	t->dropped_rate = rate(s, "trajectory.dropped");
	t->drained_rate = rate(s, "trajectory.drained");
	if (attempts > 0)
		t->contention_pct = 100.0 * (double)value(s, "trajectory.cas_failures") / attempts;
}

static const struct snap_latency *find_hist(const struct snapshot *s, const char *name)
{
	for (uint32_t i = 0; i < s->nlatency; i++)
		if (s->latency[i].source == LATENCY_COUNTER && !strcmp(s->latency[i].name, name))
			return &s->latency[i];
	return NULL;
}

static struct snap_loop loop_of(const struct snapshot *s, const char *name)
{
	const struct snap_latency *l = find_hist(s, name);

	return l ? (struct snap_loop){l->count, l->p50, l->p99, l->max, l->rate}
		 : (struct snap_loop){0};
}

static void fill_learning(struct snapshot *s)
{
	struct snap_learning *l = &s->learning;
	const double searches = (double)value(s, "pattern.searches");

	if (!find(s, "learning.reward_x1000"))
		return;
	s->nlearning = 1;
	s->loop_a = loop_of(s, "learning.loop_a");
	s->loop_b = loop_of(s, "learning.loop_b");
	s->loop_c = loop_of(s, "learning.loop_c");
	l->reward = (double)value(s, "learning.reward_x1000") / 1000;
	l->update_rate = rate(s, "learning.updates");
	l->patterns = (uint64_t)value(s, "pattern.count");
	l->memories = (uint64_t)value(s, "memory.nodes");
	l->tasks = (uint64_t)value(s, "ewc.tasks");
	l->dreams = (uint64_t)value(s, "dream.made");
	l->dreams_kept = (uint64_t)value(s, "dream.kept");
	l->links = (uint64_t)value(s, "dream.links");
	l->staged = (uint64_t)value(s, "learning.staged");
	l->save_failures = (uint64_t)value(s, "learning.save_failures");
	if (searches > 0)
		l->pattern_found_pct = 100.0 * (double)value(s, "pattern.found") / searches;
}

static void engine_tick(struct session *se, void *priv, struct snapshot *s)
{
	fill_kernels(priv, s);
	fill_trajectory(s);
	fill_learning(s);
	if (s->nkernels || s->ntrajectory || s->nlearning)
		session_section(se, "engine", SECTION_LIVE, NULL, "%u kernels", s->nkernels);
	else
		session_section(se, "engine", SECTION_ABSENT, "",
				"the target has no kernel.* or trajectory.* metrics");
}

static void engine_stop(struct session *se, void *priv)
{
	free(priv);
}

const struct collector collector_engine = {
	.name = "engine",
	.help = "kernels, trajectory buffer and learning loops, from those counters",
	.start = engine_start,
	.tick = engine_tick,
	.stop = engine_stop,
};
