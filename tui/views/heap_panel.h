/* SPDX-License-Identifier: Apache-2.0 */
/* heap_panel.h: the heap as a whole: verdict, what it is made of, sizes, generations. */
#ifndef PERFTOP_HEAP_PANEL_H
#define PERFTOP_HEAP_PANEL_H

#include "collectors/snapshot.h"
#include "tui/history.h"
#include "tui/surface.h"

/* The verdict's short name, and the style that it is shown in. */
const char *heap_panel_label(uint32_t verdict);
enum style heap_panel_style(uint32_t verdict);
/* The verdict's words without its name in front. */
const char *heap_panel_words(const struct snap_heap *h);

/* Verdict, bar and figures at the top of r; returns rows used. `past`: live or resident bytes over
 * time, NULL = none. */
int heap_panel_draw(const struct snapshot *sn, const struct series *past, struct surface *s,
		    struct rect r);

/* Size classes and generations, side by side where r is wide; returns rows used. */
int heap_panel_tables(const struct snapshot *sn, struct surface *s, struct rect r);

#endif
