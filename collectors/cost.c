/* SPDX-License-Identifier: Apache-2.0 */
/* cost.c: what perftop itself costs, and what it takes from the target. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <math.h>
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
 * Timing eBPF programs costs each run some 25-50 ns, and it goes on and off by patching the
 * kernel's code, 12 ms each on a virtual machine: a third of all that perftop takes beside an idle
 * target. So it is on for one tick in COST_EVERY and the figure stands until the next, or until
 * perftop counts twice the events, or half. Where it was little, each time twice as many ticks
 * pass. Beginning with the second tick: the first is short.
 */
enum { COST_EVERY = 30, COST_EVERY_MOST = 480, COST_FIRST = 1, COST_FEW = 1000 };
#define COST_LITTLE_NS 1e6 /* a second */

/*
 * Of a program's runs some are for the target; those take longer than the ones that look and pass
 * by, by no more than this factor: some 200 ns against 25.
 */
enum { COST_PROGRAMS = 64, COST_DEARER = 8 };

/* Of a hook, ns, where it was not measured: on the machine that README's figures are of. */
enum { COST_HOOK_NS = 127 };

/*
 * Ticks over the budget before it is said, so many that what can be thinned is by then; and at most
 * this part of it before that is taken back.
 */
enum { COST_OVER_TICKS = 6 };
#define COST_CALM 0.8

/* What the default set looks at, by its programs, and what asks for less. */
static const struct cost_part {
	const char *prefix, *name, *fix;
} cost_parts[] = {
	{"on_sched_", "context switches",
	 "--no-offcpu spares them; --max-overhead PCT allows more"},
	{"on_sys_", "system calls", "--syscalls=off spares them; --max-overhead PCT allows more"},
	{"on_cpu_", "CPU samples", "--hz N takes fewer; --max-overhead PCT allows more"},
	{"", "what else is watched", "--max-overhead PCT allows more; --no-bpf spares all"},
};

enum { COST_PARTS = sizeof(cost_parts) / sizeof(cost_parts[0]), COST_SWITCHES = 0 };

/* Context switches may take at least this part of the budget, whatever else is watched. */
#define COST_SWITCHES_SHARE 0.33

struct cost_runs {
	const char *name;
	uint64_t ns, count;
};

struct cost {
	uint64_t cpu_ns; /* of this process, at the last tick */
	uint64_t wall_ns;
	int stats_fd; /* while timing is on, else -1 */
	bool may_time;
	uint64_t window_ns;		      /* start of the timed interval */
	bool timed;			      /* the next interval is to be */
	uint32_t window_weight;		      /* of context switches in it: see sched_window.h */
	struct cost_runs runs[COST_PROGRAMS]; /* at its start */
	uint64_t bpf_ns_per_s;
	double target_ns_per_s; /* of it, for the target's events: an upper bound */
	double part_ns_per_s[COST_PARTS];
	double switch_ns; /* of the target's context switches, each; 0 = not known */
	uint32_t over_ticks;
	bool over;		/* the budget, which was said */
	uint64_t window_events; /* in the interval before it */
	uint64_t dropped;	/* of all collectors, since the start or the last reset */
	uint32_t every, left;	/* ticks between measurements; until the next */
	long page_bytes;
};

/* Ns in, and runs of, each program since it was loaded, while timing was on. */
static void read_runs(struct session *se, struct cost_runs *runs)
{
	struct bpf_program *p;
	uint32_t n = 0;

	bpf_object__for_each_program (p, bpf_skeleton(session_bpf(se))->obj) {
		struct bpf_prog_info info = {0};
		uint32_t len = sizeof(info);

		if (n == COST_PROGRAMS)
			return;
		runs[n].name = bpf_program__name(p);
		if (bpf_program__fd(p) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len)) {
			runs[n].ns = info.run_time_ns;
			runs[n].count = info.run_cnt;
		}
		n++;
	}
}

