/* SPDX-License-Identifier: Apache-2.0 */
/* text_report.c: lines of text, aligned, the important ones only. */
#include "tui/text_report.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "collectors/lock_name.h"
#include "tui/format.h"
#include "tui/tail_summary.h"
#include "tui/text_line.h"
#include "tui/verdict.h"

enum {
	REPORT_FUNCTIONS = 5,
	REPORT_LATENCY = 10,
	REPORT_SYSCALLS = 8,
	REPORT_LOCKS = 3,
	REPORT_TAILS = 2,
	REPORT_COUNTERS = 10,
	REPORT_MAX_TOP = 16,
};

/* ---- the highest rows ----------------------------------------------------------------------- */

typedef double (*score_fn)(const struct snapshot *, uint32_t);

/* Up to max (REPORT_MAX_TOP) of n rows with a score above 0, the highest first. */
static uint32_t top_rows(const struct snapshot *s, uint32_t n, score_fn score, uint32_t max,
			 uint32_t *rows)
{
	double scores[REPORT_MAX_TOP];
	uint32_t used = 0;

	for (uint32_t i = 0; i < n; i++) {
		double v = score(s, i);
		uint32_t at = used;

		if (!(v > 0))
			continue;
		while (at && scores[at - 1] < v)
			at--;
		if (at == max)
			continue;
		used += used < max;
		for (uint32_t k = used - 1; k > at; k--) {
			scores[k] = scores[k - 1];
			rows[k] = rows[k - 1];
		}
		scores[at] = v;
		rows[at] = i;
	}
	return used;
}

static double function_score(const struct snapshot *s, uint32_t i)
{
	return (double)s->functions[i].self;
}

/* Time spent where it is known, else how often. */
static double latency_row_score(const struct snap_latency *row)
{
	return row->sum ? (double)row->sum : (double)row->count * 1e-9;
}

static double latency_score(const struct snapshot *s, uint32_t i)
{
	return latency_row_score(&s->latency[i]);
}

static double syscall_score(const struct snapshot *s, uint32_t i)
{
	return latency_row_score(&s->syscalls[i]);
}

static double lock_score(const struct snapshot *s, uint32_t i)
{
	return (double)s->locks[i].wait_ns;
}

static double counter_score(const struct snapshot *s, uint32_t i)
{
	return fabs(s->counters[i].rate) + 1;
}

/* ---- parts ---------------------------------------------------------------------------------- */

static void write_head(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	const struct snap_target *t = &s->target;
	char when[32] = "", age[FORMAT_SIZE];
	time_t seconds = (time_t)(s->time_ns / 1000000000u);
	struct tm tm;
	struct text_line l = {.n = 0};

	if (localtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%F %T", &tm);
	text_line_addf(&l, "%s.%03u %s (%d) %s, %u thread%s", when,
		       (unsigned int)(s->time_ns / 1000000 % 1000), t->comm, t->pid,
		       target_state_name(t->state), t->threads, t->threads == 1 ? "" : "s");
	if (t->age_ns)
		text_line_addf(&l, ", %s old", format_age(age, t->age_ns));
	if (s->finished)
		text_line_addf(&l, "; %s", t->note[0] ? t->note : "end");
	text_line_end(&l, r->ascii, out);
}

/* The answer in words first, as on the dashboard: the figures below are what it rests on. */
static void write_verdict(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	struct verdict v;
	struct text_line l;

	verdict_compute(&v, s);
	text_line_begin(&l, "verdict");
	text_line_addf(&l, "%s: %s", v.label, v.text);
	text_line_end(&l, r->ascii, out);
	if (v.also[0]) {
		text_line_begin(&l, "also");
		text_line_add(&l, v.also);
		text_line_end(&l, r->ascii, out);
	}
	if (s->nheap && s->heap.verdict > HEAP_STEADY && strcmp(v.view, "heap") != 0) {
		text_line_begin(&l, "heap");
		text_line_add(&l, s->heap.words);
		text_line_end(&l, r->ascii, out);
	}
}

static void write_usage(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	char a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE], d[FORMAT_SIZE];
	struct text_line l;

	text_line_begin(&l, "cpu");
	text_line_addf(&l, "user %s  sys %s  waiting for a CPU %s  machine %s of %u CPUs",
		       format_pct(a, s->cpu.user_pct), format_pct(b, s->cpu.sys_pct),
		       format_pct(c, s->cpu.runq_wait_pct), format_pct(d, s->proc.machine_cpu_pct),
		       s->proc.ncpu);
	text_line_end(&l, r->ascii, out);
	if (s->proc.quota_cpus > 0) {
		text_line_begin(&l, "quota");
		text_line_addf(&l, "%.2f CPUs, used up in %s of periods, by control group %s",
			       s->proc.quota_cpus, format_pct(a, s->proc.throttled_pct),
			       s->proc.quota_group);
		text_line_end(&l, r->ascii, out);
	}
	text_line_begin(&l, "memory");
	text_line_addf(&l, "rss %s  peak %s", format_bytes(a, s->proc.rss_bytes),
		       format_bytes(b, s->proc.rss_peak_bytes));
	text_line_addf(&l, "  faults %s minor %s major", format_rate(a, s->proc.minflt_rate),
		       format_rate(b, s->proc.majflt_rate));
	text_line_addf(&l, "  read %s/s  write %s/s", format_bytes(a, (uint64_t)s->proc.read_rate),
		       format_bytes(b, (uint64_t)s->proc.write_rate));
	text_line_end(&l, r->ascii, out);
	if (s->proc.memory_limit_bytes) {
		text_line_begin(&l, "limit");
		text_line_addf(&l, "%s of %s of memory, met %s, by control group %s",
			       format_bytes(a, s->proc.memory_group_bytes),
			       format_bytes(b, s->proc.memory_limit_bytes),
			       format_rate(c, s->proc.memory_limit_rate), s->proc.memory_group);
		text_line_end(&l, r->ascii, out);
	}
}

