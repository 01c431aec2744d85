/* SPDX-License-Identifier: Apache-2.0 */
/* stack_panel.h: stacks in a rectangle: who called a function, where a thread waits. */
#ifndef PERFTOP_STACK_PANEL_H
#define PERFTOP_STACK_PANEL_H

#include "collectors/snapshot.h"
#include "tui/surface.h"
#include "tui/views/caller_tree.h"

/* What share of the samples is remarkable. */
enum style stack_panel_heat(double pct);

/* The lines of a caller tree from `top` on, as far as they fit. */
void stack_panel_callers(const struct snapshot *sn, const struct caller_line *lines, uint32_t n,
			 int top, struct surface *s, struct rect r);

/* A stack that waits, leaf first, without its first `skip` frames; returns the rows used. */
int stack_panel_wait(const struct snapshot *sn, const struct snap_wait_stack *st, struct surface *s,
		     struct rect r, int skip);

#endif
