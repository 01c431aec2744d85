/* SPDX-License-Identifier: Apache-2.0 */
/* syscall_files.c: which file a system call is mostly waited in for. */
#include "collectors/syscall_files.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "collectors/name_words.h"
#include "collectors/procfs.h"
#include "collectors/syscalls.h"
#include "probes/contract.h"

static void count(struct syscall_files *f, uint32_t nr, const char *path)
{
	uint32_t least = 0;
	char file[sizeof(f->v[0].file)];

	snapshot_string(file, sizeof(file), name_of_path(path));
	for (uint32_t i = 0; i < SYSCALL_FILES; i++) {
		if (f->v[i].seen && f->v[i].nr == nr && !strcmp(f->v[i].file, file)) {
			f->v[i].seen++;
			return;
		}
		if (f->v[i].seen < f->v[least].seen)
			least = i;
	}
	/* The rarest makes room: what is seen often comes again. */
	f->v[least].nr = nr;
	f->v[least].seen = 1;
	snprintf(f->v[least].file, sizeof(f->v[least].file), "%s", file);
}

/* "18 0x5 …": the number and the first argument; "running", or -1 of no call at all. */
static void look_at(struct syscall_files *f, pid_t tid)
{
	char line[256], name[32], path[PATH_MAX];
	unsigned long long fd;
	int nr;

	if (procfs_read(tid, "syscall", line, sizeof(line)) <= 0 ||
	    sscanf(line, "%d %llx", &nr, &fd) != 2 || nr < 0 || fd > INT_MAX ||
	    syscall_fd_class((uint32_t)nr) != FD_OF_ARGUMENT)
		return;
	snprintf(name, sizeof(name), "fd/%d", (int)fd);
	/* What is no file is "socket:[…]", "pipe:[…]", "anon_inode:…". */
	if (procfs_link(tid, name, path, sizeof(path)) > 0 && path[0] == '/' &&
	    strncmp(path, "/dev/", 5) != 0)
		count(f, (uint32_t)nr, path);
}

void syscall_files_look(struct syscall_files *f, const struct snapshot *s)
{
	uint32_t n = s->nthreads < SYSCALL_FILES_THREADS ? s->nthreads : SYSCALL_FILES_THREADS;

	for (uint32_t i = 0; i < n; i++)
		look_at(f, s->threads[(f->next + i) % s->nthreads].tid);
	f->next = s->nthreads ? (f->next + n) % s->nthreads : 0;
}

void syscall_files_fill(const struct syscall_files *f, uint32_t nr, struct snap_latency *row)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < SYSCALL_FILES; i++)
		if (f->v[i].seen > most && f->v[i].nr == nr) {
			most = f->v[i].seen;
			snprintf(row->file, sizeof(row->file), "%s", f->v[i].file);
		}
}

void syscall_files_reset(struct syscall_files *f)
{
	memset(f, 0, sizeof(*f));
}
