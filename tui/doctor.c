/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.c: every kind of probe tried on this machine, with reasons and fixes. */
#include "tui/doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "collectors/bpf.h"
#include "collectors/procfs.h"
#include "collectors/session.h"
#include "tui/doctor_sampler.h"
#include "tui/doctor_trace.h"

enum {
	DOCTOR_TICKS = 3,
	DOCTOR_TICK_MAX_MS = 5000,
	DOCTOR_FILES_MIN = 1024, /* descriptors that a target of some hundred threads takes */
};

struct doctor {
	FILE *out;
	uint32_t works, partly, missing;
};

/* ---- what each part saw of the engine ------------------------------------------------------- */

static uint64_t saw_samples(const struct snapshot *s)
{
	return s->cpu.samples;
}

static uint64_t saw_threads(const struct snapshot *s)
{
	return s->nthreads;
}

static uint64_t saw_waits(const struct snapshot *s)
{
	return s->nblocked;
}

static uint64_t saw_syscalls(const struct snapshot *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->nsyscalls; i++)
		n += s->syscalls[i].count;
	return n;
}

uint64_t doctor_count(const struct snapshot *s, enum latency_source source)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->nlatency; i++)
		if (s->latency[i].source == source)
			n += s->latency[i].count;
	return n;
}

static uint64_t saw_calls(const struct snapshot *s)
{
	return doctor_count(s, LATENCY_UPROBE);
}

static uint64_t saw_counters(const struct snapshot *s)
{
	return s->ncounters;
}

static uint64_t saw_kernels(const struct snapshot *s)
{
	return s->nkernels;
}

static uint64_t saw_memory(const struct snapshot *s)
{
	return s->proc.rss_bytes;
}

/* Parts that the engine cannot but feed: where they saw nothing they do not work. */
static const struct {
	const char *section, *what;
	uint64_t (*saw)(const struct snapshot *);
} evidence[] = {
	{"proc", "bytes resident", saw_memory},
	{"threads", "threads", saw_threads},
	{"blocked", "reasons of waits", saw_waits},
	{"cpu", "samples", saw_samples},
	{"syscalls", "system calls", saw_syscalls},
	{"func", "calls of clock_nanosleep", saw_calls},
	{"counters", "metrics of the engine", saw_counters},
	{"engine", "kernels", saw_kernels},
};

/* ---- lines ---------------------------------------------------------------------------------- */

static void line(struct doctor *d, enum section_status status, const char *name, const char *text,
		 const char *fix)
{
	static const char *const words[] = {"MISSING", "PARTLY", "WORKS"};

	fprintf(d->out, "%-8s %-10s %s\n", words[status], name, text);
	if (fix && fix[0])
		fprintf(d->out, "%-8s %-10s fix: %s\n", "", "", fix);
	d->works += status == SECTION_LIVE;
	d->partly += status == SECTION_DEGRADED;
	d->missing += status == SECTION_ABSENT;
}

static void print_section(struct doctor *d, const struct snap_section *sec,
			  const struct snapshot *s)
{
	char text[2 * SNAP_TEXT];
	enum section_status status = (enum section_status)sec->status;
	size_t n = (size_t)snprintf(text, sizeof(text), "%s", sec->reason);

	for (size_t i = 0; i < sizeof(evidence) / sizeof(evidence[0]); i++) {
		uint64_t seen;

		if (strcmp(sec->name, evidence[i].section) != 0 || status == SECTION_ABSENT)
			continue;
		seen = evidence[i].saw(s);
		snprintf(text + n, sizeof(text) - n, " (seen: %" PRIu64 " %s)", seen,
			 evidence[i].what);
		if (!seen)
			status = SECTION_ABSENT;
	}
	line(d, status, sec->name, text, sec->fix);
}

static long read_setting(const char *path)
{
	char buf[64];

	if (procfs_read(0, path, buf, sizeof(buf)) < 0)
		return -1;
	return strtol(buf, NULL, 10);
}

static void print_kernel(struct doctor *d)
{
	bool btf = !access("/sys/kernel/btf/vmlinux", R_OK);
	long kptr = read_setting("sys/kernel/kptr_restrict");

	line(d, btf ? SECTION_LIVE : SECTION_ABSENT, "BTF",
	     btf ? "type information of the kernel" : "/sys/kernel/btf/vmlinux cannot be read",
	     btf ? NULL : "use a kernel built with CONFIG_DEBUG_INFO_BTF=y");
	if (geteuid() && kptr > 0)
		line(d, SECTION_DEGRADED, "kallsyms",
		     "names of kernel functions are hidden (kernel.kptr_restrict)",
		     "sudo sysctl kernel.kptr_restrict=0");
}

