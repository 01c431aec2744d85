/* SPDX-License-Identifier: Apache-2.0 */
/* engine_panel.c: the trajectory buffer, learning, and kernels. */
#include "tui/views/engine_panel.h"

#include <stdio.h>

#include "tui/format.h"
#include "tui/widgets.h"

/* Left edge and width of each number column; those past the right edge are left out. */
static const struct {
	const char *title;
	int width;
} kernel_columns[] = {
	{"GFLOP/S", 8}, {"PEAK", 7}, {"GB/S", 7},    {"CALLS", 8},
	{"P50", 8},	{"P99", 8},  {"xSCALAR", 8}, {"xSTANDARD", 10},
};
enum { KERNEL_COLUMNS = sizeof(kernel_columns) / sizeof(kernel_columns[0]), NAME_W = 26 };

/* With "~" where some calls stand for all. buf has room for it. */
static const char *kernel_time(const struct snap_kernel *k, uint64_t ns, char *buf)
{
	bool sampled = k->sampled && k->sampled < k->calls / 2;

	buf[0] = '~';
	format_ns(buf + sampled, ns);
	return buf;
}

static const char *kernel_text(const struct snap_kernel *k, int col, char *buf)
{
	switch (col) {
	case 0:
		return k->gflops > 0 ? format_count(buf, k->gflops) : "-";
	case 1:
		return k->pct_peak > 0 ? format_pct(buf, k->pct_peak) : "-";
	case 2:
		return k->gbytes_s > 0 ? format_count(buf, k->gbytes_s) : "-";
	case 3:
		return format_rate(buf, k->rate);
	case 4:
		return kernel_time(k, k->p50, buf);
	case 5:
		return kernel_time(k, k->p99, buf);
	case 6:
		return k->vs_scalar > 0 ? format_count(buf, k->vs_scalar) : "-";
	default:
		return k->vs_standard > 0 ? format_count(buf, k->vs_standard) : "-";
	}
}

static void kernel_line(const struct snap_kernel *k, struct surface *s, struct rect r)
{
	char label[96], buf[FORMAT_SIZE + 1];
	int x = r.x + NAME_W;

	snprintf(label, sizeof(label), "%s %s", k->name, k->isa);
	surface_name(s, r.x, r.y, NAME_W - 1, STYLE_TEXT, label);
	for (int c = 0; c < KERNEL_COLUMNS && x + kernel_columns[c].width <= r.x + r.w; c++) {
		surface_text_right(s, x, r.y, kernel_columns[c].width,
				   c < 2 ? STYLE_STRONG : STYLE_TEXT, kernel_text(k, c, buf));
		x += kernel_columns[c].width + 1;
	}
	if (k->pct_peak > 0 && x + 12 <= r.x + r.w)
		widget_bar(s, x + 1, r.y, r.x + r.w - x - 1 < 30 ? r.x + r.w - x - 1 : 30,
			   k->pct_peak / 100, STYLE_GRAPH);
}

static int draw_kernels(const struct ui *ui, struct surface *s, struct rect r)
{
	int x = r.x + NAME_W, y = r.y + 1;

	if (!ui->shown->nkernels || r.h < 2)
		return 0;
	surface_fill(s, (struct rect){r.x, r.y, r.w, 1}, ' ', STYLE_COLUMN);
	surface_text(s, r.x, r.y, NAME_W, STYLE_COLUMN, "KERNEL");
	for (int c = 0; c < KERNEL_COLUMNS && x + kernel_columns[c].width <= r.x + r.w; c++) {
		surface_text_right(s, x, r.y, kernel_columns[c].width, STYLE_COLUMN,
				   kernel_columns[c].title);
		x += kernel_columns[c].width + 1;
	}
	for (uint32_t i = 0; i < ui->shown->nkernels && y < r.y + r.h; i++)
		kernel_line(&ui->shown->kernels[i], s, (struct rect){r.x, y++, r.w, 1});
	return y - r.y;
}

