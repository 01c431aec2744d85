/* SPDX-License-Identifier: Apache-2.0 */
/* processes.c: reading /proc for the process list. */
#include "tui/processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/clock.h"
#include "collectors/procfs.h"
#include "collectors/snapshot.h"

static void read_user(struct process *p)
{
	char path[32];
	struct passwd *pw;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", p->pid);
	if (stat(path, &st))
		return;
	/* Once a process: getpwuid may ask a server. */
	pw = getpwuid(st.st_uid);
	if (pw)
		snapshot_string(p->user, sizeof(p->user), pw->pw_name);
	else
		snprintf(p->user, sizeof(p->user), "%u", st.st_uid);
}

static const struct process *find_before(const struct processes *ps, const struct process *p)
{
	uint32_t lo = 0, hi = ps->nbefore;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (ps->before[mid].pid < p->pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < ps->nbefore && ps->before[lo].pid == p->pid &&
			       ps->before[lo].starttime == p->starttime
		       ? &ps->before[lo]
		       : NULL;
}

/* false: gone, or not for the list. */
static bool read_one(struct processes *ps, pid_t pid, struct process *p)
{
	const struct process *old;
	struct procfs_stat st;
	char cmdline[512];
	ssize_t n;

	if (procfs_stat(pid, &st) || st.state == 'Z')
		return false;
	n = procfs_read(pid, "cmdline", cmdline, sizeof(cmdline));
	if (n <= 0) /* kernel threads have none */
		return false;
	procfs_join_args(cmdline, n);
	*p = (struct process){.pid = pid,
			      .starttime = st.starttime,
			      .cpu_ticks = st.utime + st.stime,
			      .rss_bytes = st.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE),
			      .threads = st.num_threads};
	snapshot_string(p->comm, sizeof(p->comm), st.comm);
	snapshot_string(p->cmdline, sizeof(p->cmdline), cmdline);
	old = find_before(ps, p);
	if (old) {
		double s = (double)(ps->read_ns - ps->before_ns) / 1e9;

		memcpy(p->user, old->user, sizeof(p->user));
		p->cpu_pct = 100.0 * (double)(p->cpu_ticks - old->cpu_ticks) /
			     (double)sysconf(_SC_CLK_TCK) / (s > 0 ? s : 1);
	} else {
		read_user(p);
	}
	return true;
}

static int by_pid(const void *a, const void *b)
{
	return ((const struct process *)a)->pid - ((const struct process *)b)->pid;
}

int processes_read(struct processes *ps)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	if (!d)
		return -errno;
	memcpy(ps->before, ps->list, ps->n * sizeof(ps->list[0]));
	ps->nbefore = ps->n;
	ps->before_ns = ps->read_ns;
	ps->read_ns = clock_mono_ns();
	ps->n = ps->left_out = 0;
	while ((e = readdir(d))) {
		pid_t pid = (pid_t)atoi(e->d_name);

		if (!isdigit((unsigned char)e->d_name[0]) || pid == getpid())
			continue;
		if (ps->n == PROCESSES_MAX)
			ps->left_out++;
		else if (read_one(ps, pid, &ps->list[ps->n]))
			ps->n++;
	}
	closedir(d);
	qsort(ps->list, ps->n, sizeof(ps->list[0]), by_pid);
	return 0;
}
