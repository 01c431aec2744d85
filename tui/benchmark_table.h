/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_table.h: a benchmark's report for people, within 100 columns of ASCII. */
#ifndef PERFTOP_BENCHMARK_TABLE_H
#define PERFTOP_BENCHMARK_TABLE_H

#include <stdio.h>

#include "kernels/benchmark/benchmark_report.h"
#include "tui/benchmark_compare.h"

enum { BENCHMARK_WIDTH = 100 };

void benchmark_print_machine(const struct benchmark_machine *m, FILE *out);
/* n results of one contest from first on. Columns that nobody fills are left out; and, unless wide,
 * the least telling ones until the rest fits. */
void benchmark_print_contest(const struct benchmark_report *r, uint32_t first, uint32_t n,
			     bool wide, FILE *out);
void benchmark_print_targets(const struct benchmark_report *r, FILE *out);
void benchmark_print_failures(const struct benchmark_report *r, FILE *out);
void benchmark_print_comparison(const struct benchmark_report *r,
				const struct benchmark_comparison *c, FILE *out);

/* "12.3 us", "1.23 s": three digits; at least BENCHMARK_TEXT bytes. */
enum { BENCHMARK_TEXT = 32 };
const char *benchmark_time_text(char *buf, double ns);

#endif
