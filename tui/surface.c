/* SPDX-License-Identifier: Apache-2.0 */
/* surface.c: putting characters and text on the grid. */
#include "tui/surface.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

/* Nobody's terminal is larger; a bogus size from ioctl must not allocate gigabytes. */
enum { SURFACE_MAX = 4096 };

int surface_resize(struct surface *s, int w, int h)
{
	size_t n;
	struct cell *cells;

	w = w < 1 ? 1 : w > SURFACE_MAX ? SURFACE_MAX : w;
	h = h < 1 ? 1 : h > SURFACE_MAX ? SURFACE_MAX : h;
	n = (size_t)w * (size_t)h;
	if (n > s->capacity) {
		cells = realloc(s->cells, n * sizeof(*cells));
		if (!cells)
			return -ENOMEM;
		s->cells = cells;
		s->capacity = n;
	}
	s->w = w;
	s->h = h;
	surface_clear(s);
	return 0;
}

void surface_fini(struct surface *s)
{
	free(s->cells);
	s->cells = NULL;
	s->capacity = 0;
	s->w = s->h = 0;
}

void surface_clear(struct surface *s)
{
	for (size_t i = 0; i < (size_t)s->w * (size_t)s->h; i++)
		s->cells[i] = (struct cell){.ch = ' ', .style = STYLE_TEXT};
}

/* ASCII stand-ins. Bars that grow upwards keep their order of height. */
static uint32_t ascii_of(uint32_t ch)
{
	static const char heights[] = "_.-:=+*#";

	if (ch < 0x7f)
		return ch;
	if (ch >= 0x2581 && ch <= 0x2588)
		return (uint32_t)heights[ch - 0x2581];
	if (ch >= 0x2589 && ch <= 0x258f) /* left blocks, 7/8 down to 1/8 */
		return ch <= 0x258c ? '=' : '-';
	switch (ch) {
	case 0x2500: /* ─ */
	case 0x2013:
		return '-';
	case 0x2502: /* │ */
	case 0x250a: /* ┊ */
		return '|';
	case 0x250c:
	case 0x2510:
	case 0x2514:
	case 0x2518:
	case 0x251c:
	case 0x2524:
	case 0x252c:
	case 0x2534:
	case 0x253c:
		return '+';
	case 0x2026: /* … */
		return '~';
	case 0xb5: /* µ */
	case 0x3bc:
		return 'u';
	case 0xb7: /* · */
		return '-';
	case 0xd7: /* × */
		return 'x';
	case 0x25cf: /* ● */
		return '*';
	case 0x2190: /* ← */
		return '<';
	case 0x2192: /* → */
	case 0x25b8: /* ▸ */
	case 0x25b6:
		return '>';
	case 0x25bc: /* ▼ */
		return 'v';
	case 0x25b2: /* ▲ */
		return '^';
	case 0x2591: /* ░ */
		return '.';
	case 0x2592: /* ▒ */
		return ':';
	case 0x2593: /* ▓ */
		return '%';
	default:
		return '?';
	}
}

static int char_width(uint32_t ch)
{
	int w;

	if (ch < 0x7f)
		return ch >= 0x20 ? 1 : -1;
	if (ch < 0xa0)
		return -1;
	/* The glyphs of our own drawing are one column, whatever the locale knows. */
	if ((ch >= 0x2500 && ch <= 0x25ff) || ch == 0x2026 || ch == 0xb5 || ch == 0xb7 ||
	    ch == 0xd7 || ch == 0x2190 || ch == 0x2192)
		return 1;
	w = wcwidth((wchar_t)ch);
	return w;
}

void surface_put(struct surface *s, int x, int y, uint32_t ch, enum style st)
{
	struct cell *c;

	if (x < 0 || y < 0 || x >= s->w || y >= s->h)
		return;
	c = &s->cells[(size_t)y * (size_t)s->w + (size_t)x];
	/* Writing over one half of a wide character must not leave the other half. */
	if (c->ch == 0 && x > 0)
		c[-1].ch = ' ';
	if (x + 1 < s->w && c[1].ch == 0)
		c[1].ch = ' ';
	*c = (struct cell){.ch = s->ascii ? ascii_of(ch) : ch, .style = (uint8_t)st};
}

static void put_wide(struct surface *s, int x, int y, uint32_t ch, enum style st)
{
	if (x < 0 || x + 1 >= s->w || y < 0 || y >= s->h || s->ascii) {
		surface_put(s, x, y, '?', st);
		surface_put(s, x + 1, y, s->ascii ? '?' : ' ', st);
		return;
	}
	surface_put(s, x + 1, y, ' ', st);
	surface_put(s, x, y, ch, st);
	s->cells[(size_t)y * (size_t)s->w + (size_t)x + 1].ch = 0;
}

