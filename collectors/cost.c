/* SPDX-License-Identifier: Apache-2.0 */
/* cost.c: what perftop itself costs, and what it takes from the target. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/procfs.h"
#include "collectors/session.h"
#include "perftop.skel.h"

/*
 * Timing eBPF programs costs each run some 25-50 ns, so it is on for one tick in COST_EVERY and
 * the figure stands until the next. Beginning with the second tick: the first is short.
 */
enum { COST_EVERY = 10, COST_FIRST = 1 };

struct cost {
	uint64_t cpu_ns; /* of this process, at the last tick */
	uint64_t wall_ns;
	int stats_fd; /* while timing is on, else -1 */
	bool may_time;
	uint64_t window_ns; /* start of the timed interval */
	uint64_t run_ns;    /* of all programs at its start */
	uint64_t bpf_ns_per_s;
	uint32_t ticks;
	long page_bytes;
};

static uint64_t bpf_run_ns(struct session *se)
{
	struct bpf_program *p;
	uint64_t sum = 0;

	bpf_object__for_each_program (p, bpf_skeleton(session_bpf(se))->obj) {
		struct bpf_prog_info info = {0};
		uint32_t len = sizeof(info);

		if (bpf_program__fd(p) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len))
			sum += info.run_time_ns;
	}
	return sum;
}

static void close_window(struct session *se, struct cost *c)
{
	uint64_t ns = session_now_ns(se) - c->window_ns;

	if (c->stats_fd < 0)
		return;
	if (ns)
		c->bpf_ns_per_s = (bpf_run_ns(se) - c->run_ns) * 1000000000u / ns;
	close(c->stats_fd);
	c->stats_fd = -1;
}

static void open_window(struct session *se, struct cost *c)
{
	c->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (c->stats_fd < 0) {
		c->may_time = false;
		session_section(se, "cost", SECTION_DEGRADED, "run as root",
				"eBPF run time is not known: reading it needs CAP_SYS_ADMIN");
		return;
	}
	c->window_ns = session_now_ns(se);
	c->run_ns = bpf_run_ns(se);
}

static int cost_start(struct session *se, void **priv)
{
	struct cost *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->stats_fd = -1;
	c->may_time = session_bpf(se) != NULL;
	c->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	c->wall_ns = clock_mono_ns();
	c->page_bytes = sysconf(_SC_PAGESIZE);
	session_section(se, "cost", SECTION_LIVE, NULL, "%s",
			session_bpf(se)
				? "eBPF run time measured in one tick of ten"
				: "no eBPF loaded: the target pays for reads of /proc alone");
	*priv = c;
	return 0;
}

static void fill_self(struct cost *c, struct snap_cost *out)
{
	uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), wall = clock_mono_ns();
	char buf[128], *end;

	if (wall > c->wall_ns)
		out->self_cpu_pct = 100.0 * (double)(cpu - c->cpu_ns) / (double)(wall - c->wall_ns);
	c->cpu_ns = cpu;
	c->wall_ns = wall;
	if (procfs_read(getpid(), "statm", buf, sizeof(buf)) > 0) {
		strtoull(buf, &end, 10);
		out->self_rss_bytes = strtoull(end, NULL, 10) * (uint64_t)c->page_bytes;
	}
}

static void cost_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct cost *c = priv;
	const struct session_cost *told = session_cost(se);
	uint64_t ns = session_interval_ns(se);

	fill_self(c, &s->cost);
	if (c->may_time) {
		close_window(se, c);
		if (c->ticks++ % COST_EVERY == COST_FIRST)
			open_window(se, c);
	}
	s->cost.bpf_ns_per_s = c->bpf_ns_per_s;
	s->cost.events = told->events;
	s->cost.dropped = told->dropped;
	s->cost.throttled = told->throttled;
	/* An upper bound: the programs also look at, and pass by, other processes. */
	s->cost.target_pct_est = (double)c->bpf_ns_per_s / 1e7;
	if (ns)
		s->cost.target_pct_est += 100.0 * told->target_ns / (double)ns;
}

static void cost_stop(struct session *se, void *priv)
{
	struct cost *c = priv;

	if (c->stats_fd >= 0)
		close(c->stats_fd);
	free(c);
}

const struct collector collector_cost = {
	.name = "cost",
	.help = "what perftop itself costs, and what it takes from the target",
	.start = cost_start,
	.tick = cost_tick,
	.stop = cost_stop,
};
