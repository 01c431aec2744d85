/* SPDX-License-Identifier: Apache-2.0 */
/* verdict_cpu.c: what a target computes, in words. */
#include "tui/verdict_cpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "collectors/name_words.h"
#include "tui/format.h"

/* Of samples: a function is worth naming as the cause, a file as where the time is. */
#define FUNCTION_PCT 20.0
#define FILE_PCT     15.0
#define ONE_FILE_PCT 85.0
#define CALL_PCT     10.0
#define MIN_SAMPLES  30
/* Of samples: more than a lock that is taken soon would spin away. */
#define SPIN_PCT 30.0

enum { SHARES_MAX = 32 };

/* ---- system calls ---------------------------------------------------------------------------- */

/*
 * "write" of the kernel's "__x64_sys_write" or "ksys_write", or of libc's "write", whose total has
 * the way in and out of the kernel too; NULL: another function.
 */
static const char *call_of(const struct snapshot *s, const struct snap_function *f)
{
	static const char *const prefixes[] = {"__x64_sys_", "__arm64_sys_", "ksys_"};

	if (!strcmp(f->name, "asm_exc_page_fault"))
		return "page faults";
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (name_begins(f->name, prefixes[i]))
			return f->name + strlen(prefixes[i]);
	for (uint32_t i = 0; i < s->nsyscalls && name_begins(f->module, "libc."); i++)
		if (!strcmp(s->syscalls[i].name, f->name))
			return f->name;
	return NULL;
}

struct share {
	const char *name;
	double pct;
};

/* Shares by name; what does not fit is left out. */
struct shares {
	struct share v[SHARES_MAX];
	uint32_t n;
};

static struct share *share_of(struct shares *all, const char *name)
{
	for (uint32_t i = 0; i < all->n; i++)
		if (!strcmp(all->v[i].name, name))
			return &all->v[i];
	if (all->n == SHARES_MAX)
		return NULL;
	all->v[all->n] = (struct share){name, 0};
	return &all->v[all->n++];
}

/* "; 52 % WHERE in python3.11, 35 % in _json.so": the two largest of at least `least`. */
static void largest_words(const struct shares *all, double least, const char *where, char *out,
			  size_t size)
{
	const struct share *top[2] = {NULL, NULL};
	size_t n = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < all->n; i++) {
		const struct share *v = &all->v[i];

		if (!top[0] || v->pct > top[0]->pct) {
			top[1] = top[0];
			top[0] = v;
		} else if (!top[1] || v->pct > top[1]->pct) {
			top[1] = v;
		}
	}
	for (int i = 0; i < 2 && top[i] && top[i]->pct >= least && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s %.0f %% %sin %.47s", i ? "," : ";",
				      top[i]->pct, i ? "" : where, top[i]->name);
}

/* What it asks the kernel for that takes most: "; 45 % of samples in write, 12 % in read". */
static void dearest_calls(const struct snapshot *s, char *out, size_t size)
{
	struct shares calls = {.n = 0};

	for (uint32_t i = 0; i < s->nfunctions && s->cpu.samples >= MIN_SAMPLES; i++) {
		const struct snap_function *f = &s->functions[i];
		const char *call = f->total_pct >= CALL_PCT ? call_of(s, f) : NULL;
		struct share *v = call ? share_of(&calls, call) : NULL;

		/* One of them lies within the other. */
		if (v && f->total_pct > v->pct)
			v->pct = f->total_pct;
	}
	largest_words(&calls, CALL_PCT, "of samples ", out, size);
}

static const struct snap_latency *busiest_syscall(const struct snapshot *s)
{
	const struct snap_latency *top = NULL;

	for (uint32_t i = 0; i < s->nsyscalls; i++)
		if (!top || s->syscalls[i].rate > top->rate)
			top = &s->syscalls[i];
	return top;
}

/* ---- the allocator --------------------------------------------------------------------------- */

