/* SPDX-License-Identifier: Apache-2.0 */
/* view_io.c: block requests by disk and operation, page faults by call site, in one list. */
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/views/latency_grid.h"

enum { NAMED_FRAMES = 3, LABEL_W = 13 };
#define FAULT_NS 1000 /* until it is known better, for the order alone */

enum {
	COL_NAME,
	COL_COUNT,
	COL_RATE,
	COL_P50,
	COL_P99,
	COL_MAX,
	COL_RECENT,
	COL_TOTAL,
	COL_NOTE,
	COLUMNS
};

static const struct grid_column columns[COLUMNS] = {
	[COL_NAME] = {"SOURCE", 26, .text = true, .flex = true},
	[COL_COUNT] = {"COUNT", 6},
	[COL_RATE] = {"RATE", 7, .drop = 2},
	[COL_P50] = {"P50", 7},
	[COL_P99] = {"P99", 7},
	[COL_MAX] = {"MAX", 7, .drop = 1},
	[COL_RECENT] = {"NOW99", 7, .drop = 3},
	[COL_TOTAL] = {"TOTAL", 7},
	[COL_NOTE] = {"NOTE", 34, .unsorted = true, .drop = 4, .text = true},
};

static const uint8_t latency_column[COLUMNS] = {
	[COL_NAME] = LCOL_NAME,	    [COL_COUNT] = LCOL_COUNT, [COL_RATE] = LCOL_RATE,
	[COL_P50] = LCOL_P50,	    [COL_P99] = LCOL_P99,     [COL_MAX] = LCOL_MAX,
	[COL_RECENT] = LCOL_RECENT, [COL_TOTAL] = LCOL_TOTAL, [COL_NOTE] = LCOL_NOTE,
};

static const char *frame_name(const struct snapshot *sn, const struct snap_fault *f, uint32_t i)
{
	uint32_t at = i < f->nframes && i < SNAP_FRAMES ? f->frames[i] : UINT32_MAX;

	return at < sn->nsymbols ? sn->symbols[at].name : "?";
}

/* The first frame that is not the C library's: malloc's inside says less than who called it. */
static uint32_t place_of(const struct snapshot *sn, const struct snap_fault *f)
{
	for (uint32_t i = 0; i < f->nframes && i < SNAP_FRAMES; i++) {
		uint32_t at = f->frames[i];

		if (at < sn->nsymbols && strncmp(sn->symbols[at].module, "libc.so", 7) &&
		    strncmp(sn->symbols[at].module, "libc-", 5))
			return i;
	}
	return 0;
}

/* A fault's call site in the columns of a latency; its time is what its faults cost together. */
static void fault_row(const struct snapshot *sn, const struct snap_fault *f,
		      struct snap_latency *out)
{
	size_t n = (size_t)snprintf(out->name, sizeof(out->name), "%s ", f->kind);
	uint32_t from = place_of(sn, f);

	for (uint32_t i = from; i < f->nframes && i < from + NAMED_FRAMES && n < sizeof(out->name);
	     i++)
		n += (size_t)snprintf(out->name + n, sizeof(out->name) - n, "%s%.60s",
				      i > from ? " ← " : "", frame_name(sn, f, i));
	out->module[0] = '\0';
	out->source = LATENCY_BLOCK;
	snprintf(out->unit, sizeof(out->unit), "ns");
	out->count = f->count;
	out->rate = f->rate;
	out->sum = f->count * sn->page_faults.mean_ns;
	/* Cut between bytes of a character, perhaps. */
	snapshot_string(out->name, sizeof(out->name), out->name);
}

/* Row i of the list: requests, then faults. `made` holds it where it has to be made. */
static const struct snap_latency *row_of(const struct ui *ui, uint32_t i, struct snap_latency *made)
{
	const struct snapshot *sn = ui->shown;

	if (i < sn->nblock)
		return &sn->block[i];
	memset(made, 0, sizeof(*made));
	fault_row(sn, &sn->faults[i - sn->nblock], made);
	return made;
}

static uint32_t rows(const void *data)
{
	const struct ui *ui = data;

	return ui->shown->nblock + ui->shown->nfaults;
}

/* Stacks may begin alike: their whole is told by a hash (FNV-1a) in front. */
static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct ui *ui = data;
	const struct snapshot *sn = ui->shown;
	struct snap_latency made;
	const struct snap_latency *l = row_of(ui, row, &made);
	uint32_t hash = 0x811c9dc5u;
	int n = 0;

	if (row >= sn->nblock) {
		const struct snap_fault *f = &sn->faults[row - sn->nblock];

		for (uint32_t i = 0; i < f->nframes && i < SNAP_FRAMES; i++)
			for (const char *p = frame_name(sn, f, i); *p; p++)
				hash = (hash ^ (unsigned char)*p) * 0x01000193u;
		n = snprintf(buf, size, "%08x ", hash);
	}
	latency_row_name(l, buf + n, size - (size_t)n);
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct ui *ui = data;
	struct snap_latency made;
	const struct snap_latency *l = row_of(ui, row, &made);

	if (col == COL_TOTAL && l == &made && !l->sum)
		return (double)l->count * FAULT_NS;
	return latency_row_value(l, latency_column[col]);
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct ui *ui = data;
	struct snap_latency made;
	const struct snap_latency *l = row_of(ui, row, &made);
	char buf[FORMAT_SIZE];

	latency_row_cell(ui, l, latency_column[col], out);
	if (l == &made && col == COL_TOTAL && l->sum) {
		snprintf(out->text, sizeof(out->text), "%s", format_ns(buf, l->sum));
		out->style = STYLE_TEXT;
	}
}

