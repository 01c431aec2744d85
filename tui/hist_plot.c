/* SPDX-License-Identifier: Apache-2.0 */
/* hist_plot.c: a histogram over a logarithmic axis. */
#include "tui/hist_plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"

enum { MAX_COLUMNS = 512, LABEL_ROWS_H = 12 };

struct axis {
	double lo, hi; /* log2 of the ends */
	int w;
};

static double bucket_middle(uint32_t bucket)
{
	/* A recording may hold any number; one past the last is asked for its lower edge. */
	uint32_t b = bucket > HIST_PLOT_MAX_BUCKET + 1 ? HIST_PLOT_MAX_BUCKET + 1 : bucket;
	struct snap_bin one = {b, 1};

	return (double)snapshot_quantile(&one, 1, 1, 1);
}

/* Edges halfway to the neighbours: within the arithmetic's own error of the true ones. */
static double bucket_edge(uint32_t bucket)
{
	double here = bucket_middle(bucket);

	return bucket ? (bucket_middle(bucket - 1) + here + 1) / 2 : 0;
}

static double log_of(double v)
{
	return log2(v < 1 ? 1 : v);
}

/* The axis holds all bins and marks, and at least one octave so that one value has a shape. */
static void axis_init(struct axis *a, const struct hist_plot *p, int w)
{
	a->w = w;
	a->lo = INFINITY;
	a->hi = -INFINITY;
	if (p->nbins) {
		a->lo = log_of(bucket_edge(p->bins[0].bucket));
		a->hi = log_of(bucket_edge(p->bins[p->nbins - 1].bucket + 1));
	}
	for (uint32_t i = 0; i < p->nmarks; i++)
		if (p->marks[i].value) {
			double v = log_of((double)p->marks[i].value);

			a->lo = v < a->lo ? v : a->lo;
			a->hi = v > a->hi ? v : a->hi;
		}
	if (!(a->lo <= a->hi))
		a->lo = a->hi = 0;
	if (a->hi - a->lo < 1) {
		double mid = (a->hi + a->lo) / 2;

		a->lo = mid > 0.5 ? mid - 0.5 : 0;
		a->hi = a->lo + 1;
	}
}

static double axis_at(const struct axis *a, double value)
{
	return (log_of(value) - a->lo) / (a->hi - a->lo) * a->w;
}

static int axis_column(const struct axis *a, uint64_t value)
{
	int c = (int)axis_at(a, (double)value);

	return c < 0 ? 0 : c >= a->w ? a->w - 1 : c;
}

int hist_plot_column(const struct hist_plot *p, int w, uint64_t value)
{
	struct axis a;

	axis_init(&a, p, w);
	return axis_column(&a, value);
}

/* Spread one bucket's count over the columns it covers. */
static void spread(const struct axis *a, uint32_t bucket, double count, double *cols)
{
	double x0 = axis_at(a, bucket_edge(bucket)), x1 = axis_at(a, bucket_edge(bucket + 1));
	double w = x1 - x0;

	for (int c = x0 < 0 ? 0 : (int)x0; c < a->w && c < x1; c++) {
		double from = c > x0 ? c : x0, to = c + 1 < x1 ? c + 1 : x1;

		cols[c] += w > 0 ? count * (to - from) / w : count;
	}
	if (w <= 0)
		cols[x0 < 0 ? 0 : x0 >= a->w ? a->w - 1 : (int)x0] += count;
}

static double largest(const double *v, int n)
{
	double max = 0;

	for (int i = 0; i < n; i++)
		max = v[i] > max ? v[i] : max;
	return max;
}

static void draw_bars(struct surface *s, struct rect r, const double *cols, double max)
{
	for (int c = 0; c < r.w; c++) {
		int level = max > 0 ? (int)(cols[c] / max * r.h * 8 + 0.5) : 0;

		/* Rare values are what tails are made of: never invisible. */
		if (cols[c] > 0 && level < 1)
			level = 1;
		for (int row = 0; row < r.h && level > 0; row++, level -= 8)
			surface_put(s, r.x + c, r.y + r.h - 1 - row,
				    level >= 8 ? 0x2588 : 0x2580 + (uint32_t)level, STYLE_GRAPH);
	}
}

