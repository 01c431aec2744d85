/* SPDX-License-Identifier: Apache-2.0 */
/* view.h: what a view is: one file, one row in views.def. */
#ifndef PERFTOP_VIEW_H
#define PERFTOP_VIEW_H

#include "tui/grid.h"
#include "tui/surface.h"

struct ui;

/* What a view remembers between two draws. */
struct view_state {
	struct grid grid;
	bool open;		   /* showing the detail of one row */
	char open_name[SNAP_NAME]; /* which */
	int scroll;		   /* of a detail, or of a view without a list */
	int scroll_max;		   /* set by draw */
	bool deeper;		   /* in a detail: showing one of its rows alone */
	bool has_deeper;	   /* Enter in the detail does that; set by draw */
};

/*
 * draw    the view into r; reads ui->shown (never NULL here) and the history.
 * model   its list, or NULL; its data is the struct ui.
 * detail  the row vs->open_name into r; NULL: Enter opens nothing. The row may be gone.
 */
struct view_ops {
	void (*draw)(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r);
	const struct grid_model *model;
	void (*detail)(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r);
};

struct view {
	const char *name, *title, *short_title, *help;
	uint32_t key;
	const struct view_ops *ops;
};

enum view_id {
#define X(id, key, title, short_title, help) VIEW_##id,
#include "tui/views.def"
#undef X
	NVIEWS
};

extern const struct view views[NVIEWS];

/* Index of a view by its name, or by what its tab says in whatever case; -1: none. */
int view_find(const char *name);

/* View names are the ids in small letters; each file defines its own operations. */
#define X(id, key, title, short_title, help) extern const struct view_ops view_ops_##id;
#include "tui/views.def"
#undef X

/*
 * Reason, or reason and fix, of a section that is not live, at the top of r: returns the rows used,
 * 0 when it is live. A section that no collector named is not measured.
 */
int view_reason(const struct ui *ui, const char *section, struct surface *s, struct rect r);
int view_notice(const struct ui *ui, const char *section, struct surface *s, struct rect r);
const struct snap_section *view_section(const struct ui *ui, const char *name);

/* Row whose name() is vs->open_name; false: it is gone. */
bool view_open_row(const struct ui *ui, const struct view_state *vs, const struct grid_model *m,
		   uint32_t *row);

/* One line in the middle of r, for a list without rows. */
void view_empty(struct surface *s, struct rect r, const char *text);

/* A list with the notices of its sections above it (NULL-terminated names). */
void view_list(struct ui *ui, struct view_state *vs, const struct grid_model *m,
	       const char *const *sections, const char *empty, struct surface *s, struct rect r);

#endif
