/* SPDX-License-Identifier: Apache-2.0 */
/* process_panel.c: the processes watched together, the busiest first. */
#include "tui/views/process_panel.h"

#include <stdio.h>

#include "tui/format.h"
#include "tui/widgets.h"

enum { PANEL_MAX = 12 };

/* The busiest; of those equally busy the first given. */
static uint32_t pick(const struct snapshot *sn, uint16_t *top, uint32_t max)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < sn->nprocesses && i < SNAP_PROCESSES; i++) {
		uint32_t at = n < max ? n++ : max;

		while (at && sn->processes[top[at - 1]].cpu_pct < sn->processes[i].cpu_pct) {
			if (at < max)
				top[at] = top[at - 1];
			at--;
		}
		if (at < max)
			top[at] = (uint16_t)i;
	}
	return n;
}

static void draw_row(const struct snap_process *p, struct surface *s, struct rect r)
{
	char cpu[FORMAT_SIZE], rss[FORMAT_SIZE];

	surface_printf(s, r.x, r.y, r.w, STYLE_DIM, "%8d", p->pid);
	surface_text(s, r.x + 9, r.y, 20, STYLE_TEXT, p->comm);
	surface_printf(s, r.x + 30, r.y, r.w - 30, p->cpu_pct >= 0.05 ? STYLE_TEXT : STYLE_DIM,
		       "%c %9s %10s %5u thread%s", p->state > ' ' ? p->state : '?',
		       format_pct(cpu, p->cpu_pct), format_bytes(rss, p->rss_bytes), p->threads,
		       p->threads == 1 ? "" : "s");
}

int process_panel_draw(const struct snapshot *sn, struct surface *s, struct rect r)
{
	uint16_t top[PANEL_MAX];
	uint32_t max =
		r.h / 3 < PANEL_MAX + 2 ? (uint32_t)(r.h / 3 > 2 ? r.h / 3 - 2 : 0) : PANEL_MAX;
	uint32_t n;
	char title[64];

	if (sn->nprocesses < 2 || !max)
		return 0;
	n = pick(sn, top, max);
	snprintf(title, sizeof(title),
		 n < sn->nprocesses ? "%u processes, the busiest" : "%u processes", sn->nprocesses);
	widget_rule(s, r.x, r.y, r.w, title);
	for (uint32_t i = 0; i < n; i++)
		draw_row(&sn->processes[top[i]], s, (struct rect){r.x, r.y + 1 + (int)i, r.w, 1});
	return (int)n + 2;
}
