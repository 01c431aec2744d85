/* SPDX-License-Identifier: Apache-2.0 */
/* attention_cases.h: contests of attention kernels, for the suites that hold them. */
#ifndef KERNELS_BENCHMARK_ATTENTION_CASES_H
#define KERNELS_BENCHMARK_ATTENTION_CASES_H

#include "kernels/benchmark/benchmark.h"
#include "kernels/kernels.h"

/* Who takes part: the best row of that name for the run's instruction set. */
struct attention_entry {
	const char *kernel;   /* or "peak": as many multiply-adds, see peak_case.h */
	const char *baseline; /* as in benchmark_case */
	bool slow;
	uint32_t kv_heads; /* that the query heads share; 0: those of the shape */
};

/* The three that every attention figure is held against: see attention_entries. */
enum { ATTENTION_TEXTBOOK, ATTENTION_STANDARD, ATTENTION_FLASH, ATTENTION_ENTRIES };
extern const struct attention_entry attention_entries[ATTENTION_ENTRIES];

/*
 * Inputs uniform in [-1, 1] for shape, whose pointers are not read; all entries at once; memory is
 * released at the end. Entries without a row here are left out, and their median_ns is 0. Params
 * are S (and Skv where it differs), D, H, Hkv, causal and window.
 */
int attention_contest(struct benchmark *b, const char *name, const struct attention *shape,
		      const struct attention_entry *entries, uint32_t nentries, double *median_ns);

/*
 * How much scratch memory that kernel really touches at that shape, in whole pages, by the system's
 * account (mincore); 0 when there is no such kernel, or it failed.
 */
size_t attention_touched_bytes(struct benchmark *b, const char *kernel,
			       const struct attention *shape);

/* baseline / own of two medians; NAN when either was not measured. */
double attention_speedup(double baseline_ns, double own_ns);

#endif
