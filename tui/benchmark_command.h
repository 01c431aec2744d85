/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_command.h: `perftop benchmark`. */
#ifndef PERFTOP_BENCHMARK_COMMAND_H
#define PERFTOP_BENCHMARK_COMMAND_H

/*
 * `perftop benchmark [OPTIONS]`; argv[0] is "benchmark". Returns the exit status: 0, whatever the
 * targets say; 1 for a suite that failed or a regression; 2 for bad options or a baseline that
 * cannot be read.
 */
int benchmark_main(int argc, char **argv);

#endif
