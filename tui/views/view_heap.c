/* SPDX-License-Identifier: Apache-2.0 */
/* view_heap.c: where the memory goes: the heap's state, and the call sites that hold it. */
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/ui.h"
#include "tui/views/heap_panel.h"
#include "tui/widgets.h"

enum { COL_LIVE, COL_COUNT, COL_GROWTH, COL_AGE, COL_RATE, COL_LEAK, COL_SITE, COLUMNS };
enum { NAMED_FRAMES = 3 };
#define MINUTE_NS 60000000000ull

static const struct grid_column columns[COLUMNS] = {
	[COL_LIVE] = {"LIVE", 9},
	[COL_COUNT] = {"OBJECTS", 8, .drop = 2},
	[COL_GROWTH] = {"GROWTH/s", 9},
	[COL_AGE] = {"AGE P50", 8, .drop = 1},
	[COL_RATE] = {"ALLOCS/s", 9, .drop = 3},
	[COL_LEAK] = {"LEAK", 6},
	[COL_SITE] = {"ALLOCATED BY", 24, .text = true, .flex = true},
};

static const struct snap_heap_site *site_of(const void *data, uint32_t row)
{
	const struct ui *ui = data;

	return &ui->shown->heap_sites[row];
}

static uint32_t rows(const void *data)
{
	const struct ui *ui = data;

	return ui->shown->nheap_sites;
}

static const char *frame_name(const struct snapshot *sn, const struct snap_heap_site *h, uint32_t i)
{
	uint32_t f = i < h->nframes && i < SNAP_FRAMES ? h->frames[i] : UINT32_MAX;

	return f < sn->nsymbols ? sn->symbols[f].name : "?";
}

static void site_text(const struct snapshot *sn, const struct snap_heap_site *h, char *buf,
		      size_t size)
{
	size_t n = 0;

	if (!h->nframes)
		snprintf(buf, size, "[other]");
	for (uint32_t i = 0; i < h->nframes && i < NAMED_FRAMES && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s%.60s", i ? " ← " : "",
				      frame_name(sn, h, i));
}

/* Stacks may begin alike: their whole is told by a hash (FNV-1a) in front. */
static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct ui *ui = data;
	const struct snap_heap_site *h = site_of(data, row);
	uint32_t hash = 0x811c9dc5u;
	int n;

	for (uint32_t i = 0; i < h->nframes && i < SNAP_FRAMES; i++)
		for (const char *p = frame_name(ui->shown, h, i); *p; p++)
			hash = (hash ^ (unsigned char)*p) * 0x01000193u;
	n = snprintf(buf, size, "%08x ", hash);
	site_text(ui->shown, h, buf + n, size - (size_t)n);
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct snap_heap_site *h = site_of(data, row);

	switch (col) {
	case COL_COUNT:
		return (double)h->count;
	case COL_GROWTH:
		return h->growth_bytes_s;
	case COL_AGE:
		return (double)h->age_p50_ns;
	case COL_RATE:
		return h->rate;
	case COL_LEAK:
		return h->leak_score;
	default:
		return (double)h->bytes;
	}
}

static void growth_cell(const struct snap_heap_site *h, struct grid_cell *out)
{
	double g = h->growth_bytes_s;
	char buf[FORMAT_SIZE];

	if (g > -1 && g < 1) {
		snprintf(out->text, sizeof(out->text), "-");
		out->style = STYLE_DIM;
		return;
	}
	snprintf(out->text, sizeof(out->text), "%s%s", g < 0 ? "-" : "",
		 format_bytes(buf, (uint64_t)(g < 0 ? -g : g)));
	out->style = h->leak_score >= 0.5 ? STYLE_WARN : STYLE_TEXT;
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct ui *ui = data;
	const struct snap_heap_site *h = site_of(data, row);
	char buf[FORMAT_SIZE];

	switch (col) {
	case COL_LIVE:
		snprintf(out->text, sizeof(out->text), "%s", format_bytes(buf, h->bytes));
		out->style = STYLE_STRONG;
		break;
	case COL_COUNT:
		snprintf(out->text, sizeof(out->text), "%s", format_count(buf, (double)h->count));
		break;
	case COL_GROWTH:
		growth_cell(h, out);
		break;
	case COL_AGE:
		snprintf(out->text, sizeof(out->text), "%s",
			 h->age_p50_ns >= MINUTE_NS ? format_age(buf, h->age_p50_ns)
						    : format_ns(buf, h->age_p50_ns));
		break;
	case COL_RATE:
		snprintf(out->text, sizeof(out->text), "%s", format_count(buf, h->rate));
		break;
	case COL_LEAK:
		snprintf(out->text, sizeof(out->text), "%s",
			 h->leak_score > 0 ? format_pct(buf, 100 * h->leak_score) : "-");
		out->style = h->leak_score >= 0.5 ? STYLE_BAD : STYLE_DIM;
		break;
	default:
		site_text(ui->shown, h, out->text, sizeof(out->text));
	}
}

