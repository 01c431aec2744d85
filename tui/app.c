/* SPDX-License-Identifier: Apache-2.0 */
/* app.c: the dashboard's loop: sleep, take what came, draw once. */
#include "tui/app.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "collectors/session.h"
#include "tui/screen.h"
#include "tui/ui.h"

/* Keys that are waiting. Returns true when the user quits. */
static bool take_keys(struct ui *ui, struct screen *sc, struct session *se, bool *draw, bool *all)
{
	int64_t key;

	while ((key = screen_key(sc)) > 0) {
		*draw = true;
		switch (ui_key(ui, (uint32_t)key)) {
		case UI_QUIT:
			return true;
		case UI_RESET:
			session_reset(se);
			break;
		case UI_INTERVAL:
			session_set_interval(se, ui->interval_ns);
			break;
		case UI_REDRAW:
			screen_resize(sc);
			*all = true;
			break;
		default:
			break;
		}
	}
	return key < 0;
}

static void take_snapshot(struct ui *ui, struct session *se, bool *draw)
{
	const struct snapshot *s = session_snapshot(se);

	if (!s)
		return;
	ui_snapshot(ui, s);
	*draw = true;
}

/* 0, or the signal that ended it. */
static int run(struct ui *ui, struct screen *sc, struct session *se)
{
	int fd = session_eventfd(se), sig;
	bool draw = true, all = false;

	for (;;) {
		if (draw) {
			ui_draw(ui, screen_surface(sc));
			screen_flush(sc, all);
		}
		draw = all = false;
		sig = screen_wait(sc, fd, -1, &all);
		if (sig)
			return sig;
		draw = all;
		if (take_keys(ui, sc, se, &draw, &all))
			return 0;
		take_snapshot(ui, se, &draw);
	}
}

int app_run(struct session *se, const struct app_options *opt)
{
	struct ui *ui = ui_new(opt->interval_ns);
	struct screen *sc = NULL;
	int err = 0, sig;

	if (!ui)
		return -ENOMEM;
	ui->view = (uint32_t)(opt->view ? view_find(opt->view) : VIEW_overview);
	sc = screen_new(opt, &err);
	if (!sc)
		goto cleanup;
	snprintf(ui->message, sizeof(ui->message), "%s", screen_message(sc));
	sig = run(ui, sc, se);
	err = sig ? 128 + sig : 0;
cleanup:
	screen_free(sc);
	ui_free(ui);
	return err;
}
