/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_report.h: running suites, and the plain data that comes out: for the front end. */
#ifndef KERNELS_BENCHMARK_REPORT_H
#define KERNELS_BENCHMARK_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/benchmark/benchmark.h"
#include "kernels/benchmark/benchmark_stats.h"
#include "kernels/isa.h"

enum { BENCHMARK_MAX_VS = 4 }; /* baselines of one contest */

/* What this machine can do at most, measured; 0: not measured. Of one core, f32. */
struct benchmark_machine {
	char cpu[96];
	char features[128]; /* those that kernels ask for: "avx2 fma" */
	uint32_t cpus;
	enum isa isa; /* that the run uses */
	double peak_gflops[ISA_COUNT];
	double l1_gbytes_s, l2_gbytes_s, l3_gbytes_s, dram_gbytes_s; /* reading */
};

struct benchmark_vs {
	const char *name;
	double ratio; /* time of the baseline / own time */
};

struct benchmark_result {
	const char *suite, *contest, *name;
	enum isa isa; /* ISA_COUNT: none in particular */
	struct benchmark_param params[BENCHMARK_MAX_PARAMS];
	uint32_t nparams;
	struct benchmark_stats ns;		      /* of one operation */
	double *samples_ns;			      /* ns.n of them, ascending */
	double ops_per_s, gflops, gbytes_s, pct_peak; /* at the median; 0: not told */
	size_t scratch_bytes;			      /* as the case told */
	size_t peak_rss_bytes;			      /* of the process in the case's first call */
	size_t rss_growth_bytes; /* of that, above what was resident before it */
	/* How fast the machine was meanwhile, medians of a reading beside each round: a fixed loop
	 * of scalar multiply-adds, and a copy within L2. 0: not known. */
	double reference_ns, copy_ns;
	struct benchmark_vs vs[BENCHMARK_MAX_VS];
	uint32_t nvs;
};

struct benchmark_verdict {
	const char *suite;
	struct benchmark_target t; /* strings are the report's */
	enum benchmark_status status;
};

struct benchmark_failure {
	const char *suite, *what;
};

struct benchmark_report {
	struct benchmark_machine machine;
	struct benchmark_result *results;
	struct benchmark_verdict *targets;
	struct benchmark_failure *failures;
	uint32_t nresults, ntargets, nfailures;
	char **strings; /* all that the above point to */
	uint32_t nstrings;
	bool out_of_memory; /* something could not be kept */
	bool quick;	    /* shapes are smaller than their targets say */
};

struct benchmark_options {
	enum isa isa;
	bool quick;
	double contest_s; /* time for the rounds of a contest; 0: the default */
	/* Called when a contest has ended, with its rows of the report; may be NULL. */
	void (*contest_done)(const struct benchmark_report *r, uint32_t first, uint32_t n,
			     void *arg);
	void *arg;
};

struct benchmark_suite {
	const char *name, *help;
	benchmark_suite_fn *run;
};
extern const struct benchmark_suite benchmark_suites[];
extern const uint32_t benchmark_suites_count;

/* An empty report. fini frees what it holds, and is fine on a zeroed one. */
void benchmark_report_init(struct benchmark_report *r);
void benchmark_report_fini(struct benchmark_report *r);
/* The ceilings of this machine, half a second; a tenth with quick. */
void benchmark_machine_measure(struct benchmark_machine *m, const struct benchmark_options *o);
/* Runs one suite and adds what it says to the report. 0, or what went wrong, which is in it too. */
int benchmark_run_suite(const struct benchmark_suite *s, const struct benchmark_options *o,
			struct benchmark_report *r);

/* For those who fill a report: copies; NULL or -ENOMEM sets out_of_memory. The result returned is
 * zeroed and good until the next is added. */
const char *benchmark_report_string(struct benchmark_report *r, const char *text);
struct benchmark_result *benchmark_report_add_result(struct benchmark_report *r);
int benchmark_report_add_samples(struct benchmark_result *result, const double *samples_ns,
				 uint32_t n);
int benchmark_report_add_target(struct benchmark_report *r, const char *suite,
				const struct benchmark_target *t);
void benchmark_report_fail(struct benchmark_report *r, const char *suite, const char *what);
const char *benchmark_status_name(enum benchmark_status status);

#endif
