/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c: page faults: every one counted, and the stacks they come from. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/collector.h"
#include "collectors/sampler.h"
#include "collectors/session.h"
#include "collectors/symbols.h"
#include "collectors/target_set.h"
#include "collectors/unwind.h"
#include "perftop.skel.h"
#include "probes/contract.h"

enum {
	ENTRIES = 1024, /* stacks told apart; one that came seldom gives way */
	PROBES = 16,
	MEAN_SAMPLES = 20, /* CPU samples in the fault handler that a mean rests on */
};

/* A stack, and the faults that its samples stand for. */
struct entry {
	uint64_t hash;
	uint64_t count, before; /* since attach or reset; at the last tick */
	uint32_t kind, n;
	uint32_t ids[SNAP_FRAMES]; /* of functions, leaf first */
};

struct faults {
	struct session *se;
	struct perftop_bpf *skel;
	const struct contract_faults *counts; /* one a CPU */
	struct ring_buffer *ring;
	struct bpf_link **links; /* of the major faults, one a CPU */
	uint32_t nlinks, ncpu;
	bool majors; /* are seen */
	struct contract_faults base, now;
	uint64_t count_before; /* at the last tick */
	uint64_t stacks, complete, lost, lost_base;
	struct entry entries[ENTRIES];
	struct entry *order[ENTRIES]; /* scratch */
};

/* ---- stacks --------------------------------------------------------------------------------- */

static uint64_t hash_of(uint32_t kind, const uint32_t *ids, uint32_t n)
{
	uint64_t h = kind + 1;

	for (uint32_t i = 0; i < n; i++) {
		h = (h ^ ids[i]) * 0x9E3779B97F4A7C15ull;
		h ^= h >> 29;
	}
	return h;
}

static struct entry *entry_of(struct faults *f, uint32_t kind, const uint32_t *ids, uint32_t n)
{
	uint64_t hash = hash_of(kind, ids, n);
	struct entry *least = NULL;

	for (uint32_t i = 0; i < PROBES; i++) {
		struct entry *e = &f->entries[(hash + i) % ENTRIES];

		if (e->n && e->hash == hash)
			return e;
		if (!least || e->count < least->count)
			least = e;
		if (!e->n)
			break;
	}
	*least = (struct entry){.hash = hash, .kind = kind, .n = n};
	memcpy(least->ids, ids, n * sizeof(*ids));
	return least;
}

static int on_stack(void *ctx, void *data, size_t size)
{
	struct faults *f = ctx;
	const struct contract_sample *in = data;
	uint64_t pcs[SNAP_FRAMES];
	uint32_t ids[SNAP_FRAMES], n = 0;
	enum unwind_end end = UNWIND_FAILED;
	struct unwind_regs regs;
	struct unwinder *unwinder;
	struct symbols *syms;
	struct symbol sym;
	pid_t pid;

	if (size < sizeof(*in) || in->slice > size - sizeof(*in))
		return 0;
	pid = session_pid_of(f->se, in->pid);
	syms = session_symbols_of(f->se, pid);
	if (!syms && in->parent) {
		pid = session_pid_of(f->se, in->parent);
		syms = session_symbols_of(f->se, pid);
	}
	unwinder = session_unwinder(f->se, pid);
	sampler_registers(&regs, in);
	if (syms && unwinder)
		n = unwind_stack(unwinder, &regs, in + 1, in->slice, pcs, SNAP_FRAMES, &end);
	for (uint32_t i = 0; i < n; i++) {
		symbols_lookup(syms, pcs[i] - (i > 0), &sym);
		ids[i] = sym.id;
	}
	if (!n)
		ids[n++] = 0; /* "[unknown]" */
	entry_of(f, in->in_kernel, ids, n)->count += in->time_ns;
	f->stacks++;
	f->complete += end == UNWIND_COMPLETE;
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

	return x->count > y->count ? -1 : x->count < y->count;
}

