/* SPDX-License-Identifier: Apache-2.0 */
/* process_panel.h: the processes watched together, the busiest first. */
#ifndef PERFTOP_PROCESS_PANEL_H
#define PERFTOP_PROCESS_PANEL_H

#include "collectors/snapshot.h"
#include "tui/surface.h"

/* At the top of r when there are several; returns the rows used, at most a third of r. */
int process_panel_draw(const struct snapshot *sn, struct surface *s, struct rect r);

#endif
