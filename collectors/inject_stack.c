/* SPDX-License-Identifier: Apache-2.0 */
/* inject_stack.c: is a stopped thread in a safe place? And since when has it been waiting? */
#ifdef __x86_64__
#include "collectors/inject_stack.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/maps.h"
#include "collectors/procfs.h"

enum { PAGE = 4096, FIRST_BYTES = 16384, HEAP_MAX_BYTES = 64 << 20 };

/* ---- the stack's bytes ---------------------------------------------------------------------- */

static void copy_to(struct inject_stack *s, const struct inject_thread *t, size_t limit)
{
	struct iovec from[INJECT_SLICE_BYTES / PAGE + 1], to;
	uint64_t at = t->regs.rsp + s->bytes;
	uint32_t n = 0;
	ssize_t r;

	to = (struct iovec){.iov_base = s->slice + s->bytes, .iov_len = limit - s->bytes};
	/* Page by page, for it ends at the first that is not there. */
	for (uint64_t end = t->regs.rsp + limit; at < end; n++) {
		uint64_t next = (at & ~(uint64_t)(PAGE - 1)) + PAGE;

		next = next < end ? next : end;
		from[n] = (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = next - at};
		at = next;
	}
	r = process_vm_readv(t->pid, &to, 1, from, n, 0);
	s->bytes += r > 0 ? (size_t)r : 0;
}

void inject_stack_copy(struct inject_stack *s, const struct inject_thread *t)
{
	s->bytes = 0;
	copy_to(s, t, FIRST_BYTES);
}

struct finding {
	struct inject_stack *s;
	uint64_t sp, tcb;
	bool found;
};

static void find_line(void *ctx, const struct maps_line *l)
{
	struct finding *f = ctx;

	if (f->sp < l->start || f->sp >= l->end)
		return;
	f->s->start = l->start;
	f->s->end = l->end;
	f->s->grows = !strcmp(l->path, "[stack]");
	/* Other threads have their control block above their stack. Coroutines' are elsewhere. */
	f->found = f->s->grows || (f->tcb >= f->sp && f->tcb < l->end);
}

int inject_stack_find(struct inject_stack *s, const struct inject_thread *t)
{
	struct finding f = {.s = s, .sp = t->regs.rsp, .tcb = t->regs.fs_base};

	return maps_read(t->pid, find_line, &f) || !f.found ? -EAGAIN : 0;
}

/* ---- its frames ----------------------------------------------------------------------------- */

static int unsafe(struct inject_chooser *c, const char *what)
{
	snprintf(c->why, sizeof(c->why), "%s", what);
	return -EAGAIN;
}

static bool in_range(const struct inject_range *r, uint64_t at)
{
	return at >= r->start && at < r->end;
}

/*
 * Locks of the C library and of the loader lie in their data, but that of each further arena of
 * malloc lies at the start of a region of 64 MB, aligned to its size (arena.c, HEAP_MAX_SIZE).
 */
static bool is_libc_lock(const struct inject_libc *l, uint64_t at)
{
	return in_range(&l->libc, at) || in_range(&l->loader, at) || in_range(&l->allocator, at) ||
	       (at & (HEAP_MAX_BYTES - 1)) < PAGE;
}

static int judge_frames(struct inject_chooser *c, const uint64_t *pcs, uint32_t n)
{
	const struct inject_libc *l = c->libc;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t pc = i ? pcs[i] - 1 : pcs[i];

		if (pc == l->restore || pcs[i] == l->restore)
			return unsafe(c, "is in a signal handler");
		if (in_range(&l->loader, pc))
			return unsafe(c, "is in the loader");
		if (l->allocator.start != l->libc.start && in_range(&l->allocator, pc))
			return unsafe(c, "is in the allocator");
		for (uint32_t k = 0; k < l->nheld; k++)
			if (in_range(&l->held[k], pc))
				return unsafe(c,
					      "is in a part of the C library that may hold a lock");
	}
	return 0;
}

/* A restartable sequence that is left in the middle has to be begun anew, which nobody would see
 * to. */
static bool in_rseq(const struct inject_thread *t)
{
	struct {
		uint64_t at;
		uint32_t size, signature, flags, pad;
	} conf;
	uint64_t cs = 0;

	if (ptrace(0x420f /* PTRACE_GET_RSEQ_CONFIGURATION */, t->tid, sizeof(conf), &conf) !=
		    sizeof(conf) ||
	    !conf.at)
		return false;
	return inject_read(t->pid, conf.at + 8, &cs, sizeof(cs)) || cs;
}

