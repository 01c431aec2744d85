/* SPDX-License-Identifier: Apache-2.0 */
/* picker.h: a list of processes to choose the target from. */
#ifndef PERFTOP_PICKER_H
#define PERFTOP_PICKER_H

#include <stdbool.h>
#include <sys/types.h>

struct app_options;

/*
 * Let the user pick a process on stdin/stdout. Returns 0 with *engine_out set when the built-in
 * engine was chosen, else with *pid_out; -ECANCELED when the user left without choosing; 128 +
 * signal number as app_run(); or -errno with a sentence on stderr.
 */
int picker_run(const struct app_options *opt, pid_t *pid_out, bool *engine_out);

#endif
