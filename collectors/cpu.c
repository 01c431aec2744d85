/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c: CPU samples: functions by self and total time, with stacks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/clock.h"
#include "collectors/collector.h"
#include "collectors/cpu_jit.h"
#include "collectors/procfs.h"
#include "collectors/profile.h"
#include "collectors/sample_trail.h"
#include "collectors/sampler.h"
#include "collectors/session.h"
#include "collectors/symbols.h"
#include "collectors/target_set.h"
#include "collectors/unwind.h"
#include "probes/contract.h"

enum { CPU_CUT_MAX = 4, UNNAMED_SAMPLES = 50, PATIENCE_MAX = 32 };

/* Percent of the samples in code without names, from which on it is worth a word, and below which
 * no more. */
#define UNNAMED_PCT 20
#define NAMED_PCT   10

/* Percent of the samples whose stack reaches its start: below it is worth a word, above no more. */
#define WHOLE_PCT   80
#define MENDED_PCT  90
#define SHORT_TICKS 3 /* that it lasts: the first slices may be too short */

/* Why a stack ends before its start. */
enum short_of {
	SHORT_OF_FRAMES,
	SHORT_OF_ROOM,
	SHORT_OF_BYTES,
	SHORT_OF_RULES,
	SHORT_OF_TIME,
	SHORT_KINDS,
};

struct cpu {
	struct session *se;
	struct sampler *sampler;
	struct profile *profile;
	uint64_t taken, lost; /* at the last tick */
	uint64_t lost_base;
	uint32_t cut; /* stacks that went on behind their slice */
	enum section_status status;
	char how[SNAP_TEXT];		   /* it samples */
	bool unnamed;			   /* much of the code has no names, which was said */
	uint32_t ticks, look_at, patience; /* when to look for mappings that came since */
	uint32_t short_ends[SHORT_KINDS], short_ticks;
	bool is_short; /* many stacks end too soon, which was said */
};

/* A sample's functions, leaf first; ids[self] is the one whose code ran. */
struct frames {
	uint32_t ids[2 * UNWIND_MAX_FRAMES + CONTRACT_KSTACK];
	uint32_t n, self;
};

/* The trampoline of return probes is at the beginning of this mapping, which the kernel makes. */
static void leave_probes(struct symbols *syms, struct sampler_sample *s)
{
	const struct symbols_module *m = symbols_module_at(syms, sampler_ip(s));

	if (m && !strcmp(m->path, "[uprobes]"))
		sampler_leave_trampoline(s, sampler_ip(s) - m->start);
}

static void note_short(struct cpu *c, struct symbols *syms, uint64_t pc, uint32_t n,
		       enum unwind_end end)
{
	const struct symbols_module *m = symbols_module_at(syms, pc - (n > 1));

	if (end == UNWIND_COMPLETE)
		return;
	/* Of a process that ran execve since and is gone, the mappings are of another program. */
	c->short_ends[n == UNWIND_MAX_FRAMES				 ? SHORT_OF_ROOM
		      : m && !m->image					 ? SHORT_OF_FRAMES
		      : end == UNWIND_TRUNCATED				 ? SHORT_OF_BYTES
		      : !m && target_set_many(session_target_set(c->se)) ? SHORT_OF_TIME
									 : SHORT_OF_RULES]++;
}

/*
 * A compiler maps memory for its code as it goes: what cannot be followed may lie there. Once a
 * tick, and more seldom where it was in vain.
 */
static bool has_new_code(struct cpu *c, struct symbols *syms)
{
	uint64_t generation = symbols_generation(syms);
	bool changed;

	if (c->ticks < c->look_at)
		return false;
	symbols_expect(syms);
	symbols_refresh(syms);
	changed = symbols_generation(syms) != generation;
	c->patience = changed ? 1 : 2 * c->patience;
	if (c->patience > PATIENCE_MAX)
		c->patience = PATIENCE_MAX;
	c->look_at = c->ticks + c->patience;
	return changed;
}

static void add_user_frames(struct cpu *c, const struct sampler_sample *from, struct frames *f,
			    enum unwind_end *end)
{
	struct sampler_sample s = *from, *in = &s;
	pid_t pid = session_pid_of(c->se, in->pid);
	struct symbols *syms = session_symbols_of(c->se, pid);
	struct unwinder *unwinder;
	uint64_t pcs[UNWIND_MAX_FRAMES];
	uint32_t n, room = (uint32_t)(sizeof(f->ids) / sizeof(f->ids[0]));
	bool borrowed = !syms && in->parent;

