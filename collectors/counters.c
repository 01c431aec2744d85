/* SPDX-License-Identifier: Apache-2.0 */
/* counters.c: counters, gauges and histograms that the program registered through libperftop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/collector.h"
#include "collectors/latency.h"
#include "collectors/segment.h"
#include "collectors/session.h"
#include "probes/perftop_segment.h"

/* A process may register its first metric at any time: look again, ever more rarely. */
enum { COUNTERS_RETRY_MAX = 16 };

struct counter_track {
	int64_t prev, base;
	struct latency_track latency;
};

struct counters {
	struct segment *segment;
	struct counter_track *tracks; /* by metric index, ntracks long */
	uint32_t ntracks;
	uint32_t wait, retry; /* ticks until the next look, and between looks */
};

static int reserve(struct counters *c, uint32_t n)
{
	struct counter_track *t;

	if (n <= c->ntracks)
		return 0;
	t = realloc(c->tracks, n * sizeof(*t));
	if (!t)
		return -ENOMEM;
	memset(t + c->ntracks, 0, (n - c->ntracks) * sizeof(*t));
	c->tracks = t;
	c->ntracks = n;
	return 0;
}

static struct latency_source_now latency_now(const struct segment_metric *m)
{
	return (struct latency_source_now){.count = m->count,
					   .sum = m->sum,
					   .max = m->max,
					   .bins = m->bins,
					   .timed = m->timed};
}

/* What was counted before perftop looked says nothing about the first interval. */
static void begin_tracks(struct counters *c)
{
	uint32_t n = segment_refresh(c->segment) ? 0 : segment_count(c->segment);

	if (reserve(c, n))
		return;
	for (uint32_t i = 0; i < n; i++) {
		const struct segment_metric *m = segment_metric(c->segment, i);
		struct latency_source_now now = latency_now(m);

		if (m->kind == PERFTOP_HIST)
			latency_track_begin(&c->tracks[i].latency, &now);
		else
			c->tracks[i].prev = m->value;
	}
}

static void attach(struct session *se, struct counters *c)
{
	char why[SNAP_TEXT] = "";
	int err = 0;

	c->segment = segment_attach(session_pid(se), &err, why, sizeof(why));
	if (c->segment) {
		session_section(se, "counters", SECTION_LIVE, NULL, "libperftop segment of pid %d",
				session_pid(se));
		begin_tracks(c);
		return;
	}
	session_section(se, "counters", SECTION_ABSENT,
			err == -EACCES	 ? session_privilege_fix(se)
			: err == -ENOENT ? "#include <perftop.h> in the program and link libperftop"
					 : "",
			"%s", why);
	c->retry = c->retry ? c->retry * 2 : 1;
	if (c->retry > COUNTERS_RETRY_MAX)
		c->retry = COUNTERS_RETRY_MAX;
	c->wait = c->retry;
}

static int counters_start(struct session *se, void **priv)
{
	struct counters *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	attach(se, c);
	*priv = c;
	return 0;
}

static void counters_stop(struct session *se, void *priv)
{
	struct counters *c = priv;

	for (uint32_t i = 0; i < c->ntracks; i++)
		latency_track_fini(&c->tracks[i].latency);
	free(c->tracks);
	segment_free(c->segment);
	free(c);
}

/* Values are the target's: they may be anything, and wrap. */
static int64_t difference(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static void fill_counter(struct session *se, const struct segment_metric *m,
			 struct counter_track *t, struct snapshot *s)
{
	struct snap_counter *row;
	uint64_t ns = session_interval_ns(se);

	if (s->ncounters == SNAP_COUNTERS) {
		s->truncated++;
		return;
	}
	row = &s->counters[s->ncounters++];
	snapshot_string(row->name, sizeof(row->name), m->name);
	snapshot_string(row->unit, sizeof(row->unit), m->unit);
	snapshot_string(row->help, sizeof(row->help), m->help);
	row->kind = m->kind == PERFTOP_GAUGE ? COUNTER_GAUGE : COUNTER_SUM;
	row->value = m->value;
	if (row->kind == COUNTER_SUM) {
		row->value = difference(m->value, t->base);
		row->rate = ns ? (double)difference(m->value, t->prev) * 1e9 / (double)ns : 0;
	}
	t->prev = m->value;
}

static void fill_histogram(struct session *se, const struct segment_metric *m,
			   struct counter_track *t, struct snapshot *s)
{
	struct latency_source_now now = latency_now(m);
	struct snap_latency *row;

	if (s->nlatency == SNAP_LATENCY) {
		s->truncated++;
		return;
	}
	row = &s->latency[s->nlatency++];
	snapshot_string(row->name, sizeof(row->name), m->name);
	snapshot_string(row->module, sizeof(row->module), "libperftop");
	snapshot_string(row->unit, sizeof(row->unit), m->unit);
	row->source = LATENCY_COUNTER;
	latency_track_update(&t->latency, &now, session_interval_ns(se), s, row);
	row->calls = row->count;
	if (row->sampled < row->count / 2)
		snprintf(row->note, sizeof(row->note), "1 in %llu timed",
			 (unsigned long long)((row->count + row->sampled / 2) / row->sampled));
}

static void counters_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct counters *c = priv;
	uint32_t n;
	int err;

	if (!c->segment && c->wait-- == 0)
		attach(se, c);
	if (!c->segment)
		return;
	err = segment_refresh(c->segment);
	if (err && err != -ESRCH)
		session_section(se, "counters", SECTION_DEGRADED, "", "%s",
				segment_why(c->segment));
	n = segment_count(c->segment);
	if (reserve(c, n))
		return;
	for (uint32_t i = 0; i < n; i++) {
		const struct segment_metric *m = segment_metric(c->segment, i);

		if (m->kind == PERFTOP_HIST)
			fill_histogram(se, m, &c->tracks[i], s);
		else
			fill_counter(se, m, &c->tracks[i], s);
	}
	if (!err && segment_refused_metrics(c->segment))
		session_section(se, "counters", SECTION_DEGRADED, "register fewer metrics",
				"%llu metrics were refused: the segment holds no more",
				(unsigned long long)segment_refused_metrics(c->segment));
}

static void counters_reset(struct session *se, void *priv)
{
	struct counters *c = priv;

	for (uint32_t i = 0; i < c->ntracks; i++) {
		c->tracks[i].base = c->tracks[i].prev;
		latency_track_reset(&c->tracks[i].latency);
	}
}

const struct collector collector_counters = {
	.name = "counters",
	.help = "counters, gauges and histograms that the program registered through libperftop",
	.start = counters_start,
	.tick = counters_tick,
	.reset = counters_reset,
	.stop = counters_stop,
};
