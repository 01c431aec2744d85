/* SPDX-License-Identifier: Apache-2.0 */
/* style.h: what a cell means; a theme says how that looks. */
#ifndef PERFTOP_STYLE_H
#define PERFTOP_STYLE_H

enum style {
#define X(id, key, spec) STYLE_##id,
#include "tui/styles.def"
#undef X
	NSTYLES
};

#endif