static const struct grid_model model = {
	.columns = columns,
	.ncolumns = COLUMNS,
	.sort = COL_TOTAL,
	.rows = rows,
	.name = name,
	.value = value,
	.cell = cell,
};

static void fault_line(const struct snapshot *sn, struct surface *s, struct rect r)
{
	const struct snap_page_faults *f = &sn->page_faults;
	char n[FORMAT_SIZE], rate[FORMAT_SIZE], major[FORMAT_SIZE], mean[FORMAT_SIZE];
	char each[FORMAT_SIZE + 16] = "";

	if (f->mean_ns)
		snprintf(each, sizeof(each), " · %s each", format_ns(mean, f->mean_ns));
	surface_text(s, r.x, r.y, LABEL_W, STYLE_LABEL, "page faults");
	surface_printf(s, r.x + LABEL_W, r.y, r.w - LABEL_W, STYLE_TEXT, "%s · %s · %s major%s",
		       format_count(n, (double)f->count), format_rate(rate, f->rate),
		       format_count(major, (double)f->major), each);
}

static void wait_line(const struct snap_blocked *b, const char *label, struct surface *s,
		      struct rect r)
{
	char n[FORMAT_SIZE], ns[FORMAT_SIZE], p50[FORMAT_SIZE], p99[FORMAT_SIZE], max[FORMAT_SIZE];

	surface_text(s, r.x, r.y, LABEL_W, STYLE_LABEL, label);
	surface_printf(s, r.x + LABEL_W, r.y, r.w - LABEL_W, STYLE_TEXT,
		       "%s waits, %s · p50 %s · p99 %s · max %s", format_count(n, (double)b->count),
		       format_ns(ns, b->ns), format_ns(p50, b->p50), format_ns(p99, b->p99),
		       format_ns(max, b->max));
}

/* What the rows below lead to: threads that wait for a disk, for a page, for a CPU. */
static int draw_summary(const struct snapshot *sn, struct surface *s, struct rect r)
{
	static const struct {
		uint32_t reason;
		const char *label;
	} lines[] = {
		{BLOCKED_IO, "disk waits"},
		{BLOCKED_PAGE_FAULT, "fault waits"},
		{BLOCKED_RUNQ, "run queue"},
	};
	int y = r.y;

	if (r.h < 10)
		return 0;
	if (sn->npage_faults)
		fault_line(sn, s, (struct rect){r.x, y++, r.w, 1});
	for (size_t k = 0; k < sizeof(lines) / sizeof(lines[0]); k++)
		for (uint32_t i = 0; i < sn->nblocked; i++)
			if (sn->blocked[i].reason == lines[k].reason && sn->blocked[i].count)
				wait_line(&sn->blocked[i], lines[k].label, s,
					  (struct rect){r.x, y++, r.w, 1});
	return y > r.y ? y + 1 - r.y : 0;
}

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	static const char *const sections[] = {"block", "faults", NULL};
	int used = draw_summary(ui->shown, s, r);

	r.y += used;
	r.h -= used;
	view_list(ui, vs, &model, sections, "no block request and no page fault yet", s, r);
}

static void draw_stack(const struct snapshot *sn, const struct snap_fault *f, struct view_state *vs,
		       struct surface *s, struct rect r)
{
	int nframes = f->nframes < SNAP_FRAMES ? (int)f->nframes : SNAP_FRAMES, top;
	char n[FORMAT_SIZE], rate[FORMAT_SIZE];

	surface_printf(s, r.x, r.y, r.w, STYLE_TITLE, "page faults in %s", frame_name(sn, f, 0));
	surface_printf(s, r.x, r.y + 1, r.w, STYLE_LABEL, "%s, %s · %s · below: its callers",
		       format_count(n, (double)f->count), format_rate(rate, f->rate),
		       strcmp(f->kind, "major") ? "estimated from stacks that stand for all"
						: "waited for a disk, each with its stack");
	r.y += 3;
	r.h -= 3;
	vs->scroll_max = nframes > r.h ? nframes - r.h : 0;
	top = vs->scroll < vs->scroll_max ? vs->scroll : vs->scroll_max;
	for (int i = 0; i < r.h && top + i < nframes; i++) {
		uint32_t at = f->frames[top + i];
		int x = r.x + 2;

		x += surface_name(s, x, r.y + i, r.w - 2, top + i ? STYLE_TEXT : STYLE_STRONG,
				  frame_name(sn, f, (uint32_t)(top + i)));
		if (at < sn->nsymbols)
			surface_name(s, x + 2, r.y + i, r.x + r.w - x - 2, STYLE_DIM,
				     sn->symbols[at].module);
	}
}

static void detail(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	uint32_t row;

	if (!view_open_row(ui, vs, &model, &row))
		view_empty(s, r, "it is not in the list any more; Esc goes back");
	else if (row < sn->nblock)
		latency_draw_detail(ui, vs, &sn->block[row], s, r);
	else
		draw_stack(sn, &sn->faults[row - sn->nblock], vs, s, r);
}

const struct view_ops view_ops_io = {.draw = draw, .model = &model, .detail = detail};