static int judge_place(struct inject_chooser *c, const struct inject_thread *t, bool stopped)
{
	const struct user_regs_struct *r = &t->regs;
	const uint64_t arg[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
	long nr = t->nr;
	uint8_t code[2];

	if (nr < 0) {
		if (in_range(&c->libc->libc, r->rip))
			return unsafe(c, "is in the C library");
		if (stopped && in_rseq(t))
			return unsafe(c, "is in a restartable sequence");
		return 0;
	}
	if (inject_read(t->pid, r->rip - 2, code, 2) || code[0] != 0x0f || code[1] != 0x05)
		return unsafe(c, "entered the kernel by an old way");
	if (nr == SYS_futex && is_libc_lock(c->libc, arg[0]))
		return unsafe(c, "waits for a lock of the C library");
	if (inject_call_rank(nr, arg) == INJECT_RANK_NEVER)
		return unsafe(c, "is in a system call that is not resumed for sure");
	return 0;
}

static struct unwind_regs unwind_regs_of(const struct user_regs_struct *u)
{
	return (struct unwind_regs){{u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi, u->rbp, u->rsp,
				     u->r8, u->r9, u->r10, u->r11, u->r12, u->r13, u->r14, u->r15,
				     u->rip}};
}

int inject_stack_judge(struct inject_chooser *c, struct inject_stack *s,
		       const struct inject_thread *t, bool stopped)
{
	uint64_t pcs[UNWIND_MAX_FRAMES], room = s->grows ? INJECT_FRAMES_BYTES : INJECT_STACK_BYTES;
	struct unwind_regs regs = unwind_regs_of(&t->regs);
	enum unwind_end end;
	uint32_t n;
	int err = judge_place(c, t, stopped);

	if (err)
		return err;
	if (t->regs.rsp < s->start || t->regs.rsp >= s->end || t->regs.rsp - s->start < room)
		return unsafe(c, "has too little stack left, or runs on one that is not its own");
	n = unwind_stack(c->unwinder, &regs, s->slice, s->bytes, pcs, UNWIND_MAX_FRAMES, &end);
	if (end == UNWIND_TRUNCATED && s->bytes == FIRST_BYTES) {
		copy_to(s, t, INJECT_SLICE_BYTES);
		n = unwind_stack(c->unwinder, &regs, s->slice, s->bytes, pcs, UNWIND_MAX_FRAMES,
				 &end);
	}
	if (end != UNWIND_COMPLETE)
		return unsafe(c, end == UNWIND_TRUNCATED
					 ? "has a stack too deep to be looked through"
					 : "has a stack that cannot be read");
	return judge_frames(c, pcs, n);
}

/* ---- since when ----------------------------------------------------------------------------- */

/* "se.exec_start : 5283042.123456" (ms) and "nr_switches : 17" of /proc/PID/task/TID/sched. */
static int sched_read(pid_t pid, pid_t tid, uint64_t *start_ns, uint64_t *switches)
{
	char name[32], text[2048];
	const char *a, *b;
	uint64_t ms, ns;
	char *dot;

	snprintf(name, sizeof(name), "task/%d/sched", tid);
	if (procfs_read(pid, name, text, sizeof(text)) <= 0)
		return -ENOENT;
	a = strstr(text, "se.exec_start");
	b = strstr(text, "nr_switches");
	a = a ? strchr(a, ':') : NULL;
	b = b ? strchr(b, ':') : NULL;
	if (!a || !b)
		return -ENOENT;
	ms = strtoull(a + 1, &dot, 10);
	if (*dot != '.')
		return -ENOENT;
	ns = strtoull(dot + 1, NULL, 10);
	*start_ns = ms * 1000000 + ns;
	*switches = strtoull(b + 1, NULL, 10);
	return 0;
}

/* The CPU that a thread ran on last: field 39 of its stat. */
static int last_cpu(pid_t pid, pid_t tid)
{
	char name[32], text[1024];
	const char *at;

	snprintf(name, sizeof(name), "task/%d/stat", tid);
	if (procfs_read(pid, name, text, sizeof(text)) <= 0)
		return -1;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 39; field++)
		at = strchr(at + 1, ' ');
	return at ? atoi(at + 1) : -1;
}

int inject_block_read(struct inject_block *b, pid_t pid, pid_t tid)
{
	uint64_t then, now, again, switches, ignored, mono;
	int cpu = last_cpu(pid, tid), err;
	cpu_set_t before, one;

	if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(before), &before))
		return -EAGAIN;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return -EAGAIN;
	/* What wakes up is charged from that moment on, so its own account tells the clock. */
	nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	mono = clock_mono_ns();
	err = sched_read(getpid(), (pid_t)syscall(SYS_gettid), &now, &ignored);
	if (!err)
		err = sched_read(pid, tid, &then, &b->switches);
	if (!err)
		err = sched_read(pid, tid, &again, &switches);
	sched_setaffinity(0, sizeof(before), &before);
	if (err || then != again || b->switches != switches || now < then)
		return -EAGAIN;
	b->begin_ns = mono - (now - then);
	return 0;
}

bool inject_block_same(const struct inject_block *b, pid_t pid, pid_t tid)
{
	uint64_t ignored, switches;

	/* Once: to be stopped. */
	return !sched_read(pid, tid, &ignored, &switches) && switches == b->switches + 1;
}
#endif
