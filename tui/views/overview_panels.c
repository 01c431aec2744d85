/* SPDX-License-Identifier: Apache-2.0 */
/* overview_panels.c: the short lists at the bottom of the overview. */
#include "tui/views/overview_panels.h"

#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/views/engine_panel.h"
#include "tui/widgets.h"

enum { TOP_MAX = 64, NUMBER_W = 8, PCT_W = 6, TOP_MIN_W = 12, SPARK_W = 16 };
#define BUSY_PCT 20.0 /* of a CPU */

typedef double (*rank_fn)(const struct snapshot *s, uint32_t row);

/* Indices of the largest `want` of n rows, largest first. */
static uint32_t top_rows(const struct snapshot *s, uint32_t n, rank_fn rank, int want,
			 uint32_t *out)
{
	uint32_t have = 0, max = want < 0 ? 0 : want > TOP_MAX ? TOP_MAX : (uint32_t)want;

	for (uint32_t i = 0; i < n && max; i++) {
		uint32_t at = have < max ? have : max - 1;

		if (have == max && rank(s, i) <= rank(s, out[max - 1]))
			continue;
		while (at && rank(s, i) > rank(s, out[at - 1])) {
			out[at] = out[at - 1];
			at--;
		}
		out[at] = i;
		have += have < max;
	}
	return have;
}

static double rank_function(const struct snapshot *s, uint32_t i)
{
	return s->functions[i].recent_pct;
}

static double rank_latency(const struct snapshot *s, uint32_t i)
{
	return (double)s->latency[i].p99;
}

static double rank_syscall(const struct snapshot *s, uint32_t i)
{
	return s->syscalls[i].rate;
}

static double rank_thread(const struct snapshot *s, uint32_t i)
{
	return s->threads[i].cpu_pct;
}

static double rank_counter(const struct snapshot *s, uint32_t i)
{
	return s->counters[i].rate;
}

static void number(struct surface *s, struct rect *r, enum style st, const char *text)
{
	r->w -= NUMBER_W + 1;
	surface_text_right(s, r->x + r->w + 1, r->y, NUMBER_W, st, text);
}

static void spark(struct surface *s, struct rect *r, const struct series *v, double full)
{
	r->w -= SPARK_W + 1;
	widget_spark(s, r->x + r->w + 1, r->y, SPARK_W, v, full, STYLE_GRAPH);
}

/* A section without rows says why in two or three. */
static int rows_or_reason(uint32_t n)
{
	return n ? (int)n : 3;
}

/* Callers that are themselves in no sample are for the CPU view. */
static int functions_rows(const struct ui *ui)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ui->shown->nfunctions && n < 20; i++)
		n += ui->shown->functions[i].self > 0;
	return rows_or_reason(n);
}

static void functions_note(const struct snapshot *s, char *out, size_t size)
{
	char n[FORMAT_SIZE];

	if (s->cpu.samples)
		snprintf(out, size, " in %s sample%s", format_count(n, (double)s->cpu.samples),
			 s->cpu.samples == 1 ? "" : "s");
}

/* The period that quantiles and maxima are of; rates are of the last interval. */
static void latency_note(const struct snapshot *s, char *out, size_t size)
{
	char age[FORMAT_SIZE];

	if (s->nlatency && s->since_ns)
		snprintf(out, size, " over %s", format_age(age, s->since_ns));
}

static void syscalls_note(const struct snapshot *s, char *out, size_t size)
{
	char age[FORMAT_SIZE];
	size_t n = 0;

	if (s->nsyscalls && s->since_ns)
		n = (size_t)snprintf(out, size, " over %s", format_age(age, s->since_ns));
	for (uint32_t i = 0; i < s->nsections; i++)
		if (!strcmp(s->sections[i].name, "syscalls") &&
		    s->sections[i].status == SECTION_DEGRADED)
			snprintf(out + n, size - n, ", sampled");
}

static int latency_rows(const struct ui *ui)
{
	return rows_or_reason(ui->shown->nlatency ? ui->shown->nlatency + 1 : 0);
}

static int syscalls_rows(const struct ui *ui)
{
	return rows_or_reason(ui->shown->nsyscalls);
}

static int threads_rows(const struct ui *ui)
{
	return (int)ui->shown->nthreads;
}

