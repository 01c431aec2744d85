/* SPDX-License-Identifier: Apache-2.0 */
/* privilege.c: what this process may do, and the command that grants the rest. */
#include "collectors/privilege.h"

#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/procfs.h"

static uint64_t effective_capabilities(void)
{
	char buf[4096];
	const char *p;

	if (procfs_read(getpid(), "status", buf, sizeof(buf)) < 0)
		return 0;
	p = strstr(buf, "\nCapEff:");
	return p ? strtoull(p + 8, NULL, 16) : 0;
}

bool privilege_has(int capability)
{
	return effective_capabilities() >> capability & 1;
}

void privilege_read(struct privilege *p)
{
	uint64_t caps = effective_capabilities();
	char exe[192] = "perftop";

	memset(p, 0, sizeof(*p));
	p->sys_admin = caps >> CAP_SYS_ADMIN & 1;
	/* CAP_SYS_ADMIN stood for the others before they were split from it. */
	p->bpf = p->sys_admin || (caps >> CAP_BPF & 1);
	p->perfmon = p->sys_admin || (caps >> CAP_PERFMON & 1);
	p->sys_ptrace = caps >> CAP_SYS_PTRACE & 1;
	if (p->sys_admin && p->sys_ptrace)
		snprintf(p->tier, sizeof(p->tier), "root");
	else if (p->bpf && p->perfmon)
		snprintf(p->tier, sizeof(p->tier), "cap_bpf+cap_perfmon");
	else
		snprintf(p->tier, sizeof(p->tier), "user");
	if (p->bpf && p->perfmon && p->sys_ptrace)
		return;
	if (procfs_link(getpid(), "exe", exe, sizeof(exe)) < 0)
		snprintf(exe, sizeof(exe), "perftop");
	snprintf(p->fix, sizeof(p->fix), "sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace=ep %.180s",
		 exe);
}
