/* SPDX-License-Identifier: Apache-2.0 */
/* tail_words.c: what a thread waited for, in words. */
#include "collectors/tail_words.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "collectors/procfs.h"
#include "collectors/syscalls.h"

/* Calls whose first argument is the descriptor that they wait on. */
static const char *const on_fd[] = {
	"read",		"write",	   "readv",	"writev",     "pread64",
	"pwrite64",	"preadv",	   "pwritev",	"preadv2",    "pwritev2",
	"recvfrom",	"recvmsg",	   "recvmmsg",	"sendto",     "sendmsg",
	"sendmmsg",	"accept",	   "accept4",	"connect",    "fsync",
	"fdatasync",	"syncfs",	   "fallocate", "ftruncate",  "sendfile",
	"getdents64",	"sync_file_range", "flock",	"epoll_wait", "epoll_pwait",
	"epoll_pwait2", "io_uring_enter",  "ioctl",	"fcntl",      "lseek",
};

static bool takes_fd(const char *name)
{
	for (size_t i = 0; i < sizeof(on_fd) / sizeof(on_fd[0]); i++)
		if (!strcmp(on_fd[i], name))
			return true;
	return false;
}

void tail_wait_text(const struct contract_tail_wait *w, pid_t pid, char *buf, size_t size)
{
	char link[32], file[SNAP_NAME] = "", text[SNAP_NAME * 2];
	const char *name = syscall_name(w->nr);

	buf[0] = '\0';
	if (!w->ns || w->class == WAIT_RUNQ || w->class == WAIT_FUTEX)
		return;
	if (w->class == WAIT_FAULT) {
		snprintf(buf, size, "page fault");
		return;
	}
	if (!name)
		return;
	snprintf(link, sizeof(link), "fd/%d", (int)(uint32_t)w->arg);
	if (!pid || !takes_fd(name) || procfs_link(pid, link, file, sizeof(file)) < 0)
		file[0] = '\0';
	if (!strncmp(file, "anon_inode:", 11)) /* says what the call says */
		file[0] = '\0';
	snprintf(text, sizeof(text), "%s%s%s", name, file[0] ? " " : "", file);
	snapshot_string(buf, size, text);
}

static const struct snap_lock *lock_at(const struct snapshot *s, uint64_t addr)
{
	for (uint32_t i = 0; i < s->nlocks; i++)
		if (s->locks[i].addr == addr)
			return &s->locks[i];
	return NULL;
}

void tail_futex_text(const struct contract_tail_wait *w, const char *owner,
		     const struct snapshot *s, char *buf, size_t size)
{
	const struct snap_lock *l = lock_at(s, w->arg);
	bool mutex = owner[0] || (l && l->is_mutex);
	const char *kind = l && l->kind[0] ? l->kind : mutex ? "mutex" : "futex";
	char text[SNAP_NAME * 3], name[SNAP_NAME];

	if (l && l->name[0])
		snprintf(name, sizeof(name), "%s", l->name);
	else
		snprintf(name, sizeof(name), "0x%llx", (unsigned long long)w->arg);
	snprintf(text, sizeof(text), "%s %s%s%s", kind, name, owner[0] ? " held by " : "", owner);
	snapshot_string(buf, size, text);
}

void tail_waker_text(const struct contract_tail_wait *w, char *buf, size_t size)
{
	char comm[17] = "", text[48];

	buf[0] = '\0';
	if (!w->ns || w->class == WAIT_RUNQ)
		return;
	/* Whoever ran as the timer's interrupt came is a bystander. */
	if (w->class == WAIT_SLEEP || w->waker_kind == WAKER_INTERRUPT) {
		snprintf(buf, size, "%s", w->class == WAIT_SLEEP ? "timer" : "interrupt");
		return;
	}
	if (!w->waker)
		return;
	memcpy(comm, w->waker_comm, sizeof(w->waker_comm));
	snprintf(text, sizeof(text), "%s/%u", comm, w->waker);
	snapshot_string(buf, size, text);
}

void tail_thread_text(pid_t pid, uint32_t tid, char *buf, size_t size)
{
	char name[32], comm[32], text[48];

	buf[0] = '\0';
	snprintf(name, sizeof(name), "task/%u/comm", tid);
	if (!pid || !tid || procfs_read(pid, name, comm, sizeof(comm)) <= 0)
		return;
	comm[strcspn(comm, "\n")] = '\0';
	snprintf(text, sizeof(text), "%s/%u", comm, tid);
	snapshot_string(buf, size, text);
}
