/* SPDX-License-Identifier: Apache-2.0 */
/* screen.c: the terminal: curses for its modes and keys, cell_writer to draw. */
#include "tui/screen.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <unistd.h>

#include "tui/cell_writer.h"
#include "tui/keys.h"
#include "tui/term_guard.h"
#include "tui/theme.h"

struct screen {
	struct surface now, shown; /* shown: what the terminal was sent last */
	SCREEN *curses;		   /* modes and keys; it draws nothing */
	struct cell_writer writer;
	bool stale; /* the terminal does not show `shown` */
	int ncolors;
	bool gone;
	char message[256];
};

/* Terminals whose character sets lack the glyphs, whatever the locale says. */
static bool needs_ascii(void)
{
	static const char *const plain[] = {"linux",  "vt52", "vt100", "vt102", "vt220", "ansi",
					    "cons25", "dumb", "sun",   "hurd",	NULL};
	const char *term = getenv("TERM");

	for (int i = 0; plain[i] && term; i++)
		if (!strcmp(term, plain[i]))
			return true;
	return strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
}

static int color_count(enum color_mode mode)
{
	const char *no_color = getenv("NO_COLOR");
	int have = set_a_foreground && max_colors > 0 ? max_colors : 0;
	static const int wanted[] = {[COLOR_MODE_NONE] = 0,
				     [COLOR_MODE_8] = 8,
				     [COLOR_MODE_16] = 16,
				     [COLOR_MODE_256] = 256};

	if (mode == COLOR_MODE_AUTO)
		return no_color && no_color[0] ? 0 : have;
	return wanted[mode] < have ? wanted[mode] : have;
}

_Static_assert(2 * NSTYLES <= CELL_WRITER_SLOTS, "a slot for each style, selected or not");

/* Slot 2i is style i, slot 2i + 1 the same on the cursor's row. */
static void apply_style(struct screen *sc, int i, const struct theme_style *st, int selected_bg)
{
	struct cell_look look = {
		.fg = -1,
		.bg = -1,
		.bold = st->attrs & THEME_BOLD,
		.dim = st->attrs & THEME_DIM,
		.underline = st->attrs & THEME_UNDERLINE,
		.reverse = st->attrs & THEME_REVERSE,
	};

	if (sc->ncolors) {
		look.fg = theme_index(&st->fg, sc->ncolors);
		look.bg = theme_index(&st->bg, sc->ncolors);
		/* On eight colours the bright ones are the dark ones in bold. */
		if (sc->ncolors < 16 && look.fg >= 8) {
			look.fg -= 8;
			look.bold = true;
		}
		/* Bold black is a dark grey there: unreadable on a coloured background. */
		if (sc->ncolors < 16 && look.fg == 0)
			look.bold = false;
	} else if (st->bg.rgb >= 0 || st->bg.index >= 0) {
		look.reverse = true; /* without colours a background is shown by reversing */
	}
	cell_writer_look(&sc->writer, 2 * i, &look);
	if (sc->ncolors)
		look.bg = selected_bg;
	else
		look.reverse = !look.reverse;
	cell_writer_look(&sc->writer, 2 * i + 1, &look);
}

static void apply_theme(struct screen *sc, const struct theme *t)
{
	int bg = theme_index(&t->styles[STYLE_SELECTED].bg, sc->ncolors);

	for (int i = 0; i < NSTYLES; i++)
		apply_style(sc, i, &t->styles[i], bg);
}

/* A theme of default colours alone is one for a terminal without colours. */
static bool theme_is_mono(const struct theme *t)
{
	return t->styles[STYLE_PART_USER].fg.rgb == THEME_DEFAULT &&
	       t->styles[STYLE_PART_USER].fg.index < 0;
}

static void setup(struct screen *sc, const struct app_options *opt)
{
	struct theme t;

	cbreak();
	noecho();
	nonl();
	intrflush(stdscr, FALSE);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	leaveok(stdscr, TRUE);
	theme_load(&t, opt->theme && opt->theme[0] ? opt->theme : "dark", sc->message,
		   sizeof(sc->message));
	sc->ncolors = color_count(opt->color);
	cell_writer_init(&sc->writer, STDOUT_FILENO);
	apply_theme(sc, &t);
	sc->now.ascii = opt->ascii || needs_ascii();
	sc->now.mono = !sc->ncolors || theme_is_mono(&t);
}

int screen_check(char *why, size_t why_size)
{
	const char *term = getenv("TERM");
	int known, err = setupterm(NULL, STDOUT_FILENO, &known);
	bool can_place = err == OK && cursor_address;

	if (err == OK)
		del_curterm(cur_term);
	if (can_place)
		return 0;
	if (!term || !*term)
		snprintf(why, why_size, "TERM is not set; try TERM=xterm, or --text");
	else
		snprintf(why, why_size, "TERM=%.60s: %s; try TERM=xterm, or --text", term,
			 err == OK ? "such a terminal cannot place its cursor"
				   : "no such type of terminal is known here");
	return -ENODEV;
}

struct screen *screen_new(const struct app_options *opt, int *err)
{
	struct screen *sc = NULL;