static void draw_recent(struct surface *s, struct rect r, const double *cols, double max)
{
	for (int c = 0; c < r.w && max > 0; c++)
		if (cols[c] > 0) {
			int row = (int)(cols[c] / max * (r.h - 1) + 0.5);

			surface_put(s, r.x + c, r.y + r.h - 1 - row, row ? 0x25cf : 0xb7,
				    STYLE_GRAPH_RECENT);
		}
}

/* A round value without the zeros after its point. */
static void format_tick(char *buf, double v, const char *unit)
{
	static const char *const units[] = {"ns", "µs", "ms", "s", "ks"};
	int u = 0;

	if (strcmp(unit, "ns")) {
		format_value(buf, v, unit);
		return;
	}
	for (; u < 4 && v >= 999.5; u++)
		v /= 1000;
	snprintf(buf, FORMAT_SIZE, "%.0f %s", v, units[u]);
}

/* Ticks at 1, 2 and 5 of every decade, labelled as far as labels fit. */
static void draw_axis(struct surface *s, struct rect r, const struct axis *a, const char *unit)
{
	static const double steps[] = {1, 2, 5};
	int y = r.y + r.h - 2, free_from = 0;

	for (int c = 0; c < r.w; c++)
		surface_put(s, r.x + c, y, 0x2500, STYLE_BORDER);
	for (int decade = 0; decade <= 19; decade++)
		for (int k = 0; k < 3; k++) {
			double v = steps[k] * pow(10, decade), at = axis_at(a, v);
			char label[FORMAT_SIZE];
			int c = (int)floor(at);

			if (at < 0 || c >= r.w)
				continue;
			surface_put(s, r.x + c, y, 0x252c, STYLE_BORDER);
			format_tick(label, v, unit);
			if (c < free_from || c + text_width(label) > r.w)
				continue;
			surface_text(s, r.x + c, y + 1, r.w - c, STYLE_DIM, label);
			free_from = c + text_width(label) + 2;
		}
}

/* Lines from the label's row down to the axis; labels step down so that none covers another. */
static void draw_marks(struct surface *s, struct rect r, const struct axis *a,
		       const struct hist_plot *p)
{
	char label[64], value[FORMAT_SIZE];
	bool stairs = r.h >= LABEL_ROWS_H;
	int end = -1;

	for (uint32_t i = 0; i < p->nmarks; i++) {
		const struct hist_mark *m = &p->marks[i];
		int c = axis_column(a, m->value), row = stairs ? (int)i : 0;

		if (!m->value)
			continue;
		for (int y = r.y + row; y < r.y + r.h - 2; y++)
			surface_put(s, r.x + c, y, 0x2502, m->style);
	}
	for (uint32_t i = 0; i < p->nmarks; i++) {
		const struct hist_mark *m = &p->marks[i];
		int c = axis_column(a, m->value), row = stairs ? (int)i : 0, w;

		if (!m->value)
			continue;
		snprintf(label, sizeof(label), " %s %s ", m->name,
			 format_value(value, (double)m->value, p->unit));
		w = text_width(label);
		if (stairs && c + 1 + w > r.w)
			surface_text(s, r.x + (c > w ? c - w : 0), r.y + row, w, m->style, label);
		else if (stairs || (c > end && c + 1 + w <= r.w))
			surface_text(s, r.x + c + 1, r.y + row, w, m->style, label);
		else
			continue;
		end = c + w;
	}
}

void hist_plot_draw(struct surface *s, struct rect r, const struct hist_plot *p)
{
	double cols[MAX_COLUMNS] = {0}, recent[MAX_COLUMNS] = {0};
	struct axis a;
	struct rect bars;
	int head;

	r.w = r.w > MAX_COLUMNS ? MAX_COLUMNS : r.w;
	if (r.w < 8 || r.h < 4)
		return;
	axis_init(&a, p, r.w);
	for (uint32_t i = 0; i < p->nbins; i++) {
		spread(&a, p->bins[i].bucket, p->bins[i].count, cols);
		if (p->recent && p->bins[i].bucket < p->nrecent)
			spread(&a, p->bins[i].bucket, p->recent[p->bins[i].bucket], recent);
	}
	head = r.h >= LABEL_ROWS_H ? (int)p->nmarks : 1;
	bars = (struct rect){r.x, r.y + head, r.w, r.h - 2 - head};
	draw_bars(s, bars, cols, largest(cols, r.w));
	draw_recent(s, bars, recent, largest(recent, r.w));
	draw_marks(s, r, &a, p);
	draw_axis(s, r, &a, p->unit);
}