static void write_blocked(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	uint32_t rows[REPORT_MAX_TOP], n;
	char a[FORMAT_SIZE], b[FORMAT_SIZE], name[SNAP_NAME];
	struct text_line l;

	if (s->nblocked) {
		text_line_begin(&l, "blocked");
		for (uint32_t i = 0; i < s->nblocked; i++)
			text_line_addf(&l, "%s %s  ", blocked_reason_name(s->blocked[i].reason),
				       format_pct(a, s->blocked[i].pct));
		text_line_end(&l, r->ascii, out);
	}
	n = top_rows(s, s->nlocks, lock_score, REPORT_LOCKS, rows);
	for (uint32_t i = 0; i < n; i++) {
		const struct snap_lock *lock = &s->locks[rows[i]];

		text_line_begin(&l, "lock");
		lock_name_words(lock, name, sizeof(name));
		text_line_addf(&l, "%s  %s waits  %s in all  %s at most", name,
			       format_count(a, (double)lock->waits), format_ns(b, lock->wait_ns),
			       format_ns((char[FORMAT_SIZE]){0}, lock->max_ns));
		if (lock->owner_tid)
			text_line_addf(&l, "  held by thread %d", lock->owner_tid);
		if (lock->site[0])
			text_line_addf(&l, "  in %s", lock->site);
		text_line_end(&l, r->ascii, out);
	}
}

static void write_functions(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	uint32_t rows[REPORT_MAX_TOP];
	uint32_t n = top_rows(s, s->nfunctions, function_score, REPORT_FUNCTIONS, rows);
	char a[FORMAT_SIZE];
	struct text_line l;

	for (uint32_t i = 0; i < n; i++) {
		const struct snap_function *f = &s->functions[rows[i]];

		text_line_begin(&l, "function");
		text_line_cell(&l, format_pct(a, f->self_pct), 8);
		text_line_add(&l, " self");
		text_line_cell(&l, format_pct(a, f->total_pct), 8);
		text_line_addf(&l, f->module[0] ? " total  %s (%s)" : " total  %s", f->name,
			       f->module);
		text_line_end(&l, r->ascii, out);
	}
}

static void write_latency_row(const struct text_report *r, const char *label,
			      const struct snap_latency *row, FILE *out)
{
	const uint64_t values[] = {row->p50, row->p99, row->p999, row->max};
	static const char *const names[] = {"  p50", "  p99", "  p99.9", "  max"};
	char a[FORMAT_SIZE];
	struct text_line l;

	text_line_begin(&l, label);
	text_line_cell(&l, format_rate(a, row->rate), 8);
	text_line_add(&l, "  count");
	text_line_cell(&l, format_count(a, (double)row->count), 6);
	for (int i = 0; i < 4; i++) {
		text_line_add(&l, names[i]);
		if (!strcmp(row->unit, "ns") || !row->unit[0])
			text_line_cell(&l, format_ns(a, values[i]), 8);
		else
			text_line_cell(&l, format_value(a, (double)values[i], row->unit), 8);
	}
	text_line_addf(&l, "  %s", row->name);
	if (row->module[0])
		text_line_addf(&l, " (%s)", row->module);
	if (row->note[0])
		text_line_addf(&l, "  [%s]", row->note);
	if (row->target)
		text_line_addf(&l, "  goal %s %s", format_ns(a, row->target),
			       row->met ? "met" : "missed");
	text_line_end(&l, r->ascii, out);
}

