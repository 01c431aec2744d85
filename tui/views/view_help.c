/* SPDX-License-Identifier: Apache-2.0 */
/* view_help.c: what is measured and what not, the keys, the views. */
#include <stdio.h>
#include <string.h>

#include "tui/keys.h"
#include "tui/ui.h"
#include "tui/widgets.h"

/* Everything is drawn on a page of its own height, of which r shows a part. */
struct page {
	struct surface *s;
	struct rect r;
	int y;
};

struct named {
	const char *name, *help;
};

/* Sections that carry another name than their collector's, and what they stand for. */
static const struct named others[] = {
	{"bpf", "eBPF programs in the kernel, which most of the rest needs"},
	{"threads", "state and CPU time of each thread"},
	{"blocked", "time blocked by reason, futex waits, run-queue wait"},
};

static const struct named collectors[] = {
#define X(name, help) {#name, help},
#include "collectors/collectors.def"
#undef X
};

static bool visible(const struct page *p)
{
	return p->y >= p->r.y && p->y < p->r.y + p->r.h;
}

static void title(struct page *p, const char *text)
{
	if (visible(p))
		widget_rule(p->s, p->r.x, p->y, p->r.w, text);
	p->y++;
}

static void wrapped(struct page *p, int indent, enum style st, const char *label, const char *text)
{
	int h = p->r.y + p->r.h - p->y;
	int lines = 1 + text_width(text) / (p->r.w > indent ? p->r.w - indent : 1);

	if (visible(p)) {
		surface_text(p->s, p->r.x + indent - 5, p->y, 5, STYLE_LABEL, label);
		lines = widget_wrap(p->s, (struct rect){p->r.x + indent, p->y, p->r.w - indent, h},
				    st, text);
	}
	p->y += lines;
}

static void draw_section(struct page *p, const struct ui *ui, const struct named *c)
{
	static const enum style styles[] = {STYLE_BAD, STYLE_WARN, STYLE_GOOD};
	const struct snap_section *sec = ui->shown ? view_section(ui, c->name) : NULL;
	uint32_t status = sec ? sec->status : SECTION_ABSENT;

	if (visible(p)) {
		surface_text(p->s, p->r.x, p->y, 10, STYLE_STRONG, c->name);
		surface_text(p->s, p->r.x + 11, p->y, 10,
			     styles[status <= SECTION_LIVE ? status : SECTION_ABSENT],
			     ui->shown ? section_status_name(status) : "starting");
		surface_name(p->s, p->r.x + 21, p->y, p->r.w - 21, STYLE_TEXT, c->help);
	}
	p->y++;
	if (sec && sec->reason[0])
		wrapped(p, 21, STYLE_DIM, "", sec->reason);
	if (sec && sec->fix[0])
		wrapped(p, 21, STYLE_STRONG, "fix", sec->fix);
}

static void draw(struct ui *ui, struct view_state *vs, struct surface *s, struct rect r)
{
	struct page p = {s, r, r.y - vs->scroll};
	int height;

	title(&p, "keys");
	for (uint32_t i = 0; i < nkey_rows; i++) {
		if (visible(&p))
			surface_text(s, r.x, p.y, 23, STYLE_TAB_KEY, key_rows[i].keys);
		wrapped(&p, 24, STYLE_TEXT, "", key_rows[i].help);
	}
	title(&p, "what is measured");
	for (uint32_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (ui->shown && view_section(ui, others[i].name))
			draw_section(&p, ui, &others[i]);
	for (uint32_t i = 0; i < sizeof(collectors) / sizeof(collectors[0]); i++)
		if (!ui->shown || view_section(ui, collectors[i].name))
			draw_section(&p, ui, &collectors[i]);
	title(&p, "views");
	for (int i = 0; i < NVIEWS; i++) {
		if (visible(&p)) {
			surface_put(s, r.x, p.y, views[i].key, STYLE_TAB_KEY);
			surface_text(s, r.x + 2, p.y, 18, STYLE_STRONG, views[i].title);
		}
		wrapped(&p, 24, STYLE_TEXT, "", views[i].help);
	}
	height = p.y + vs->scroll - r.y;
	vs->scroll_max = height > r.h ? height - r.h : 0;
	if (vs->scroll > vs->scroll_max)
		vs->scroll = vs->scroll_max;
}

const struct view_ops view_ops_help = {.draw = draw};
