/* SPDX-License-Identifier: Apache-2.0 */
/* theme.h: how styles look: files of `key = colour [on colour] [attributes]`. */
#ifndef PERFTOP_THEME_H
#define PERFTOP_THEME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tui/style.h"

/*
 * A theme file has one style a line, `#` at a line's start begins a comment:
 *
 *	bad = #ff6b6b on #1c1c1c bold underline
 *
 * A colour is `default` (the terminal's own), `#rrggbb` or an index 0-255 of the terminal's
 * palette. Attributes: bold dim underline reverse. Keys are those of styles.def; those left out
 * keep their look.
 */
enum { THEME_DEFAULT = -1 };
enum theme_attr { THEME_BOLD = 1, THEME_DIM = 2, THEME_UNDERLINE = 4, THEME_REVERSE = 8 };

struct theme_color {
	int32_t rgb;   /* 0xrrggbb, or THEME_DEFAULT */
	int16_t index; /* of the palette, or -1: by rgb */
};

struct theme_style {
	struct theme_color fg, bg;
	uint8_t attrs; /* enum theme_attr */
};

struct theme {
	struct theme_style styles[NSTYLES];
};

void theme_init(struct theme *t); /* the looks of styles.def */

/* Read `size` bytes of a theme file over t. 0, or -EINVAL with "line N: …" in why. */
int theme_parse(struct theme *t, const char *text, size_t size, char *why, size_t why_size);

/*
 * Load a theme by name from the theme folders, or by path when it holds a '/'. On failure t has
 * the default look and why says what is wrong. 0 or -errno.
 */
int theme_load(struct theme *t, const char *name, char *why, size_t why_size);

/* Call fn with the name of every theme found, each once, folders in order of precedence. */
void theme_list(void (*fn)(const char *name, void *arg), void *arg);

/* Palette index of a colour on a terminal of 8, 16 or 256 colours; -1 for the default. */
int theme_index(const struct theme_color *c, int ncolors);

#endif