void surface_fill(struct surface *s, struct rect r, uint32_t ch, enum style st)
{
	for (int y = r.y < 0 ? 0 : r.y; y < r.y + r.h && y < s->h; y++)
		for (int x = r.x < 0 ? 0 : r.x; x < r.x + r.w && x < s->w; x++)
			surface_put(s, x, y, ch, st);
}

void surface_mark(struct surface *s, struct rect r, enum cell_flag flag)
{
	for (int y = r.y < 0 ? 0 : r.y; y < r.y + r.h && y < s->h; y++)
		for (int x = r.x < 0 ? 0 : r.x; x < r.x + r.w && x < s->w; x++)
			s->cells[(size_t)y * (size_t)s->w + (size_t)x].flags |= (uint8_t)flag;
}

uint32_t text_next(const char **p)
{
	const unsigned char *u = (const unsigned char *)*p;
	uint32_t ch;
	int more;

	if (!u[0])
		return 0;
	(*p)++;
	if (u[0] < 0x80)
		return u[0];
	more = u[0] >= 0xf0 && u[0] < 0xf5   ? 3
	       : u[0] >= 0xe0 && u[0] < 0xf0 ? 2
					     : u[0] >= 0xc2 && u[0] < 0xe0;
	if (!more)
		return '?';
	ch = u[0] & (0x3fu >> more);
	for (int i = 1; i <= more; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return '?';
		ch = ch << 6 | (u[i] & 0x3fu);
	}
	*p += more;
	return ch;
}

static uint32_t next_visible(const char **p, int *width)
{
	uint32_t ch;

	while ((ch = text_next(p))) {
		*width = char_width(ch);
		if (*width < 0) {
			*width = 1;
			return '?';
		}
		if (*width)
			return ch;
	}
	return 0;
}

int text_width(const char *text)
{
	int w = 0, cw;

	while (next_visible(&text, &cw))
		w += cw;
	return w;
}

int surface_text(struct surface *s, int x, int y, int w, enum style st, const char *text)
{
	int used = 0, cw;
	uint32_t ch;

	while ((ch = next_visible(&text, &cw)) && used + cw <= w) {
		if (cw == 2)
			put_wide(s, x + used, y, ch, st);
		else
			surface_put(s, x + used, y, ch, st);
		used += cw;
	}
	return used;
}

/* Draw the columns of text from `skip` on. */
static int text_tail(struct surface *s, int x, int y, int skip, enum style st, const char *text)
{
	const char *p = text;
	int seen = 0, cw;

	while (seen < skip && next_visible(&p, &cw))
		seen += cw;
	return surface_text(s, x, y, s->w, st, p);
}

int surface_name(struct surface *s, int x, int y, int w, enum style st, const char *text)
{
	int full = text_width(text), head, used;

	if (full <= w)
		return surface_text(s, x, y, w, st, text);
	if (w < 1)
		return 0;
	head = (w - 1) / 2 + (w - 1) % 2;
	used = surface_text(s, x, y, head, st, text);
	surface_put(s, x + used++, y, 0x2026, st);
	return used + text_tail(s, x + used, y, full - (w - used), st, text);
}

void surface_text_right(struct surface *s, int x, int y, int w, enum style st, const char *text)
{
	int full = text_width(text);

	if (w < 1)
		return;
	if (full <= w)
		surface_text(s, x + w - full, y, full, st, text);
	else
		text_tail(s, x, y, full - w, st, text);
}

int surface_printf(struct surface *s, int x, int y, int w, enum style st, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	return surface_text(s, x, y, w, st, buf);
}

static size_t utf8_put(char *out, uint32_t ch)
{
	if (ch < 0x80) {
		out[0] = (char)ch;
		return 1;
	}
	if (ch < 0x800) {
		out[0] = (char)(0xc0 | ch >> 6);
		out[1] = (char)(0x80 | (ch & 0x3f));
		return 2;
	}
	if (ch < 0x10000) {
		out[0] = (char)(0xe0 | ch >> 12);
		out[1] = (char)(0x80 | (ch >> 6 & 0x3f));
		out[2] = (char)(0x80 | (ch & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | ch >> 18);
	out[1] = (char)(0x80 | (ch >> 12 & 0x3f));
	out[2] = (char)(0x80 | (ch >> 6 & 0x3f));
	out[3] = (char)(0x80 | (ch & 0x3f));
	return 4;
}

char *surface_dump(const struct surface *s)
{
	char *text = malloc((size_t)s->w * (size_t)s->h * 4 + (size_t)s->h + 1), *p = text;

	if (!text)
		return NULL;
	for (int y = 0; y < s->h; y++) {
		char *end = p;

		for (int x = 0; x < s->w; x++) {
			uint32_t ch = s->cells[(size_t)y * (size_t)s->w + (size_t)x].ch;

			if (!ch)
				continue;
			p += utf8_put(p, ch);
			if (ch != ' ')
				end = p;
		}
		p = end;
		*p++ = '\n';
	}
	*p = '\0';
	return text;
}