	/* A worker of io_uring's: it is the program's, and never was in user space. */
	if (!sampler_ip(in) && in->nkernel) {
		*end = UNWIND_COMPLETE;
		return;
	}
	if (borrowed) {
		pid = session_pid_of(c->se, in->parent);
		syms = session_symbols_of(c->se, pid);
	}
	unwinder = session_unwinder(c->se, pid);
	/* A child that ended before it was looked at: where it was cannot be told any more. */
	if (!syms || !unwinder) {
		c->short_ends[SHORT_OF_TIME]++;
		return;
	}
	leave_probes(syms, in);
	n = unwind_stack(unwinder, &in->regs, in->slice, in->slice_bytes, pcs, UNWIND_MAX_FRAMES,
			 end);
	if (*end == UNWIND_FAILED && has_new_code(c, syms))
		n = unwind_stack(unwinder, &in->regs, in->slice, in->slice_bytes, pcs,
				 UNWIND_MAX_FRAMES, end);
	for (uint32_t i = 0; i < n; i++) {
		/* Return addresses point behind the call; each frame still to come needs a place.
		 */
		f->n += symbols_expand(syms, pcs[i] - (i > 0), f->ids + f->n,
				       room - f->n - (n - 1 - i));
		if (!i && !in->nkernel)
			f->self = f->n - 1;
	}
	/* Its parent's mappings are not its own any more once it ran execve. */
	if (borrowed && *end == UNWIND_FAILED)
		c->short_ends[SHORT_OF_TIME]++;
	else if (n)
		note_short(c, syms, pcs[n - 1], n, *end);
	if (*end == UNWIND_TRUNCATED && n < UNWIND_MAX_FRAMES && ++c->cut == CPU_CUT_MAX)
		sampler_go_deep(c->sampler);
}

static void add_sample(void *arg, const struct sampler_sample *in)
{
	struct cpu *c = arg;
	enum unwind_end end = UNWIND_FAILED;
	struct frames f;
	struct symbol sym;

	f.n = f.self = 0;
	for (uint32_t i = 0; i < in->nkernel; i++) {
		symbols_lookup_kernel(session_symbols(c->se), in->kernel_ips[i], &sym);
		/*
		 * The clock's interrupt waits while interrupts are off, and comes where they go on:
		 * what took the time is who turned them on.
		 */
		if (!f.n && i + 1 < in->nkernel && symbols_ends_irq_off(sym.name))
			continue;
		f.ids[f.n++] = sym.id;
	}
	add_user_frames(c, in, &f, &end);
	if (!f.n)
		f.ids[f.n++] = 0; /* "[unknown]" */
	sample_trail_add(session_trail(c->se), in->time_ns, in->tid, f.ids[f.self]);
	profile_add(c->profile, in->tid, f.ids, f.n, f.self, in->in_kernel, end == UNWIND_COMPLETE);
}

static void drain(struct session *se, void *priv)
{
	struct cpu *c = priv;

	sampler_drain(c->sampler, add_sample, c);
}

static void cpu_stop(struct session *se, void *priv)
{
	struct cpu *c = priv;

	if (c->sampler && sampler_fd(c->sampler) >= 0)
		session_unwatch(se, sampler_fd(c->sampler));
	sampler_free(c->sampler);
	profile_free(c->profile);
	free(c);
}

static void add_processes(struct session *se, struct cpu *c)
{
	struct target_set *t = session_target_set(se);

	for (uint32_t i = 0; i < t->n; i++) {
		struct target_process *p = &t->v[i];

		if (p->sampled || p->gone)
			continue;
		sampler_add(c->sampler, p->pid);
		p->sampled = true;
	}
}

static void say_how(struct session *se, const struct cpu *c)
{
	session_section(se, "cpu", c->status,
			c->status == SECTION_LIVE ? NULL : session_privilege_fix(se), "%s", c->how);
}

/* Code of a JIT compiler without its names is no answer: say what brings them. */
static void say_names(struct session *se, struct cpu *c, const struct snapshot *s)
{
	double pct = cpu_jit_unnamed_pct(s);
	struct cpu_jit jit;

	if (c->status != SECTION_LIVE || s->cpu.samples < UNNAMED_SAMPLES)
		return;
	if (pct < (c->unnamed ? NAMED_PCT : UNNAMED_PCT)) {
		if (c->unnamed)
			say_how(se, c);
		c->unnamed = false;
		return;
	}
	c->unnamed = true;
	cpu_jit_explain(session_symbols(se), session_pid(se), &jit);
	session_section(se, "cpu", SECTION_DEGRADED, jit.fix,
			"%.0f %% of the samples are in code that %s made and did not name%s", pct,
			jit.whose, jit.fix[0] ? "" : ": it has to list it in /tmp/perf-PID.map");
}

