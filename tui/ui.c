/* SPDX-License-Identifier: Apache-2.0 */
/* ui.c: the dashboard's state: snapshots in, keys in, a drawn surface out. */
#include "tui/ui.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/format.h"
#include "tui/keys.h"
#include "tui/widgets.h"

/* Steps of + and -, ns. */
static const uint64_t intervals_ns[] = {100000000,  200000000,	500000000,  1000000000,
					2000000000, 5000000000, 10000000000};
enum { NINTERVALS = sizeof(intervals_ns) / sizeof(intervals_ns[0]) };

struct ui *ui_new(uint64_t interval_ns)
{
	struct ui *ui = calloc(1, sizeof(*ui));

	if (!ui)
		return NULL;
	ui->frozen = snapshot_new();
	if (!ui->frozen) {
		free(ui);
		return NULL;
	}
	ui->interval_ns = interval_ns;
	for (int i = 0; i < NVIEWS; i++)
		if (views[i].ops->model)
			grid_init(&ui->states[i].grid, views[i].ops->model);
	return ui;
}

void ui_free(struct ui *ui)
{
	if (!ui)
		return;
	history_fini(&ui->history);
	snapshot_free(ui->frozen);
	free(ui);
}

/* With the target its numbers end, but not what was wrong with it. */
static void judge(struct ui *ui, const struct snapshot *s)
{
	const bool ended = s->target.state == TARGET_EXITED || s->target.state == TARGET_ZOMBIE;
	struct verdict *v = &ui->verdict;

	verdict_compute(v, s);
	if (!ended && v->mood > VERDICT_GOOD)
		ui->before = *v;
	else if (!ended)
		ui->before.label[0] = '\0';
	if (!ended || !ui->before.label[0])
		return;
	snprintf(v->also, sizeof(v->also), "until then %s: %.180s", ui->before.label,
		 ui->before.text);
	snprintf(v->also_view, sizeof(v->also_view), "%s", ui->before.view);
}

void ui_snapshot(struct ui *ui, const struct snapshot *s)
{
	history_add(&ui->history, s);
	ui->newest = s;
	if (ui->paused)
		return;
	ui->shown = s;
	judge(ui, s);
}

static void toggle_pause(struct ui *ui)
{
	if (!ui->newest)
		return;
	ui->paused = !ui->paused;
	if (ui->paused) {
		snapshot_clear(ui->frozen);
		snapshot_copy(ui->frozen, ui->newest);
		ui->shown = ui->frozen;
	} else {
		ui->shown = ui->newest;
	}
	judge(ui, ui->shown);
}

static enum ui_action change_interval(struct ui *ui, int step)
{
	char buf[FORMAT_SIZE];
	int i = 0;

	if (step > 0) {
		while (i < NINTERVALS - 1 && intervals_ns[i] <= ui->interval_ns)
			i++;
	} else {
		i = NINTERVALS - 1;
		while (i > 0 && intervals_ns[i] >= ui->interval_ns)
			i--;
	}
	ui->interval_ns = intervals_ns[i];
	snprintf(ui->message, sizeof(ui->message), "every %s", format_ns(buf, ui->interval_ns));
	return UI_INTERVAL;
}

static void go_to(struct ui *ui, uint32_t view)
{
	if (view == VIEW_help && ui->view != VIEW_help)
		ui->back = ui->view;
	/* Going to the view that is open closes its detail, as tabs do. */
	if (view == ui->view)
		ui->states[view].open = ui->states[view].deeper = false;
	ui->view = view;
}

/* While the filter is typed every printable key belongs to it. */
static bool filter_key(struct ui *ui, struct grid *g, uint32_t key)
{
	size_t n = strlen(g->filter);

	switch (key) {
	case KEYC_ESC:
		g->filter[0] = '\0';
		ui->filtering = false;
		return true;
	case KEYC_ENTER:
		ui->filtering = false;
		return true;
	case KEYC_BACKSPACE:
		if (!n)
			ui->filtering = false;
		else
			g->filter[n - 1] = '\0';
		return true;
	default:
		if (key < ' ' || key > '~')
			return key < 0x110000;
		if (n + 1 < sizeof(g->filter)) {
			g->filter[n] = (char)key;
			g->filter[n + 1] = '\0';
		}
		g->pinned = false;
		g->cursor = g->top = 0;
		return true;
	}
}

static bool scroll_key(struct view_state *vs, uint32_t key)
{
	int to = vs->scroll;

	switch (key) {
	case KEYC_UP:
	case 'k':
		to--;
		break;
	case KEYC_DOWN:
	case 'j':
		to++;
		break;
	case KEYC_PAGE_UP:
		to -= 10;
		break;
	case KEYC_PAGE_DOWN:
		to += 10;
		break;
	case KEYC_HOME:
	case 'g':
		to = 0;
		break;
	case KEYC_END:
	case 'G':
		to = vs->scroll_max;
		break;
	default:
		return false;
	}
	vs->scroll = to < 0 ? 0 : to > vs->scroll_max ? vs->scroll_max : to;
	return true;
}

