/* SPDX-License-Identifier: Apache-2.0 */
/* find_process.c: walks /proc for a name. */
#include "tui/find_process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/procfs.h"
#include "collectors/snapshot.h"

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool goes_by(const char *text, const char *name)
{
	return !fnmatch(name, text, 0) || !strcmp(text, name);
}

static bool exe_is(pid_t pid, const char *name)
{
	static const char deleted[] = " (deleted)";
	char exe[PATH_MAX];
	ssize_t n = procfs_link(pid, "exe", exe, sizeof(exe));
	size_t cut = sizeof(deleted) - 1;

	if (n < 0)
		return false;
	if ((size_t)n > cut && !strcmp(exe + n - cut, deleted))
		exe[(size_t)n - cut] = '\0';
	return goes_by(file_name(exe), name);
}

/* True when the process goes by that name; its command line is left in `out`. */
static bool look(pid_t pid, const char *name, struct found_process *out)
{
	struct procfs_stat st;
	char line[1024];
	ssize_t n;

	if (procfs_stat(pid, &st) || st.state == 'Z' || st.state == 'X')
		return false;
	n = procfs_read(pid, "cmdline", line, sizeof(line));
	if (n <= 0)
		return false; /* a kernel thread, or gone */
	if (!goes_by(st.comm, name) && !goes_by(file_name(line), name) && !exe_is(pid, name))
		return false;
	procfs_join_args(line, n);
	out->pid = pid;
	out->parent = st.ppid;
	snapshot_string(out->command, sizeof(out->command), line);
	return true;
}

static int compare_pid(const void *a, const void *b)
{
	const struct found_process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

int find_process(const char *name, struct found_process *out)
{
	struct found_process one;
	struct dirent *e;
	DIR *dir = opendir("/proc");
	int n = 0;

	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (!isdigit((unsigned char)e->d_name[0]) || pid == getpid() ||
		    !look(pid, name, &one))
			continue;
		if (n < FIND_PROCESS_MAX)
			out[n] = one;
		n++;
	}
	closedir(dir);
	qsort(out, (size_t)(n < FIND_PROCESS_MAX ? n : FIND_PROCESS_MAX), sizeof(*out),
	      compare_pid);
	return n;
}