static void fill_sites(struct faults *f, struct snapshot *s)
{
	double per_s = 1e9 / (double)(session_interval_ns(f->se) | 1);
	struct symbols *syms = session_symbols(f->se);
	uint32_t n = 0;

	for (uint32_t i = 0; i < ENTRIES; i++)
		if (f->entries[i].n && f->entries[i].count)
			f->order[n++] = &f->entries[i];
	qsort(f->order, n, sizeof(struct entry *), compare_entries);
	for (uint32_t i = 0; i < n; i++) {
		struct entry *e = f->order[i];
		struct snap_fault *row = &s->faults[s->nfaults];
		uint64_t fresh = e->count - e->before;

		e->before = e->count;
		if (s->nfaults == SNAP_FAULTS) {
			s->truncated++;
			continue;
		}
		snprintf(row->kind, sizeof(row->kind), "%s",
			 e->kind == FAULT_MAJOR ? "major" : "fault");
		row->count = e->count;
		row->rate = (double)fresh * per_s;
		for (row->nframes = 0; row->nframes < e->n; row->nframes++)
			row->frames[row->nframes] = symbols_snapshot(syms, e->ids[row->nframes], s);
		s->nfaults++;
	}
}

/* ---- attaching ------------------------------------------------------------------------------ */

static int open_event(uint32_t cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_PAGE_FAULTS_MAJ,
		.sample_period = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static bool attach_majors(struct faults *f, struct bpf *b)
{
	char why[SNAP_TEXT];

	f->links = calloc(f->ncpu, sizeof(struct bpf_link *));
	if (!f->links || bpf_program_fd(b, "on_fault_major", why, sizeof(why)) < 0)
		return false;
	for (uint32_t cpu = 0; cpu < f->ncpu; cpu++) {
		int fd = open_event(cpu);

		/* A CPU that is possible but offline has no events. */
		if (fd < 0)
			continue;
		f->links[f->nlinks] =
			bpf_program__attach_perf_event(f->skel->progs.on_fault_major, fd);
		if (f->links[f->nlinks])
			f->nlinks++;
		else
			close(fd);
	}
	return f->nlinks;
}

static int attach(struct session *se, struct faults *f, char *why, size_t why_size)
{
	struct bpf *b = session_bpf(se);
	char no_kernel[SNAP_TEXT] = "";
	int err;

	if (!b) {
		snprintf(why, why_size, "needs eBPF; /proc has the counts alone");
		return -EPERM;
	}
	if (!session_symbols(se)) {
		snprintf(why, why_size, "no permission to read /proc/%d/maps", session_pid(se));
		return -EPERM;
	}
	f->se = se;
	f->skel = bpf_skeleton(b);
	f->ncpu = bpf_ncpu(b);
	f->counts = bpf_map_array(b, bpf_map__fd(f->skel->maps.fault_counts), sizeof(*f->counts),
				  f->ncpu, false);
	f->ring = ring_buffer__new(bpf_map__fd(f->skel->maps.fault_ring), on_stack, f, NULL);
	if (!f->counts || !f->ring) {
		snprintf(why, why_size, "mapping the counts failed: %s", strerror(errno));
		return -ENOMEM;
	}
	err = bpf_attach_tp(b, "on_fault_user", why, why_size);
	if (err)
		return err;
	bpf_attach_tp(b, "on_fault_kernel", no_kernel, sizeof(no_kernel));
	f->majors = attach_majors(f, b);
	session_section(se, "faults", no_kernel[0] || !f->majors ? SECTION_DEGRADED : SECTION_LIVE,
			NULL,
			"every fault counted, at most some 1,000 a second and CPU with stack%s%s%s",
			f->majors ? "" : "; those that wait for a disk are not told apart",
			no_kernel[0] ? "; not those met in the kernel: " : "", no_kernel);
	return 0;
}

static void drain(struct session *se, void *priv)
{
	struct faults *f = priv;

	ring_buffer__consume(f->ring);
}

static void faults_stop(struct session *se, void *priv)
{
	struct faults *f = priv;

	if (f->ring)
		session_unwatch(se, ring_buffer__epoll_fd(f->ring));
	for (uint32_t i = 0; i < f->nlinks; i++)
		bpf_link__destroy(f->links[i]);
	ring_buffer__free(f->ring);
	free(f->links);
	free(f);
}

static int faults_start(struct session *se, void **priv)
{
	struct faults *f = calloc(1, sizeof(*f));
	char why[SNAP_TEXT] = "out of memory";
	int err = f ? attach(se, f, why, sizeof(why)) : -ENOMEM;

	if (err) {
		session_section(se, "faults", SECTION_ABSENT,
				err == -EPERM ? session_privilege_fix(se) : "", "%s", why);
		if (f)
			faults_stop(se, f);
		return err;
	}
	session_watch(se, ring_buffer__epoll_fd(f->ring), drain, f);
	*priv = f;
	return 0;
}

/* ---- every tick ----------------------------------------------------------------------------- */

static void read_counts(struct faults *f)
{
	struct contract_faults sum = {0};

	for (uint32_t cpu = 0; cpu < f->ncpu; cpu++) {
		sum.user += __atomic_load_n(&f->counts[cpu].user, __ATOMIC_RELAXED);
		sum.kernel += __atomic_load_n(&f->counts[cpu].kernel, __ATOMIC_RELAXED);
		sum.major += __atomic_load_n(&f->counts[cpu].major, __ATOMIC_RELAXED);
	}
	f->now = sum;
}

/* By the CPU samples that lie in the handler: there is no place where a fault's end could be seen.
 */
static uint64_t mean_ns(const struct snapshot *s)
{
	for (uint32_t i = 0; i < s->nfunctions; i++) {
		const struct snap_function *fn = &s->functions[i];

		if (strcmp(fn->name, "asm_exc_page_fault") || fn->total < MEAN_SAMPLES)
			continue;
		if (s->cpu.hz > 0 && s->page_faults.count)
			return (uint64_t)((double)fn->total * 1e9 / s->cpu.hz /
					  (double)s->page_faults.count);
	}
	return 0;
}

static void faults_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct faults *f = priv;
	struct snap_page_faults *out = &s->page_faults;
	double seconds = (double)session_interval_ns(se) / 1e9;
	struct session_cost cost = {0};
	uint64_t lost = f->skel->bss->fault_stacks_lost, fresh;

	ring_buffer__consume(f->ring);
	read_counts(f);
	s->npage_faults = 1;
	out->kernel_count = f->now.kernel - f->base.kernel;
	out->count = f->now.user - f->base.user + out->kernel_count;
	out->major = f->now.major - f->base.major;
	fresh = f->now.user + f->now.kernel - f->count_before;
	f->count_before = f->now.user + f->now.kernel;
	out->rate = seconds > 0 ? (double)fresh / seconds : 0;
	out->stacks = f->stacks;
	out->lost = lost - f->lost_base;
	out->unwound_pct = f->stacks ? 100.0 * (double)f->complete / (double)f->stacks : 0;
	out->mean_ns = mean_ns(s);
	fill_sites(f, s);
	cost.events = fresh;
	cost.dropped = lost - f->lost;
	session_add_cost(se, &cost);
	f->lost = lost;
}

static void faults_reset(struct session *se, void *priv)
{
	struct faults *f = priv;

	f->base = f->now;
	f->stacks = f->complete = 0;
	f->lost_base = f->lost;
	memset(f->entries, 0, sizeof(f->entries));
}

const struct collector collector_faults = {
	.name = "faults",
	.help = "page faults: count, and where they come from",
	.start = faults_start,
	.tick = faults_tick,
	.reset = faults_reset,
	.stop = faults_stop,
};
