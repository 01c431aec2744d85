/* SPDX-License-Identifier: Apache-2.0 */
/* heap_panel.c: the heap as a whole: verdict, what it is made of, sizes, generations. */
#include "tui/views/heap_panel.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/widgets.h"

enum { LABEL_W = 15, TABLE_W = 58, TABLE_ROWS = 10 };

const char *heap_panel_label(uint32_t verdict)
{
	static const char *const labels[] = {
		[HEAP_UNKNOWN] = "Too early",	  [HEAP_STEADY] = "Steady",
		[HEAP_GROWING] = "Growing",	  [HEAP_LEAKING] = "Leak suspected",
		[HEAP_FRAGMENTED] = "Fragmented", [HEAP_CACHED] = "Free but kept",
	};

	return verdict <= HEAP_CACHED ? labels[verdict] : "?";
}

enum style heap_panel_style(uint32_t verdict)
{
	switch (verdict) {
	case HEAP_STEADY:
		return STYLE_VERDICT_GOOD;
	case HEAP_LEAKING:
		return STYLE_VERDICT_BAD;
	case HEAP_GROWING:
	case HEAP_FRAGMENTED:
	case HEAP_CACHED:
		return STYLE_VERDICT_WARN;
	default:
		return STYLE_VERDICT_NONE;
	}
}

const char *heap_panel_words(const struct snap_heap *h)
{
	const char *colon = strstr(h->words, ": ");

	return colon ? colon + 2 : h->words;
}

static int draw_verdict(const struct snap_heap *h, struct surface *s, struct rect r)
{
	const char *label = heap_panel_label(h->verdict);
	int w = text_width(label) + 2, rows;

	surface_fill(s, (struct rect){r.x, r.y, w, 1}, ' ', heap_panel_style(h->verdict));
	surface_text(s, r.x + 1, r.y, w - 1, heap_panel_style(h->verdict), label);
	rows = widget_wrap(s, (struct rect){r.x + w + 2, r.y, r.w - w - 2, 3}, STYLE_STRONG,
			   heap_panel_words(h));
	return rows > 1 ? rows : 1;
}

static int draw_bar(const struct snap_heap *h, struct surface *s, struct rect r)
{
	const bool bound = h->live_at_most;
	const struct widget_part parts[] = {
		{bound		    ? "live, at most"
		 : h->mmapped_bytes ? "live, small"
				    : "live",
		 '#', STYLE_PART_USER,
		 (double)(h->live_bytes > h->mmapped_bytes ? h->live_bytes - h->mmapped_bytes : 0)},
		{"live, large", '+', STYLE_PART_IO, (double)h->mmapped_bytes},
		{bound ? "free, at least" : "free but kept", '-', STYLE_PART_RUNQ,
		 (double)h->retained_bytes},
		{"not the allocator's", '.', STYLE_PART_OTHER,
		 (double)(snapshot_heap_is_own(h) ? h->anon_bytes - h->obtained_bytes : 0)},
	};

	if (!h->obtained_bytes)
		return 0;
	widget_stack(s, r.x, r.y, r.w, parts, 4);
	return 1 + widget_legend(s, (struct rect){r.x, r.y + 1, r.w, 2}, parts, 4);
}

/* "label value", after what stands in the row already; a new row when it does not fit. */
static void put(struct surface *s, struct rect r, int *x, int *y, const char *label,
		const char *value)
{
	int w = text_width(label) + 1 + text_width(value);

	if (*x > r.x && *x + w > r.x + r.w) {
		*x = r.x;
		++*y;
	}
	if (*y >= r.y + r.h)
		return;
	*x += surface_text(s, *x, *y, r.x + r.w - *x, STYLE_LABEL, label) + 1;
	*x += surface_text(s, *x, *y, r.x + r.w - *x, STYLE_TEXT, value) + 3;
}

/* Of several processes RSS is added up, with what they share in each; all else is the first one's.
 */