static void print_uprobes(struct doctor *d, const struct snapshot *s)
{
	const struct snap_section *bpf = snapshot_find_section(s, "bpf");

	if (!bpf || bpf->status == SECTION_ABSENT)
		return;
	line(d, bpf_has_uprobe_multi() ? SECTION_LIVE : SECTION_ABSENT, "uprobes",
	     bpf_has_uprobe_multi() ? bpf_has_uprobe_session()
					      ? "many at once, entry and return in one session"
					      : "many at once; entry and return are paired by "
						"stack pointer (no session before Linux 6.13)"
				    : "no uprobe_multi before Linux 6.6: functions cannot be timed",
	     bpf_has_uprobe_multi() ? NULL : "--in-process, or Linux 6.6 or later for -e");
}

/* They are placed by the same part as the probes of functions: its reasons are theirs. */
static void print_markers(struct doctor *d, const struct snapshot *s)
{
	const struct snap_section *func = snapshot_find_section(s, "func");
	uint64_t seen = doctor_count(s, LATENCY_USDT);
	char text[2 * SNAP_TEXT];

	if (func && func->status != SECTION_ABSENT)
		snprintf(text, sizeof(text), "USDT (seen: %" PRIu64 " queries of the engine)",
			 seen);
	else
		snprintf(text, sizeof(text), "USDT: %s", func ? func->reason : "not tried");
	line(d, seen ? SECTION_LIVE : SECTION_ABSENT, "markers", text, func ? func->fix : NULL);
}

static void print_trace(struct doctor *d, struct session *se)
{
	char text[2 * SNAP_TEXT] = "--heap=trace: turned off by --no-bpf", fix[SNAP_TEXT] = "";
	enum section_status status = SECTION_ABSENT;

	if (!session_config(se)->no_bpf)
		status = doctor_try_trace(text, sizeof(text), fix, sizeof(fix));
	line(d, status, "trace", text, fix);
}

static void print_limits(struct doctor *d)
{
	struct rlimit files;
	long scope = read_setting("sys/kernel/yama/ptrace_scope");

	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < DOCTOR_FILES_MIN)
		line(d, SECTION_DEGRADED, "files", "few open files are allowed (ulimit -n)",
		     "ulimit -n 4096");
	if (geteuid() && scope > 0)
		line(d, SECTION_DEGRADED, "ptrace",
		     "only children may be read (kernel.yama.ptrace_scope): stacks and counters "
		     "of other processes are missing",
		     "sudo sysctl kernel.yama.ptrace_scope=0");
	if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		line(d, SECTION_DEGRADED, "locale", "no UTF-8: graphs are drawn in ASCII",
		     "export LC_ALL=C.UTF-8");
}

static void print_library(struct doctor *d, struct session *se, const char *name,
			  int (*try)(char *, size_t))
{
	char text[SNAP_TEXT] = "";
	int err = try(text, sizeof(text));
	const char *fix = "";

	if (err == -EPERM || err == -EACCES)
		fix = session_privilege_fix(se);
	else if (err == -ENOENT)
		fix = "make install";
	line(d, err ? SECTION_ABSENT : SECTION_LIVE, name, text, fix);
}

/* ---- the run -------------------------------------------------------------------------------- */

static const struct snapshot *watch(struct session *se)
{
	struct pollfd p = {.fd = session_eventfd(se), .events = POLLIN};
	const struct snapshot *s = NULL;

	for (int i = 0; i < DOCTOR_TICKS; i++) {
		const struct snapshot *next;

		if (poll(&p, 1, DOCTOR_TICK_MAX_MS) <= 0)
			break;
		next = session_snapshot(se);
		if (next)
			s = next;
		if (s && s->finished)
			break;
	}
	return s;
}

int doctor_run(struct session *se, FILE *out)
{
	struct doctor d = {.out = out};
	const struct snapshot *s = watch(se);
	struct utsname u;

	if (!s)
		return -ETIMEDOUT;
	uname(&u);
	fprintf(out, "perftop on %s %s %s, %u CPUs, as %s: each part tried on the engine\n\n",
		u.sysname, u.release, u.machine, s->proc.ncpu, s->target.tier);
	print_kernel(&d);
	print_uprobes(&d, s);
	for (uint32_t i = 0; i < s->nsections; i++)
		print_section(&d, &s->sections[i], s);
	print_markers(&d, s);
	print_trace(&d, se);
	print_library(&d, se, "sampler", doctor_try_sampler);
	print_library(&d, se, "in-process", doctor_try_calls);
	print_limits(&d);
	fprintf(out, "\n%u work, %u in part, %u do not\n", d.works, d.partly, d.missing);
	return d.partly || d.missing ? 1 : 0;
}
