/* SPDX-License-Identifier: Apache-2.0 */
/* overview_panels.h: the short lists at the bottom of the overview. */
#ifndef PERFTOP_OVERVIEW_PANELS_H
#define PERFTOP_OVERVIEW_PANELS_H

#include "tui/ui.h"

/*
 * rows: how many it would fill, 0 = nothing to say; draw: below its title, into r;
 * note: words to append to the title, or NULL.
 */
struct overview_panel {
	const char *title;
	int (*rows)(const struct ui *ui);
	void (*draw)(const struct ui *ui, struct surface *s, struct rect r);
	void (*note)(const struct snapshot *s, char *out, size_t size);
};

extern const struct overview_panel overview_panels[];
extern const uint32_t noverview_panels;

#endif
