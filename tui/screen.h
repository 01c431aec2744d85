/* SPDX-License-Identifier: Apache-2.0 */
/* screen.h: curses: the one place that shows a surface and reads keys. */
#ifndef PERFTOP_SCREEN_H
#define PERFTOP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tui/app.h"
#include "tui/surface.h"

struct screen;

/* Can the dashboard be shown on this type of terminal? 0, or -ENODEV with a sentence in why. */
int screen_check(char *why, size_t why_size);

/*
 * Take the terminal. On failure NULL with *err: -ENOTTY, -ENODEV, -ENOMEM, and a
 * sentence on stderr. A theme that cannot be read is no failure: screen_message() tells.
 */
struct screen *screen_new(const struct app_options *opt, int *err);
void screen_free(struct screen *sc); /* gives the terminal back */

struct surface *screen_surface(struct screen *sc);
/* What went wrong with the theme; "" if nothing. */
const char *screen_message(const struct screen *sc);

/* Show the surface. Only what changed since the last call is sent; `all` repaints. */
void screen_flush(struct screen *sc, bool all);

/* Next key that is waiting, see keys.h; 0 when there is none; -1 when the terminal is gone. */
int64_t screen_key(struct screen *sc);

/* Take over the terminal's size; true when it changed. */
bool screen_resize(struct screen *sc);
/* Give the terminal to the shell, stop, take it back. */
void screen_suspend(struct screen *sc);

/*
 * Sleep until a key, a signal or `fd` (ignored when negative) is ready; timeout_ms as poll(2).
 * Signals are handled here: a resize or a return from suspend sets *redraw. Returns 0, or the
 * number of a signal that ends the program.
 */
int screen_wait(struct screen *sc, int fd, int timeout_ms, bool *redraw);

#endif
