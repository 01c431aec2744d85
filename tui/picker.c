/* SPDX-License-Identifier: Apache-2.0 */
/* picker.c: a list of processes to choose the target from. */
#include "tui/picker.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"
#include "tui/format.h"
#include "tui/grid.h"
#include "tui/keys.h"
#include "tui/processes.h"
#include "tui/screen.h"

/* Row 0 is the engine, row i + 1 process i. */
struct picker {
	struct processes ps;
	struct grid grid;
	bool filtering;
};

enum { COL_PID, COL_USER, COL_CPU, COL_RSS, COL_THREADS, COL_NAME, COL_COMMAND, COLUMNS };

static const struct grid_column columns[COLUMNS] = {
	[COL_PID] = {"PID", 8},
	[COL_USER] = {"USER", 10, .text = true, .unsorted = true, .drop = 1},
	[COL_CPU] = {"CPU", 7},
	[COL_RSS] = {"RSS", 8},
	[COL_THREADS] = {"THR", 4, .drop = 2},
	[COL_NAME] = {"NAME", 16, .text = true},
	[COL_COMMAND] = {"COMMAND", 24, .text = true, .unsorted = true, .flex = true},
};

static uint32_t rows(const void *data)
{
	const struct picker *p = data;

	return p->ps.n + 1;
}

static void name(const void *data, uint32_t row, char *buf, size_t size)
{
	const struct picker *p = data;

	if (!row)
		snprintf(buf, size, "engine (built in)");
	else
		snprintf(buf, size, "%s %d %s", p->ps.list[row - 1].comm, p->ps.list[row - 1].pid,
			 p->ps.list[row - 1].cmdline);
}

static double value(const void *data, uint32_t row, uint32_t col)
{
	const struct picker *p = data;
	const struct process *pr;

	if (!row) /* first in every order */
		return INFINITY;
	pr = &p->ps.list[row - 1];
	switch (col) {
	case COL_PID:
		return -(double)pr->pid;
	case COL_RSS:
		return (double)pr->rss_bytes;
	case COL_THREADS:
		return pr->threads;
	default:
		/* What it used in all breaks ties, and orders the list before a second reading. */
		return pr->cpu_pct + (double)pr->cpu_ticks * 1e-9;
	}
}

static void engine_cell(uint32_t col, struct grid_cell *out)
{
	out->style = STYLE_TITLE;
	if (col == COL_NAME)
		snprintf(out->text, sizeof(out->text), "engine");
	if (col == COL_COMMAND)
		snprintf(out->text, sizeof(out->text), "start and watch the built-in engine");
}

static void cell(const void *data, uint32_t row, uint32_t col, struct grid_cell *out)
{
	const struct picker *p = data;
	const struct process *pr = row ? &p->ps.list[row - 1] : NULL;
	char buf[FORMAT_SIZE];

	if (!pr) {
		engine_cell(col, out);
		return;
	}
	switch (col) {
	case COL_PID:
		snprintf(out->text, sizeof(out->text), "%d", pr->pid);
		break;
	case COL_USER:
		snprintf(out->text, sizeof(out->text), "%s", pr->user);
		out->style = STYLE_DIM;
		break;
	case COL_CPU:
		snprintf(out->text, sizeof(out->text), "%s",
			 p->ps.before_ns ? format_pct(buf, pr->cpu_pct) : "-");
		out->style = pr->cpu_pct >= 50	 ? STYLE_BAD
			     : pr->cpu_pct < 0.1 ? STYLE_DIM
						 : STYLE_TEXT;
		break;
	case COL_RSS:
		snprintf(out->text, sizeof(out->text), "%s", format_bytes(buf, pr->rss_bytes));
		break;
	case COL_THREADS:
		snprintf(out->text, sizeof(out->text), "%u", pr->threads);
		break;
	case COL_NAME:
		snprintf(out->text, sizeof(out->text), "%s", pr->comm);
		out->style = STYLE_STRONG;
		break;
	default:
		snprintf(out->text, sizeof(out->text), "%s", pr->cmdline);
	}
}

static const struct grid_model model = {
	.columns = columns,
	.ncolumns = COLUMNS,
	.sort = COL_CPU,
	.rows = rows,
	.name = name,
	.value = value,
	.cell = cell,
};