/* Runs a second for the target's own events: the rest looks at other processes and passes by. */
static double target_runs(const char *program, const struct snapshot *s, double all)
{
	double switches = s->proc.ctxsw_voluntary_rate + s->proc.ctxsw_involuntary_rate, calls = 0;

	for (uint32_t i = 0; i < s->nsyscalls; i++)
		calls += s->syscalls[i].rate;
	if (!strcmp(program, "on_sched_switch") || !strcmp(program, "on_sched_exit"))
		return 2 * switches;
	if (!strcmp(program, "on_sched_waking"))
		return switches;
	if (!strncmp(program, "on_sys_", 7))
		return calls;
	if (!strcmp(program, "on_cpu_clock"))
		return (s->proc.user_pct + s->proc.sys_pct) / 100 * s->cpu.hz;
	/* Read by perftop itself. */
	return strncmp(program, "iter_", 5) ? all : 0;
}

static uint32_t part_of(const char *program)
{
	uint32_t i = 0;

	while (strncmp(program, cost_parts[i].prefix, strlen(cost_parts[i].prefix)) != 0)
		i++;
	return i;
}

/*
 * Ns a second that the kernel takes to come to a program of context switches and back: with cold
 * caches as much as the program itself. For system calls their collector knows it.
 */
static double on_the_way(struct session *se, const struct cost *c, const char *program,
			 const struct snapshot *s, double all)
{
	double hook_ns = session_hook_ns(se) > 0 ? session_hook_ns(se) : COST_HOOK_NS;

	if (part_of(program) != COST_SWITCHES || !c->window_weight)
		return 0;
	return fmin(target_runs(program, s, all) / c->window_weight, all) * hook_ns;
}

static uint32_t switch_weight(struct session *se)
{
	return bpf_skeleton(session_bpf(se))->data->sched_weight;
}

/* How much seeing a context switch takes, by an interval in which all were seen. */
static void time_switches(struct cost *c, const struct snapshot *s, double ns_per_s)
{
	double rate = s->proc.ctxsw_voluntary_rate + s->proc.ctxsw_involuntary_rate;

	if (c->window_weight == 1 && rate > COST_FEW)
		c->switch_ns = ns_per_s / rate;
}

static void read_window(struct session *se, struct cost *c, const struct snapshot *s)
{
	uint64_t ns = clock_mono_ns() - c->window_ns;
	struct cost_runs now[COST_PROGRAMS] = {0};
	double machine = 0, target = 0, parts[COST_PARTS] = {0};

	if (c->stats_fd < 0)
		return;
	read_runs(se, now);
	for (uint32_t i = 0; ns && i < COST_PROGRAMS && now[i].name; i++) {
		double took = (double)(now[i].ns - c->runs[i].ns) * 1e9 / (double)ns;
		double all = (double)(now[i].count - c->runs[i].count) * 1e9 / (double)ns;
		double own = all > 0 ? target_runs(now[i].name, s, all) * COST_DEARER / all : 0;

		machine += took;
		took *= own < 1 ? own : 1;
		took += on_the_way(se, c, now[i].name, s, all);
		target += took;
		parts[part_of(now[i].name)] += took;
	}
	if (ns) {
		memcpy(c->part_ns_per_s, parts, sizeof(parts));
		c->bpf_ns_per_s = (uint64_t)machine;
		c->target_ns_per_s = target;
		time_switches(c, s, parts[COST_SWITCHES]);
	}
}

/* Timing goes on and off by patching the kernel's code, which stops each CPU: ms on a busy one. */
static void cost_settle(struct session *se, void *priv)
{
	struct cost *c = priv;

	if (!c->timed) {
		if (c->stats_fd >= 0)
			close(c->stats_fd);
		c->stats_fd = -1;
		return;
	}
	if (c->stats_fd < 0)
		c->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (c->stats_fd < 0) {
		c->timed = false;
		c->may_time = false;
		session_section(se, "cost", SECTION_DEGRADED, "run as root",
				"eBPF run time is not known: reading it needs CAP_SYS_ADMIN");
		return;
	}
	c->window_ns = clock_mono_ns();
	c->window_weight = switch_weight(se);
	read_runs(se, c->runs);
}

static void say_how(struct session *se)
{
	session_section(se, "cost", SECTION_LIVE, NULL, "%s",
			session_bpf(se)
				? "eBPF run time measured in one tick of thirty or more, or when "
				  "the rate changes"
				: "no eBPF loaded: the target pays for reads of /proc alone");
}

