/* SPDX-License-Identifier: Apache-2.0 */
/* hist_plot.h: a histogram over a logarithmic axis with labelled marks. */
#ifndef PERFTOP_HIST_PLOT_H
#define PERFTOP_HIST_PLOT_H

#include "collectors/snapshot.h"
#include "tui/surface.h"

struct hist_mark {
	const char *name; /* "p99" */
	uint64_t value;	  /* 0: not drawn */
	enum style style;
};

/*
 * bins: nbins sparse bins in ascending order; recent: how much of each bucket came in the last
 * interval (indexed by bucket, nrecent long), drawn as dots over the bars; NULL = none. Values
 * are formatted with `unit`. Marks should come in ascending order of value.
 */
struct hist_plot {
	const struct snap_bin *bins;
	uint32_t nbins;
	const uint32_t *recent;
	uint32_t nrecent;
	const struct hist_mark *marks;
	uint32_t nmarks;
	const char *unit;
};

/* Largest bucket there is (probes/bucket.h); bins past it are not drawn. */
enum { HIST_PLOT_MAX_BUCKET = 1151 };

void hist_plot_draw(struct surface *s, struct rect r, const struct hist_plot *p);

/* Column (0..w-1) of a value on the axis that the plot of these bins and marks has. */
int hist_plot_column(const struct hist_plot *p, int w, uint64_t value);

#endif
