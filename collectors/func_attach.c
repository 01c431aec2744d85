/* SPDX-License-Identifier: Apache-2.0 */
/* func_attach.c: links for the sites of a plan. */
#include "collectors/func_attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/latency.h"
#include "collectors/probe_plan.h"
#include "collectors/uprobe_link.h"

/* Programs of func.bpf.h, in the order in which a site's links are opened: a return must not be
 * seen before its entry could be. */
enum func_program {
	FUNC_SESSION,
	FUNC_PAIR_ENTRY,
	FUNC_PAIR_RETURN,
	FUNC_COUNT,
	FUNC_MARK_BEGIN,
	FUNC_MARK_END,
	FUNC_PROGRAMS
};
static const char *const program_names[FUNC_PROGRAMS] = {
	"func_session", "func_pair_entry", "func_pair_return",
	"func_count",	"func_mark_begin", "func_mark_end",
};

enum { FUNC_MAX_LINKS = 256, FUNC_CALIBRATE_CALLS = 8 };

struct func_link {
	int fd;
	uint32_t file;
	enum func_program program;
};

struct func_attach {
	struct bpf *b;
	const struct probe_plan *plan;
	pid_t pid;
	bool sessions;
	struct func_link links[FUNC_MAX_LINKS];
	uint32_t nlinks;
	bool dropped[CONTRACT_FUNC_SLOTS];
	/* Scratch for one link, as long as the plan has sites. */
	uint64_t *offsets, *ref_ctrs, *cookies;
};

static bool program_of_site(const struct func_attach *a, const struct probe_site *site,
			    enum func_program program)
{
	switch (probe_plan_row(a->plan, site->row)->how) {
	case PROBE_LATENCY:
		return a->sessions ? program == FUNC_SESSION
				   : program == FUNC_PAIR_ENTRY || program == FUNC_PAIR_RETURN;
	case PROBE_COUNT:
		return program == FUNC_COUNT;
	case PROBE_PAIR:
		return program == (site->end ? FUNC_MARK_END : FUNC_MARK_BEGIN);
	default:
		return false;
	}
}

struct func_attach *func_attach_new(struct bpf *b, const struct probe_plan *plan, pid_t pid,
				    char *why, size_t why_size)
{
	struct func_attach *a = calloc(1, sizeof(*a));
	uint32_t n;

	snprintf(why, why_size, "out of memory");
	if (!a)
		return NULL;
	a->b = b;
	a->plan = plan;
	a->pid = pid;
	probe_plan_sites(plan, &n);
	a->offsets = calloc(n, sizeof(uint64_t));
	a->ref_ctrs = calloc(n, sizeof(uint64_t));
	a->cookies = calloc(n, sizeof(uint64_t));
	if (!a->offsets || !a->ref_ctrs || !a->cookies) {
		func_attach_free(a);
		return NULL;
	}
	a->sessions = bpf_program_fd(b, program_names[FUNC_SESSION], why, why_size) >= 0;
	if (!a->sessions && !bpf_has_uprobe_multi()) {
		snprintf(why, why_size,
			 "this kernel cannot place many user probes at once (Linux 6.6 can)");
		func_attach_free(a);
		return NULL;
	}
	return a;
}

void func_attach_free(struct func_attach *a)
{
	if (!a)
		return;
	/* At once, not later: whoever stops wants the target left alone on return. */
	for (uint32_t i = 0; i < a->nlinks; i++)
		close(a->links[i].fd);
	free(a->offsets);
	free(a->ref_ctrs);
	free(a->cookies);
	free(a);
}

/* The mapping itself is exact, also for deleted files; the path serves who may not follow it. */
static void attach_path(const struct func_attach *a, const struct probe_file *file, char *buf,
			size_t size)
{
	struct stat st;

	snprintf(buf, size, "/proc/%d/map_files/%llx-%llx", (int)a->pid,
		 (unsigned long long)file->start, (unsigned long long)file->end);
	if (!stat(buf, &st))
		return;
	snprintf(buf, size, "/proc/%d/root%s", (int)a->pid, file->path);
	if (!stat(buf, &st))
		return;
	snprintf(buf, size, "%s", file->path);
}

static uint32_t gather_sites(struct func_attach *a, uint32_t file, enum func_program program,
			     bool *semaphores)
{
	const struct probe_site *sites;
	uint32_t nsites, n = 0;

	*semaphores = false;
	sites = probe_plan_sites(a->plan, &nsites);
	for (uint32_t i = 0; i < nsites; i++) {
		if (sites[i].file != file || a->dropped[sites[i].row] ||
		    !program_of_site(a, &sites[i], program))
			continue;
		a->offsets[n] = sites[i].offset;
		a->ref_ctrs[n] = sites[i].ref_ctr_offset;
		a->cookies[n] = sites[i].row;
		*semaphores |= sites[i].ref_ctr_offset != 0;
		n++;
	}
	return n;
}

