/* SPDX-License-Identifier: Apache-2.0 */
/* privilege.h: what this process may do, and the command that grants the rest. */
#ifndef PERFTOP_PRIVILEGE_H
#define PERFTOP_PRIVILEGE_H

#include <stdbool.h>

#include "collectors/snapshot.h"

struct privilege {
	bool bpf, perfmon, sys_ptrace, sys_admin; /* effective capabilities */
	char tier[32];				  /* "root", "cap_bpf+cap_perfmon", "user" */
	char fix[SNAP_TEXT];			  /* "" when nothing is lacking */
};

void privilege_read(struct privilege *p);
/* Is CAP_... effective? */
bool privilege_has(int capability);

#endif
