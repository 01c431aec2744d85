/* SPDX-License-Identifier: Apache-2.0 */
/* bench_tail.c: what remembering a call's beginning, in case it is slow, adds to a timed call. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <bpf/libbpf.h>

#include "collectors/bpf.h"
#include "perftop.skel.h"
#include "tests/lib/func_rig.h"
#include "tests/lib/known_process.h"

enum { ROUNDS = 9, REPEATS = 3, TARGET_NS = 150 };

static const char *const spec = "known:known_push";

/* A rig with or without the evidence of slow calls; armed, but no call is slow. */
static int rig_open(struct func_rig *r, pid_t pid, bool tails)
{
	struct bpf_request req = {.pid = pid, .sessions = bpf_has_uprobe_session()};
	struct contract_tail_slot *slots;
	char fix[256];

	func_rig_plan(r, pid, &spec, 1, false);
	if (!r->plan)
		return -ENOENT;
	req.nslots = probe_plan_slots(r->plan);
	req.tails = tails;
	r->bpf = bpf_new(&req, r->why, sizeof(r->why), fix, sizeof(fix));
	if (!r->bpf || func_hists_map(&r->hists, r->bpf, req.nslots, 0))
		return -EPERM;
	slots = tails ? bpf_map_array(r->bpf, bpf_map__fd(bpf_skeleton(r->bpf)->maps.tail_slots),
				      sizeof(*slots), req.nslots, true)
		      : NULL;
	for (uint32_t i = 0; slots && i < req.nslots; i++)
		slots[i].threshold_ns = UINT64_MAX;
	r->attach = func_attach_new(r->bpf, r->plan, pid, r->why, sizeof(r->why));
	return r->attach ? func_attach_sites(r->attach, 0, r->why, sizeof(r->why)) : -ENOTSUP;
}

/* Best of a few: ns a call. */
static int measure(struct known_process *k, bool tails, double *ns)
{
	struct func_rig r;
	int err = rig_open(&r, k->pid, tails);

	for (int i = 0; !err && i < REPEATS; i++) {
		double v;

		err = known_tell(k, "calls known_push 30000 1");
		v = known_told(k, "ns");
		if (!i || v < *ns)
			*ns = v;
	}
	if (err)
		fprintf(stderr, "bench_tail: %s\n", r.why);
	func_rig_close(&r);
	return err;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), compare);
	return v[ROUNDS / 2];
}

int main(void)
{
	double off[ROUNDS] = {0}, on[ROUNDS] = {0}, more[ROUNDS];
	struct known_process k;
	int err = known_start(&k);

	for (int i = 0; !err && i < ROUNDS; i++) {
		err = measure(&k, false, &off[i]);
		if (!err)
			err = measure(&k, true, &on[i]);
		more[i] = on[i] - off[i];
	}
	if (err) {
		fprintf(stderr, "bench_tail: needs root, eBPF and tests/targets/known\n");
		return 1;
	}
	known_end(&k);
	printf("ns a call, timed: %.1f; remembered in case it is slow: %.1f; more: %.1f (target "
	       "%d) "
	       "%s\n",
	       median(off), median(on), median(more), TARGET_NS,
	       median(more) <= TARGET_NS ? "PASS" : "MISSED");
	return 0;
}
