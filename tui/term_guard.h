/* SPDX-License-Identifier: Apache-2.0 */
/* term_guard.h: gives the terminal back on every way out, crashes included. */
#ifndef PERFTOP_TERM_GUARD_H
#define PERFTOP_TERM_GUARD_H

#include <stdbool.h>

/*
 * term_guard_enter  before curses starts: keeps the terminal's modes and installs handlers.
 * term_guard_arm    after curses started: keeps the strings that undo what it did to the screen.
 *                   From here on a crash restores the terminal before it kills the process.
 * term_guard_leave  after endwin: puts the old handlers back.
 *
 * SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGWINCH, SIGTSTP and SIGCONT become bytes (the signal
 * number) to read from term_guard_fd(). A second SIGTERM, SIGINT, SIGQUIT or SIGHUP before the
 * first was read ends the process at once, terminal restored. One guard at a time: signal
 * handlers know the process alone.
 */
int term_guard_enter(void);
void term_guard_arm(void);
void term_guard_leave(void);
int term_guard_fd(void);
/* Next signal caught, or 0. Does not block. */
int term_guard_next(void);

/* Stop the process as Ctrl-Z does; returns when it goes on. Curses must be in shell mode. */
void term_guard_stop(void);

#endif
