/* SPDX-License-Identifier: Apache-2.0 */
/* cell_writer.h: changed cells as terminfo sequences, sent to the terminal in one write. */
#ifndef PERFTOP_CELL_WRITER_H
#define PERFTOP_CELL_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <wchar.h>

enum {
	CELL_WRITER_SLOTS = 128,      /* ways to draw a cell */
	CELL_WRITER_SLOT_BYTES = 96,  /* longest sequence of one of them */
	CELL_WRITER_BUFFER = 1 << 16, /* bytes; more are sent in several writes */
};

/* How one slot looks. Colours are terminfo's numbers, -1 the terminal's own. */
struct cell_look {
	int fg, bg;
	bool bold, dim, underline, reverse;
};

/*
 * ncurses flushes at every move of the cursor: some seventy writes a tick, and over ssh as many
 * packets. The caller knows which cells changed, so nothing is compared here.
 */
struct cell_writer {
	int fd;		 /* the terminal; not owned */
	bool plain_cup;	 /* cursor_address is ECMA-48's */
	bool spare_last; /* writing the last cell of the screen would scroll it */
	int w, h;
	int x, y; /* the cursor; x = -1 unknown */
	int slot; /* the attributes set now; -1 unknown */
	uint16_t slot_length[CELL_WRITER_SLOTS];
	char slots[CELL_WRITER_SLOTS][CELL_WRITER_SLOT_BYTES];
	uint32_t length;
	char buffer[CELL_WRITER_BUFFER];
};

/* After terminfo was set up (newterm(3)). */
void cell_writer_init(struct cell_writer *w, int fd);
/* slot < CELL_WRITER_SLOTS. Attributes the terminal lacks are left out. */
void cell_writer_look(struct cell_writer *w, int slot, const struct cell_look *look);

/* Forget where the cursor is and what is set; with `clear`, clear the screen too. */
void cell_writer_begin(struct cell_writer *w, int width, int height, bool clear);
/* ch takes `width` columns from (y, x). */
void cell_writer_put(struct cell_writer *w, int y, int x, wchar_t ch, int width, int slot);
/* Attributes back to normal, all sent. */
void cell_writer_end(struct cell_writer *w);

#endif