static const struct grid_model model = {
	.columns = columns,
	.ncolumns = COLUMNS,
	.sort = COL_LIVE,
	.rows = rows,
	.name = name,
	.value = value,
	.cell = cell,
};

static const char *without_sites(const struct snapshot *sn)
{
	if (snapshot_heap_is_own(&sn->heap) && sn->heap.mode != HEAP_SAMPLE)
		return "call sites: --heap=sample sees malloc alone, which has little of this "
		       "memory";
	switch (sn->heap.mode) {
	case HEAP_SAMPLE:
		return "no call site yet: one allocation in some 512 KiB is sampled";
	case HEAP_TRACE:
		return "--heap=trace counts calls; call sites need --heap=sample";
	default:
		return "call sites, sizes and ages need --heap=sample: it loads a sampler, some "
		       "3 ns a malloc";
	}
}

/* What is missing, unless the verdict below it says so in the same words. */
static int draw_notice(const struct ui *ui, struct surface *s, struct rect r)
{
	const struct snap_section *sec = view_section(ui, "heap");
	const char *why = sec ? strstr(sec->reason, ": ") : NULL;

	if (why && ui->shown->nheap && strstr(ui->shown->heap.words, why + 2))
		return 0;
	return view_notice(ui, "heap", s, r);
}

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	int used = draw_notice(ui, s, r), list;

	r.y += used;
	r.h -= used;
	if (!sn->nheap)
		return;
	/* On a small screen the list keeps its title and three rows. */
	list = sn->nheap_sites ? 4 : 1;
	used = heap_panel_draw(
		sn, history_find(&ui->history, HISTORY_HEAP, "", sn->heap.growth_of_live), s,
		(struct rect){r.x, r.y, r.w, r.h > list ? r.h - list : 1});
	r.y += used;
	r.h -= used;
	/* Sites get half of what is left. */
	if (r.h >= 12) {
		used = heap_panel_tables(sn, s, (struct rect){r.x, r.y + 1, r.w, r.h / 2 - 1});
		r.y += used ? used + 1 : 0;
		r.h -= used ? used + 1 : 0;
	}
	if (r.h >= 6) {
		widget_rule(s, r.x, r.y, r.w, "call sites, by live bytes; estimates from samples");
		r.y++;
		r.h--;
	}
	if (r.h < 1)
		return;
	if (!sn->nheap_sites)
		view_empty(s, r, without_sites(sn));
	else
		grid_draw(&vs->grid, &model, ui, s, r);
}

static void detail(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	const struct snapshot *sn = ui->shown;
	const struct snap_heap_site *h;
	char live[FORMAT_SIZE], n[FORMAT_SIZE], total[FORMAT_SIZE], count[FORMAT_SIZE];
	uint32_t row, nframes;
	int top;

	if (!view_open_row(ui, vs, &model, &row)) {
		view_empty(s, r, "this call site holds nothing any more; Esc goes back");
		return;
	}
	h = &sn->heap_sites[row];
	nframes = h->nframes < SNAP_FRAMES ? h->nframes : SNAP_FRAMES;
	surface_name(s, r.x, r.y, r.w, STYLE_TITLE, h->nframes ? frame_name(sn, h, 0) : "[other]");
	surface_printf(s, r.x, r.y + 1, r.w, STYLE_LABEL,
		       "%s live in %s objects, of %s in %s ever allocated · leak score %.0f %%",
		       format_bytes(live, h->bytes), format_count(n, (double)h->count),
		       format_bytes(total, h->total_bytes),
		       format_count(count, (double)h->total_count), 100 * h->leak_score);
	r.y += 3;
	r.h -= 3;
	vs->scroll_max = (int)nframes > r.h ? (int)nframes - r.h : 0;
	top = vs->scroll < vs->scroll_max ? vs->scroll : vs->scroll_max;
	for (int i = 0; i < r.h && top + i < (int)nframes; i++) {
		uint32_t f = h->frames[top + i];
		int x = r.x + 2;

		surface_put(s, r.x, r.y + i, top + i ? 0x2190 : 0x25b8, STYLE_BORDER);
		x += surface_name(s, x, r.y + i, r.w - 2, STYLE_TEXT,
				  frame_name(sn, h, (uint32_t)(top + i)));
		if (f < sn->nsymbols)
			surface_name(s, x + 2, r.y + i, r.x + r.w - x - 2, STYLE_DIM,
				     sn->symbols[f].module);
	}
}

const struct view_ops view_ops_heap = {.draw = draw, .model = &model, .detail = detail};
