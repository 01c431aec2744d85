/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_options.h: the command line of `perftop benchmark`. */
#ifndef PERFTOP_BENCHMARK_OPTIONS_H
#define PERFTOP_BENCHMARK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/benchmark/benchmark_report.h"

enum { BENCHMARK_MAX_SUITES = 64 };

struct benchmark_command {
	struct benchmark_options run;
	bool wanted[BENCHMARK_MAX_SUITES]; /* by index into benchmark_suites */
	const char *save_path, *baseline_path;
	bool json, wide, list, help;
};

/* 0, or -EINVAL with what is wrong and the fix in why. */
int benchmark_options_parse(struct benchmark_command *c, int argc, char **argv, char *why,
			    size_t size);
void benchmark_options_help(void);
void benchmark_options_list(void);

#endif
