/* SPDX-License-Identifier: Apache-2.0 */
/* cell_writer.c: changed cells as terminfo sequences, sent to the terminal in one write. */
#include "tui/cell_writer.h"

#include <curses.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

/* A terminal that is gone takes nothing, and is noticed elsewhere. */
static void send_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			poll(&p, 1, -1);
		} else if (done < 0 && errno != EINTR) {
			return;
		} else if (done > 0) {
			bytes += done;
			n -= (size_t)done;
		}
	}
}

static void drain(struct cell_writer *w)
{
	send_all(w->fd, w->buffer, w->length);
	w->length = 0;
}

static void append(struct cell_writer *w, const char *bytes, size_t n)
{
	if (n > sizeof(w->buffer))
		return;
	if (w->length + n > sizeof(w->buffer))
		drain(w);
	memcpy(w->buffer + w->length, bytes, n);
	w->length += (uint32_t)n;
}

/* The capability without its padding $<...>, which no terminal of today needs; to[n] = 0. */
static size_t unpadded(const char *cap, char *to, size_t size)
{
	size_t n = 0;

	while (cap && *cap && n + 1 < size) {
		const char *end = cap[0] == '$' && cap[1] == '<' ? strchr(cap, '>') : NULL;

		if (end)
			cap = end + 1;
		else
			to[n++] = *cap++;
	}
	to[n] = 0;
	return n;
}

static void append_cap(struct cell_writer *w, const char *cap)
{
	char bytes[CELL_WRITER_SLOT_BYTES];

	append(w, bytes, unpadded(cap, bytes, sizeof(bytes)));
}

void cell_writer_init(struct cell_writer *w, int fd)
{
	memset(w, 0, sizeof(*w));
	w->fd = fd;
	w->plain_cup = cursor_address && !strcmp(cursor_address, "\033[%i%p1%d;%p2%dH");
	w->spare_last = auto_right_margin && !eat_newline_glitch;
}

void cell_writer_look(struct cell_writer *w, int slot, const struct cell_look *look)
{
	const char *caps[] = {
		exit_attribute_mode,
		look->bold ? enter_bold_mode : NULL,
		look->dim ? enter_dim_mode : NULL,
		look->underline ? enter_underline_mode : NULL,
		look->reverse ? enter_reverse_mode : NULL,
		NULL,
		NULL,
	};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		/* What tiparm returns lives until its next call. */
		if (i == 5 && look->fg >= 0 && set_a_foreground)
			caps[i] = tiparm(set_a_foreground, look->fg);
		if (i == 6 && look->bg >= 0 && set_a_background)
			caps[i] = tiparm(set_a_background, look->bg);
		n += unpadded(caps[i], w->slots[slot] + n, sizeof(w->slots[slot]) - n);
	}
	w->slot_length[slot] = (uint16_t)n;
}

void cell_writer_begin(struct cell_writer *w, int width, int height, bool clear)
{
	w->w = width;
	w->h = height;
	w->x = w->y = -1;
	w->slot = -1;
	if (!clear)
		return;
	append_cap(w, exit_attribute_mode);
	append_cap(w, clear_screen);
}

static void move_to(struct cell_writer *w, int y, int x)
{
	char bytes[32];

	if (w->plain_cup)
		append(w, bytes,
		       (size_t)snprintf(bytes, sizeof(bytes), "\033[%d;%dH", y + 1, x + 1));
	else
		append_cap(w, tiparm(cursor_address, y, x));
	w->y = y;
	w->x = x;
}

void cell_writer_put(struct cell_writer *w, int y, int x, wchar_t ch, int width, int slot)
{
	char bytes[MB_LEN_MAX];
	int n = 1;

	if (w->spare_last && y == w->h - 1 && x + width >= w->w)
		return;
	if (y != w->y || x != w->x)
		move_to(w, y, x);
	if (slot != w->slot)
		append(w, w->slots[slot], w->slot_length[slot]);
	w->slot = slot;
	if (ch < 0x80)
		bytes[0] = (char)ch;
	else
		n = wctomb(bytes, ch);
	/* What the locale cannot write still takes its columns. */
	if (n <= 0)
		append(w, "??", (size_t)width);
	else
		append(w, bytes, (size_t)n);
	/* At the margin terminals differ in where the cursor is. */
	w->x = x + width < w->w ? x + width : -1;
}

void cell_writer_end(struct cell_writer *w)
{
	if (w->slot >= 0)
		append_cap(w, exit_attribute_mode);
	drain(w);
}