static void functions(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	uint32_t rows[TOP_MAX], n = top_rows(sn, sn->nfunctions, rank_function, r.h, rows);
	double busy = sn->proc.user_pct + sn->proc.sys_pct;
	char buf[FORMAT_SIZE];

	while (n && sn->functions[rows[n - 1]].recent_pct < 0.05)
		n--;
	if (!n && !view_reason(ui, "cpu", s, r))
		surface_text(s, r.x, r.y, r.w, STYLE_DIM, "no sample yet");
	for (uint32_t i = 0; i < n; i++) {
		const struct snap_function *f = &sn->functions[rows[i]];
		struct rect line = {r.x, r.y + (int)i, r.w, 1};
		int bar = r.w >= 56 ? 12 : 0;

		/* Most samples of a program that hardly runs are no trouble. */
		number(s, &line, f->recent_pct >= 40 && busy >= BUSY_PCT ? STYLE_BAD : STYLE_STRONG,
		       format_pct(buf, f->recent_pct));
		if (bar) {
			line.w -= bar + 1;
			widget_bar(s, line.x + line.w + 1, line.y, bar, f->recent_pct / 100,
				   STYLE_GRAPH);
		}
		line.x += 1 + surface_name(s, line.x, line.y, line.w, STYLE_TEXT, f->name);
		line.w = r.x + r.w - NUMBER_W - 2 - (bar ? bar + 1 : 0) - line.x;
		if (line.w > 6)
			surface_name(s, line.x, line.y, line.w, STYLE_DIM, f->module);
	}
}

static void latency(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	uint32_t rows[TOP_MAX], n;
	char buf[FORMAT_SIZE];

	n = top_rows(sn, sn->nlatency, rank_latency, r.h - 1, rows);
	if (!n) {
		if (!view_notice(ui, "func", s, r))
			surface_text(s, r.x, r.y, r.w, STYLE_DIM, "no call yet");
		return;
	}
	for (int i = -1; i < (int)n; i++) {
		const struct snap_latency *l = i < 0 ? NULL : &sn->latency[rows[i]];
		struct rect line = {r.x, r.y + 1 + i, r.w, 1};
		enum style bad = l && l->target && !l->met ? STYLE_BAD : STYLE_STRONG;

		if (r.w >= 66 && l)
			spark(s, &line,
			      history_find(&ui->history, HISTORY_LATENCY, l->name, l->source), 0);
		else if (r.w >= 66)
			line.w -= SPARK_W + 1;
		number(s, &line, l ? STYLE_TEXT : STYLE_DIM,
		       l ? format_rate(buf, l->rate) : "rate");
		if (r.w >= 48)
			number(s, &line, l ? STYLE_TEXT : STYLE_DIM,
			       l ? format_value(buf, (double)l->max, l->unit) : "max");
		number(s, &line, l ? bad : STYLE_DIM,
		       l ? format_value(buf, (double)l->p99, l->unit) : "p99");
		number(s, &line, l ? STYLE_TEXT : STYLE_DIM,
		       l ? format_value(buf, (double)l->p50, l->unit) : "p50");
		if (l)
			surface_name(s, line.x, line.y, line.w, STYLE_TEXT, l->name);
	}
}

static void syscalls(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	uint32_t rows[TOP_MAX], n = top_rows(sn, sn->nsyscalls, rank_syscall, r.h, rows);
	char buf[FORMAT_SIZE], p99[FORMAT_SIZE + 8];

	if (!n && !view_reason(ui, "syscalls", s, r))
		surface_text(s, r.x, r.y, r.w, STYLE_DIM, "no system call yet");
	for (uint32_t i = 0; i < n; i++) {
		const struct snap_latency *l = &sn->syscalls[rows[i]];
		struct rect line = {r.x, r.y + (int)i, r.w, 1};
		int used;

		if (r.w >= 56)
			spark(s, &line,
			      history_find(&ui->history, HISTORY_SYSCALL, l->name,
					   history_class(l)),
			      0);
		number(s, &line, l->rate > 0 ? STYLE_STRONG : STYLE_DIM, format_rate(buf, l->rate));
		if (l->sampled) {
			snprintf(p99, sizeof(p99), "p99 %s", format_ns(buf, l->p99));
			line.w -= 13;
			surface_text_right(s, line.x + line.w + 1, line.y, 12, STYLE_TEXT, p99);
		}
		used = surface_name(s, line.x, line.y, line.w, STYLE_TEXT, l->name);
		if (l->module[0] && used + 4 < line.w)
			surface_name(s, line.x + used + 1, line.y, line.w - used - 1, STYLE_DIM,
				     l->module);
	}
}

/* What the columns of threads need, and what is left for what each runs; tid 0: it has no room. */
struct thread_widths {
	int tid, comm, top;
};

