/* SPDX-License-Identifier: Apache-2.0 */
/* widgets.h: bars, sparklines and wrapped text: functions of data and a rectangle. */
#ifndef PERFTOP_WIDGETS_H
#define PERFTOP_WIDGETS_H

#include "tui/history.h"
#include "tui/surface.h"

/* A bar of w columns filled to share (0..1), in eighths of a column. */
void widget_bar(struct surface *s, int x, int y, int w, double share, enum style st);

/*
 * The newest points in w columns, newest at the right, from 0 to the largest shown, or to `full`
 * if that is larger. Ticks without a value stay blank.
 */
void widget_spark(struct surface *s, int x, int y, int w, const struct series *v, double full,
		  enum style st);

/* The same over h rows. */
void widget_graph(struct surface *s, struct rect r, const struct series *v, enum style st);

struct widget_part {
	const char *name;
	char letter; /* fills the bar where colours tell nothing */
	enum style style;
	double value;
};

/*
 * Parts side by side in one bar of w columns, in proportion to their values; every part of at
 * least half a percent gets a column.
 */
void widget_stack(struct surface *s, int x, int y, int w, const struct widget_part *parts,
		  uint32_t n);
/* Names and percentages of the parts, in the order of the bar, as far as they fit in r. Returns
 * rows used. */
int widget_legend(struct surface *s, struct rect r, const struct widget_part *parts, uint32_t n);

/* Words wrapped into r; returns rows used. */
int widget_wrap(struct surface *s, struct rect r, enum style st, const char *text);

/* "── title ─────" over w columns. */
void widget_rule(struct surface *s, int x, int y, int w, const char *title);

#endif