static void put_rss(const struct snapshot *sn, struct surface *s, struct rect r, int *x, int *y)
{
	char b[FORMAT_SIZE], text[48];

	put(s, r, x, y, sn->nprocesses > 1 ? "RSS of all" : "RSS",
	    format_bytes(b, sn->heap.rss_bytes));
	for (uint32_t i = 0; sn->nprocesses > 1 && i < sn->nprocesses && i < SNAP_PROCESSES; i++)
		if (sn->processes[i].pid == sn->target.pid) {
			snprintf(text, sizeof(text), "pid %d alone: RSS", sn->target.pid);
			put(s, r, x, y, text, format_bytes(b, sn->processes[i].rss_bytes));
		}
}

static int draw_sizes_of_process(const struct snapshot *sn, struct surface *s, struct rect r)
{
	const struct snap_heap *h = &sn->heap;
	char b[FORMAT_SIZE], text[48];
	int x = r.x, y = r.y;

	put_rss(sn, s, r, &x, &y);
	if (sn->proc.memory_limit_bytes) {
		char used[FORMAT_SIZE];

		snprintf(text, sizeof(text), "%s of %s",
			 format_bytes(used, sn->proc.memory_group_bytes),
			 format_bytes(b, sn->proc.memory_limit_bytes));
		put(s, r, &x, &y, "control group", text);
	}
	if (h->pss_bytes)
		put(s, r, &x, &y, "PSS", format_bytes(b, h->pss_bytes));
	put(s, r, &x, &y, "anonymous", format_bytes(b, h->anon_bytes));
	put(s, r, &x, &y, "file", format_bytes(b, sn->proc.file_bytes));
	if (sn->proc.shmem_bytes)
		put(s, r, &x, &y, "shared", format_bytes(b, sn->proc.shmem_bytes));
	if (h->obtained_bytes)
		put(s, r, &x, &y, "obtained", format_bytes(b, h->obtained_bytes));
	if (h->live_bytes)
		put(s, r, &x, &y, h->live_at_most ? "live, at most" : "live",
		    format_bytes(b, h->live_bytes));
	if (h->obtained_bytes && h->mmapped_bytes)
		put(s, r, &x, &y, "of it large", format_bytes(b, h->mmapped_bytes));
	if (h->live_count)
		put(s, r, &x, &y, "objects", format_count(b, (double)h->live_count));
	if (h->obtained_bytes)
		put(s, r, &x, &y, h->live_at_most ? "free, at least" : "free",
		    format_bytes(b, h->retained_bytes));
	if (h->arenas) {
		snprintf(text, sizeof(text), "%u", h->arenas);
		put(s, r, &x, &y, "arenas", text);
	}
	put(s, r, &x, &y, "allocator", h->allocator[0] ? h->allocator : "not recognised");
	return y + 1 - r.y;
}

static void put_rate(struct surface *s, struct rect r, int *x, int *y, const char *label,
		     double rate)
{
	char b[FORMAT_SIZE];

	put(s, r, x, y, label, format_rate(b, rate));
}

static void put_bytes_rate(struct surface *s, struct rect r, int *x, int *y, const char *label,
			   double rate)
{
	char b[FORMAT_SIZE], text[32];

	snprintf(text, sizeof(text), "%s/s", format_bytes(b, (uint64_t)(rate > 0 ? rate : 0)));
	put(s, r, x, y, label, text);
}

static int draw_rates(const struct snapshot *sn, struct surface *s, struct rect r)
{
	const struct snap_heap *h = &sn->heap;
	char b[FORMAT_SIZE];
	int x = r.x, y = r.y;

	if (h->alloc_rate > 0 || h->free_rate > 0) {
		put_rate(s, r, &x, &y, "malloc", h->alloc_rate);
		put_rate(s, r, &x, &y, "free", h->free_rate);
		put_bytes_rate(s, r, &x, &y, "allocated", h->alloc_bytes_rate);
	}
	put_rate(s, r, &x, &y, "brk", h->brk_rate);
	put_rate(s, r, &x, &y, "mmap", h->mmap_rate);
	put_rate(s, r, &x, &y, "munmap", h->munmap_rate);
	put_rate(s, r, &x, &y, "madvise", h->madvise_rate);
	put_bytes_rate(s, r, &x, &y, "taken", h->mapped_rate);
	put_bytes_rate(s, r, &x, &y, "given back", h->unmapped_rate);
	put_rate(s, r, &x, &y, "page faults", sn->proc.minflt_rate + sn->proc.majflt_rate);
	if (h->fault_ns)
		put(s, r, &x, &y, "each", format_ns(b, h->fault_ns));
	return y + 1 - r.y;
}