static void draw(struct picker *p, struct surface *s)
{
	surface_clear(s);
	surface_fill(s, (struct rect){0, 0, s->w, 1}, ' ', STYLE_HEADER);
	surface_text(s, 1, 0, s->w - 2, STYLE_HEADER_STRONG, "perftop: which process?");
	grid_draw(&p->grid, &model, p, s, (struct rect){1, 1, s->w - 2, s->h - 2});
	if (!p->grid.n)
		surface_text(s, 1, 3, s->w - 2, STYLE_DIM, "no process matches the filter");
	if (p->filtering)
		surface_printf(s, 1, s->h - 1, s->w - 2, STYLE_STRONG,
			       "Filter: %s_   Enter keep  Esc clear", p->grid.filter);
	else
		surface_printf(s, 1, s->h - 1, s->w - 2, STYLE_FOOTER,
			       "Enter watch   / filter%s%s   < > sort   q quit   %u processes%s",
			       p->grid.filter[0] ? ": " : "", p->grid.filter, p->ps.n,
			       p->ps.left_out ? ", more than are shown" : "");
}

static void filter_key(struct picker *p, uint32_t key)
{
	size_t n = strlen(p->grid.filter);

	if (key == KEYC_ESC || (key == KEYC_BACKSPACE && !n)) {
		p->grid.filter[0] = '\0';
		p->filtering = false;
	} else if (key == KEYC_ENTER) {
		p->filtering = false;
	} else if (key == KEYC_BACKSPACE) {
		p->grid.filter[n - 1] = '\0';
	} else if (key >= ' ' && key <= '~' && n + 1 < sizeof(p->grid.filter)) {
		p->grid.filter[n] = (char)key;
		p->grid.filter[n + 1] = '\0';
	}
	if (key < 0x110000) {
		p->grid.pinned = false;
		p->grid.cursor = 0;
	} else {
		grid_key(&p->grid, &model, p, key);
	}
}

/* 1: chosen, -1: left, 0: go on. */
static int take_key(struct picker *p, uint32_t key, uint32_t *row)
{
	if (p->filtering) {
		filter_key(p, key);
		return 0;
	}
	if (grid_key(&p->grid, &model, p, key))
		return 0;
	switch (key) {
	case KEYC_ENTER:
		grid_update(&p->grid, &model, p);
		return grid_selected(&p->grid, row) ? 1 : 0;
	case '/':
	case KEYC_F1 + 2:
	case KEYC_F1 + 3:
		p->filtering = true;
		return 0;
	case KEYC_ESC:
		if (!p->grid.filter[0])
			return -1;
		p->grid.filter[0] = '\0';
		return 0;
	case 'q':
	case KEYC_F10:
		return -1;
	default:
		return 0;
	}
}

static int run(struct picker *p, struct screen *sc, uint32_t *row)
{
	enum { REFRESH_MS = 2000, SECOND_READING_MS = 300 };
	bool all = false;
	int64_t key = 0;
	int chosen, sig;

	for (;;) {
		draw(p, screen_surface(sc));
		screen_flush(sc, all);
		all = false;
		sig = screen_wait(sc, -1, p->ps.before_ns ? REFRESH_MS : SECOND_READING_MS, &all);
		if (sig)
			return 128 + sig;
		if ((key = screen_key(sc)) <= 0 && !all)
			processes_read(&p->ps);
		for (; key > 0; key = screen_key(sc)) {
			all |= key == KEYC_REDRAW || key == KEYC_RESIZE;
			if (all)
				screen_resize(sc);
			chosen = take_key(p, (uint32_t)key, row);
			if (chosen)
				return chosen > 0 ? 0 : -ECANCELED;
		}
		if (key < 0)
			return -ECANCELED;
	}
}

int picker_run(const struct app_options *opt, pid_t *pid_out, bool *engine_out)
{
	struct picker *p = calloc(1, sizeof(*p));
	struct screen *sc = NULL;
	uint32_t row = 0;
	int err = -ENOMEM;

	*engine_out = false;
	*pid_out = 0;
	if (!p)
		goto cleanup;
	grid_init(&p->grid, &model);
	err = processes_read(&p->ps);
	if (err) {
		fprintf(stderr, "perftop: /proc cannot be read: %s\n", strerror(-err));
		goto cleanup;
	}
	sc = screen_new(opt, &err);
	if (!sc)
		goto cleanup;
	err = run(p, sc, &row);
	*engine_out = !err && !row;
	*pid_out = !err && row ? p->ps.list[row - 1].pid : 0;
cleanup:
	screen_free(sc);
	free(p);
	return err;
}
