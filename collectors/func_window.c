/* SPDX-License-Identifier: Apache-2.0 */
/* func_window.c: probes over the budget are attached for a short window each second, or not. */
#include <stdio.h>
#include <string.h>

#include "collectors/clock.h"
#include "collectors/target_set.h"
#include "collectors/func_priv.h"

/* Over the budget by so much, it is kept at once; by less, when that lasts. */
static const double far_over = 4;
enum {
	WINDOW_OVER_TICKS = 2,
	WINDOW_SLACK_NS = 20 * 1000 * 1000, /* a tick is no clock */
	WINDOW_NAMED = 3,		    /* events by name; with more, one for the rest */
};

static uint64_t cpu_time_ns(const struct func *f)
{
	struct timespec t;

	/* Of a target that is gone there is none. */
	if (clock_gettime(f->cpu_clock, &t))
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Links that have successors go with the window: over the budget they cost, a tick is long. */
static void end_window(struct func *f)
{
	char why[SNAP_TEXT];
	uint64_t cpu;

	if (!f->open)
		return;
	func_way_window(f, false, why, sizeof(why));
	f->on_ns += clock_mono_ns() - f->on_since_ns;
	cpu = cpu_time_ns(f);
	f->on_cpu_ns += cpu > f->on_cpu_since_ns ? cpu - f->on_cpu_since_ns : 0;
	f->open = false;
	func_way_retire(f);
}

static void begin_window(struct func *f, struct session *se)
{
	char why[SNAP_TEXT];

	f->opened_ns = clock_mono_ns();
	if (func_way_window(f, true, why, sizeof(why))) {
		session_event_again(se, "a window", "a window for probes over the budget: %.200s",
				    why);
		return;
	}
	f->on_since_ns = clock_mono_ns();
	f->on_cpu_since_ns = cpu_time_ns(f);
	f->open = true;
	session_timer_set(f->timer_fd, f->window_ns, 0);
}

static void on_timer(struct session *se, void *priv)
{
	struct func *f = priv;

	if (session_timer_rang(f->timer_fd))
		end_window(f);
}

int func_windows_init(struct func *f, struct session *se)
{
	/* Of several processes there is no common clock: the windows then scale by time. */
	if (target_set_many(session_target_set(se)) ||
	    clock_getcpuclockid(session_pid(se), &f->cpu_clock) || !cpu_time_ns(f))
		f->cpu_clock = CLOCK_MONOTONIC;
	f->cpu_read_ns = cpu_time_ns(f);
	f->timer_fd = session_timer_new(se, on_timer, f);
	return f->timer_fd < 0 ? f->timer_fd : 0;
}

void func_windows_fini(struct func *f, struct session *se)
{
	session_timer_end(se, &f->timer_fd);
}

void func_windows_account(struct func *f)
{
	uint64_t now = clock_mono_ns(), cpu = cpu_time_ns(f);

	f->interval_ns = f->read_ns ? now - f->read_ns : 0;
	f->read_ns = now;
	/* A target that has gone has no clock any more. */
	cpu = cpu > f->cpu_read_ns ? cpu : f->cpu_read_ns;
	f->cpu_ns = cpu - f->cpu_read_ns;
	f->cpu_read_ns = cpu;
	if (!f->open)
		return;
	f->on_cpu_ns += cpu > f->on_cpu_since_ns ? cpu - f->on_cpu_since_ns : 0;
	f->on_cpu_since_ns = cpu;
	f->on_ns += now - f->on_since_ns;
	f->on_since_ns = now;
}

static void tell(struct session *se, const struct func *f, uint32_t i, uint32_t told)
{
	double pct = f->loads[i].ns_per_s / 1e7; /* ns a second to percent of a CPU */
	const char *name = probe_plan_row(f->plan, i)->name;

	if (told >= WINDOW_NAMED)
		return;
	if (f->loads[i].state == FUNC_EXACT)
		session_event(se, "counted exactly again: %.120s", name);
	else
		session_event(se, "%s %.100s: %.0f calls/s at %.0f ns are %.1f %% of a CPU",
			      f->loads[i].state == FUNC_SEEN ? "throttled" : "detached", name,
			      f->rows[i].rate, f->rows[i].cost_ns, pct);
}

/* The interval in which they were exact is the first to estimate by, no weightier than others. */
static void begin_estimates(struct func *f, double windowed_ns)
{
	double own_ns = func_rows_own_ns((double)f->cpu_ns, windowed_ns);

	for (uint32_t i = 0; i < f->nrows; i++) {
		if (!f->moved[i] || f->cpu_ns == 0)
			continue;
		f->rows[i].seen_calls = (double)f->fresh[i] * 1e6 / (double)f->cpu_ns;
		f->rows[i].seen_cpu_ns = own_ns * 1e6 / (double)f->cpu_ns;
	}
}

/* The rows whose wanted state is not `was`'s any more go into another set of links. */
static void move(struct func *f, struct session *se, const uint8_t *was, enum func_state to)
{
	static const enum func_set sets[] = {
		[FUNC_EXACT] = FUNC_STEADY,
		[FUNC_SEEN] = FUNC_WINDOWED,
		[FUNC_DETACHED] = FUNC_OFF,
	};
	double windowed_ns = 0;
	char why[SNAP_TEXT] = "";
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->nrows; i++) {
		f->moved[i] = f->loads[i].state == to && was[i] != to;
		if (!f->moved[i])
			continue;
		tell(se, f, i, n++);
		f->rows[i].estimated |= to == FUNC_SEEN;
		windowed_ns += (double)f->fresh[i] * f->rows[i].cost_ns;
		f->rows[i].shown = true;
	}
	if (to == FUNC_SEEN)
		begin_estimates(f, windowed_ns);
	if (n > WINDOW_NAMED)
		session_event(se, "and %u more", n - WINDOW_NAMED);
	if (n && func_way_move(f, sets[to], why, sizeof(why)))
		session_event(se, "%.200s", why);
}