static void say_over(struct session *se, const struct cost *c, double pct, double budget)
{
	uint32_t worst = 0;

	for (uint32_t i = 1; i < COST_PARTS; i++)
		if (c->part_ns_per_s[i] > c->part_ns_per_s[worst])
			worst = i;
	session_section(se, "cost", SECTION_DEGRADED, cost_parts[worst].fix,
			"over the budget: probes take %.1f %% of a CPU from the target, %.1f %% "
			"were to be the most; %.1f %% go to %s",
			pct, budget, c->part_ns_per_s[worst] / 1e7, cost_parts[worst].name);
	session_event_again(se, "over the budget:",
			    "over the budget: probes take %.1f %% of a CPU, %.1f %% were to be the "
			    "most; most of it for %s: %s",
			    pct, budget, cost_parts[worst].name, cost_parts[worst].fix);
}

/* What the rest of the budget leaves to context switches: their collector keeps to it. */
static void allow_switches(struct session *se, const struct cost *c, double probes_ns_per_s)
{
	double budget_ns = session_config(se)->max_overhead_pct * 1e7;
	double other_ns = c->target_ns_per_s - c->part_ns_per_s[COST_SWITCHES] + probes_ns_per_s;
	struct session_switch_cost out = {.ns_each = c->switch_ns};

	if (!session_config(se)->force && budget_ns > 0)
		out.allowance_ns = fmax(budget_ns - other_ns, budget_ns * COST_SWITCHES_SHARE);
	session_set_switch_cost(se, &out);
}

/* What is over the budget and not thinned is said. */
static void keep_budget(struct session *se, struct cost *c, double pct)
{
	double budget = session_config(se)->max_overhead_pct;

	if (session_config(se)->force || budget <= 0 || !c->may_time)
		return;
	c->over_ticks = pct > budget ? c->over_ticks + 1 : 0;
	if (c->over_ticks >= COST_OVER_TICKS) {
		say_over(se, c, pct, budget);
		c->over = true;
	} else if (c->over && pct < budget * COST_CALM) {
		say_how(se);
		c->over = false;
	}
}

static int cost_start(struct session *se, void **priv)
{
	struct cost *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->stats_fd = -1;
	c->every = COST_EVERY / 2; /* twice as many once it was measured */
	c->left = COST_FIRST;
	c->may_time = session_bpf(se) != NULL;
	c->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	c->wall_ns = clock_mono_ns();
	c->page_bytes = sysconf(_SC_PAGESIZE);
	say_how(se);
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

/* Is the last measurement out of date? */
static bool has_changed(const struct cost *c, uint64_t events)
{
	return events / 2 > c->window_events + COST_FEW || c->window_events / 2 > events + COST_FEW;
}

/* Is the next interval to be timed? */
static bool is_due(struct cost *c, bool changed)
{
	bool due = !c->left--;

	if (changed || c->target_ns_per_s > COST_LITTLE_NS)
		c->every = COST_EVERY;
	else if (due && c->every < COST_EVERY_MOST)
		c->every *= 2;
	if (changed || due)
		c->left = c->every - 1;
	return changed || due;
}

static void cost_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct cost *c = priv;
	const struct session_cost *told = session_cost(se);
	uint64_t ns = session_interval_ns(se);
	double probes_ns_per_s = ns ? told->target_ns * 1e9 / (double)ns : 0;

	fill_self(c, &s->cost);
	if (c->may_time) {
		read_window(se, c, s);
		c->timed = is_due(c, has_changed(c, told->events) ||
					     c->window_weight != switch_weight(se));
		if (c->timed)
			c->window_events = told->events;
	}
	s->cost.bpf_ns_per_s = c->bpf_ns_per_s;
	s->cost.events = told->events;
	s->cost.dropped = told->dropped;
	c->dropped += told->dropped;
	s->cost.dropped_total = c->dropped;
	s->cost.throttled = told->throttled;
	s->cost.target_pct_est = c->target_ns_per_s / 1e7;
	s->cost.target_pct_est += probes_ns_per_s / 1e7;
	allow_switches(se, c, probes_ns_per_s);
	keep_budget(se, c, s->cost.target_pct_est);
}

static void cost_reset(struct session *se, void *priv)
{
	struct cost *c = priv;

	(void)se;
	c->dropped = 0;
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
	.reset = cost_reset,
	.settle = cost_settle,
	.stop = cost_stop,
};