static void enter(struct ui *ui, struct view_state *vs, const struct view_ops *ops)
{
	uint32_t row;
	int to;

	if (ui->view == VIEW_overview) {
		to = view_find(ui->verdict.view[0] ? ui->verdict.view : ui->verdict.also_view);
		if (to >= 0)
			go_to(ui, (uint32_t)to);
		return;
	}
	if (vs->open)
		vs->deeper = vs->has_deeper;
	if (vs->open || !ops->detail || !ui->shown || !ops->model)
		return;
	grid_update(&vs->grid, ops->model, ui);
	if (!grid_selected(&vs->grid, &row))
		return;
	ops->model->name(ui, row, vs->open_name, sizeof(vs->open_name));
	vs->open = true;
	vs->has_deeper = false;
	vs->scroll = 0;
	ui->tail = (struct ui_tail){.row = 0};
}

static void leave(struct ui *ui, struct view_state *vs)
{
	if (vs->deeper)
		vs->deeper = false;
	else if (vs->open)
		vs->open = false;
	else if (vs->grid.filter[0])
		vs->grid.filter[0] = '\0';
	else if (ui->view == VIEW_help)
		ui->view = ui->back;
	else
		ui->view = VIEW_overview;
}

/* Keys that mean the same in every view; -1: not one of them. */
static int global_key(struct ui *ui, uint32_t key)
{
	switch (key) {
	case 'q':
	case KEYC_F10:
		return UI_QUIT;
	case '?':
	case 'h':
	case KEYC_F1:
		go_to(ui, VIEW_help);
		return UI_NONE;
	case KEYC_TAB:
	case KEYC_RIGHT:
		go_to(ui, (ui->view + 1) % NVIEWS);
		return UI_NONE;
	case KEYC_BACK_TAB:
	case KEYC_LEFT:
		go_to(ui, (ui->view + NVIEWS - 1) % NVIEWS);
		return UI_NONE;
	case ' ':
		toggle_pause(ui);
		return UI_NONE;
	case 'z':
		snprintf(ui->message, sizeof(ui->message), "counts begin anew");
		return UI_RESET;
	case '+':
	case '=':
		return (int)change_interval(ui, 1);
	case '-':
		return (int)change_interval(ui, -1);
	case KEYC_REDRAW:
	case KEYC_RESIZE:
		return UI_REDRAW;
	default:
		for (uint32_t i = 0; i < NVIEWS; i++)
			if (views[i].key == key) {
				go_to(ui, i);
				return UI_NONE;
			}
		return -1;
	}
}

enum ui_action ui_key(struct ui *ui, uint32_t key)
{
	struct view_state *vs = &ui->states[ui->view];
	const struct view_ops *ops = views[ui->view].ops;
	bool list = ops->model && !vs->open;
	int action;

	ui->message[0] = '\0';
	if (ui->filtering && filter_key(ui, &vs->grid, key))
		return UI_NONE;
	if (list && ui->shown && grid_key(&vs->grid, ops->model, ui, key))
		return UI_NONE;
	if (!list && scroll_key(vs, key))
		return UI_NONE;
	ui->filtering = false;
	switch (key) {
	case '/':
	case KEYC_F1 + 2: /* as in other process viewers */
	case KEYC_F1 + 3:
		ui->filtering = list;
		return UI_NONE;
	case KEYC_ENTER:
	case '\n':
		enter(ui, vs, ops);
		return UI_NONE;
	case KEYC_ESC:
	case KEYC_BACKSPACE:
		leave(ui, vs);
		return UI_NONE;
	default:
		action = global_key(ui, key);
		return action < 0 ? UI_NONE : (enum ui_action)action;
	}
}

void ui_draw(struct ui *ui, struct surface *s)
{
	struct view_state *vs = &ui->states[ui->view];
	const struct view_ops *ops = views[ui->view].ops;
	struct rect body;
	int y;

	surface_clear(s);
	if (s->w < UI_MIN_W || s->h < UI_MIN_H) {
		char text[64];

		snprintf(text, sizeof(text), "perftop needs %d×%d, this is %d×%d", UI_MIN_W,
			 UI_MIN_H, s->w, s->h);
		widget_wrap(s, (struct rect){0, 0, s->w, s->h}, STYLE_WARN, text);
		return;
	}
	y = ui_draw_header(ui, s);
	ui_draw_tabs(ui, s, y++);
	ui_draw_footer(ui, s, s->h - 1);
	body = (struct rect){1, y, s->w - 2, s->h - 1 - y};
	if (!ui->shown && ui->view != VIEW_help) {
		view_empty(s, body, "waiting for the first numbers …");
		return;
	}
	if (vs->open && ops->detail)
		ops->detail(ui, vs, s, body);
	else
		ops->draw(ui, vs, s, body);
}