static const struct snap_tail *next_tail(const struct snapshot *s, const char *name,
					 const struct snap_tail *after)
{
	const struct snap_tail *best = NULL;

	for (uint32_t i = 0; i < s->ntails; i++) {
		const struct snap_tail *t = &s->tails[i];

		if (strcmp(t->name, name) != 0 || (best && t->ns <= best->ns))
			continue;
		if (!after || t->ns < after->ns)
			best = t;
	}
	return best;
}

/* What a function's slow calls have in common, and the slowest of them. */
static void write_tails(const struct text_report *r, const struct snapshot *s, const char *name,
			FILE *out)
{
	char a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE], d[FORMAT_SIZE];
	const struct snap_tail *t = NULL;
	struct tail_summary sum;
	struct text_line l;

	if (!tail_summarize(s, name, &sum))
		return;
	text_line_begin(&l, "  slow");
	text_line_add(&l, sum.text);
	text_line_end(&l, r->ascii, out);
	for (int i = 0; i < REPORT_TAILS; i++) {
		t = next_tail(s, name, t);
		if (!t)
			return;
		text_line_begin(&l, "  slow");
		text_line_addf(&l, "%s: on the CPU %s  queued %s  blocked %s", format_ns(a, t->ns),
			       format_ns(b, t->cpu_ns), format_ns(c, t->runq_ns),
			       format_ns(d, t->blocked_ns));
		if (t->longest_ns)
			text_line_addf(&l, "  longest %s %s%s%s", format_ns(a, t->longest_ns),
				       blocked_reason_name(t->reason), t->what[0] ? " " : "",
				       t->what);
		if (t->waker[0])
			text_line_addf(&l, "  woken by %s", t->waker);
		text_line_addf(&l, "  faults %llu", (unsigned long long)t->minflt + t->majflt);
		text_line_end(&l, r->ascii, out);
	}
}

static void write_latency(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	uint32_t rows[REPORT_MAX_TOP];
	uint32_t n = top_rows(s, s->nlatency, latency_score, REPORT_LATENCY, rows);

	for (uint32_t i = 0; i < n; i++) {
		write_latency_row(r, "latency", &s->latency[rows[i]], out);
		if (s->latency[rows[i]].source == LATENCY_UPROBE)
			write_tails(r, s, s->latency[rows[i]].name, out);
	}
	n = top_rows(s, s->nsyscalls, syscall_score, REPORT_SYSCALLS, rows);
	for (uint32_t i = 0; i < n; i++)
		write_latency_row(r, "syscall", &s->syscalls[rows[i]], out);
}

static void write_counters(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	uint32_t rows[REPORT_MAX_TOP];
	uint32_t n = top_rows(s, s->ncounters, counter_score, REPORT_COUNTERS, rows);
	char a[FORMAT_SIZE];
	struct text_line l;

	for (uint32_t i = 0; i < n; i++) {
		const struct snap_counter *c = &s->counters[rows[i]];

		text_line_begin(&l, "counter");
		text_line_addf(&l, "%s %s", c->name, format_value(a, (double)c->value, c->unit));
		if (c->kind == COUNTER_SUM)
			text_line_addf(&l, "  %s/s", format_value(a, c->rate, c->unit));
		text_line_end(&l, r->ascii, out);
	}
}

static void write_learning(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	const struct snap_learning *t = &s->learning;
	char a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE];
	struct text_line l;

	if (!s->nlearning)
		return;
	text_line_begin(&l, "learning");
	text_line_addf(&l, "loop A p50 %s p99 %s", format_ns(a, s->loop_a.p50),
		       format_ns(b, s->loop_a.p99));
	text_line_addf(&l, "  B %llu times p50 %s  C %llu times p50 %s",
		       (unsigned long long)s->loop_b.count, format_ns(a, s->loop_b.p50),
		       (unsigned long long)s->loop_c.count, format_ns(b, s->loop_c.p50));
	text_line_addf(&l, "  reward %.3f  patterns %s  dreams kept %llu of %llu", t->reward,
		       format_count(c, (double)t->patterns), (unsigned long long)t->dreams_kept,
		       (unsigned long long)t->dreams);
	if (t->save_failures)
		text_line_addf(&l, "  not saved %llu times", (unsigned long long)t->save_failures);
	text_line_end(&l, r->ascii, out);
}

