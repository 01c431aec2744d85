/* SPDX-License-Identifier: Apache-2.0 */
/* options.h: the command line as one struct. */
#ifndef PERFTOP_OPTIONS_H
#define PERFTOP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "collectors/session.h"
#include "tui/app.h"

#define PERFTOP_VERSION "0.1.0"

enum options_command {
	OPTIONS_WATCH,
	OPTIONS_LIST_PROBES,
	OPTIONS_DOCTOR,
	OPTIONS_ENGINE,	   /* the rest of argv belongs to it */
	OPTIONS_BENCHMARK, /* likewise */
	OPTIONS_HELP,
	OPTIONS_SHOW_VERSION,
};

enum { OPTIONS_MAX_PIDS = 1024 };

/* Strings point into argv. */
struct options {
	enum options_command command;
	const char *name; /* -n, NULL = none */
	const char *cgroup, *container;
	char cgroup_path[SNAP_TEXT]; /* the directory that either stands for */
	pid_t pids[OPTIONS_MAX_PIDS];
	uint32_t npids;
	char **launch; /* command after --, NULL = none */
	bool watch;    /* --watch: without a target, the built-in engine */
	bool text;     /* text even on a terminal */
	bool json, json_histograms;
	const char *json_path;	       /* NULL = stdout */
	const char *output_path;       /* what the launched command prints, NULL = by mode */
	const char *load;	       /* queries a second for the engine, NULL = its default */
	const char *engine_args;       /* more options for the engine, separated by spaces */
	uint64_t duration_ns;	       /* 0 = for ever */
	struct session_config session; /* pid and paths included; pid 0 = not given */
	struct app_options app;
};

/*
 * Read the command line. 0, or -EINVAL with one line in why: what failed, why, and the fix.
 * argv may be reordered by no one: the first word that is no option ends the reading.
 */
int options_parse(struct options *o, int argc, char **argv, char *why, size_t why_size);

/* "1s", "500ms", "0.5", "2m", "1h" to ns. 0, or -EINVAL. */
int options_parse_time(const char *text, uint64_t *ns);

void options_print_help(FILE *out);

#endif
