/* SPDX-License-Identifier: Apache-2.0 */
/* grid.c: order, cursor and keys of a list. */
#include "tui/grid.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tui/keys.h"

void grid_init(struct grid *g, const struct grid_model *m)
{
	g->sort = m->sort;
}

/* Names are compared only where keys are equal or where the column is text. */
static bool comes_before(const struct grid *g, const struct grid_model *m, const void *data,
			 const struct grid_entry *a, const struct grid_entry *b)
{
	bool text = grid_sorts_by_name(&m->columns[g->sort]);
	char na[SNAP_NAME], nb[SNAP_NAME];
	int c;

	if (!text && a->key != b->key)
		return g->reverse ? a->key < b->key : a->key > b->key;
	m->name(data, a->row, na, sizeof(na));
	m->name(data, b->row, nb, sizeof(nb));
	c = strcasecmp(na, nb);
	if (!c)
		return a->row < b->row;
	return text && g->reverse ? c > 0 : c < 0;
}

/* Shell sort with Ciura's gaps: no memory, and fast on what is nearly in order. */
static void sort_order(struct grid *g, const struct grid_model *m, const void *data)
{
	static const uint32_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};

	for (size_t k = 0; k < sizeof(gaps) / sizeof(gaps[0]); k++)
		for (uint32_t i = gaps[k]; i < g->n; i++) {
			struct grid_entry e = g->order[i];
			uint32_t j = i;

			for (; j >= gaps[k] && comes_before(g, m, data, &e, &g->order[j - gaps[k]]);
			     j -= gaps[k])
				g->order[j] = g->order[j - gaps[k]];
			g->order[j] = e;
		}
}

static void clamp_cursor(struct grid *g)
{
	if (g->cursor >= g->n)
		g->cursor = g->n ? g->n - 1 : 0;
}

void grid_update(struct grid *g, const struct grid_model *m, const void *data)
{
	char name[SNAP_NAME];

	uint32_t all = m->rows(data);

	g->total = g->n = 0;
	for (uint32_t row = 0; row < all; row++) {
		double key = 0;

		if (m->hidden && m->hidden(data, row))
			continue;
		g->total++;
		if (g->n == GRID_ROWS)
			continue;
		if (g->filter[0]) {
			m->name(data, row, name, sizeof(name));
			if (!strcasestr(name, g->filter))
				continue;
		}
		if (!grid_sorts_by_name(&m->columns[g->sort]))
			key = m->value(data, row, g->sort);
		g->order[g->n++] = (struct grid_entry){isnan(key) ? -INFINITY : key, row};
	}
	sort_order(g, m, data);
	for (uint32_t i = 0; g->pinned && i < g->n; i++) {
		m->name(data, g->order[i].row, name, sizeof(name));
		if (!strcmp(name, g->pinned_name)) {
			g->cursor = i;
			break;
		}
	}
	clamp_cursor(g);
}

bool grid_selected(const struct grid *g, uint32_t *row)
{
	if (g->cursor >= g->n)
		return false;
	*row = g->order[g->cursor].row;
	return true;
}

static void move_to(struct grid *g, const struct grid_model *m, const void *data, int64_t to)
{
	uint32_t row;

	g->cursor = to < 0 ? 0 : to >= g->n ? (g->n ? g->n - 1 : 0) : (uint32_t)to;
	/* At the top the cursor stays at the top, whatever row that is. */
	g->pinned = g->cursor > 0;
	if (g->pinned && grid_selected(g, &row))
		m->name(data, row, g->pinned_name, sizeof(g->pinned_name));
}

static void sort_next(struct grid *g, const struct grid_model *m, int step)
{
	uint32_t n = m->ncolumns;

	do
		g->sort = (g->sort + n + (uint32_t)(step + (int)n)) % n;
	while (m->columns[g->sort].unsorted);
	g->reverse = false;
	g->pinned = false;
	g->cursor = 0;
}

bool grid_key(struct grid *g, const struct grid_model *m, const void *data, uint32_t key)
{
	int64_t at, page = g->page > 1 ? g->page - 1 : 1;

	/* Keys may come faster than draws. */
	grid_update(g, m, data);
	at = g->cursor;
	switch (key) {
	case KEYC_UP:
	case 'k':
		move_to(g, m, data, at - 1);
		return true;
	case KEYC_DOWN:
	case 'j':
		move_to(g, m, data, at + 1);
		return true;
	case KEYC_PAGE_UP:
		move_to(g, m, data, at - page);
		return true;
	case KEYC_PAGE_DOWN:
		move_to(g, m, data, at + page);
		return true;
	case KEYC_HOME:
	case 'g':
		move_to(g, m, data, 0);
		return true;
	case KEYC_END:
	case 'G':
		move_to(g, m, data, (int64_t)g->n - 1);
		return true;
	case '<':
		sort_next(g, m, -1);
		break;
	case '>':
	case KEYC_F1 + 5:
		sort_next(g, m, 1);
		break;
	case 'r':
		g->reverse = !g->reverse;
		break;
	default:
		return false;
	}
	grid_update(g, m, data);
	return true;
}
