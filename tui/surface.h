/* SPDX-License-Identifier: Apache-2.0 */
/* surface.h: a grid of styled characters that everything is drawn on, terminal or not. */
#ifndef PERFTOP_SURFACE_H
#define PERFTOP_SURFACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tui/style.h"

/*
 * Drawing outside the surface is cut, so that no caller checks sizes for safety. In ASCII mode
 * every character put is replaced by one of ASCII: drawing code uses one set of glyphs.
 */
enum cell_flag { CELL_SELECTED = 1 };

struct cell {
	uint32_t ch; /* code point; 0 = right half of the wide character before it */
	uint8_t style;
	uint8_t flags;
};

struct rect {
	int x, y, w, h;
};

struct surface {
	int w, h;
	bool ascii;
	bool mono; /* colours tell nothing: shapes have to */
	struct cell *cells;
	size_t capacity; /* cells allocated */
};

/* Zero-initialise, then size; keeps memory when it shrinks. 0 or -ENOMEM (surface stays). */
int surface_resize(struct surface *s, int w, int h);
void surface_fini(struct surface *s);
void surface_clear(struct surface *s);

void surface_put(struct surface *s, int x, int y, uint32_t ch, enum style st);
void surface_fill(struct surface *s, struct rect r, uint32_t ch, enum style st);
void surface_mark(struct surface *s, struct rect r, enum cell_flag flag);

/*
 * UTF-8 text in at most `w` columns from x: cut, without padding. Returns the columns used.
 * Characters of no width are dropped, broken bytes and controls become '?'.
 */
int surface_text(struct surface *s, int x, int y, int w, enum style st, const char *text);
/* The same, shortened in the middle when it does not fit. */
int surface_name(struct surface *s, int x, int y, int w, enum style st, const char *text);
/* Right-aligned in w columns; cut from the left when it does not fit. */
void surface_text_right(struct surface *s, int x, int y, int w, enum style st, const char *text);
int surface_printf(struct surface *s, int x, int y, int w, enum style st, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/* Columns that text takes. */
int text_width(const char *text);
/* Next code point of UTF-8; 0 at the end; '?' for a broken byte. Moves *p on. */
uint32_t text_next(const char **p);

/* Plain text of the surface, rows without trailing blanks, each with a newline. Caller frees. */
char *surface_dump(const struct surface *s);

#endif
