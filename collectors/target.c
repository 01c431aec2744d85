/* SPDX-License-Identifier: Apache-2.0 */
/* target.c: the watched process as a thing that lives: identity, state, exec, exit. */
#include "collectors/target.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/procfs.h"

enum { CHILDREN_EVERY = 8 }; /* ticks */

/* The program that runs: inode 0 when it cannot be read. */
static void read_program(pid_t pid, uint64_t *dev, uint64_t *ino)
{
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	*dev = *ino = 0;
	if (!stat(path, &st)) {
		*dev = st.st_dev;
		*ino = st.st_ino;
	}
}

static void read_identity(struct target *t)
{
	pid_t tid = procfs_live_tid(t->pid);
	char buf[4096], exe[SNAP_TEXT];
	ssize_t n = procfs_read(tid, "cmdline", buf, sizeof(buf));

	procfs_join_args(buf, n);
	snapshot_string(t->view.cmdline, sizeof(t->view.cmdline), n > 0 ? buf : "");
	if (procfs_link(tid, "exe", exe, sizeof(exe)) < 0)
		exe[0] = '\0';
	snapshot_string(t->view.exe, sizeof(t->view.exe), exe);
	read_program(tid, &t->exe_dev, &t->exe_ino);
}

/* The process of a thread other than its first: it has files in /proc, but no process events. */
static pid_t process_of(pid_t tid)
{
	char buf[4096];

	return procfs_read(tid, "status", buf, sizeof(buf)) > 0
		       ? (pid_t)procfs_field(buf, "Tgid", (uint64_t)tid)
		       : tid;
}

/* Z is a process that has exited, or a first thread that has while others go on. */
static bool is_dead(const struct procfs_stat *st)
{
	return st->state == 'X' || (st->state == 'Z' && st->num_threads <= 1);
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
	if (is_dead(&st)) {
		snprintf(why, why_size,
			 "process %d (%s) has exited: a zombie, until its parent %d asks for its "
			 "status; watch that: perftop -p %d",
			 pid, st.comm, st.ppid, st.ppid);
		return -ESRCH;
	}
	if (process_of(pid) != pid) {
		snprintf(why, why_size,
			 "%d (%s) is a thread of process %d; watch the process: perftop -p %d", pid,
			 st.comm, process_of(pid), process_of(pid));
		return -EINVAL;
	}
	/* A kernel thread has no memory of its own. */
	if (st.state != 'Z' && !st.vsize_bytes &&
	    procfs_read(pid, "cmdline", buf, sizeof(buf)) == 0 &&
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
	target_refresh(t, false);
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

static enum target_state state_of(const struct procfs_stat *st)
{
	if (is_dead(st))
		return TARGET_EXITED;
	return st->state == 'T' || st->state == 't' ? TARGET_STOPPED : TARGET_RUNNING;
}

/* Children of the first thread, which are those of most servers; 0 where the kernel does not tell.
 */
static uint32_t count_children(pid_t pid)
{
	char buf[4096], name[48];
	uint32_t n = 0;

	snprintf(name, sizeof(name), "task/%d/children", pid);
	if (procfs_read(pid, name, buf, sizeof(buf)) <= 0)
		return 0;
	for (const char *p = buf; *p; p++)
		n += *p == ' ';
	return n;
}

static uint64_t age_ns(uint64_t starttime)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK), boot = clock_ns(CLOCK_BOOTTIME);
	uint64_t start = starttime * (1000000000u / hz);

	return boot > start ? boot - start : 0;
}

static bool has_execed(struct target *t, const struct procfs_stat *st)
{
	uint64_t dev, ino;
	bool execed = false;

	read_program(t->pid, &dev, &ino);
	if (ino && t->exe_ino)
		execed = ino != t->exe_ino || dev != t->exe_dev;
	/* The same program again has a new stack. */
	if (st->startstack && t->startstack)
		execed |= st->startstack != t->startstack;
	if (st->startstack)
		t->startstack = st->startstack;
	return execed;
}

enum target_change target_refresh(struct target *t, bool execed)
{
	enum target_state old = t->state;
	struct procfs_stat st;
	int err;

	err = has_exited(t) ? -ESRCH : procfs_stat(t->pid, &st);
	/* That perftop runs short of something says nothing about the target. */
	if (err && err != -ENOENT && err != -ESRCH)
		return TARGET_SAME;
	if (err || st.starttime != t->starttime) {
		t->state = TARGET_EXITED;
		t->view.state = t->state;
		return t->state != old ? TARGET_STATE : TARGET_SAME;
	}
	t->state = state_of(&st);
	t->view.state = t->state;
	t->view.threads = st.num_threads;
	t->view.age_ns = age_ns(t->starttime);
	if (t->looks++ % CHILDREN_EVERY == 0)
		t->view.children = count_children(t->pid);
	snapshot_string(t->view.comm, sizeof(t->view.comm), st.comm);
	if (has_execed(t, &st) || execed) {
		read_identity(t);
		return TARGET_EXECED;
	}
	return t->state != old ? TARGET_STATE : TARGET_SAME;
}
