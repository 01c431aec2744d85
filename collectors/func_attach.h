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
struct probe_plan;

/* Measured with the loaded program on a function of perftop's own that does nothing. */
struct func_costs {
	bool measured;
	double call_ns;	 /* that a call pays, with a push under the probe */
	double floor_ns; /* of it, what the latency of that empty function reads as */
};

/* b and plan are borrowed. NULL when the programs are missing: why says so. */
struct func_attach *func_attach_new(struct bpf *b, const struct probe_plan *plan, pid_t pid,
				    char *why, size_t why_size);
void func_attach_free(struct func_attach *a); /* takes everything off */

/* Place every site. One link a file and kind of program. 0 or -errno with a sentence in why. */
int func_attach_all(struct func_attach *a, char *why, size_t why_size);

/*
 * Take off the rows marked (indexed by slot). Links that hold others too are opened again without
 * them, so calls that are in flight then never show as returned.
 */
int func_attach_drop(struct func_attach *a, const bool *rows, char *why, size_t why_size);

/* hists: the reader's view of func_hist; the last slot is used. */
void func_attach_calibrate(struct func_attach *a, const struct contract_hist *hists,
			   struct func_costs *out);
double func_costs_call_ns(const struct func_costs *c, const struct calibration *cal,
			  enum insn_kind kind);

#endif
