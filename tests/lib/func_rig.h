/* SPDX-License-Identifier: Apache-2.0 */
/* func_rig.h: -e probes on a process, with no session around them. */
#ifndef PERFTOP_FUNC_RIG_H
#define PERFTOP_FUNC_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/func_attach.h"
#include "collectors/func_hist.h"
#include "collectors/latency.h"
#include "collectors/probe_plan.h"

struct func_rig {
	struct symbols *syms;
	struct probe_plan *plan;
	struct bpf *bpf;
	struct func_attach *attach;
	struct func_hists hists;
	uint64_t attach_ns;	/* that placing the probes took */
	struct latency_sum sum; /* of the row read last */
	char why[256];		/* after a failure */
};

/* Resolve only; r->plan is NULL when that fails. */
void func_rig_plan(struct func_rig *r, pid_t pid, const char *const *specs, uint32_t n, bool force);
/* Resolve, load and attach. 0 or -errno. */
int func_rig_open(struct func_rig *r, pid_t pid, const char *const *specs, uint32_t n, bool force,
		  bool sessions);
void func_rig_close(struct func_rig *r);
/* Read the row of that name into r->sum. Its index, or -ENOENT. */
int func_rig_read(struct func_rig *r, const char *name);
uint64_t func_rig_quantile(const struct func_rig *r, double q);

#endif
