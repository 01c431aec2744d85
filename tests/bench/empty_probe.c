/* SPDX-License-Identifier: Apache-2.0 */
/* empty_probe.c: the least that timing a function costs: the clock at both ends, nothing kept. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/uprobe_link.h"
#include "tests/lib/func_rig.h"

/*
 * empty_probe PID -e's-argument: probes where perftop would, by one session link, until it is
 * killed. What its target then pays is the kernel's own, and the two clocks.
 */

static int load_program(void)
{
	const struct bpf_insn code[] = {
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K}, /* r0 = 0 */
		{.code = BPF_JMP | BPF_EXIT},
	};
	enum bpf_attach_type type = (enum bpf_attach_type)UPROBE_LINK_SESSION;
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = type,
		    .prog_flags = BPF_F_SLEEPABLE);

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "empty_probe", "GPL", code,
			     sizeof(code) / sizeof(code[0]), &opts);
}

/* In the file as its target has it mapped. */
static int attach(const struct func_rig *r, pid_t pid, int program)
{
	struct uprobe_link link = {.n = 1, .pid = pid, .type = UPROBE_LINK_SESSION};
	const struct probe_site *sites;
	uint32_t n;

	sites = probe_plan_sites(r->plan, &n);
	if (n != 1)
		return -EINVAL;
	link.path = probe_plan_file(r->plan, sites[0].file)->path;
	link.offsets = &sites[0].offset;
	return uprobe_link_open(program, &link);
}

int main(int argc, char **argv)
{
	const char *spec = argc == 3 ? argv[2] : NULL;
	struct func_rig r;
	int program, fd;
	pid_t pid;

	if (!spec) {
		fprintf(stderr, "usage: empty_probe PID FUNCTION\n");
		return 2;
	}
	pid = atoi(argv[1]);
	func_rig_plan(&r, pid, &spec, 1, true);
	if (!r.plan) {
		fprintf(stderr, "empty_probe: %s\n", r.why);
		return 1;
	}
	program = load_program();
	fd = program < 0 ? program : attach(&r, pid, program);
	func_rig_close(&r);
	if (fd < 0) {
		fprintf(stderr, "empty_probe: %s\n", strerror(-fd));
		return 1;
	}
	signal(SIGINT, SIG_DFL); /* a shell starts what is in its background without */
	pause();
	return 0;
}