static int draw_trajectory(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct snap_trajectory *t = &ui->shown->trajectory;
	double share = t->capacity ? (double)t->used / (double)t->capacity : 0;
	char used[FORMAT_SIZE], cap[FORMAT_SIZE], rec[FORMAT_SIZE], drain[FORMAT_SIZE],
		drop[FORMAT_SIZE];
	const bool narrow = r.w < 50;
	int bar = r.w >= 100 ? 24 : 10, x;

	if (!ui->shown->ntrajectory || r.h < 1)
		return 0;
	x = r.x + 13;
	surface_text(s, r.x, r.y, 12, STYLE_LABEL, "trajectories");
	if (!narrow) {
		surface_fill(s, (struct rect){x, r.y, bar, 1}, 0x2591, STYLE_BORDER);
		widget_bar(s, x, r.y, bar, share, share > 0.9 ? STYLE_BAD : STYLE_GRAPH);
		x += bar + 1;
	}
	x += surface_printf(s, x, r.y, r.x + r.w - x,
			    narrow && share > 0.9 ? STYLE_BAD : STYLE_TEXT,
			    narrow ? "%s/%s" : "%s of %s", format_count(used, (double)t->used),
			    format_count(cap, (double)t->capacity));
	if (r.w >= 80)
		x += surface_printf(s, x, r.y, r.x + r.w - x, STYLE_TEXT, "  in %s  out %s",
				    format_rate(rec, t->recorded_rate),
				    format_rate(drain, t->drained_rate));
	x += surface_printf(s, x, r.y, r.x + r.w - x, t->dropped_rate > 0 ? STYLE_BAD : STYLE_DIM,
			    narrow ? "  drop %s" : "  dropped %s",
			    format_rate(drop, t->dropped_rate));
	if (r.w >= 80)
		surface_printf(s, x, r.y, r.x + r.w - x, STYLE_DIM, "  contention %.1f %%",
			       t->contention_pct);
	return 1;
}

/* "A 31.0 us p99 58.0 us x180k": a loop that has run; where room is short, less of it. */
static int loop_text(struct surface *s, struct rect r, int x, const char *name,
		     const struct snap_loop *l)
{
	char p50[FORMAT_SIZE], p99[FORMAT_SIZE], n[FORMAT_SIZE];
	int from = x;

	if (!l->count)
		return 0;
	x += surface_printf(s, x, r.y, r.x + r.w - x, STYLE_LABEL, "%s ", name);
	x += surface_printf(s, x, r.y, r.x + r.w - x, STYLE_STRONG, "%s", format_ns(p50, l->p50));
	if (r.w >= 100)
		x += surface_printf(s, x, r.y, r.x + r.w - x, STYLE_TEXT, " p99 %s",
				    format_ns(p99, l->p99));
	if (r.w >= 140)
		x += surface_printf(s, x, r.y, r.x + r.w - x, STYLE_TEXT, " x%s",
				    format_count(n, (double)l->count));
	x += surface_printf(s, x, r.y, r.x + r.w - x, STYLE_TEXT, "  ");
	return x - from;
}

static int draw_learning(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	const struct snap_learning *l = &sn->learning;
	char buf[FORMAT_SIZE];
	int x = r.x + 13;

	if (!sn->nlearning || r.h < 1)
		return 0;
	surface_text(s, r.x, r.y, 12, STYLE_LABEL, "learning");
	x += loop_text(s, r, x, "A", &sn->loop_a);
	if (r.w >= 56) {
		x += loop_text(s, r, x, "B", &sn->loop_b);
		x += loop_text(s, r, x, "C", &sn->loop_c);
	}
	x += surface_printf(s, x, r.y, r.x + r.w - x, STYLE_TEXT, "patterns %s",
			    format_count(buf, (double)l->patterns));
	if (r.w >= 76)
		x += surface_printf(s, x, r.y, r.x + r.w - x, STYLE_TEXT, "  reward %.3f",
				    l->reward);
	if (r.w >= 140)
		x += surface_printf(
			s, x, r.y, r.x + r.w - x, STYLE_DIM,
			"  found %.0f %%  memories %llu  dreams %llu of %llu  tasks %llu",
			l->pattern_found_pct, (unsigned long long)l->memories,
			(unsigned long long)l->dreams_kept, (unsigned long long)l->dreams,
			(unsigned long long)l->tasks);
	if (l->save_failures)
		surface_printf(s, x, r.y, r.x + r.w - x, STYLE_BAD, "  not saved");
	return 1;
}

int engine_panel_draw(const struct ui *ui, struct surface *s, struct rect r)
{
	int used = draw_trajectory(ui, s, r);

	used += draw_learning(ui, s, (struct rect){r.x, r.y + used, r.w, r.h - used});
	used += draw_kernels(ui, s, (struct rect){r.x, r.y + used, r.w, r.h - used});
	return used;
}
