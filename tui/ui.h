/* SPDX-License-Identifier: Apache-2.0 */
/* ui.h: the dashboard's state and its keys, with no terminal in it. */
#ifndef PERFTOP_UI_H
#define PERFTOP_UI_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/snapshot.h"
#include "tui/history.h"
#include "tui/surface.h"
#include "tui/verdict.h"
#include "tui/view.h"

/* The smallest screen that shows anything but a request for a larger one. */
enum { UI_MIN_W = 60, UI_MIN_H = 12 };
enum { UI_HIST_BUCKETS = 2048 };

/* Change of the open histogram over the last interval. */
struct ui_recent {
	char name[SNAP_NAME];
	uint64_t seq;
	uint32_t before[UI_HIST_BUCKETS], delta[UI_HIST_BUCKETS];
	uint64_t ndelta;
};

/* The slow call under the cursor of an open function: it keeps it while others come and go. */
struct ui_tail {
	uint64_t time_ns;
	int32_t tid;
	int row; /* drawn last */
};

struct ui {
	const struct snapshot *shown; /* what is drawn: the newest, or the paused one */
	const struct snapshot *newest;
	struct snapshot *frozen; /* copy taken at the pause */
	bool paused;
	bool filtering;	     /* keys go to the filter */
	uint32_t view, back; /* back: where Esc in help returns to */
	uint64_t interval_ns;
	char message[96]; /* in the footer until the next key */
	struct verdict verdict;
	struct verdict before; /* the last that found something, while the target ran */
	struct ui_recent recent;
	struct ui_tail tail;
	struct history history;
	struct view_state states[NVIEWS];
};

enum ui_action {
	UI_NONE,
	UI_QUIT,
	UI_RESET,
	UI_INTERVAL, /* ui->interval_ns changed */
	UI_REDRAW,   /* the whole screen, not the difference */
};

struct ui *ui_new(uint64_t interval_ns); /* NULL without memory */
void ui_free(struct ui *ui);

/* A new snapshot came; it stays valid until the next call. */
void ui_snapshot(struct ui *ui, const struct snapshot *s);
enum ui_action ui_key(struct ui *ui, uint32_t key);
void ui_draw(struct ui *ui, struct surface *s);

/* Header, tabs, footer; each returns the rows it took. ui_chrome.c */
int ui_draw_header(const struct ui *ui, struct surface *s);
void ui_draw_tabs(const struct ui *ui, struct surface *s, int y);
void ui_draw_footer(const struct ui *ui, struct surface *s, int y);

#endif
