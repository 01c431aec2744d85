/* SPDX-License-Identifier: Apache-2.0 */
/* grid.h: a sorted, filtered, scrolling list with a cursor. */
#ifndef PERFTOP_GRID_H
#define PERFTOP_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/snapshot.h"
#include "tui/history.h"
#include "tui/surface.h"

enum { GRID_ROWS = 4096, GRID_COLUMNS = 16, GRID_FILTER = 64 };

struct grid_cell {
	char text[256];
	enum style style;
	const struct series *series; /* drawn as a sparkline instead of text */
	double full;		     /* of the sparkline, see widget_spark() */
	double bar;		     /* 0..1: drawn as a bar instead of text; below 0: none */
};

struct grid_column {
	const char *title;
	uint8_t width; /* columns; the least of a flexible one */
	bool text;     /* left-aligned, sorted by name, ascending */
	bool flex;     /* takes what is left; its text is shortened in the middle */
	bool unsorted; /* no sort key: sparklines and bars */
	bool by_value; /* text, but sorted by value() */
	uint8_t drop;  /* 0 = always shown; the highest goes first when space is short */
};

/* What a list shows. `data` is passed through from grid_draw(); rows are 0..n-1 of it. */
struct grid_model {
	const struct grid_column *columns;
	uint32_t ncolumns;
	uint32_t sort; /* column sorted by at the start */
	uint32_t (*rows)(const void *data);
	/* A row that is left out as if it were not there; NULL: none is. */
	bool (*hidden)(const void *data, uint32_t row);
	/* What identifies a row over time, and what the filter looks in. */
	void (*name)(const void *data, uint32_t row, char *buf, size_t size);
	/* Sort key of a column that is no text, or by_value, largest first; text sorts by name().
	 */
	double (*value)(const void *data, uint32_t row, uint32_t col);
	void (*cell)(const void *data, uint32_t row, uint32_t col, struct grid_cell *out);
};

static inline bool grid_sorts_by_name(const struct grid_column *c)
{
	return c->text && !c->by_value;
}

struct grid_entry {
	double key;
	uint32_t row;
};

/* Zero-initialise, then grid_init(). The cursor stays on its row by name once it was moved. */
struct grid {
	uint32_t sort;
	bool reverse, pinned;
	char pinned_name[SNAP_NAME];
	char filter[GRID_FILTER];
	uint32_t cursor, top, n, total, page;
	struct grid_entry order[GRID_ROWS];
};

void grid_init(struct grid *g, const struct grid_model *m);
/* Sort and filter anew, find the cursor's row again. */
void grid_update(struct grid *g, const struct grid_model *m, const void *data);
void grid_draw(struct grid *g, const struct grid_model *m, const void *data, struct surface *s,
	       struct rect r);
/* Cursor keys and sort keys (see keys.h); false: not one of them. */
bool grid_key(struct grid *g, const struct grid_model *m, const void *data, uint32_t key);
/* Row under the cursor; false when the list is empty. */
bool grid_selected(const struct grid *g, uint32_t *row);

#endif