static void keep_budget(struct func *f, struct session *se, double every_ns)
{
	double budget_ns = session_config(se)->max_overhead_pct * 1e7;
	double total = func_budget_total(f->loads, f->nrows, (double)f->window_ns / every_ns);
	uint8_t was[CONTRACT_FUNC_SLOTS] = {0};

	if (session_config(se)->force || budget_ns <= 0)
		return;
	f->over_ticks = total > budget_ns ? f->over_ticks + 1 : 0;
	if (f->over_ticks && f->over_ticks < WINDOW_OVER_TICKS && total < far_over * budget_ns)
		return;
	for (uint32_t i = 0; i < f->nrows; i++)
		was[i] = (uint8_t)f->loads[i].state;
	if (!func_budget_fit(f->loads, f->nrows, budget_ns, every_ns, &f->window_ns, f->order))
		return;
	f->over_ticks = 0;
	end_window(f);
	move(f, se, was, FUNC_DETACHED);
	move(f, se, was, FUNC_SEEN);
	move(f, se, was, FUNC_EXACT);
	func_say(se, f);
}

void func_windows_tick(struct func *f, struct session *se)
{
	double every_ns = (double)FUNC_WINDOW_EVERY_NS;
	bool any = false, looked = f->on_ns > 0;

	if (every_ns < (double)f->interval_ns)
		every_ns = (double)f->interval_ns;
	/* Rates of windowed rows are news only after a window. */
	for (uint32_t i = 0; i < f->nrows; i++)
		any |= f->loads[i].state == FUNC_SEEN;
	if (!any || looked)
		keep_budget(f, se, every_ns);
	f->on_ns = f->on_cpu_ns = 0;
	any = false;
	for (uint32_t i = 0; i < f->nrows; i++)
		any |= f->loads[i].state == FUNC_SEEN;
	if (any && !f->open &&
	    clock_mono_ns() - f->opened_ns + WINDOW_SLACK_NS >= FUNC_WINDOW_EVERY_NS)
		begin_window(f, se);
}