static bool is_allocator(const char *name)
{
	static const char *const names[] = {"malloc",	 "free",	  "cfree",
					    "calloc",	 "realloc",	  "memalign",
					    "sysmalloc", "aligned_alloc", "posix_memalign"};
	/* Of glibc, jemalloc, tcmalloc, mimalloc, C++, Go and Rust. */
	static const char *const prefixes[] = {"_int_malloc",
					       "_int_free",
					       "_int_realloc",
					       "__libc_malloc",
					       "__libc_calloc",
					       "__libc_realloc",
					       "__libc_free",
					       "__GI___libc_malloc",
					       "unlink_chunk",
					       "systrim",
					       "__GI___libc_free",
					       "malloc_consolidate",
					       "operator new",
					       "tc_malloc",
					       "tc_free",
					       "operator delete",
					       "tc_new",
					       "tc_delete",
					       "tcmalloc::",
					       "runtime.mallocgc",
					       "mi_malloc",
					       "mi_free",
					       "_mi_",
					       "je_",
					       "__rust_alloc",
					       "__rust_dealloc"};

	return NAME_IN(name, names) || NAME_BEGINS_IN(name, prefixes);
}

static const char *frame_name(const struct snapshot *s, const struct snap_stack *st, uint32_t i)
{
	return i < st->nframes && i < SNAP_FRAMES && st->frames[i] < s->nsymbols
		       ? s->symbols[st->frames[i]].name
		       : NULL;
}

/* That these call what a program does goes without saying. */
static bool is_start(const char *name)
{
	static const char *const names[] = {"main", "_start", "start_thread", "clone3",
					    "__libc_start_call_main"};

	return NAME_IN(name, names);
}

/* Of a language's own library: containers and iterators say less than who uses them. */
static bool is_language(const char *name)
{
	static const char *const prefixes[] = {
		"std::", "__gnu_cxx::", "core::", "alloc::", "hashbrown::", "operator "};

	name += *name == '<'; /* Rust: <alloc::vec::Vec<T>>::push */
	return NAME_BEGINS_IN(name, prefixes);
}

/* Is it part of what the callers are looked for of: a function, or NULL the allocator? */
static bool is_callee(const char *name, const char *function)
{
	return function ? !strcmp(name, function) : is_allocator(name);
}

/* Who calls it in a stack that ends in it; UINT32_MAX: it does not end there. */
static uint32_t caller_in(const struct snapshot *s, const struct snap_stack *st,
			  const char *function)
{
	const char *name = frame_name(s, st, 0);
	uint32_t i = 0;

	if (!name || !is_callee(name, function))
		return UINT32_MAX;
	while ((name = frame_name(s, st, i)) &&
	       (is_callee(name, function) || is_language(name) || name_is_made_up(name)))
		i++;
	return name ? st->frames[i] : UINT32_MAX;
}

/* ", mostly called by NAME": the function that more than half of its samples come through. */
static void mostly_by(const struct snapshot *s, const char *function, char *out, size_t size)
{
	uint64_t most = 0, all = 0;
	const char *top = NULL;

	out[0] = '\0';
	for (uint32_t i = 0; i < s->nstacks; i++) {
		uint32_t caller = caller_in(s, &s->stacks[i], function);
		uint64_t n = 0;

		for (uint32_t k = i; k < s->nstacks && caller != UINT32_MAX; k++)
			if (caller_in(s, &s->stacks[k], function) == caller)
				n += s->stacks[k].count;
		if (caller != UINT32_MAX)
			all += s->stacks[i].count;
		if (n > most) {
			most = n;
			top = s->symbols[caller].name;
		}
	}
	if (top && 2 * most > all && !is_start(top))
		snprintf(out, size, ", mostly called by %.90s", top);
}

