/* SPDX-License-Identifier: Apache-2.0 */
/* verdict.c: what holds the target back, in one sentence. */
#include "tui/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "collectors/lock_name.h"
#include "collectors/loop_words.h"
#include "tui/format.h"
#include "tui/time_split.h"
#include "tui/verdict_cpu.h"
#include "tui/verdict_collector.h"
#include "tui/verdict_futex.h"
#include "tui/verdict_input.h"
#include "tui/verdict_lookup.h"
#include "tui/verdict_output.h"
#include "tui/verdict_peer.h"
#include "tui/views/blocked_rows.h"
#include "tui/views/heap_panel.h"

/* Percent of one thread: below it, nothing is going on that could be made faster. */
#define IDLE_PCT 5.0
/* A thread that computes this much is held back by the CPU; above half of it, partly so. */
#define BUSY_PCT 80.0
/* A control group's CPU time is used up in so many of its periods. */
#define THROTTLED_PCT 20.0
/* A wait counts as the bottleneck when a fifth of a thread is lost to it. */
#define WAIT_PCT 20.0
/* Live memory that grows so fast is worth the first line, as it is an alert. */
#define GROWTH_BYTES_S 65536.0

static void say(struct verdict *v, enum verdict_mood mood, const char *label, const char *view,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void say(struct verdict *v, enum verdict_mood mood, const char *label, const char *view,
		const char *fmt, ...)
{
	va_list ap;

	v->mood = mood;
	snprintf(v->label, sizeof(v->label), "%s", label);
	snprintf(v->view, sizeof(v->view), "%s", view);
	va_start(ap, fmt);
	vsnprintf(v->text, sizeof(v->text), fmt, ap);
	va_end(ap);
}

/* The syscall that took most time, which for an idle target is the one it waits in. */
static const struct snap_latency *longest_syscall(const struct snapshot *s)
{
	const struct snap_latency *top = NULL;

	for (uint32_t i = 0; i < s->nsyscalls; i++)
		if (s->syscalls[i].sum && (!top || s->syscalls[i].sum > top->sum))
			top = &s->syscalls[i];
	return top;
}

/* How near a thread is to a whole CPU; the target's total where threads are not known. */
static double busiest_pct(const struct snapshot *s, double total)
{
	double most = 0;

	for (uint32_t i = 0; i < s->nthreads; i++)
		most = s->threads[i].cpu_pct > most ? s->threads[i].cpu_pct : most;
	/* Many threads at half a CPU each can fill the machine together. */
	if (s->proc.ncpu && total / s->proc.ncpu > most)
		most = total / s->proc.ncpu;
	return s->nthreads ? most : total;
}

static void say_cpu(struct verdict *v, const struct snapshot *s, const struct time_split *t)
{
	bool bound = busiest_pct(s, t->pct[TIME_USER] + t->pct[TIME_SYS]) >= BUSY_PCT;
	char words[sizeof(v->text)];
	const char *view =
		verdict_cpu_words(s, t->pct[TIME_USER], t->pct[TIME_SYS], words, sizeof(words));

	say(v, bound ? VERDICT_BAD : VERDICT_WARN, bound ? "CPU-bound" : "Partly CPU-bound", view,
	    "%s", words);
}

/* It waits and computes while it does: neither what it computes nor the queue is the cause. */
static bool say_spin(struct verdict *v, const struct snapshot *s, double busy)
{
	char words[sizeof(v->text)];

	if (!verdict_cpu_spins(s, busy, words, sizeof(words)))
		return false;
	say(v, VERDICT_BAD, "Spinning", "cpu", "%s", words);
	return true;
}

/* Ruby's threads wait for one lock on a condition variable each. */
static double lock_pct(const struct snapshot *s, const struct snap_lock *l)
{
	double pct = 0;

	for (uint32_t i = 0; i < s->nlocks && !strcmp(l->kind, "GVL"); i++)
		if (!strcmp(s->locks[i].kind, l->kind) && s->locks[i].pid == l->pid)
			pct += s->locks[i].pct;
	return pct > l->pct ? pct : l->pct;
}

/* What waits for the collector waits in its locks, its barriers, or for a CPU: all by that. */
static bool say_collector(struct verdict *v, const struct snapshot *s, double busy)
{
	char words[sizeof(v->text)];
	const char *view = verdict_collector(s, busy, words, sizeof(words));

	if (!view)
		return false;
	say(v, VERDICT_BAD, "Garbage collection", view, "%s", words);
	return true;
}

static void say_lock(struct verdict *v, const struct snapshot *s, const struct time_split *t)
{
	const struct snap_lock *top = NULL;
	const char *comm = "";
	double pct;
	char held[96] = "", what[SNAP_NAME];

	for (uint32_t i = 0; i < s->nlocks; i++)
		if (s->locks[i].is_mutex && (!top || s->locks[i].pct > top->pct))
			top = &s->locks[i];
	if (!top)
		return;
	pct = lock_pct(s, top);
	for (uint32_t i = 0; i < s->nthreads && top->owner_tid; i++)
		if (s->threads[i].tid == top->owner_tid)
			comm = s->threads[i].comm;
	if (top->owner_tid)
		snprintf(held, sizeof(held), ", held by %s %d%s%s%s", top->addr ? "tid" : "process",
			 top->owner_tid, comm[0] ? " (" : "", comm, comm[0] ? ")" : "");
	lock_name_words(top, what, sizeof(what));
	say(v, VERDICT_BAD, "Blocked on locks", "blocked",
	    "%.0f %% of active thread time waits for %.70s%s%.70s%s", 100 * pct / t->active, what,
	    top->site[0] ? " in " : "", top->site, held);
}

/* ", most in fdatasync for flushAppendOnlyFile": the stack that waited for disks the longest. */
static void longest_io(const struct snapshot *s, char *out, size_t size)
{
	const struct snap_wait_stack *top = NULL;
	char words[192];

	out[0] = '\0';
	for (uint32_t i = 0; i < s->nwait_stacks; i++) {
		const struct snap_wait_stack *st = &s->wait_stacks[i];

		if ((st->reason == BLOCKED_IO || st->reason == BLOCKED_PAGE_FAULT) &&
		    (!top || st->ns > top->ns))
			top = st;
	}
	if (!top)
		return;
	blocked_stack_words(s, top, words, sizeof(words));
	if (words[0])
		snprintf(out, size, ", most %s", words);
}

static void say_io(struct verdict *v, const struct snapshot *s, const struct time_split *t)
{
	char rd[FORMAT_SIZE], wr[FORMAT_SIZE], where[224];

	longest_io(s, where, sizeof(where));
	say(v, VERDICT_BAD, "I/O-bound", "blocked",
	    "%.0f %% of active thread time waits for disk or page faults%s (reads %s/s, writes "
	    "%s/s)",
	    100 * t->pct[TIME_IO] / t->active, where, format_bytes(rd, (uint64_t)s->proc.read_rate),
	    format_bytes(wr, (uint64_t)s->proc.write_rate));
}

/* The command that watches the children too. One that perftop launched ends with perftop. */
static void follow_words(const struct snapshot *s, char *out, size_t size)
{
	for (uint32_t i = 0; i < s->nevents; i++)
		if (!strncmp(s->events[i].text, "launched ", 9)) {
			snprintf(out, size, "perftop --follow-forks -- COMMAND");
			return;
		}
	snprintf(out, size, "perftop --follow-forks -p %d", s->target.pid);
}

static bool has_alert(const struct snapshot *s, const char *rule)
{
	for (uint32_t i = 0; i < s->nalerts; i++)
		if (!strcmp(s->alerts[i].rule, rule))
			return true;
	return false;
}

/* Rules have thresholds of their own: where theirs is not met, another view has the evidence. */
static const char *view_of_queue(const struct snapshot *s, const char *rule)
{
	return has_alert(s, rule) ? "alerts" : s->nblocked ? "blocked" : "threads";
}

/* Its children did the work: those there, or the newest that was seen to start. */
static bool say_children(struct verdict *v, const struct snapshot *s, const char *in, double busy)
{
	char follow[64];
	bool forked = false;
	const char *view = s->nevents || s->nalerts ? "alerts" : "";

	if (s->nprocesses)
		return false; /* they are watched */
	for (uint32_t i = 0; i < s->nevents && !forked; i++)
		forked = strstr(s->events[i].text, "(newest: pid ");
	follow_words(s, follow, sizeof(follow));
	if (s->target.children)
		say(v, VERDICT_WARN, "Mostly idle", view,
		    "%s%.1f %% of a CPU by itself; its %u child%s not counted here: %s", in, busy,
		    s->target.children, s->target.children == 1 ? " is" : "ren are", follow);
	else if (forked)
		say(v, VERDICT_WARN, "Mostly idle", view,
		    "%s%.1f %% of a CPU, but it starts others, which are not counted here: %s", in,
		    busy, follow);
	return s->target.children || forked;
}

/* Who asked another program and waits for it is not idle: that is where its time goes. */
static bool say_peer(struct verdict *v, const struct snapshot *s)
{
	char text[sizeof(v->text)];
	const char *view = verdict_lookup(s, WAIT_PCT, text, sizeof(text));
	const char *label = view ? "Waiting for DNS" : "Waiting for a peer";

	if (!view)
		view = verdict_peer(s, WAIT_PCT, text, sizeof(text));
	if (!view)
		return false;
	say(v, VERDICT_WARN, label, view, "%s", text);
	return true;
}

/* Nor is who could go on if what it wrote were taken. */
static bool say_output(struct verdict *v, const struct snapshot *s)
{
	char text[sizeof(v->text)];
	const char *view = verdict_output(s, WAIT_PCT, text, sizeof(text));

	if (!view)
		return false;
	say(v, VERDICT_WARN, "Waiting for a reader", view, "%s", text);
	return true;
}

/* Nor who could if more came through a pipe, nor who sleeps while others wait for its answer. */
static bool say_input(struct verdict *v, const struct snapshot *s)
{
	char text[sizeof(v->text)];
	const char *view = verdict_input(s, WAIT_PCT, text, sizeof(text));
	const char *label = "Waiting for input";

	if (!view) {
		label = "Sleeping in requests";
		view = verdict_requests(s, WAIT_PCT, text, sizeof(text));
	}
	if (view)
		say(v, VERDICT_WARN, label, view, "%s", text);
	return view;
}

/* A program that does little has something to fix yet when its memory grows. */
static bool say_growth(struct verdict *v, const struct snapshot *s, double busy)
{
	const struct snap_heap *h = &s->heap;

	if (!s->nheap || (h->verdict != HEAP_GROWING && h->verdict != HEAP_LEAKING) ||
	    !(h->growth_bytes_s >= GROWTH_BYTES_S))
		return false;
	say(v, h->verdict == HEAP_LEAKING ? VERDICT_BAD : VERDICT_WARN,
	    heap_panel_label(h->verdict), "heap", "%s; %.1f %% of a CPU used", heap_panel_words(h),
	    busy);
	return true;
}

/* All its connections waited, whatever share of the time that was. */
static bool say_held(struct verdict *v, const struct snapshot *s)
{
	char words[sizeof(v->text)];

	if (!loop_words(s, words, sizeof(words)))
		return false;
	say(v, VERDICT_WARN, "Loop held", has_alert(s, "loop_held") ? "alerts" : "threads", "%s",
	    words);
	return true;
}

/* A server between requests, or a client whose answers come through one descriptor for all. */
static void say_waiting(struct verdict *v, const struct time_split *t,
			const struct snap_latency *call, const char *in, double busy)
{
	if (call && t->pct[TIME_NET] > 50)
		say(v, VERDICT_GOOD, "Mostly idle", "blocked",
		    "waits in %s for requests, or for answers of others (%.1f %% of a CPU)",
		    call->name, busy);
	else
		say(v, VERDICT_GOOD, "Mostly idle", "", "%snothing to fix here (%.1f %% of a CPU)",
		    in, busy);
}

static void say_idle(struct verdict *v, const struct snapshot *s, const struct time_split *t)
{
	const struct snap_latency *call = longest_syscall(s);
	const struct snap_lock *futex = verdict_futex(s);
	double busy = t->pct[TIME_USER] + t->pct[TIME_SYS];
	char in[SNAP_NAME + 16] = "", words[192];

	if (verdict_waits_in(s, words, sizeof(words)))
		snprintf(in, sizeof(in), "waits in %.80s; ", words);
	else if (call)
		snprintf(in, sizeof(in), "waits in %s; ", call->name);
	else if (t->pct[TIME_SLEEP] > 50 || t->pct[TIME_NET] > 50)
		snprintf(in, sizeof(in), "%s; ",
			 t->pct[TIME_SLEEP] > t->pct[TIME_NET] ? "sleeps"
							       : "waits for the network");
	if (say_held(v, s) || say_growth(v, s, busy))
		return;
	if (futex) {
		verdict_futex_words(s, futex, words, sizeof(words));
		say(v, VERDICT_GOOD, "Not saturated", "blocked", "%.0f %% of a CPU; %s", busy,
		    words);
	} else if (t->active < IDLE_PCT) {
		if (!say_children(v, s, in, busy))
			say_waiting(v, t, call, in, busy);
	} else {
		say(v, VERDICT_GOOD, "Not saturated", "cpu",
		    "%.0f %% of a CPU; %swaits %.0f %% for CPU, %.0f %% for locks, %.0f %% for I/O",
		    busy, in, t->pct[TIME_RUNQ], t->pct[TIME_LOCK], t->pct[TIME_IO]);
	}
}

/* States in which the numbers say nothing about a bottleneck. */
static bool say_state(struct verdict *v, const struct snapshot *s)
{
	const struct snap_section *proc = snapshot_find_section(s, "proc");

	/* The last tick of a --duration or of a recording is one like the others. */
	if (s->target.state == TARGET_EXITED || s->target.state == TARGET_ZOMBIE)
		say(v, VERDICT_NONE, "Ended", "", "%s",
		    s->target.note[0] ? s->target.note
				      : "the target has exited; last numbers shown");
	else if (s->target.state == TARGET_STOPPED)
		say(v, VERDICT_WARN, "Stopped", "",
		    "the target is stopped (SIGSTOP or a debugger)%s",
		    s->replaying ? "" : "; kill -CONT resumes it, a debugger must let it go");
	else if (proc && proc->status == SECTION_ABSENT)
		say(v, VERDICT_NONE, "Not measured", "help", "%s%s%s", proc->reason,
		    proc->fix[0] ? "; try: " : "", proc->fix);
	else
		return false;
	return true;
}

/* None of these threads will go on: no other number matters as much. */
static bool say_deadlock(struct verdict *v, const struct snapshot *s)
{
	const struct snap_deadlock *d = &s->deadlock;
	bool all = !strcmp(d->kind, "standstill");
	char since[FORMAT_SIZE];

	if (!s->ndeadlock)
		return false;
	say(v, VERDICT_BAD, all ? "Stands still" : "Deadlock", "blocked", "%s (for %s so far)",
	    d->words, format_ns(since, d->ns));
	return true;
}

/* The queue that its threads stand in is not for a CPU, but for their control group's next period.
 */
static bool is_over_quota(const struct snapshot *s, const struct time_split *t)
{
	double busy = t->pct[TIME_USER] + t->pct[TIME_SYS];

	if (s->proc.throttled_pct < THROTTLED_PCT)
		return false;
	return t->has_blocked ? t->pct[TIME_RUNQ] >= WAIT_PCT : busy >= IDLE_PCT;
}

static void say_quota(struct verdict *v, const struct snapshot *s, const struct time_split *t)
{
	char waits[64] = "";

	if (t->has_blocked)
		snprintf(waits, sizeof(waits), "%.0f %% of active thread time stands still: ",
			 100 * t->pct[TIME_RUNQ] / t->active);
	say(v, VERDICT_BAD, "CPU quota", view_of_queue(s, "cpu_quota"),
	    "%scontrol group %.60s may use %.2f CPUs, used up in %.0f %% of its periods", waits,
	    s->proc.quota_group, s->proc.quota_cpus, s->proc.throttled_pct);
}

static void say_queue(struct verdict *v, const struct snapshot *s, const struct time_split *t)
{
	double own = (t->pct[TIME_USER] + t->pct[TIME_SYS]) / (s->proc.ncpu ? s->proc.ncpu : 1);
	char allowed[96] = "";

	if (s->proc.cpus_allowed && s->proc.cpus_allowed < s->proc.ncpu)
		snprintf(allowed, sizeof(allowed), "; of %u CPUs it may use %u (CPU %s)",
			 s->proc.ncpu, s->proc.cpus_allowed, s->proc.cpus_list);
	else if (s->proc.nice > 0)
		snprintf(allowed, sizeof(allowed), "; others go first: its nice value is %d",
			 s->proc.nice);
	say(v, VERDICT_BAD, "Waiting for CPU", view_of_queue(s, "cpu_queue"),
	    "%.0f %% of active thread time in the run queue; the machine is %.0f %% busy, %.0f %% "
	    "by this program%s",
	    100 * t->pct[TIME_RUNQ] / t->active, s->proc.machine_cpu_pct,
	    own < s->proc.machine_cpu_pct ? own : s->proc.machine_cpu_pct, allowed);
}

/* Rules whose finding the verdict's own words give. */
static bool is_said(const struct verdict *v, const char *rule)
{
	return !strcmp(rule, "cpu_bound") || !strcmp(rule, "lock_wait") ||
	       !strcmp(rule, "deadlock") ||
	       (!strcmp(rule, "cpu_queue") && !strcmp(v->label, "Waiting for CPU")) ||
	       (!strcmp(rule, "loop_held") && !strcmp(v->label, "Loop held")) ||
	       (!strcmp(rule, "heap_growth") && !strcmp(v->view, "heap")) ||
	       (!strcmp(rule, "cpu_quota") && !strcmp(v->label, "CPU quota"));
}

bool verdict_says(const struct verdict *v, const struct snap_alert *a)
{
	return is_said(v, a->rule) ||
	       (v->also[0] && !strncmp(v->also, a->evidence, strlen(v->also)));
}

static void say_also(struct verdict *v, const struct snapshot *s)
{
	const struct snap_alert *top = NULL;
	char p99[FORMAT_SIZE], goal[FORMAT_SIZE];

	for (uint32_t i = 0; i < s->nlatency; i++) {
		const struct snap_latency *l = &s->latency[i];

		if (!l->target || l->met || !l->count)
			continue;
		snprintf(v->also, sizeof(v->also), "goal missed: p99 of %s is %s, goal %s", l->name,
			 format_ns(p99, l->p99), format_ns(goal, l->target));
		snprintf(v->also_view, sizeof(v->also_view), "latency");
		return;
	}
	for (uint32_t i = 0; i < s->nalerts; i++)
		if (!is_said(v, s->alerts[i].rule) &&
		    (!top || s->alerts[i].severity > top->severity))
			top = &s->alerts[i];
	if (!top)
		return;
	snprintf(v->also, sizeof(v->also), "%s", top->evidence);
	snprintf(v->also_view, sizeof(v->also_view), "alerts");
}

void verdict_compute(struct verdict *v, const struct snapshot *s)
{
	const struct snap_lock *futex;
	struct time_split t;
	double busy;

	memset(v, 0, sizeof(*v));
	time_split_compute(&t, s);
	busy = t.pct[TIME_USER] + t.pct[TIME_SYS];
	if (say_state(v, s) || say_deadlock(v, s)) {
		say_also(v, s);
		return;
	}
	if (busiest_pct(s, busy) >= BUSY_PCT / 4 && say_collector(v, s, busy)) {
		say_also(v, s);
		return;
	}
	/* Waiting comes before computing: who waits for a lock or a CPU would run if it could. */
	if (t.pct[TIME_LOCK] >= WAIT_PCT && t.pct[TIME_LOCK] >= busy / 4 &&
	    t.pct[TIME_LOCK] >= t.pct[TIME_IO] && t.pct[TIME_LOCK] >= t.pct[TIME_RUNQ])
		say_lock(v, s, &t);
	else if (t.pct[TIME_IO] >= WAIT_PCT && t.pct[TIME_IO] >= t.pct[TIME_RUNQ] &&
		 t.pct[TIME_IO] >= busy / 2)
		say_io(v, s, &t);
	else if (is_over_quota(s, &t))
		say_quota(v, s, &t);
	else if (busiest_pct(s, busy) >= BUSY_PCT / 2 && say_spin(v, s, busy))
		; /* More CPUs would be spun away as well. */
	else if (t.pct[TIME_RUNQ] >= WAIT_PCT && t.pct[TIME_RUNQ] >= busy / 3)
		say_queue(v, s, &t);
	else if (busiest_pct(s, busy) >= BUSY_PCT / 2)
		say_cpu(v, s, &t);
	else if (!say_output(v, s) && !say_peer(v, s) && !say_input(v, s))
		say_idle(v, s, &t);
	say_also(v, s);
	if (v->mood == VERDICT_GOOD && v->also[0])
		v->mood = VERDICT_WARN;
	/* Threads that queue for a lock such as Python's while one of them computes. */
	futex = verdict_futex(s);
	if (!v->also[0] && futex && futex->pct >= 100 && strcmp(v->view, "blocked")) {
		verdict_futex_words(s, futex, v->also, sizeof(v->also));
		snprintf(v->also_view, sizeof(v->also_view), "blocked");
	}
}
