/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_programs.c: which programs of the object a session loads. */
#include "collectors/bpf_programs.h"

#include <bpf/libbpf.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/procfs.h"

const char *bpf_program_family(const char *name)
{
	static const struct {
		const char *program, *family;
	} rows[] = {
#define X(program, family, hook, help) {#program, #family},
#include "probes/probes.def"
#undef X
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].program, name))
			return rows[i].family;
	return "func";
}

bool bpf_request_translates(const struct bpf_request *req)
{
	return req->many && !procfs_in_first_pid_namespace();
}

bool bpf_program_wanted(const struct bpf_request *req, const char *name)
{
	const char *family = bpf_program_family(name);

	if (!strcmp(family, "sched"))
		return req->offcpu;
	if (!strcmp(family, "syscall"))
		return req->syscalls;
	if (!strcmp(family, "sample"))
		return req->sample;
	if (!strcmp(family, "follow"))
		return req->follow || !strcmp(name, "on_follow_exit") ||
		       (req->many && !strcmp(name, "on_follow_free"));
	if (!strcmp(family, "whois"))
		return bpf_request_translates(req);
	if (!strcmp(family, "block"))
		return req->block;
	if (!strcmp(family, "fault"))
		return req->faults;
	if (!req->nslots)
		return false;
	/* Loading it takes a while: for a single function, and the slot that calibrates. */
	if (!strcmp(name, "func_session_first"))
		return req->sessions && req->nslots == 2;
	/* func_session needs a kernel with uprobe sessions, func_pair_return stands in for it. */
	if (!strncmp(name, "func_session", 12))
		return req->sessions;
	if (!strcmp(name, "func_pair_return"))
		return !req->sessions;
	return true;
}

const char *bpf_program_stands_in_for(const char *name)
{
	if (!strcmp(name, "on_wait_exit"))
		return "on_sched_exit";
	if (!strcmp(name, "on_block_complete"))
		return "on_block_start";
	return NULL;
}

const char *bpf_program_tracepoint(const struct bpf_program *p)
{
	static const char prefix[] = "tp_btf/";
	const char *section = bpf_program__section_name(p);

	return strncmp(section, prefix, sizeof(prefix) - 1) ? NULL : section + sizeof(prefix) - 1;
}