	*err = -ENOTTY;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fprintf(stderr,
			"perftop: stdin and stdout are not a terminal; --json or a pipe with "
			"--watch works without one\n");
		return NULL;
	}
	sc = calloc(1, sizeof(*sc));
	*err = sc ? term_guard_enter() : -ENOMEM;
	if (*err) {
		free(sc);
		return NULL;
	}
	setlocale(LC_CTYPE, "");
	set_escdelay(25);
	sc->curses = newterm(NULL, stdout, stdin);
	if (!sc->curses) {
		term_guard_leave();
		free(sc);
		*err = -ENODEV;
		fprintf(stderr,
			"perftop: this terminal cannot be used; try TERM=xterm, or --text\n");
		return NULL;
	}
	typeahead(-1); /* a drawing is short: no look for keys in the middle of it */
	term_guard_arm();
	setup(sc, opt);
	screen_resize(sc);
	*err = sc->now.cells && sc->shown.cells ? 0 : -ENOMEM;
	if (*err) {
		screen_free(sc);
		return NULL;
	}
	return sc;
}

void screen_free(struct screen *sc)
{
	if (!sc)
		return;
	endwin(); /* on a lost terminal its writes fail, and that is all */
	term_guard_leave();
	delscreen(sc->curses);
	surface_fini(&sc->now);
	surface_fini(&sc->shown);
	free(sc);
}

struct surface *screen_surface(struct screen *sc)
{
	return &sc->now;
}

const char *screen_message(const struct screen *sc)
{
	return sc->message;
}

static bool same_cell(const struct cell *a, const struct cell *b)
{
	return a->ch == b->ch && a->style == b->style && a->flags == b->flags;
}

/* The cells that differ from old, or all. The second cell of a wide character has no ch. */
static void put_row(struct screen *sc, int y, const struct cell *now, const struct cell *old)
{
	for (int x = 0, next; x < sc->now.w; x = next) {
		for (next = x + 1; next < sc->now.w && !now[next].ch; next++)
			;
		if (now[x].ch && !(old && same_cell(&now[x], &old[x])))
			cell_writer_put(&sc->writer, y, x, (wchar_t)now[x].ch, next - x,
					2 * now[x].style + !!(now[x].flags & CELL_SELECTED));
	}
}

void screen_flush(struct screen *sc, bool all)
{
	size_t row_bytes = (size_t)sc->now.w * sizeof(struct cell);

	all |= sc->stale;
	sc->stale = false;
	cell_writer_begin(&sc->writer, sc->now.w, sc->now.h, all);
	for (int y = 0; y < sc->now.h; y++) {
		struct cell *now = &sc->now.cells[(size_t)y * (size_t)sc->now.w];
		struct cell *old = &sc->shown.cells[(size_t)y * (size_t)sc->now.w];

		if (!all && !memcmp(now, old, row_bytes))
			continue;
		put_row(sc, y, now, all ? NULL : old);
		memcpy(old, now, row_bytes);
	}
	cell_writer_end(&sc->writer);
}

static uint32_t curses_key(wint_t key)
{
	switch (key) {
	case KEY_UP:
		return KEYC_UP;
	case KEY_DOWN:
		return KEYC_DOWN;
	case KEY_LEFT:
		return KEYC_LEFT;
	case KEY_RIGHT:
		return KEYC_RIGHT;
	case KEY_PPAGE:
		return KEYC_PAGE_UP;
	case KEY_NPAGE:
		return KEYC_PAGE_DOWN;
	case KEY_HOME:
		return KEYC_HOME;
	case KEY_END:
		return KEYC_END;
	case KEY_BTAB:
		return KEYC_BACK_TAB;
	case KEY_BACKSPACE:
		return KEYC_BACKSPACE;
	case KEY_ENTER:
		return KEYC_ENTER;
	case KEY_RESIZE:
		return KEYC_RESIZE;
	default:
		return key >= (wint_t)KEY_F(1) && key <= (wint_t)KEY_F(12)
			       ? (uint32_t)(KEYC_F1 + (int)key - KEY_F(1))
			       : 0;
	}
}

int64_t screen_key(struct screen *sc)
{
	wint_t key;
	int kind = get_wch(&key);

	if (kind == ERR)
		return sc->gone ? -1 : 0;
	if (kind == KEY_CODE_YES)
		return curses_key(key);
	if (key == 127 || key == 8)
		return KEYC_BACKSPACE;
	return key == '\n' ? KEYC_ENTER : (int64_t)key;
}

bool screen_resize(struct screen *sc)
{
	struct winsize ws;
	int w = COLS, h = LINES;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_col && ws.ws_row) {
		w = ws.ws_col;
		h = ws.ws_row;
	}
	if (sc->now.cells && sc->now.w == w && sc->now.h == h)
		return false;
	resizeterm(h, w);
	if (surface_resize(&sc->now, w, h) || surface_resize(&sc->shown, w, h))
		return false;
	erase();
	refresh(); /* now, not at the next key: it clears what was drawn past curses */
	sc->stale = true;
	return true;
}

void screen_suspend(struct screen *sc)
{
	endwin();
	term_guard_stop();
	refresh();
	sc->stale = true;
	screen_resize(sc);
}

int screen_wait(struct screen *sc, int fd, int timeout_ms, bool *redraw)
{
	struct pollfd fds[3] = {
		{STDIN_FILENO, POLLIN, 0}, {term_guard_fd(), POLLIN, 0}, {fd, POLLIN, 0}};
	int sig, n;

	n = poll(fds, 3, timeout_ms);
	if (n < 0)
		return 0;
	if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) {
		sc->gone = true;
		return SIGHUP;
	}
	while ((sig = term_guard_next())) {
		if (sig == SIGTSTP)
			screen_suspend(sc);
		else if (sig == SIGWINCH)
			screen_resize(sc);
		else if (sig != SIGCONT)
			return sig;
		*redraw = true;
	}
	return 0;
}