static struct thread_widths thread_widths(const struct snapshot *sn, const uint32_t *rows,
					  uint32_t n, int w)
{
	struct thread_widths out = {0};
	char tid[16];

	for (uint32_t i = 0; i < n; i++) {
		const struct snap_thread *t = &sn->threads[rows[i]];
		int comm = text_width(t->comm), digits = snprintf(tid, sizeof(tid), "%d", t->tid);

		out.comm = comm > out.comm ? comm : out.comm;
		out.tid = digits > out.tid ? digits : out.tid;
	}
	out.top = w - PCT_W - out.comm - out.tid - 3;
	/* A function cut to a few letters tells nothing; the tid is in the Threads view. */
	if (out.top < TOP_MIN_W) {
		out.top += out.tid + 1;
		out.tid = 0;
	}
	return out;
}

static void threads(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	uint32_t rows[TOP_MAX], n = top_rows(sn, sn->nthreads, rank_thread, r.h, rows);
	int graph = r.w >= 56 ? SPARK_W + 1 : 0;
	struct thread_widths w = thread_widths(sn, rows, n, r.w - graph);
	char buf[FORMAT_SIZE];

	for (uint32_t i = 0; i < n; i++) {
		const struct snap_thread *t = &sn->threads[rows[i]];
		int x = r.x, y = r.y + (int)i;

		if (w.tid) {
			surface_printf(s, x, y, w.tid, STYLE_DIM, "%d", t->tid);
			x += w.tid + 1;
		}
		surface_name(s, x, y, w.comm, STYLE_TEXT, t->comm);
		x += w.comm + 1;
		surface_name(s, x, y, w.top, STYLE_DIM, t->top);
		x = r.x + r.w - graph - PCT_W;
		surface_text_right(s, x, y, PCT_W, t->cpu_pct >= 90 ? STYLE_BAD : STYLE_STRONG,
				   format_pct(buf, t->cpu_pct));
		if (graph)
			widget_spark(s, x + PCT_W + 1, y, SPARK_W,
				     history_find(&ui->history, HISTORY_THREAD, "",
						  (uint32_t)t->tid),
				     100, STYLE_GRAPH);
	}
}

static int counters_rows(const struct ui *ui)
{
	return (int)ui->shown->ncounters;
}

static void counters(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	uint32_t rows[TOP_MAX], n = top_rows(sn, sn->ncounters, rank_counter, r.h, rows);
	char buf[FORMAT_SIZE];

	for (uint32_t i = 0; i < n; i++) {
		const struct snap_counter *c = &sn->counters[rows[i]];
		struct rect line = {r.x, r.y + (int)i, r.w, 1};

		if (r.w >= 56)
			spark(s, &line, history_find(&ui->history, HISTORY_COUNTER, c->name, 0), 0);
		number(s, &line, STYLE_STRONG,
		       c->kind == COUNTER_GAUGE ? format_value(buf, (double)c->value, "")
						: format_rate(buf, c->rate));
		surface_name(s, line.x, line.y, line.w, STYLE_TEXT, c->name);
	}
}

static int engine_rows(const struct ui *ui)
{
	return (int)(ui->shown->ntrajectory + ui->shown->nlearning +
		     (ui->shown->nkernels ? ui->shown->nkernels + 1 : 0));
}

static void engine(const struct ui *ui, struct surface *s, struct rect r)
{
	engine_panel_draw(ui, s, r);
}

/* Those that the lines at the top have not told already. */
static int alerts_rows(const struct ui *ui)
{
	int rows = 0;

	for (uint32_t i = 0; i < ui->shown->nalerts; i++)
		rows += verdict_says(&ui->verdict, &ui->shown->alerts[i]) ? 0 : 2;
	return rows;
}

static void alerts(const struct ui *ui, struct surface *s, struct rect r)
{
	for (uint32_t i = 0; i < ui->shown->nalerts && r.h > 0; i++) {
		const struct snap_alert *a = &ui->shown->alerts[i];
		int used;

		if (verdict_says(&ui->verdict, a))
			continue;
		surface_put(s, r.x, r.y, 0x25cf,
			    a->severity == ALERT_CRITICAL ? STYLE_BAD : STYLE_WARN);
		used = widget_wrap(s, (struct rect){r.x + 2, r.y, r.w - 2, r.h > 2 ? 2 : r.h},
				   STYLE_TEXT, a->evidence);
		r.y += used;
		r.h -= used;
	}
}

const struct overview_panel overview_panels[] = {
	{"top functions", functions_rows, functions, functions_note},
	{"latency", latency_rows, latency, latency_note},
	{"engine", engine_rows, engine, NULL},
	{"alerts", alerts_rows, alerts, NULL},
	{"system calls", syscalls_rows, syscalls, syscalls_note},
	{"threads", threads_rows, threads, NULL},
	{"counters", counters_rows, counters, NULL},
};
const uint32_t noverview_panels = sizeof(overview_panels) / sizeof(overview_panels[0]);
