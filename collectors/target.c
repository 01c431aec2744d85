/* SPDX-License-Identifier: Apache-2.0 */
/* target.c: the watched process as a thing that lives: identity, state, exec, exit. */
#include "collectors/target.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/procfs.h"

static void read_identity(struct target *t)
{
	char buf[4096], exe[SNAP_TEXT];
	ssize_t n = procfs_read(t->pid, "cmdline", buf, sizeof(buf));

	for (ssize_t i = 0; i + 1 < n; i++)
		if (!buf[i])
			buf[i] = ' ';
	snapshot_string(t->view.cmdline, sizeof(t->view.cmdline), n > 0 ? buf : "");
	if (procfs_link(t->pid, "exe", exe, sizeof(exe)) < 0)
		exe[0] = '\0';
	memcpy(t->exe, exe, sizeof(t->exe));
	snapshot_string(t->view.exe, sizeof(t->view.exe), exe);
}

int target_init(struct target *t, pid_t pid, char *why, size_t why_size)
{
	struct procfs_stat st;
	char buf[64];
	int err;

	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->pidfd = -1;
	if (pid == getpid()) {
		snprintf(why, why_size, "pid %d is perftop itself; name another process", pid);
		return -EINVAL;
	}
	err = procfs_stat(pid, &st);
	if (err) {
		snprintf(why, why_size, "no process %d (%s); list them with: ps -e", pid,
			 strerror(err == -ENOENT ? ESRCH : -err));
		return err == -ENOENT ? -ESRCH : err;
	}
	if (st.state == 'Z' || st.state == 'X') {
		snprintf(why, why_size, "process %d (%s) has exited and waits for its parent", pid,
			 st.comm);
		return -ESRCH;
	}
	/* A kernel thread has no memory of its own. */
	if (!st.vsize_bytes && procfs_read(pid, "cmdline", buf, sizeof(buf)) == 0 &&
	    procfs_link(pid, "exe", buf, sizeof(buf)) < 0) {
		snprintf(why, why_size,
			 "%d (%s) is a kernel thread; perftop watches user processes", pid,
			 st.comm);
		return -EINVAL;
	}
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	t->starttime = st.starttime;
	t->startstack = st.startstack;
	t->state = TARGET_RUNNING;
	t->view.pid = pid;
	read_identity(t);
	target_refresh(t);
	return 0;
}

void target_fini(struct target *t)
{
	if (t->pidfd >= 0)
		close(t->pidfd);
	t->pidfd = -1;
}

static bool has_exited(struct target *t)
{
	struct pollfd p = {.fd = t->pidfd, .events = POLLIN};

	return t->pidfd >= 0 && poll(&p, 1, 0) > 0;
}

static enum target_state state_of(char c)
{
	switch (c) {
	case 'T':
	case 't':
		return TARGET_STOPPED;
	case 'Z':
	case 'X':
		return TARGET_EXITED;
	default:
		return TARGET_RUNNING;
	}
}

static uint64_t age_ns(uint64_t starttime)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK), boot = clock_ns(CLOCK_BOOTTIME);
	uint64_t start = starttime * (1000000000u / hz);

	return boot > start ? boot - start : 0;
}

enum target_change target_refresh(struct target *t)
{
	enum target_state old = t->state;
	char exe[SNAP_TEXT] = "";
	struct procfs_stat st;
	bool execed = false;

	if (has_exited(t) || procfs_stat(t->pid, &st) || st.starttime != t->starttime) {
		t->state = TARGET_EXITED;
		t->view.state = t->state;
		return t->state != old ? TARGET_STATE : TARGET_SAME;
	}
	t->state = state_of(st.state);
	t->view.state = t->state;
	t->view.threads = st.num_threads;
	t->view.age_ns = age_ns(t->starttime);
	snapshot_string(t->view.comm, sizeof(t->view.comm), st.comm);
	if (procfs_link(t->pid, "exe", exe, sizeof(exe)) >= 0 && strcmp(exe, t->exe) &&
	    strncmp(exe, t->exe, strlen(t->exe)) != 0)
		execed = true;
	/* The same program again has a new stack. */
	if (st.startstack && t->startstack && st.startstack != t->startstack)
		execed = true;
	t->startstack = st.startstack;
	if (execed) {
		read_identity(t);
		return TARGET_EXECED;
	}
	return t->state != old ? TARGET_STATE : TARGET_SAME;
}
