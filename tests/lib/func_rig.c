/* SPDX-License-Identifier: Apache-2.0 */
/* func_rig.c: symbols, plan, programs, attach. */
#include "tests/lib/func_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collectors/bpf.h"
#include "collectors/clock.h"
#include "collectors/procfs.h"
#include "collectors/symbols.h"

void func_rig_plan(struct func_rig *r, pid_t pid, const char *const *specs, uint32_t n, bool force)
{
	struct place_options opt = {.pid = pid, .force = force};

	memset(r, 0, sizeof(*r));
	r->syms = symbols_new(pid);
	if (!r->syms || symbols_refresh(r->syms)) {
		snprintf(r->why, sizeof(r->why), "no mappings of pid %d", (int)pid);
		return;
	}
	r->plan = probe_plan_new(r->syms, specs, n, &opt, r->why, sizeof(r->why));
}

int func_rig_open(struct func_rig *r, pid_t pid, const char *const *specs, uint32_t n, bool force,
		  bool sessions)
{
	struct bpf_request req = {.pid = pid, .sessions = sessions};
	uint64_t begin;
	char fix[256];
	int err;

	func_rig_plan(r, pid, specs, n, force);
	if (!r->plan)
		return -ENOENT;
	req.nslots = probe_plan_slots(r->plan);
	req.func_copies = func_hists_copies(req.nslots, procfs_cpu_ids());
	r->bpf = bpf_new(&req, r->why, sizeof(r->why), fix, sizeof(fix));
	if (!r->bpf)
		return -EPERM;
	if (func_hists_map(&r->hists, r->bpf, req.nslots, req.func_copies))
		return -ENOMEM;
	r->attach = func_attach_new(r->bpf, r->plan, pid, r->why, sizeof(r->why));
	if (!r->attach)
		return -ENOTSUP;
	begin = clock_mono_ns();
	err = func_attach_sites(r->attach, 0, r->why, sizeof(r->why));
	r->attach_ns = clock_mono_ns() - begin;
	return err;
}

void func_rig_close(struct func_rig *r)
{
	func_attach_free(r->attach);
	bpf_free(r->bpf);
	probe_plan_free(r->plan);
	symbols_free(r->syms);
	memset(r, 0, sizeof(*r));
}

int func_rig_read(struct func_rig *r, const char *name)
{
	for (uint32_t i = 0; i < probe_plan_rows(r->plan); i++) {
		if (strcmp(probe_plan_row(r->plan, i)->name, name))
			continue;
		func_hists_sum(&r->hists, i, &r->sum);
		return (int)i;
	}
	return -ENOENT;
}

uint64_t func_rig_quantile(const struct func_rig *r, double q)
{
	struct snap_bin bins[BUCKET_COUNT];
	uint32_t n = 0;

	for (uint32_t i = 0; i < BUCKET_COUNT; i++)
		if (r->sum.bins[i])
			bins[n++] = (struct snap_bin){i, (uint32_t)r->sum.bins[i]};
	return snapshot_quantile(bins, n, r->sum.count, q);
}
