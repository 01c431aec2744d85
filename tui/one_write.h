/* SPDX-License-Identifier: Apache-2.0 */
/* one_write.h: what curses writes in many small pieces reaches the terminal in one. */
#ifndef PERFTOP_ONE_WRITE_H
#define PERFTOP_ONE_WRITE_H

#include <stdio.h>

/*
 * ncurses 6.4 flushes at every move of the cursor: some seventy writes for a tick, and over ssh as
 * many packets. Between begin and end its descriptor leads into memory; end sends that to the
 * terminal at once. Without memory for it the writes go straight on.
 */
struct one_write {
	int tty_fd; /* the terminal; not owned */
	int out_fd; /* a duplicate of it, which curses writes to */
	int mem_fd; /* -1 = none */
};

/* The stream to hand to newterm(3), on a duplicate of tty_fd; NULL on failure. fclose ends it. */
FILE *one_write_init(struct one_write *w, int tty_fd);
void one_write_fini(struct one_write *w); /* after fclose */

void one_write_begin(struct one_write *w);
void one_write_end(struct one_write *w);

#endif