static int draw_pauses(const struct snapshot *sn, struct surface *s, struct rect r)
{
	const struct snap_pauses *p = &sn->heap_pauses;
	const struct snap_reclaim *e = &sn->reclaim;
	char b[FORMAT_SIZE], text[64];
	int x = r.x, y = r.y;

	snprintf(text, sizeof(text), "over %s:", format_ns(b, p->threshold_ns));
	put(s, r, &x, &y,
	    sn->heap.mode == HEAP_SAMPLE ? "pauses: malloc and free"
					 : "pauses: calls of the kernel",
	    text);
	x -= 2;
	put(s, r, &x, &y, "", format_count(b, (double)p->count));
	put(s, r, &x, &y, "of all p50", format_ns(b, p->p50));
	put(s, r, &x, &y, "p99", format_ns(b, p->p99));
	put(s, r, &x, &y, "max", format_ns(b, p->max));
	if (sn->nreclaim) {
		x = r.x;
		y++;
		put(s, r, &x, &y, "epochs: to be reclaimed", format_count(b, (double)e->pending));
		put(s, r, &x, &y, "peak", format_count(b, (double)e->peak));
		put_rate(s, r, &x, &y, "reclaimed", e->dispatched_rate);
		put(s, r, &x, &y, "stalls", format_count(b, (double)e->stalls));
		put(s, r, &x, &y, "stalled for", format_ns(b, e->stall_ns));
	}
	return y + 1 - r.y;
}

static int draw_past(const struct snap_heap *h, const struct series *past, struct surface *s,
		     struct rect r)
{
	char b[FORMAT_SIZE];
	double g = h->growth_bytes_s;

	if (!past || r.h < 1)
		return 0;
	surface_text(s, r.x, r.y, LABEL_W, STYLE_LABEL,
		     h->growth_of_live ? "live bytes" : "anonymous");
	widget_spark(s, r.x + LABEL_W, r.y, r.w - LABEL_W - 17, past, 0, STYLE_GRAPH);
	/* Less than a byte has no sign. */
	surface_printf(s, r.x + r.w - 16, r.y, 16, g >= 1 ? STYLE_WARN : STYLE_DIM, "%s%s/s",
		       g <= -1	? "-"
		       : g >= 1 ? "+"
				: "",
		       format_bytes(b, (uint64_t)fabs(g)));
	return 1;
}

int heap_panel_draw(const struct snapshot *sn, const struct series *past, struct surface *s,
		    struct rect r)
{
	struct rect at = r;
	int used = draw_verdict(&sn->heap, s, at);

