/* SPDX-License-Identifier: Apache-2.0 */
/* probe_plan.h: what the -e probes come to on one target: rows, places and expected cost. */
#ifndef PERFTOP_PROBE_PLAN_H
#define PERFTOP_PROBE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "collectors/calibrate.h"
#include "collectors/place.h"
#include "collectors/snapshot.h"

struct probe_plan;
struct symbols;

struct place_options {
	pid_t pid;		       /* target, for its name and its root; 0 = not known */
	struct symbols *const *beside; /* of other processes that are watched, read at once */
	uint32_t nbeside;
	bool more;	 /* others may come: a program that nobody runs yet is waited for */
	bool force;	 /* single-step where nothing cheaper gives a latency */
	bool in_process; /* no probes: calls are timed inside the process */
	const struct calibration *costs; /* NULL: calibrate now */
};

/* How a row is measured. */
enum probe_measure {
	PROBE_LATENCY, /* entry and return of a function */
	PROBE_COUNT,   /* entries or markers */
	PROBE_PAIR,    /* begin marker to end marker, per thread */
	PROBE_REFUSED, /* listed, not attached */
};

struct probe_row {
	char name[SNAP_NAME]; /* function as asked for, or PROVIDER:NAME */
	char module[48];      /* file name */
	uint32_t source;      /* enum latency_source */
	enum probe_measure how;
	struct place place;
	double cost_ns; /* expected for each call; 0 = not known */
	char note[64];
	uint32_t nsites;
	bool exits;	 /* PROBE_LATENCY by probes on the instructions that leave the function */
	bool goroutines; /* of a row with exits: calls are told apart by goroutine */
	bool gone;	 /* the files that it is in are mapped no more */
	uint32_t spec;	 /* which -e */
};

enum { PROBE_PLAN_SITES = 32768 }; /* at most */

/* One address to probe. */
struct probe_site {
	uint32_t row, file;
	uint64_t offset;	 /* in the file; in process, the function's entry */
	uint64_t ref_ctr_offset; /* USDT semaphore, 0 = none */
	bool end;		 /* of a PROBE_PAIR, or of a row with exits */
	bool go_check;		 /* see struct place */
};

/* A mapped file; perftop opens it through the mapping or the target's root. */
struct probe_file {
	char path[256];
	uint64_t start, end; /* of an executable mapping, the last one seen */
	uint64_t dev, inode;
	pid_t pid; /* of the process that maps it there; 0 = not known */
	bool mapped;
};

/*
 * Resolve specs against what the target maps now. NULL with a sentence in `why` when a spec is
 * malformed, names nothing, or names too much. syms is read during the call only. A function that
 * would be single-stepped is measured when it is named exactly, and refused when a pattern found
 * it, unless forced. A library that is not mapped yet is waited for.
 */
struct probe_plan *probe_plan_new(struct symbols *syms, const char *const *specs, uint32_t n,
				  const struct place_options *opt, char *why, size_t why_size);
void probe_plan_free(struct probe_plan *p);

/*
 * The mappings of a process changed, the first's or another's: add what the specs name in files
 * that are new, mark rows of files that it has mapped no more. Sites from the returned index on are
 * new; what did not work out is a sentence in why.
 */
uint32_t probe_plan_extend(struct probe_plan *p, struct symbols *syms, char *why, size_t why_size);

/* Specs that wait for a library; `names` gets the first few, "liba.so, libb.so". */
uint32_t probe_plan_waiting(const struct probe_plan *p, char *names, size_t size);

/*
 * Histograms to make room for: one a row, some for libraries that come later, and one for
 * calibration behind them. The same for the life of the plan.
 */
uint32_t probe_plan_slots(const struct probe_plan *p);

/* Rows 0..n: slots are their indices; refused rows come after the last slot. */
uint32_t probe_plan_rows(const struct probe_plan *p);
uint32_t probe_plan_refused(const struct probe_plan *p);
const struct probe_row *probe_plan_row(const struct probe_plan *p, uint32_t i);
const struct probe_site *probe_plan_sites(const struct probe_plan *p, uint32_t *n);
const struct probe_file *probe_plan_file(const struct probe_plan *p, uint32_t i);
uint32_t probe_plan_files(const struct probe_plan *p);
const struct calibration *probe_plan_costs(const struct probe_plan *p);

/* A table for --list-probes: expected ns, place, name, reason. 0, or -EIO. */
void probe_plan_list(const struct probe_plan *p, FILE *out);

#endif
