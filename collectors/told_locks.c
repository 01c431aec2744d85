/* SPDX-License-Identifier: Apache-2.0 */
/* told_locks.c: locks that are no futex, told by the stacks that wait for them. */
#include "collectors/told_locks.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collectors/lock_name.h"
#include "collectors/procfs.h"
#include "collectors/wait_stacks.h"

enum { TOLD_MAX = 8, TOLD_FDS = 1024, TOLD_TEXT = 1 << 16 };

struct told {
	struct snap_lock rows[TOLD_MAX];
	int32_t tids[TOLD_MAX]; /* that waited there last */
	uint32_t n;
	uint64_t interval_ns;
};

pid_t told_locks_holder(const char *text, pid_t pid, uint64_t *inode)
{
	pid_t holder = 0;

	/* "1: POSIX ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF", who waits behind it with "->". */
	for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		char arrow[4] = "";
		uint64_t ino;
		int who;

		if (sscanf(p, "%*d: %3s", arrow) != 1)
			continue;
		if (strcmp(arrow, "->") != 0) {
			holder = sscanf(p, "%*d: %*s %*s %*s %d", &who) == 1 ? who : 0;
			continue;
		}
		if (sscanf(p, "%*d: -> %*s %*s %*s %d %*x:%*x:%" SCNu64, &who, &ino) == 2 &&
		    who == pid) {
			*inode = ino;
			return holder > 0 ? holder : 0;
		}
	}
	return 0;
}

/* Path of the file with that inode among those that pid has open. */
static void name_file(pid_t pid, uint64_t inode, char *out, size_t size)
{
	char path[64];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	for (int i = 0; d && i < TOLD_FDS && (e = readdir(d)); i++) {
		struct stat st;
		ssize_t n;

		snprintf(path, sizeof(path), "fd/%.20s", e->d_name);
		if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, 0) ||
		    st.st_ino != inode)
			continue;
		n = procfs_link(pid, path, out, size);
		if (n > 0)
			break;
	}
	if (d)
		closedir(d);
}

static pid_t process_of(int32_t tid)
{
	char text[2048];

	if (procfs_read(tid, "status", text, sizeof(text)) <= 0)
		return tid;
	return (pid_t)procfs_field(text, "Tgid", (uint64_t)tid);
}

static void look_up_file(struct snap_lock *l, int32_t tid)
{
	char *text = malloc(TOLD_TEXT);
	pid_t pid = process_of(tid);
	uint64_t inode = 0;

	if (text && procfs_read(0, "locks", text, TOLD_TEXT) > 0)
		l->owner_tid = told_locks_holder(text, pid, &inode);
	free(text);
	if (inode)
		name_file(pid, inode, l->name, sizeof(l->name));
}

static void add(void *ctx, const struct wait_stack_lock *in)
{
	struct told *t = ctx;
	struct snap_lock *l = NULL;
	char site[SNAP_NAME];

	lock_name_site(in->site, in->via, site, sizeof(site));
	for (uint32_t i = 0; i < t->n && !l; i++)
		if (!strcmp(t->rows[i].kind, in->kind) && !strcmp(t->rows[i].site, site))
			l = &t->rows[i];
	if (!l) {
		if (t->n == TOLD_MAX)
			return;
		l = &t->rows[t->n++];
		*l = (struct snap_lock){.is_mutex = 1, .reason = in->reason};
		snapshot_string(l->kind, sizeof(l->kind), in->kind);
		snapshot_string(l->site, sizeof(l->site), site);
	}
	l->waits += in->count;
	l->wait_ns += in->ns;
	if (t->interval_ns)
		l->pct += 100.0 * (double)in->last_ns / (double)t->interval_ns;
	if (in->max_ns > l->max_ns) {
		l->max_ns = in->max_ns;
		t->tids[l - t->rows] = in->tid;
	}
}

void told_locks_fill(struct wait_stacks *w, uint64_t interval_ns, struct snapshot *s)
{
	struct told t = {.interval_ns = interval_ns};

	wait_stacks_each_lock(w, add, &t);
	for (uint32_t i = 0; i < t.n; i++) {
		/* The last are those that matter least. */
		if (s->nlocks == SNAP_LOCKS)
			s->nlocks--;
		/* Who no longer waits is not in /proc/locks. */
		if (t.rows[i].pct > 0 && !strcmp(t.rows[i].kind, "file lock"))
			look_up_file(&t.rows[i], t.tids[i]);
		s->locks[s->nlocks++] = t.rows[i];
	}
}