	/* The verdict comes first; below it what fits. */
	at.y += used;
	at.h -= used;
	if (at.h > 12) {
		at.y++;
		at.h--;
	}
	for (int part = 0; part < 5 && at.h > 0; part++) {
		used = part == 0   ? draw_bar(&sn->heap, s, at)
		       : part == 1 ? draw_past(&sn->heap, past, s, at)
		       : part == 2 ? draw_sizes_of_process(sn, s, at)
		       : part == 3 ? draw_rates(sn, s, at)
				   : draw_pauses(sn, s, at);
		at.y += used;
		at.h -= used;
	}
	return at.y - r.y;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static double share(uint64_t part, uint64_t all)
{
	return all ? (double)part / (double)all : 0;
}

static int draw_sizes(const struct snapshot *sn, struct surface *s, struct rect r)
{
	uint32_t n = sn->nheap_sizes, skip = 0;
	uint64_t most = 0;
	char b[FORMAT_SIZE];
	int y = r.y;

	surface_fill(s, (struct rect){r.x, y, r.w, 1}, ' ', STYLE_COLUMN);
	surface_text(s, r.x, y++, r.w, STYLE_COLUMN,
		     "   SIZE UP TO    OBJECTS       LIVE    ALLOCS");
	for (uint32_t i = 0; i < n; i++)
		most = sn->heap_sizes[i].live_bytes > most ? sn->heap_sizes[i].live_bytes : most;
	for (uint32_t i = 0; i < n && y < r.y + r.h; i++) {
		const struct snap_heap_size *row = &sn->heap_sizes[i];

		/* Where not all have room, those that hold least are left out. */
		if ((int)(n - skip) > r.h - 1 && share(row->live_bytes, most) < 0.02) {
			skip++;
			continue;
		}
		surface_text_right(s, r.x, y, 13, STYLE_TEXT, format_bytes(b, row->size_max));
		surface_text_right(s, r.x + 14, y, 10, STYLE_TEXT,
				   format_count(b, (double)row->live_count));
		surface_text_right(s, r.x + 25, y, 10, STYLE_STRONG,
				   format_bytes(b, row->live_bytes));
		surface_text_right(s, r.x + 36, y, 9, STYLE_DIM,
				   format_count(b, (double)row->allocs));
		widget_bar(s, r.x + 47, y++, r.w - 48, share(row->live_bytes, most), STYLE_GRAPH);
	}
	return y - r.y;
}

static int draw_ages(const struct snapshot *sn, struct surface *s, struct rect r)
{
	uint64_t most = 0;
	char b[FORMAT_SIZE];
	int y = r.y;

	surface_fill(s, (struct rect){r.x, y, r.w, 1}, ' ', STYLE_COLUMN);
	surface_text(s, r.x, y++, r.w, STYLE_COLUMN,
		     "   AGE UP TO     OBJECTS       LIVE DIED SO OLD");
	for (uint32_t i = 0; i < sn->nheap_ages; i++)
		most = sn->heap_ages[i].live_bytes > most ? sn->heap_ages[i].live_bytes : most;
	for (uint32_t i = 0; i < sn->nheap_ages && y < r.y + r.h; i++) {
		const struct snap_heap_age *row = &sn->heap_ages[i];

		surface_text_right(s, r.x, y, 13, STYLE_TEXT,
				   row->max_ns == UINT64_MAX ? "older"
							     : format_age(b, row->max_ns));
		surface_text_right(s, r.x + 14, y, 10, STYLE_TEXT,
				   format_count(b, (double)row->live_count));
		surface_text_right(s, r.x + 25, y, 10, STYLE_STRONG,
				   format_bytes(b, row->live_bytes));
		surface_text_right(s, r.x + 36, y, 11, STYLE_DIM,
				   format_count(b, (double)row->freed_count));
		widget_bar(s, r.x + 49, y++, r.w - 50, share(row->live_bytes, most), STYLE_GRAPH);
	}
	return y - r.y;
}

int heap_panel_tables(const struct snapshot *sn, struct surface *s, struct rect r)
{
	int rows = r.h < TABLE_ROWS ? r.h : TABLE_ROWS, a, b;

	if (!sn->nheap_sizes || rows < 3)
		return 0;
	if (r.w >= 2 * TABLE_W) {
		a = draw_sizes(sn, s, (struct rect){r.x, r.y, r.w / 2 - 1, rows});
		b = draw_ages(sn, s, (struct rect){r.x + r.w / 2 + 1, r.y, r.w / 2 - 1, rows});
		return a > b ? a : b;
	}
	a = draw_ages(sn, s, (struct rect){r.x, r.y, r.w, rows});
	if (r.h - a < 4)
		return a;
	return a +
	       draw_sizes(sn, s, (struct rect){r.x, r.y + a, r.w, rows < r.h - a ? rows : r.h - a});
}