static double allocator_pct(const struct snapshot *s, const struct snap_function **first)
{
	double pct = 0;

	*first = NULL;
	for (uint32_t i = 0; i < s->nfunctions; i++) {
		const struct snap_function *f = &s->functions[i];

		if (!is_allocator(f->name))
			continue;
		pct += f->recent_pct;
		if (!*first || f->recent_pct > (*first)->recent_pct)
			*first = f;
	}
	return pct;
}

/* ---- functions and files --------------------------------------------------------------------- */

/* ", under NAME": what of the same module has a name and runs around a function without one. */
static void named_around(const struct snapshot *s, const struct snap_function *f, char *out,
			 size_t size)
{
	const struct snap_function *top = NULL;

	out[0] = '\0';
	if (!name_is_made_up(f->name))
		return;
	for (uint32_t i = 0; i < s->nfunctions; i++) {
		const struct snap_function *g = &s->functions[i];

		if (!strcmp(g->module, f->module) && !name_is_made_up(g->name) &&
		    g->total >= f->total && (!top || g->total < top->total))
			top = g;
	}
	if (top)
		snprintf(out, size, ", under %.90s", top->name);
}

/* The two files that most samples are in: "; 52 % in python3.11, 35 % in _json.so". */
static void busiest_files(const struct snapshot *s, char *out, size_t size)
{
	struct shares files = {.n = 0};
	double most = 0;

	for (uint32_t i = 0; i < s->nfunctions; i++) {
		const struct snap_function *f = &s->functions[i];
		struct share *v = f->module[0] ? share_of(&files, f->module) : NULL;

		if (!v)
			continue;
		v->pct += f->recent_pct;
		most = v->pct > most ? v->pct : most;
	}
	out[0] = '\0';
	/* That all is in its own file goes without saying. */
	if (most < ONE_FILE_PCT)
		largest_words(&files, FILE_PCT, "", out, size);
}

/* ---- words ----------------------------------------------------------------------------------- */

static const char *in_kernel_words(const struct snapshot *s, double busy, double sys_pct, char *out,
				   size_t size)
{
	const struct snap_latency *call = busiest_syscall(s);
	char calls[160], rate[FORMAT_SIZE];

	dearest_calls(s, calls, sizeof(calls));
	if (call && call->rate > 0)
		snprintf(out, size,
			 "%.0f %% of a CPU, most of it in the kernel (%.0f %%)%s; most frequent "
			 "call %s, %s",
			 busy, sys_pct, calls, call->name, format_rate(rate, call->rate));
	else
		snprintf(out, size, "%.0f %% of a CPU, most of it in the kernel (%.0f %%)%s", busy,
			 sys_pct, calls);
	return call ? "syscalls" : "cpu";
}

static bool is_absent(const struct snapshot *s)
{
	const struct snap_section *sec = snapshot_find_section(s, "cpu");

	return !sec || sec->status == SECTION_ABSENT;
}

static void function_words(const struct snapshot *s, const struct snap_function *f, double busy,
			   char *out, size_t size)
{
	char more[192];

	if (f->recent_pct >= FUNCTION_PCT) {
		named_around(s, f, more, sizeof(more));
		if (!more[0])
			mostly_by(s, f->name, more, sizeof(more));
		snprintf(out, size, "%.0f %% of samples in %s%s%s%s%s; %.0f %% of a CPU used",
			 f->recent_pct, f->name, f->module[0] ? " (" : "", f->module,
			 f->module[0] ? ")" : "", more, busy);
		return;
	}
	busiest_files(s, more, sizeof(more));
	snprintf(out, size, "%.0f %% of a CPU, no function dominates%s; first is %s with %.0f %%",
		 busy, more, f->name, f->recent_pct);
}

