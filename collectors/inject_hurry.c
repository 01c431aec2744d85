/* SPDX-License-Identifier: Apache-2.0 */
/* inject_hurry.c: while a thread is borrowed, neither it nor perftop waits for a CPU. */
#ifdef __x86_64__
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectors/inject_priv.h"
#include "collectors/privilege.h"

enum { RESET_ON_FORK = 1 }; /* SCHED_FLAG_RESET_ON_FORK: what dlopen starts is not hurried */

static int attr_get(pid_t tid, struct inject_sched *a)
{
	return syscall(SYS_sched_getattr, tid, a, sizeof(*a), 0) ? -errno : 0;
}

static int attr_set(pid_t tid, const struct inject_sched *a)
{
	return syscall(SYS_sched_setattr, tid, a, 0) ? -errno : 0;
}

/* Real-time at the lowest priority, unless it is more than that already. */
static bool raise_thread(pid_t tid, const struct inject_sched *was)
{
	struct inject_sched first = {.size = sizeof(first),
				     .policy = SCHED_FIFO,
				     .flags = was->flags | RESET_ON_FORK,
				     .priority = 1};

	if (was->policy != SCHED_OTHER && was->policy != SCHED_BATCH && was->policy != SCHED_IDLE)
		return false;
	return !attr_set(tid, &first);
}

/* Ends with the pipe: told that all is put back, or else putting it back itself. */
static _Noreturn void guard(const struct inject_hurry *h, int pipe_fd)
{
	char told;

	if (read(pipe_fd, &told, 1) != 1)
		attr_set(h->tid, &h->theirs);
	_exit(0);
}

/*
 * A process of its own that outlives this one, should it be killed while the borrowed thread is
 * hurried. It has no exit signal, and makes system calls only: it is a copy of one thread.
 */
static int guard_start(struct inject_hurry *h)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		return -errno;
	h->guard = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
	if (!h->guard) {
		setsid();
		for (int sig = 1; sig <= SIGSYS; sig++)
			signal(sig, SIG_IGN);
		close(fd[1]);
		guard(h, fd[0]);
	}
	close(fd[0]);
	h->guard_fd = fd[1];
	if (h->guard > 0)
		return 0;
	close(fd[1]);
	return -EAGAIN;
}

static void guard_end(const struct inject_hurry *h)
{
	while (write(h->guard_fd, "", 1) < 0 && errno == EINTR)
		;
	close(h->guard_fd);
	while (waitpid(h->guard, NULL, __WALL) < 0 && errno == EINTR)
		;
}

void inject_hurry_begin(struct inject_hurry *h, pid_t tid)
{
	memset(h, 0, sizeof(*h));
	h->tid = tid;
	/* Without the capability it could be allowed to go up, but not down again. */
	if (!privilege_has(CAP_SYS_NICE) || attr_get(0, &h->own) || attr_get(tid, &h->theirs))
		return;
	h->own_raised = raise_thread(0, &h->own);
	if (guard_start(h))
		return;
	h->theirs_raised = raise_thread(tid, &h->theirs);
	if (!h->theirs_raised)
		guard_end(h);
}

void inject_hurry_end(struct inject_hurry *h)
{
	if (h->theirs_raised) {
		attr_set(h->tid, &h->theirs);
		guard_end(h);
	}
	if (h->own_raised)
		attr_set(0, &h->own);
	h->theirs_raised = h->own_raised = false;
}
#endif
