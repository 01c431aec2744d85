/* SPDX-License-Identifier: Apache-2.0 */
/* inject_call.c: a function call in a stopped thread that needs nobody to find its way back. */
#ifdef __x86_64__
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "collectors/inject_priv.h"

/*
 * What is written below the thread's stack, upwards from where its stack pointer is set to:
 *
 *	pop_rdi, SIGNAL, ret, raise	the function returns into these: raise(SIGNAL), which the
 *					program ignores, but which stops a traced thread
 *	restore				raise returns into sigreturn
 *	struct frame_context		what that restores: everything
 *	text, FP state
 *
 * While perftop is there, it takes over at the signal and puts the registers back itself, which
 * can do more than sigreturn: resume a sleep where it was. Once perftop is gone, the signal is
 * nothing, and sigreturn does it.
 */
struct frame {
	uint64_t chain[5];
	/* struct ucontext of the kernel, arch/x86/include/uapi/asm/ucontext.h */
	uint64_t flags, link;
	uint64_t stack_sp;
	int32_t stack_flags, pad;
	uint64_t stack_size;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
	uint64_t eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
	uint64_t mask;
	char text[256];
};

enum {
	UC_FP_XSTATE_ = 1,
	UC_SIGCONTEXT_SS_ = 2,
	UC_STRICT_RESTORE_SS_ = 4,
	/* Not a flag that there is: sigreturn leaves the alternate stack alone then. */
	STACK_FLAGS_NONE = 0x40,
	XFEATURE_TILE_DATA = 18,
	EFLAGS_DF = 0x400,
	EFLAGS_TF = 0x100,
	XSTATE_SIZES =
		464, /* of the FXSAVE area in it: where ptrace and sigreturn say what it holds */
	XSTATE_HEADER = 512, /* of the XSAVE area: struct xstate_header */
};

#define CALL_TIMEOUT_NS 3000000000ull

/*
 * Bytes of XSAVE area that sigreturn takes: no more than what the thread may use, and tiles are
 * only that once a program has asked for them.
 */
static size_t xstate_used(const struct inject_thread *t, uint64_t *features)
{
	uint64_t in_use;
	size_t bytes = XSTATE_HEADER + 64;

	memcpy(features, t->xstate + XSTATE_SIZES, sizeof(*features));
	memcpy(&in_use, t->xstate + XSTATE_HEADER, sizeof(in_use));
	if (in_use >> XFEATURE_TILE_DATA & 1)
		return t->xstate_bytes;
	*features &= ~(1ull << XFEATURE_TILE_DATA);
	for (uint32_t i = 2; i < 63; i++) {
		uint32_t size, offset, c, d;

		if (!(*features >> i & 1))
			continue;
		__cpuid_count(0xd, i, size, offset, c, d);
		if (offset + size > bytes)
			bytes = offset + size;
	}
	return bytes < t->xstate_bytes ? bytes : t->xstate_bytes;
}

/* FP state as sigreturn wants it: the XSAVE area, its size noted inside, and a mark behind it. */
static size_t build_xstate(const struct inject_thread *t, uint8_t *to)
{
	uint64_t features;
	size_t n = xstate_used(t, &features);
	struct _fpx_sw_bytes sw = {.magic1 = FP_XSTATE_MAGIC1,
				   .extended_size = (uint32_t)n + FP_XSTATE_MAGIC2_SIZE,
				   .xstate_bv = features,
				   .xstate_size = (uint32_t)n};
	uint32_t mark = FP_XSTATE_MAGIC2;

	memcpy(to, t->xstate, n);
	memcpy(to + XSTATE_SIZES, &sw, sizeof(sw));
	memcpy(to + n, &mark, sizeof(mark));
	return n + sizeof(mark);
}

/* Where it stood; a call that was interrupted is made anew. */
static void build_context(struct frame *f, const struct inject_thread *t)
{
	const struct user_regs_struct *r = &t->regs;
	int64_t result = (int64_t)r->rax;

	f->flags = UC_FP_XSTATE_ | UC_SIGCONTEXT_SS_ | UC_STRICT_RESTORE_SS_;
	f->stack_flags = STACK_FLAGS_NONE;
	f->r8 = r->r8;
	f->r9 = r->r9;
	f->r10 = r->r10;
	f->r11 = r->r11;
	f->r12 = r->r12;
	f->r13 = r->r13;
	f->r14 = r->r14;
	f->r15 = r->r15;
	f->rdi = r->rdi;
	f->rsi = r->rsi;
	f->rbp = r->rbp;
	f->rbx = r->rbx;
	f->rdx = r->rdx;
	f->rax = r->rax;
	f->rcx = r->rcx;
	f->rsp = r->rsp;
	f->rip = r->rip;
	f->eflags = r->eflags;
	f->cs = (uint16_t)r->cs;
	f->gs = (uint16_t)r->gs;
	f->fs = (uint16_t)r->fs;
	f->ss = (uint16_t)r->ss;
	f->mask = t->mask;
	/* The kernel's own codes for "make the call again", and EINTR of epoll_wait. */
	if ((int64_t)r->orig_rax >= 0 && ((result >= -516 && result <= -512) || result == -EINTR)) {
		f->rax = (uint64_t)t->nr;
		f->rip -= 2;
	}
}