const char *verdict_cpu_words(const struct snapshot *s, double user_pct, double sys_pct, char *out,
			      size_t size)
{
	const struct snap_function *f = NULL, *alloc;
	double busy = user_pct + sys_pct, pct = allocator_pct(s, &alloc);
	const struct snap_latency *call = busiest_syscall(s);
	char caller[128];

	for (uint32_t i = 0; i < s->nfunctions; i++)
		if (!f || s->functions[i].recent_pct > f->recent_pct)
			f = &s->functions[i];
	if (sys_pct > user_pct && call && call->rate > 0)
		return in_kernel_words(s, busy, sys_pct, out, size);
	if (!f || s->cpu.samples < MIN_SAMPLES) {
		snprintf(out, size, "%.0f %% of a CPU; %s", busy,
			 is_absent(s) ? "functions are not sampled, see Help"
				      : "too few samples yet to say where");
	} else if (alloc && pct >= FUNCTION_PCT && pct > f->recent_pct) {
		mostly_by(s, NULL, caller, sizeof(caller));
		snprintf(
			out, size,
			"%.0f %% of samples allocate and free memory (%s)%s; %.0f %% of a CPU used",
			pct, alloc->module, caller, busy);
	} else {
		function_words(s, f, busy, out, size);
	}
	return "cpu";
}

/* ---- spinning -------------------------------------------------------------------------------- */

struct spin {
	const char *where; /* a function, or a file */
	double pct;
};

/* Functions in which a thread does nothing but wait: all samples in them, or what they call. */
static void find_spin(const struct snapshot *s, struct spin *lock, struct spin *yield,
		      struct spin *team)
{
	static const char *const locks[] = {"pthread_spin_lock",
					    "__pthread_spin_lock",
					    "__GI___pthread_spin_lock",
					    "native_queued_spin_lock_slowpath",
					    "__pv_queued_spin_lock_slowpath",
					    "queued_spin_lock_slowpath"};
	static const char *const yields[] = {"sched_yield", "__sched_yield"};
	static const char *const teams[] = {"libgomp.so", "libomp.so", "libiomp5.so"};

	for (uint32_t i = 0; i < s->nfunctions; i++) {
		const struct snap_function *f = &s->functions[i];

		if (NAME_IN(f->name, locks) && f->recent_pct > lock->pct)
			*lock = (struct spin){f->name, f->recent_pct};
		if (NAME_IN(f->name, yields) && f->total_pct > yield->pct)
			*yield = (struct spin){f->name, f->total_pct};
		/* OpenMP's runtime itself does little else than wait. */
		if (NAME_BEGINS_IN(f->module, teams)) {
			team->where = f->module;
			team->pct += f->recent_pct;
		}
	}
}

bool verdict_cpu_spins(const struct snapshot *s, double busy, char *out, size_t size)
{
	struct spin lock = {.pct = 0}, yield = {.pct = 0}, team = {.pct = 0};
	char by[128];

	if (s->cpu.samples < MIN_SAMPLES)
		return false;
	find_spin(s, &lock, &yield, &team);
	if (lock.pct >= SPIN_PCT && lock.pct >= yield.pct && lock.pct >= team.pct) {
		mostly_by(s, lock.where, by, sizeof(by));
		snprintf(out, size,
			 "%.0f %% of samples wait for a spinlock (%s)%s, and compute while they "
			 "do; %.0f %% of a CPU used",
			 lock.pct, lock.where, by, busy);
	} else if (yield.pct >= SPIN_PCT && yield.pct >= team.pct) {
		snprintf(out, size,
			 "%.0f %% of samples are in sched_yield: a loop asks again and again for "
			 "what a lock or condition variable would wake it for; %.0f %% of a CPU "
			 "used",
			 yield.pct, busy);
	} else if (team.pct >= SPIN_PCT) {
		snprintf(out, size,
			 "%.0f %% of samples are in %s itself: threads wait for each other at "
			 "barriers, and compute while they do (OMP_WAIT_POLICY=passive: sleep); "
			 "%.0f %% of a CPU used",
			 team.pct, team.where, busy);
	} else {
		return false;
	}
	return true;
}
