/* SPDX-License-Identifier: Apache-2.0 */
/* func_attach.h: a probe plan put onto its process, and taken off again. */
#ifndef PERFTOP_FUNC_ATTACH_H
#define PERFTOP_FUNC_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "collectors/calibrate.h"
#include "probes/contract.h"

struct bpf;
struct func_attach;
struct target_set;
struct func_hists;
struct probe_plan;

/* Measured with the loaded program on a function of perftop's own that does nothing. */
struct func_costs {
	bool measured;
	double call_ns;	 /* that a call pays, with a push under the probe */
	double floor_ns; /* of it, what the latency of that empty function reads as */
};

/* How a row is attached. */
enum func_set {
	FUNC_STEADY,   /* throughout */
	FUNC_WINDOWED, /* from func_attach_window(…, true, …) to (…, false, …) */
	FUNC_OFF,      /* no more */
	FUNC_JOINING,  /* func_attach.c's own: about to be steady */
};

/* b and plan are borrowed. NULL when the programs are missing: why says so. */
struct func_attach *func_attach_new(struct bpf *b, const struct probe_plan *plan, pid_t pid,
				    char *why, size_t why_size);
void func_attach_free(struct func_attach *a); /* takes everything off */

/* The processes watched beside pid, whose functions are the same ones; borrowed. */
void func_attach_beside(struct func_attach *a, struct target_set *others);
/* Probe those that came since the last call. 0 or -errno with the reason. */
int func_attach_newcomers(struct func_attach *a, char *why, size_t why_size);

/*
 * Place the sites of the plan from the index `from` on: 0 for all, else what was added since. One
 * link a file and kind of program. 0 or -errno with a sentence in why.
 */
int func_attach_sites(struct func_attach *a, uint32_t from, char *why, size_t why_size);

/*
 * Put the rows marked (indexed by slot) into another set. Links that hold others too get
 * successors without them, which take over call by call: the others miss none, and their calls in
 * flight may still return until func_attach_retire.
 */
int func_attach_move(struct func_attach *a, const bool *rows, enum func_set to, char *why,
		     size_t why_size);

/* Let go of links that have successors: call it a tick after a move. */
void func_attach_retire(struct func_attach *a);

/* Attach the windowed rows, or take them off. Counting begins and ends with the call's return. */
int func_attach_window(struct func_attach *a, bool open, char *why, size_t why_size);

/* Counts into the last slot. */
void func_attach_calibrate(struct func_attach *a, const struct func_hists *hists,
			   struct func_costs *out);
double func_costs_call_ns(const struct func_costs *c, const struct calibration *cal,
			  enum insn_kind kind);

#endif
