/* SPDX-License-Identifier: Apache-2.0 */
/* inject_thread.c: stopping one thread of a process, and letting it go on. */
#ifdef __x86_64__
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/inject_priv.h"
#include "collectors/procfs.h"

/* Stops take some 10 us, calls 200: look for them at once, then often, then now and then. */
#define SPIN_NS 15000u
#define LONG_NS 5000000u

/* Results that the kernel leaves in rax for its own signal code (include/linux/errno.h). */
enum { ERESTARTNOHAND_ = 514 };

static bool is_own_child(pid_t pid)
{
	struct procfs_stat st;

	return !procfs_stat(pid, &st) && st.ppid == getpid();
}

/*
 * The end of our own child is left for whoever launched it; that of another's process has to be
 * taken, or its parent would never see it.
 */
static void take_end(const struct inject_thread *t)
{
	siginfo_t info;

	if (t->tid != t->pid || !is_own_child(t->pid))
		waitid(P_PID, (id_t)t->tid, &info, WEXITED | WNOHANG | __WALL);
}

int inject_thread_wait(struct inject_thread *t, uint64_t timeout_ns, int *status)
{
	uint64_t begin = clock_mono_ns();

	prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
	for (;;) {
		siginfo_t info = {.si_pid = 0};
		uint64_t now;

		if (waitid(P_PID, (id_t)t->tid, &info,
			   WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) &&
		    errno != EINTR)
			return -ESRCH;
		if (info.si_pid) {
			if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) {
				take_end(t);
				return -ESRCH;
			}
			if (waitpid(t->tid, status, __WALL | WNOHANG) == t->tid &&
			    WIFSTOPPED(*status))
				return 0;
			continue;
		}
		now = clock_mono_ns() - begin;
		if (now > timeout_ns)
			return -ETIMEDOUT;
		/* Asleep, so that the thread that is waited for has this CPU if there is no other.
		 */
		if (now > SPIN_NS)
			nanosleep(&(struct timespec){.tv_nsec = now < LONG_NS ? 5000 : 200000},
				  NULL);
	}
}

static int stop(struct inject_thread *t, pid_t tid)
{
	int status = 0, err = 0;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return -errno;
	/* Without a limit: a thread that was left here would stop later and stay so. */
	err = inject_thread_wait(t, UINT64_MAX, &status);
	if (err)
		return err;
	if (status >> 16 != PTRACE_EVENT_STOP || WSTOPSIG(status) != SIGTRAP) {
		/* A signal of its own, to be delivered, or a stop of the whole process. */
		int sig = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);

		ptrace(PTRACE_DETACH, tid, NULL, (void *)(intptr_t)sig);
		return -EAGAIN;
	}
	if (ptrace(PTRACE_GETREGS, tid, NULL, &t->regs)) {
		err = -errno;
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
		return err;
	}
	return 0;
}

int inject_thread_stop(struct inject_thread *t, pid_t pid, pid_t tid)
{
	memset(t, 0, offsetof(struct inject_thread, xstate));
	t->pid = pid;
	t->tid = tid;
	t->xstate_bytes = 0;
	t->stop_again = false;
	t->begin_ns = clock_mono_ns();
	return stop(t, tid);
}

void inject_thread_release(struct inject_thread *t)
{
	ptrace(PTRACE_DETACH, t->tid, NULL, NULL);
	t->stop_ns = clock_mono_ns() - t->begin_ns;
	inject_hurry_end(&t->hurry);
}

int inject_thread_save(struct inject_thread *t, const struct inject_libc *l)
{
	struct iovec state = {.iov_base = t->xstate, .iov_len = sizeof(t->xstate)};

	if (ptrace(PTRACE_GETSIGMASK, t->tid, sizeof(t->mask), &t->mask) ||
	    ptrace(PTRACE_GETREGSET, t->tid, NT_X86_XSTATE, &state))
		return -errno;
	t->xstate_bytes = state.iov_len;
	if (t->xstate_bytes == sizeof(t->xstate))
		return -E2BIG;
	t->errno_addr = 0;
	if (l->has_errno) {
		uint64_t at = t->regs.fs_base + (uint64_t)l->errno_offset;

		if (!inject_read(t->pid, at, &t->saved_errno, sizeof(t->saved_errno)))
			t->errno_addr = at;
	}
	t->below = t->regs.rsp - 128; /* the red zone */
	return 0;
}

/*
 * The registers are as the interrupted call had left them, so that the kernel's own signal code
 * resumes it: at once, with a timer that ran on, or not at all when a handler is to run first.
 */
void inject_thread_resume(struct inject_thread *t, int64_t timeout_ms)
{
	struct user_regs_struct r = t->regs;

	/* epoll_wait gives up with EINTR where others are begun anew. */
	if ((int64_t)r.orig_rax >= 0 && (int64_t)r.rax == -EINTR) {
		r.rax = (uint64_t)-ERESTARTNOHAND_;
		if (timeout_ms >= -1)
			r.r10 = (uint64_t)timeout_ms;
	}
	ptrace(PTRACE_SETREGS, t->tid, NULL, &r);
	inject_thread_release(t);
}

/* The registers go back last: until then the thread has its own way back. */
void inject_thread_restore(struct inject_thread *t, int64_t timeout_ms)
{
	struct iovec state = {.iov_base = t->xstate, .iov_len = t->xstate_bytes};

	if (t->errno_addr)
		inject_write(t->pid, t->errno_addr, &t->saved_errno, sizeof(t->saved_errno));
	ptrace(PTRACE_SETSIGMASK, t->tid, sizeof(t->mask), &t->mask);
	ptrace(PTRACE_SETREGSET, t->tid, NT_X86_XSTATE, &state);
	inject_thread_resume(t, timeout_ms);
	if (t->stop_again)
		kill(t->pid, SIGSTOP);
}
#endif
