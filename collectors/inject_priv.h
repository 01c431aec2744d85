/* SPDX-License-Identifier: Apache-2.0 */
/* inject_priv.h: what the files that implement inject.h share. */
#ifndef PERFTOP_INJECT_PRIV_H
#define PERFTOP_INJECT_PRIV_H

#include <stdbool.h>
#include <sys/user.h>

#include "collectors/inject.h"
#include "collectors/inject_modules.h"
#include "collectors/unwind.h"

/* Room that a borrowed thread's stack must have: dlopen takes some 10 KB, two frames 24 KB. */
#define INJECT_STACK_BYTES  (64u << 10)
#define INJECT_FRAMES_BYTES (24u << 10)

enum { INJECT_XSTATE_BYTES = 16384, INJECT_RANGES = 128, INJECT_CANDIDATES = 32 };

/* ---- what is needed of the process's C library. inject_libc.c ------------------------------- */

struct inject_range {
	uint64_t start, end;
};

struct inject_libc {
	uint64_t dlopen, dlopen_flags, memfd_create, close;
	uint64_t raise;
	uint64_t pop_rdi; /* pop %rdi; ret */
	uint64_t restore; /* mov $15, %rax; syscall: the trampoline behind signal handlers */
	int64_t errno_offset;
	bool has_errno;
	struct inject_range libc, loader,
		allocator;			 /* modules, code and data; the last may be libc */
	struct inject_range held[INJECT_RANGES]; /* functions that hold locks dlopen takes */
	uint32_t nheld;
};

int inject_libc_read(struct inject_libc *l, const struct inject_modules *m, pid_t pid, char *why,
		     size_t why_size);

/* All of inject_check(), and what it read; m is the caller's to free. inject_check.c */
int inject_check_modules(pid_t pid, const struct inject_subject *of, struct inject_modules *m,
			 struct inject_libc *l, char *why, size_t why_size);

/* ---- no waiting for a CPU. inject_hurry.c ---------------------------------------------------- */

/* struct sched_attr as the kernel had it first: SCHED_ATTR_SIZE_VER0 (linux/sched/types.h). */
struct inject_sched {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

struct inject_hurry {
	pid_t tid, guard;
	int guard_fd;
	struct inject_sched own, theirs;
	bool own_raised, theirs_raised;
};

/*
 * From begin to end thread tid and the calling one run before all that is not real-time: otherwise
 * a stop lasts some ms more for each busy program beside. Where that is not allowed (it takes
 * CAP_SYS_NICE) they wait as others do. If perftop is killed between, tid gets its own scheduling
 * back all the same.
 */
void inject_hurry_begin(struct inject_hurry *h, pid_t tid);
void inject_hurry_end(struct inject_hurry *h);

/* ---- one thread, stopped. inject_thread.c --------------------------------------------------- */

struct inject_thread {
	pid_t pid, tid;
	struct user_regs_struct regs; /* where it stood */
	long nr; /* of the call it was in, though the kernel calls it restart_syscall; or < 0 */
	uint64_t mask; /* its blocked signals */
	uint8_t xstate[INJECT_XSTATE_BYTES];
	size_t xstate_bytes;
	uint64_t begin_ns, stop_ns; /* of the latest stop */
	uint64_t below;		    /* its stack is in use from here up */
	int signal;		    /* that it raises to be stopped */
	bool stop_again;	    /* SIGSTOP came meanwhile */
	struct inject_hurry hurry;
	int32_t saved_errno;
	uint64_t errno_addr; /* 0: not known */
};

/*
 * Attach, stop, read the registers. 0; -EAGAIN something else happened, it runs on. t->hurry has
 * begun; release and what ends with it end it.
 */
int inject_thread_stop(struct inject_thread *t, pid_t pid, pid_t tid);
/* Let it go on as it is now. */
void inject_thread_release(struct inject_thread *t);
/* Let it go on from where it stood; timeout_ms replaces its epoll_wait's, unless it is < -1. */
void inject_thread_resume(struct inject_thread *t, int64_t timeout_ms);
/* Before the first call: the rest of its state. */
int inject_thread_save(struct inject_thread *t, const struct inject_libc *l);
/* Put everything back, and the same. */
void inject_thread_restore(struct inject_thread *t, int64_t timeout_ms);

/* ---- calls in a stopped thread. inject_call.c ----------------------------------------------- */

struct inject_call {
	uint64_t function, arg0, arg1;
	const char *text; /* copied to the stack; arg0 is its address then */
	bool syscall;	  /* ends behind its first system call, whose result is wanted */
};

/*
 * Run a function in it. 0: it has returned, or -errno: -EFAULT it crashed, -ETIMEDOUT it was let go
 * on by itself, still in the function, -ESRCH it is gone. The thread's way back to where it stood
 * leads over its own stack: it needs nobody.
 */
int inject_call(struct inject_thread *t, const struct inject_libc *l, const struct inject_call *c,
		int64_t *result);

/* Wait for its next stop. 0 with *status, -ESRCH it is gone, -ETIMEDOUT. inject_thread.c */
int inject_thread_wait(struct inject_thread *t, uint64_t timeout_ns, int *status);

/* ---- choosing a thread and a moment. inject_choose.c ---------------------------------------- */

struct inject_chooser {
	pid_t pid;
	pid_t only; /* no other thread than this, unless it is 0 */
	const struct inject_libc *libc;
	struct symbols *symbols;
	struct unwinder *unwinder;
	uint8_t *slice;
	uint32_t tries;
	uint64_t probe_ns;
	char thread_call[32];
	int64_t epoll_timeout_ms; /* that the stopped thread's call began with; < 0: none to mend */
	uint64_t epoll_begin_ns;  /* when */
	char why[128];		  /* what was wrong with the last one */
};

int inject_chooser_init(struct inject_chooser *c, pid_t pid, const struct inject_libc *libc);
void inject_chooser_fini(struct inject_chooser *c);
/*
 * How well a blocked call takes being interrupted, best first. EPOLL is epoll_wait with a limit, of
 * which is to be known since when it waits.
 */
enum { INJECT_RANK_EPOLL = 4, INJECT_RANK_RUNNING, INJECT_RANK_NEVER };
int inject_call_rank(long nr, const uint64_t *arg);
/* A thread, stopped, in a safe place. 0, -EAGAIN or -ESRCH. */
int inject_choose(struct inject_chooser *c, struct inject_thread *t);
/* What is left of its epoll_wait's time, for inject_thread_restore(). */
int64_t inject_chooser_timeout(const struct inject_chooser *c);

#endif