/* Put the frame on the stack and aim the thread at the function: from the last line on it runs. */
static int aim(struct inject_thread *t, const struct inject_libc *l, const struct inject_call *c)
{
	uint8_t state[INJECT_XSTATE_BYTES + 64];
	struct frame f = {0};
	struct user_regs_struct r = t->regs;
	size_t n = build_xstate(t, state);
	uint64_t state_at = (t->below - n) & ~63ull;
	/* The stack pointer at a function's entry is 8 beside a multiple of 16. */
	uint64_t at = ((state_at - sizeof(f)) & ~15ull) - 8;

	build_context(&f, t);
	f.fpstate = state_at;
	f.chain[0] = l->pop_rdi;
	f.chain[1] = (uint64_t)t->signal;
	f.chain[2] = l->pop_rdi + 1;
	f.chain[3] = l->raise;
	f.chain[4] = l->restore;
	if (c->text) {
		if (strlen(c->text) >= sizeof(f.text))
			return -ENAMETOOLONG;
		strcpy(f.text, c->text);
	}
	if (inject_write(t->pid, state_at, state, n) || inject_write(t->pid, at, &f, sizeof(f)))
		return -EFAULT;
	r.rdi = c->text ? at + offsetof(struct frame, text) : c->arg0;
	r.rsi = c->arg1;
	r.rip = c->function;
	r.rsp = at;
	r.rax = 0;
	r.orig_rax = (uint64_t)-1;
	r.eflags &= ~(uint64_t)(EFLAGS_DF | EFLAGS_TF);
	return ptrace(PTRACE_SETREGS, t->tid, NULL, &r) ? -errno : 0;
}

/* It went on for too long: let it come back by itself. */
static int let_go(struct inject_thread *t)
{
	int status;

	ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
	if (inject_thread_wait(t, UINT64_MAX, &status))
		return -ESRCH;
	ptrace(PTRACE_SETSIGMASK, t->tid, sizeof(t->mask), &t->mask);
	inject_thread_release(t);
	return -ETIMEDOUT;
}

static bool is_crash(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE ||
	       sig == SIGTRAP || sig == SIGABRT || sig == SIGSYS;
}

/* Run it until it raises our signal, through stops that others cause. */
static int run(struct inject_thread *t)
{
	for (;;) {
		int status, err;

		if (ptrace(PTRACE_CONT, t->tid, NULL, NULL))
			return -ESRCH;
		err = inject_thread_wait(t, CALL_TIMEOUT_NS, &status);
		if (err == -ETIMEDOUT)
			return let_go(t);
		if (err)
			return err;
		if (status >> 16)
			continue; /* the whole process was stopped: not this thread, not yet */
		if (WSTOPSIG(status) == t->signal)
			return 0;
		if (is_crash(WSTOPSIG(status)))
			return -EFAULT;
		t->stop_again |= WSTOPSIG(status) == SIGSTOP;
	}
}

/* Run it through one system call. */
static int run_syscall(struct inject_thread *t, int64_t *result)
{
	struct user_regs_struct r;

	for (int stop = 0; stop < 2; stop++) {
		int status, err;

		if (ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL))
			return -ESRCH;
		err = inject_thread_wait(t, CALL_TIMEOUT_NS, &status);
		if (err == -ETIMEDOUT)
			return let_go(t);
		if (err)
			return err;
		if (status >> 16 || WSTOPSIG(status) != SIGTRAP)
			return -EINTR;
	}
	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &r))
		return -ESRCH;
	*result = (int64_t)r.rax;
	t->below = r.rsp - 128;
	return 0;
}

int inject_call(struct inject_thread *t, const struct inject_libc *l, const struct inject_call *c,
		int64_t *result)
{
	uint64_t all = ~(1ull << (t->signal - 1));
	struct user_regs_struct r;
	int err = aim(t, l, c);

	if (err)
		return err;
	/* After aiming: had perftop died between, sigreturn would bring the mask back. */
	if (ptrace(PTRACE_SETSIGMASK, t->tid, sizeof(all), &all))
		return -ESRCH;
	if (c->syscall)
		return run_syscall(t, result);
	err = run(t);
	/* The next call keeps clear of this one, which stays the way back until it is aimed. */
	if (!err && !ptrace(PTRACE_GETREGS, t->tid, NULL, &r))
		t->below = r.rsp - 128;
	return err;
}
#endif
