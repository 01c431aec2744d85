/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_json.h: a benchmark's report as perftop.benchmark/1, out and in. */
#ifndef PERFTOP_BENCHMARK_JSON_H
#define PERFTOP_BENCHMARK_JSON_H

#include <stdio.h>

#include "kernels/benchmark/benchmark_report.h"
#include "tui/benchmark_compare.h"

#define BENCHMARK_SCHEMA "perftop.benchmark/1"

/* One object and a newline; c may be NULL. 0 or -errno. */
int benchmark_json_write(const struct benchmark_report *r, const struct benchmark_comparison *c,
			 FILE *out);

/*
 * A baseline is the same object with each result's samples_ns. Saving replaces path at once, by
 * renaming: a crash leaves the old one or the new one. 0, or -errno with the reason in why; -EINVAL
 * for a path that is there and no regular file. Whether it could be, before the time is spent:
 * can_save, likewise.
 */
int benchmark_json_can_save(const char *path, char *why, size_t size);
int benchmark_json_save(const struct benchmark_report *r, const char *path, char *why, size_t size);
/*
 * Fills r, to be finished by the caller in any case, with the machine's cpu and isa, and each
 * result's name, params and samples. Strict: what is missing or of another type is refused,
 * -EINVAL, with the reason in why; or -errno of reading.
 */
int benchmark_json_load(struct benchmark_report *r, const char *path, char *why, size_t size);

#endif
