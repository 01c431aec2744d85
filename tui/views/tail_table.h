/* SPDX-License-Identifier: Apache-2.0 */
/* tail_table.h: a function's slow calls: a list, and one of them alone. */
#ifndef PERFTOP_TAIL_TABLE_H
#define PERFTOP_TAIL_TABLE_H

#include "tui/ui.h"

/* The slow calls of one function, the slowest first. */
struct tail_table {
	const struct snapshot *s;
	uint32_t n;
	uint32_t rows[SNAP_TAILS]; /* indices into s->tails */
};

/* False: none left evidence. */
bool tail_table_find(struct tail_table *t, const struct snapshot *s, const char *name);

/* What they have in common; returns the rows used, of at most r.h. */
int tail_table_draw_answer(const struct tail_table *t, struct surface *s, struct rect r);

/* The list with its cursor; vs->scroll is the row under it. */
void tail_table_draw(const struct tail_table *t, struct ui *ui, struct view_state *vs,
		     struct surface *s, struct rect r);

/* The call under the cursor: its times in full, and its stack. */
void tail_table_draw_call(const struct tail_table *t, struct ui *ui, struct view_state *vs,
			  struct surface *s, struct rect r);

#endif
