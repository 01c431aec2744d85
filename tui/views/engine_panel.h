/* SPDX-License-Identifier: Apache-2.0 */
/* engine_panel.h: the trajectory buffer, learning and kernels, for the views that show them. */
#ifndef PERFTOP_ENGINE_PANEL_H
#define PERFTOP_ENGINE_PANEL_H

#include "tui/ui.h"

/* Kernels, then the buffer, as far as r holds them. Returns the rows used. */
int engine_panel_draw(const struct ui *ui, struct surface *s, struct rect r);

#endif