static int open_link(struct func_attach *a, uint32_t file, enum func_program program, char *why,
		     size_t why_size)
{
	char path[512], reason[SNAP_TEXT];
	bool semaphores;
	struct uprobe_link link = {
		.path = path,
		.offsets = a->offsets,
		.cookies = a->cookies,
		.n = gather_sites(a, file, program, &semaphores),
		.pid = a->pid,
		.type = program == FUNC_SESSION ? UPROBE_LINK_SESSION : UPROBE_LINK_MULTI,
		.returns = program == FUNC_PAIR_RETURN,
	};
	int prog, fd;

	if (!link.n)
		return 0;
	if (a->nlinks == FUNC_MAX_LINKS)
		return -ENOSPC;
	if (semaphores)
		link.ref_ctr_offsets = a->ref_ctrs;
	prog = bpf_program_fd(a->b, program_names[program], reason, sizeof(reason));
	if (prog < 0) {
		snprintf(why, why_size, "%s", reason);
		return prog;
	}
	attach_path(a, probe_plan_file(a->plan, file), path, sizeof(path));
	fd = uprobe_link_open(prog, &link);
	if (fd < 0) {
		snprintf(why, why_size, "probing %.120s failed: %s",
			 probe_plan_file(a->plan, file)->path, strerror(-fd));
		return fd;
	}
	a->links[a->nlinks].fd = fd;
	a->links[a->nlinks].file = file;
	a->links[a->nlinks++].program = program;
	return 0;
}

int func_attach_all(struct func_attach *a, char *why, size_t why_size)
{
	int err = 0;

	for (uint32_t f = 0; f < probe_plan_files(a->plan) && !err; f++)
		for (int p = 0; p < FUNC_PROGRAMS && !err; p++)
			err = open_link(a, f, (enum func_program)p, why, why_size);
	return err;
}

/* Does the link hold a site of a row that is to go? */
static bool link_holds(const struct func_attach *a, uint32_t link, const bool *rows)
{
	const struct probe_site *sites;
	uint32_t n;

	sites = probe_plan_sites(a->plan, &n);
	for (uint32_t i = 0; i < n; i++)
		if (rows[sites[i].row] && sites[i].file == a->links[link].file &&
		    program_of_site(a, &sites[i], a->links[link].program))
			return true;
	return false;
}

int func_attach_drop(struct func_attach *a, const bool *rows, char *why, size_t why_size)
{
	struct func_link again[FUNC_MAX_LINKS];
	uint32_t n = 0;
	int err = 0;

	/* Closed before they are opened anew, or calls would be counted twice. */
	for (uint32_t i = a->nlinks; i-- > 0;) {
		if (!link_holds(a, i, rows))
			continue;
		close(a->links[i].fd);
		again[n++] = a->links[i];
		a->links[i] = a->links[--a->nlinks];
	}
	for (uint32_t i = 0; i < probe_plan_rows(a->plan); i++)
		a->dropped[i] |= rows[i];
	for (uint32_t i = n; i-- > 0 && !err;)
		err = open_link(a, again[i].file, again[i].program, why, why_size);
	return err;
}

void func_attach_calibrate(struct func_attach *a, const struct contract_hist *hists,
			   struct func_costs *out)
{
	uint32_t slot = probe_plan_slots(a->plan) - 1, ncpu = bpf_ncpu(a->b);
	const struct contract_hist *h = hists + (size_t)slot * ncpu;
	uint64_t total = 0, seen = 0;
	char why[SNAP_TEXT];
	uint32_t i = 0;

	memset(out, 0, sizeof(*out));
	if (!a->sessions ||
	    calibrate_program(bpf_program_fd(a->b, program_names[FUNC_SESSION], why, sizeof(why)),
			      UPROBE_LINK_SESSION, slot, INSN_PUSH, FUNC_CALIBRATE_CALLS,
			      &out->call_ns))
		return;
	for (uint32_t cpu = 0; cpu < ncpu; cpu++)
		for (i = 0; i < BUCKET_COUNT; i++)
			total += h[cpu].bins[i];
	/* The median: what is typically in it. */
	for (i = 0; i < BUCKET_COUNT && seen * 2 < total; i++)
		for (uint32_t cpu = 0; cpu < ncpu; cpu++)
			seen += h[cpu].bins[i];
	out->floor_ns = i ? (double)bucket_mid(i - 1) : 0;
	out->measured = total > 0;
}

double func_costs_call_ns(const struct func_costs *c, const struct calibration *cal,
			  enum insn_kind kind)
{
	return c->call_ns + cal->entry_ns[kind] - cal->entry_ns[INSN_PUSH];
}