/* Callers that are missing from many stacks: say so, and why. */
static void say_short(struct session *se, struct cpu *c, const struct snapshot *s)
{
	static const char *const why[] = {
		[SHORT_OF_FRAMES] = "in code made at run time, which keeps no frame pointers",
		[SHORT_OF_ROOM] = "they are deeper than 128 frames",
		[SHORT_OF_BYTES] = "they are larger than the 64 KiB that are copied of each",
		[SHORT_OF_RULES] = "in code without rules for unwinding",
		[SHORT_OF_TIME] = "their processes had ended before it was known what they ran",
	};
	struct cpu_jit jit = {.frames = ""};
	uint32_t worst = 0;

	if (c->status != SECTION_LIVE || c->unnamed || s->cpu.samples < UNNAMED_SAMPLES)
		return;
	if (s->cpu.unwound_pct >= (c->is_short ? MENDED_PCT : WHOLE_PCT)) {
		if (c->is_short)
			say_how(se, c);
		c->is_short = false;
		c->short_ticks = 0;
		return;
	}
	if (++c->short_ticks < SHORT_TICKS)
		return;
	for (uint32_t i = 1; i < SHORT_KINDS; i++)
		if (c->short_ends[i] > c->short_ends[worst])
			worst = i;
	c->is_short = true;
	if (worst == SHORT_OF_FRAMES)
		cpu_jit_explain(session_symbols(se), session_pid(se), &jit);
	session_section(se, "cpu", SECTION_DEGRADED, jit.frames,
			"%.0f %% of the stacks end before their thread's start: %s",
			100 - s->cpu.unwound_pct, why[worst]);
}

static int open_sampler(struct session *se, struct cpu *c, char *why, size_t why_size)
{
	const struct session_config *cfg = session_config(se);
	struct bpf *b = session_bpf(se);
	char first[SNAP_TEXT] = "needs eBPF";

	if (!cfg->sample_hz) {
		snprintf(why, why_size, "turned off by --hz 0");
		return -ENOENT;
	}
	if (!session_symbols(se)) {
		snprintf(why, why_size, "no permission to read /proc/%d/maps", session_pid(se));
		return -EACCES;
	}
	if (b)
		c->sampler = sampler_new_bpf(b, cfg->sample_hz, first, sizeof(first));
	if (c->sampler) {
		bool known = !procfs_is_32_bit(session_pid(se));

		c->status = known ? SECTION_LIVE : SECTION_DEGRADED;
		snprintf(c->how, sizeof(c->how), "%u Hz on every CPU, kernel and user stacks%s",
			 cfg->sample_hz,
			 known ? "" : "; of a 32-bit program no names and no callers");
		say_how(se, c);
		return 0;
	}
	c->sampler = sampler_new_perf(session_pid(se), cfg->sample_hz,
				      session_target_set(se)->follow, why, why_size);
	if (!c->sampler)
		return -EACCES;
	add_processes(se, c);
	c->status = SECTION_DEGRADED;
	snprintf(c->how, sizeof(c->how), "user space alone, by perf_event_open: %.120s%.80s", first,
		 why);
	say_how(se, c);
	return 0;
}

static int cpu_start(struct session *se, void **priv)
{
	struct cpu *c = calloc(1, sizeof(*c));
	char why[SNAP_TEXT] = "out of memory";
	int err = -ENOMEM;

	if (!c)
		return err;
	c->se = se;
	c->patience = 1;
	err = open_sampler(se, c, why, sizeof(why));
	if (!err) {
		c->profile = profile_new();
		if (!c->profile || !session_unwinder(se, session_pid(se)))
			err = -ENOMEM;
	}
	if (err) {
		session_section(se, "cpu", SECTION_ABSENT,
				err == -EACCES ? session_privilege_fix(se) : "", "%s", why);
		cpu_stop(se, c);
		return err;
	}
	if (sampler_fd(c->sampler) >= 0)
		session_watch(se, sampler_fd(c->sampler), drain, c);
	*priv = c;
	return 0;
}

static void cpu_tick(struct session *se, void *priv, struct snapshot *s)
{
	struct cpu *c = priv;
	uint64_t taken, lost;
	struct session_cost cost = {0};

	c->ticks++;
	sampler_follow_threads(c->sampler);
	/* Children that are followed came with their parents. */
	if (!session_target_set(se)->follow)
		add_processes(se, c);
	drain(se, c);
	taken = sampler_taken(c->sampler);
	lost = sampler_lost(c->sampler);
	profile_fill(c->profile, session_symbols(se), s);
	say_names(se, c, s);
	say_short(se, c, s);
	s->cpu.samples_lost = lost - c->lost_base;
	s->cpu.hz = session_config(se)->sample_hz;
	cost.events = taken - c->taken;
	cost.dropped = lost - c->lost;
	session_add_cost(se, &cost);
	c->taken = taken;
	c->lost = lost;
}

static void cpu_reset(struct session *se, void *priv)
{
	struct cpu *c = priv;

	profile_reset(c->profile);
	memset(c->short_ends, 0, sizeof(c->short_ends));
	c->lost_base = c->lost;
}

const struct collector collector_cpu = {
	.name = "cpu",
	.help = "CPU samples: functions by self and total time, with stacks",
	.start = cpu_start,
	.tick = cpu_tick,
	.reset = cpu_reset,
	.stop = cpu_stop,
};
