/* SPDX-License-Identifier: Apache-2.0 */
/* view.c: the table of views, and what most of them share. */
#include "tui/view.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "collectors/name_words.h"
#include "tui/ui.h"
#include "tui/widgets.h"

const struct view views[NVIEWS] = {
#define X(id, key, title, short_title, help) \
	[VIEW_##id] = {#id, title, short_title, help, key, &view_ops_##id},
#include "tui/views.def"
#undef X
};

int view_find(const char *name)
{
	for (int i = 0; i < NVIEWS; i++)
		if (!strcmp(views[i].name, name) || !strcasecmp(views[i].title, name))
			return i;
	return -1;
}

const struct snap_section *view_section(const struct ui *ui, const char *name)
{
	return snapshot_find_section(ui->shown, name);
}

static bool is_optional(const char *section)
{
	return !strcmp(section, "func") || !strcmp(section, "counters") ||
	       !strcmp(section, "engine");
}

int view_reason(const struct ui *ui, const char *section, struct surface *s, struct rect r)
{
	const struct snap_section *sec = view_section(ui, section);
	bool partly = sec && sec->status == SECTION_DEGRADED;
	char text[SNAP_TEXT + 64];

	if ((sec && sec->status == SECTION_LIVE) || r.h < 1)
		return 0;
	snprintf(text, sizeof(text), "%s %s: %s", section,
		 partly ? "measured in part" : "not measured",
		 sec && sec->reason[0] ? sec->reason : "nothing measures it here");
	/* What nobody asked for is no fault. */
	return widget_wrap(s, r, is_optional(section) ? STYLE_LABEL : STYLE_WARN, text);
}

static bool is_plain_name(const char *name)
{
	return !name_is_made_up(name) && name[0] &&
	       !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				  "0123456789_")];
}

/* A function of the target worth a probe: most time passes in it, yet not in all samples. */
static const struct snap_function *worth_a_probe(const struct snapshot *s)
{
	const struct snap_function *top = NULL;

	for (uint32_t i = 0; i < s->nfunctions; i++) {
		const struct snap_function *f = &s->functions[i];

		if (f->module[0] && f->module[0] != '[' && strncmp(f->module, "libc.", 5) &&
		    is_plain_name(f->name) && f->total_pct <= 90 && f->total >= 5 &&
		    (!top || f->total > top->total))
			top = f;
	}
	return top;
}

int view_notice(const struct ui *ui, const char *section, struct surface *s, struct rect r)
{
	const struct snap_section *sec = view_section(ui, section);
	const struct snap_function *f = worth_a_probe(ui->shown);
	int used = view_reason(ui, section, s, r);
	char text[SNAP_TEXT + SNAP_NAME + 80];

	if (!used || !sec || !sec->fix[0] || used >= r.h)
		return used;
	snprintf(text, sizeof(text), "%s", sec->fix);
	/* A name that is cut cannot be typed: it is given without its module where both do not fit.
	 */
	if (!strcmp(section, "func") && !strncmp(sec->fix, "-e ", 3) && f && !ui->shown->replaying)
		snprintf(text, sizeof(text),
			 text_width(f->module) + text_width(f->name) + 11 <= r.w
				 ? "-e %s:%s, for example"
				 : "-e %.0s%s, for example",
			 f->module, f->name);
	surface_text(s, r.x, r.y + used, 5, STYLE_LABEL, "  fix");
	used += widget_wrap(s, (struct rect){r.x + 6, r.y + used, r.w - 6, r.h - used},
			    STYLE_STRONG, text);
	return used;
}

void view_empty(struct surface *s, struct rect r, const char *text)
{
	int w = text_width(text), y = r.y + r.h / 2;

	if (r.h > 0 && w > r.w)
		widget_wrap(s, (struct rect){r.x, y, r.w, r.y + r.h - y}, STYLE_DIM, text);
	else if (r.h > 0)
		surface_text(s, r.x + (w < r.w ? (r.w - w) / 2 : 0), y, r.w, STYLE_DIM, text);
}

bool view_open_row(const struct ui *ui, const struct view_state *vs, const struct grid_model *m,
		   uint32_t *row)
{
	char name[SNAP_NAME];

	for (uint32_t i = 0; i < m->rows(ui); i++) {
		m->name(ui, i, name, sizeof(name));
		if (!strcmp(name, vs->open_name)) {
			*row = i;
			return true;
		}
	}
	return false;
}

void view_list(struct ui *ui, struct view_state *vs, const struct grid_model *m,
	       const char *const *sections, const char *empty, struct surface *s, struct rect r)
{
	bool any = m->rows(ui) > 0, live = false;
	struct rect rest = r;

	for (; *sections; sections++) {
		const struct snap_section *sec = view_section(ui, *sections);
		int used;

		live |= sec && sec->status != SECTION_ABSENT;
		/* With rows to show, only what is measured in part is worth a line. */
		if (any && (!sec || sec->status == SECTION_ABSENT))
			continue;
		used = view_notice(ui, *sections, s, rest);
		rest.y += used;
		rest.h -= used;
	}
	if (any) {
		grid_draw(&vs->grid, m, ui, s, rest);
		if (!vs->grid.n)
			view_empty(s, rest, "no row matches the filter");
	} else if (live) {
		view_empty(s, rest, empty);
	}
}
