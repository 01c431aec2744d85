/* SPDX-License-Identifier: Apache-2.0 */
/* latency_grid.h: the list and the detail that Latency and Syscalls share. */
#ifndef PERFTOP_LATENCY_GRID_H
#define PERFTOP_LATENCY_GRID_H

#include "tui/ui.h"

enum latency_column {
	LCOL_NAME,
	LCOL_COUNT,
	LCOL_RATE,
	LCOL_P50,
	LCOL_P90,
	LCOL_P99,
	LCOL_P999,
	LCOL_MAX,
	LCOL_RECENT,
	LCOL_TOTAL,
	LCOL_HISTORY,
	LCOL_NOTE,
	LATENCY_COLUMNS
};

extern const struct grid_column latency_columns[LATENCY_COLUMNS];

/* Name and module: one function may be probed in two binaries. */
void latency_row_name(const struct snap_latency *l, char *buf, size_t size);
double latency_row_value(const struct snap_latency *l, uint32_t col);
void latency_row_cell(const struct ui *ui, const struct snap_latency *l, uint32_t col,
		      struct grid_cell *out);

/* Everything about one row; NULL when it is gone. */
void latency_draw_detail(struct ui *ui, struct view_state *vs, const struct snap_latency *l,
			 struct surface *s, struct rect r);

#endif
