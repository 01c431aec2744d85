/* SPDX-License-Identifier: Apache-2.0 */
/* calibrate.h: what a probe costs on this machine, by instruction, measured on perftop itself. */
#ifndef PERFTOP_CALIBRATE_H
#define PERFTOP_CALIBRATE_H

#include <stdbool.h>
#include <stdint.h>

#include "collectors/insn_x86.h"

struct calibration {
	bool measured;	   /* false: no privilege, or another architecture */
	uint32_t emulated; /* bit per enum insn_kind that the kernel runs without a step */
	double entry_ns[INSN_KINDS]; /* trap with an empty program; 0 = not measured */
	double return_ns;	     /* what a return probe adds; 0 = not measured */
	uint64_t took_ns;
};

/* Always fills *cal; with no measurement, what every kernel emulates. 0 or -errno. */
int calibrate_run(struct calibration *cal);

/*
 * Attach a program to a function of perftop's own that begins with an instruction of `kind` and
 * does nothing else, call it, and detach. *ns gets the cost of a call, the best batch's.
 */
int calibrate_program(int prog_fd, uint32_t link_type, uint64_t cookie, enum insn_kind kind,
		      uint32_t calls, double *ns);

/* Ns of the shortest system call, here and now: the best of some is not another's doing. */
double calibrate_syscall_ns(void);

/* Estimated ns that one call pays for a probe at such an instruction. */
double calibrate_cost_ns(const struct calibration *cal, enum insn_kind kind, bool with_return);

#endif
