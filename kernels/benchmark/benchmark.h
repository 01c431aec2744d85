/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark.h: what `perftop benchmark` measures: suites, results, and the targets they are for. */
#ifndef KERNELS_BENCHMARK_H
#define KERNELS_BENCHMARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/isa.h"

/*
 * A suite is one file, suite_NAME.c, and one row of suites.def. It calls benchmark_contest() for
 * things to compare, and benchmark_target() for each published target that it speaks to. What it
 * reports is copied: strings and samples are the caller's again on return.
 */
enum {
	BENCHMARK_MAX_CASES = 16,  /* contenders of one contest */
	BENCHMARK_MAX_PARAMS = 12, /* of a contest and of a case together */
};

struct benchmark; /* one run of the command; opaque to suites */

struct benchmark_param {
	const char *name; /* the field's letter: S D H Hkv causal dtype rank n k ef recall */
	const char *text; /* when not NULL, instead of value */
	double value;
};

/* One contender. run does the work once, at inputs that arg names; it returns 0 or -errno. */
struct benchmark_case {
	const char *name; /* "attention_flash"; unique within the contest together with isa */
	enum isa isa;	  /* ISA_COUNT: none in particular, as of starting a thread */
	int (*run)(void *arg);
	void *arg;
	double ops;	      /* operations (tokens, vectors, steps …) a call does; 0 is 1 */
	double flops, bytes;  /* useful work of a call; 0: not told */
	size_t scratch_bytes; /* memory beside inputs and outputs that a call needs; real, not
				 modelled */
	const char *baseline; /* what others are compared with under this name: "textbook",
				 "standard", "peer …"; NULL: no baseline. Where several bear
				 one name, a case is held against that of its own isa */
	const struct benchmark_param *params; /* its own, beside those of the contest */
	uint32_t nparams;
	bool slow;    /* a few rounds tell enough (a textbook loop) */
	bool once;    /* each call is measured alone: calls change what they work on, take long, or
			 their slowest are of interest */
	bool threads; /* other threads work for it: the wall clock alone tells */
};

/*
 * Times are of the wall clock; but where the scheduler took the CPU away from a reading in its
 * middle, for others that were waiting for it, the reading is the thread's CPU time.
 *
 * Measures all cases in turn, round after round, so that a busy moment of the machine hits all
 * alike: 3 warm-ups, then at least 10 rounds and until the time for a contest (--time) is over;
 * with --quick 2. Short calls are repeated within a reading of the clock until a reading takes
 * 20 us; below some 50 ns the call through `run` shows too (1-2 ns), so let it do many and set ops.
 * Every result is added to the run with vs.NAME = baseline time / own time. Fills median_ns
 * (of one operation) for each case when it is not NULL. 0, or the first error of a case, which the
 * run then reports.
 */
int benchmark_contest(struct benchmark *b, const char *name, const struct benchmark_param *params,
		      uint32_t nparams, const struct benchmark_case *cases, uint32_t ncases,
		      double *median_ns);

/* Of case i of the contest before: the q-quantile (0..1) of one operation, and how much the
 * resident memory of the process rose above what it was at the case's first call (real, by the
 * kernel; pages that an earlier case left touched do not count). */
double benchmark_quantile_ns(const struct benchmark *b, uint32_t i, double q);
size_t benchmark_rss_growth_bytes(const struct benchmark *b, uint32_t i);

/* Adds a result from samples (ns of one operation each) that the suite took itself. */
int benchmark_add_samples(struct benchmark *b, const char *name,
			  const struct benchmark_param *params, uint32_t nparams,
			  const double *samples_ns, uint32_t n);

enum benchmark_status { BENCHMARK_PASS, BENCHMARK_MISSED, BENCHMARK_NA };

/* A published target: "micro-LoRA forward r=1 d=256", from which document, and what we measured. */
struct benchmark_target {
	const char *name;
	const char *seed;     /* the document and table it comes from */
	const char *target;   /* as published: "< 50 us", "2.49x-7.47x" */
	double limit;	      /* the number that decides */
	bool at_least;	      /* measured >= limit passes; else measured < limit does */
	double measured;      /* NAN: N/A, and then reason says why */
	const char *unit;     /* "us", "x", "MB", "%" */
	const char *baseline; /* what a ratio is against; NULL for an absolute figure */
	const char
		*reason; /* why it is missed, N/A, or impossible by its own arithmetic; or NULL */
};
int benchmark_target(struct benchmark *b, const struct benchmark_target *t);

/* Targets that nothing here can measure, each with the reason. 0 or -errno. */
struct benchmark_absent {
	const char *name, *seed, *target, *unit, *reason;
};
int benchmark_targets_absent(struct benchmark *b, const struct benchmark_absent *rows, uint32_t n);

/* The common case: an absolute time below a limit, told in the unit that suits the limit. */
struct benchmark_limit {
	const char *name, *seed, *target;
	double ns;
	const char *reason;
};
int benchmark_time_target(struct benchmark *b, const struct benchmark_limit *l, double measured_ns);

/* The instruction set that the run uses, and the machine's measured ceilings (0: not measured). */
enum isa benchmark_isa(const struct benchmark *b);
double benchmark_peak_gflops(const struct benchmark *b);
double benchmark_dram_gbytes_s(const struct benchmark *b);
/* --quick was given: small shapes and few rounds, to see that everything runs (tests use it). */
bool benchmark_quick(const struct benchmark *b);

/* 64-byte aligned, zeroed memory that lives until the suite returns or releases all it has; NULL
 * only when there is none, which the run then reports. */
void *benchmark_alloc(struct benchmark *b, size_t bytes);
void benchmark_release(struct benchmark *b);
/* n floats uniform in [-1, 1], the same ones each run. */
float *benchmark_floats(struct benchmark *b, size_t n);

/* What a row of suites.def names. 0, or -errno, which the run reports. */
typedef int benchmark_suite_fn(struct benchmark *b);

#define SUITE(name_, help_, fn_) benchmark_suite_fn fn_;
#include "kernels/benchmark/suites.def"
#undef SUITE

#endif
