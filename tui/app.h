/* SPDX-License-Identifier: Apache-2.0 */
/* app.h: the dashboard on a terminal: runs until the user quits. */
#ifndef PERFTOP_APP_H
#define PERFTOP_APP_H

#include <stdbool.h>
#include <stdint.h>

struct session;

enum color_mode { COLOR_MODE_AUTO, COLOR_MODE_NONE, COLOR_MODE_8, COLOR_MODE_16, COLOR_MODE_256 };

/* How the front end looks. Strings are borrowed for the length of the call. */
struct app_options {
	const char *theme; /* name of a theme, or a path with a '/'; NULL = "dark" */
	const char *view;  /* name of the first view ("latency") that there is; NULL = overview */
	bool ascii;	   /* no character outside ASCII */
	enum color_mode color;
	uint64_t interval_ns; /* of the session, as started */
};

/*
 * Show the session on stdin/stdout until the user quits. The session is started already and stays
 * the caller's. Returns 0 when the user quits, 128 + signal number when SIGTERM, SIGINT, SIGQUIT
 * or SIGHUP ended it, or -errno (-ENOTTY: no terminal, -ENODEV: one that cannot be used) with a
 * sentence on stderr. The terminal is as before in every case.
 */
int app_run(struct session *se, const struct app_options *opt);

#endif
