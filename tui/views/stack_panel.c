/* SPDX-License-Identifier: Apache-2.0 */
/* stack_panel.c: stacks in a rectangle. */
#include "tui/views/stack_panel.h"

#include "tui/format.h"
#include "tui/views/blocked_rows.h"

enum style stack_panel_heat(double pct)
{
	return pct >= 40 ? STYLE_BAD : pct >= 15 ? STYLE_WARN : STYLE_TEXT;
}

static void draw_line(const struct snapshot *sn, const struct caller_line *l, struct surface *s,
		      struct rect r, bool root)
{
	double pct = 100.0 * (double)l->count / (double)sn->cpu.samples;
	char text[FORMAT_SIZE];
	int indent = (int)(l->indent > 20 ? 20 : l->indent) * 2, x = r.x + 8;

	/* Along a chain the number stays the same: said once. */
	if (root || l->count != l[-1].count || l->indent != l[-1].indent)
		surface_text_right(s, r.x, r.y, 7, root ? STYLE_STRONG : stack_panel_heat(pct),
				   format_pct(text, pct));
	for (int i = 0; i < indent; i += 2)
		surface_put(s, x + i, r.y, 0x2502, STYLE_BORDER);
	x += indent;
	surface_put(s, x, r.y, root ? 0x25b8 : 0x2190, STYLE_BORDER);
	x += 2;
	x += surface_name(s, x, r.y, r.x + r.w - x, root ? STYLE_STRONG : STYLE_TEXT,
			  sn->symbols[l->symbol].name);
	surface_name(s, x + 2, r.y, r.x + r.w - x - 2, STYLE_DIM, sn->symbols[l->symbol].module);
}

void stack_panel_callers(const struct snapshot *sn, const struct caller_line *lines, uint32_t n,
			 int top, struct surface *s, struct rect r)
{
	for (int i = 0; i < r.h && top + i < (int)n; i++)
		draw_line(sn, &lines[top + i], s, (struct rect){r.x, r.y + i, r.w, 1},
			  top + i == 0);
}

int stack_panel_wait(const struct snapshot *sn, const struct snap_wait_stack *st, struct surface *s,
		     struct rect r, int skip)
{
	uint32_t place = blocked_stack_place(sn, st);
	int y = 0;

	for (uint32_t i = 0; i < st->nframes && i < SNAP_FRAMES; i++) {
		const struct snap_symbol *sym;
		int x = r.x + 2;

		if (st->frames[i] >= sn->nsymbols || skip-- > 0)
			continue;
		if (y >= r.h)
			break;
		sym = &sn->symbols[st->frames[i]];
		surface_put(s, r.x, r.y + y, i ? 0x2190 : 0x25b8, STYLE_BORDER);
		x += surface_name(s, x, r.y + y, r.x + r.w - x,
				  st->frames[i] == place ? STYLE_STRONG : STYLE_TEXT, sym->name);
		surface_name(s, x + 2, r.y + y, r.x + r.w - x - 2, STYLE_DIM, sym->module);
		y++;
	}
	return y;
}