static void write_engine(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	const struct snap_trajectory *t = &s->trajectory;
	char a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE];
	struct text_line l;

	for (uint32_t i = 0; i < s->nkernels; i++) {
		const struct snap_kernel *k = &s->kernels[i];

		text_line_begin(&l, "kernel");
		text_line_cell(&l, format_rate(a, k->rate), 8);
		text_line_addf(&l, "  %.1f GFLOP/s", k->gflops);
		if (k->pct_peak > 0)
			text_line_addf(&l, " (%s of peak)", format_pct(b, k->pct_peak));
		text_line_addf(&l, "  p50 %s  p99 %s  %s %s", format_ns(a, k->p50),
			       format_ns(c, k->p99), k->name, k->isa);
		text_line_end(&l, r->ascii, out);
	}
	write_learning(r, s, out);
	if (!s->ntrajectory)
		return;
	text_line_begin(&l, "trajectory");
	text_line_addf(&l, "%llu of %llu used  recorded %s  drained %s  dropped %s (%llu in all)",
		       (unsigned long long)t->used, (unsigned long long)t->capacity,
		       format_rate(a, t->recorded_rate), format_rate(b, t->drained_rate),
		       format_rate(c, t->dropped_rate), (unsigned long long)t->dropped);
	text_line_end(&l, r->ascii, out);
}

/* What nobody asked for, or the program has none of, is no news. */
static bool is_optional(const struct snap_section *sec)
{
	static const struct {
		const char *name, *fix; /* how the fix begins where nothing else is amiss */
	} optional[] = {
		{"func", "-e "}, {"tail", "-e "}, {"counters", "#include "}, {"engine", ""}};

	for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
		if (!strcmp(sec->name, optional[i].name))
			return sec->status == SECTION_ABSENT &&
			       !strncmp(sec->fix, optional[i].fix, strlen(optional[i].fix));
	return false;
}

static bool section_changed(const struct text_report *r, const struct snap_section *sec)
{
	for (uint32_t i = 0; i < r->nsections; i++)
		if (!strcmp(r->sections[i].name, sec->name))
			return r->sections[i].status != sec->status ||
			       (sec->status != SECTION_LIVE &&
				strcmp(r->sections[i].reason, sec->reason) != 0);
	return sec->status != SECTION_LIVE && !is_optional(sec);
}

static void write_news(struct text_report *r, const struct snapshot *s, FILE *out)
{
	struct text_line l;

	for (uint32_t i = 0; i < s->nalerts; i++) {
		text_line_begin(&l, "alert");
		text_line_addf(&l, "%s %s: %s; %s", alert_severity_name(s->alerts[i].severity),
			       s->alerts[i].rule, s->alerts[i].evidence, s->alerts[i].advice);
		text_line_end(&l, r->ascii, out);
	}
	for (uint32_t i = 0; i < s->nevents; i++) {
		if (s->events[i].time_ns <= r->last_event_ns)
			continue;
		r->last_event_ns = s->events[i].time_ns;
		text_line_begin(&l, "event");
		text_line_add(&l, s->events[i].text);
		text_line_end(&l, r->ascii, out);
	}
	for (uint32_t i = 0; i < s->nsections; i++) {
		const struct snap_section *sec = &s->sections[i];

		if (!section_changed(r, sec))
			continue;
		text_line_begin(&l, "section");
		text_line_addf(&l, "%s is %s: %s", sec->name, section_status_name(sec->status),
			       sec->reason);
		if (sec->fix[0])
			text_line_addf(&l, "; %s", sec->fix);
		text_line_end(&l, r->ascii, out);
	}
	memcpy(r->sections, s->sections, s->nsections * sizeof(s->sections[0]));
	r->nsections = s->nsections;
}

static void write_cost(const struct text_report *r, const struct snapshot *s, FILE *out)
{
	char a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE];
	struct text_line l;

	text_line_begin(&l, "cost");
	text_line_addf(&l, "perftop %s CPU %s  target %s", format_pct(a, s->cost.self_cpu_pct),
		       format_bytes(b, s->cost.self_rss_bytes),
		       format_pct(c, s->cost.target_pct_est));
	if (s->cost.dropped)
		text_line_addf(&l, "  dropped %llu", (unsigned long long)s->cost.dropped);
	if (s->truncated)
		text_line_addf(&l, "  %u rows did not fit", s->truncated);
	text_line_end(&l, r->ascii, out);
}

void text_report_write(struct text_report *r, const struct snapshot *s, FILE *out)
{
	write_head(r, s, out);
	write_verdict(r, s, out);
	write_usage(r, s, out);
	write_blocked(r, s, out);
	write_functions(r, s, out);
	write_latency(r, s, out);
	write_engine(r, s, out);
	write_counters(r, s, out);
	write_news(r, s, out);
	write_cost(r, s, out);
	putc('\n', out);
}
