/* SPDX-License-Identifier: Apache-2.0 */
/* exec_name.c: the name that a process was started by, from what execve left on its stack. */
#include "collectors/exec_name.h"

#include <elf.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "collectors/name_words.h"
#include "collectors/procfs.h"

enum { AUXV_MAX = 64 };

/* Where the path given to execve lies; neither setproctitle() nor prctl() writes there. */
static uint64_t path_address(pid_t pid)
{
	ElfW(auxv_t) v[AUXV_MAX];
	ssize_t n = procfs_read(pid, "auxv", (char *)v, sizeof(v));

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(*v); i++)
		if (v[i].a_type == AT_EXECFN)
			return v[i].a_un.a_val;
	return 0;
}

/* It ends near the stack's top, so that what follows it may not be there to read. */
static bool read_path(pid_t pid, char *out, size_t size)
{
	uint64_t at = path_address(pid);
	size_t n = size - 1, page = (size_t)sysconf(_SC_PAGESIZE);

	if (!at)
		return false;
	for (size_t got = 0; got < n;) {
		size_t want = page - (size_t)((at + got) % page);
		struct iovec mine = {out + got, want < n - got ? want : n - got};
		struct iovec theirs = {(void *)(uintptr_t)(at + got), mine.iov_len};

		if (process_vm_readv(pid, &mine, 1, &theirs, 1, 0) != (ssize_t)mine.iov_len)
			return false;
		if (memchr(out + got, '\0', mine.iov_len))
			return true;
		got += mine.iov_len;
	}
	return false;
}

/* Of a script it is the script's, and its program is another file. */
static bool is_same_file(pid_t pid, const char *path)
{
	char theirs[PATH_MAX + 32], exe[32];
	struct stat a, b;

	snprintf(theirs, sizeof(theirs), "/proc/%d/%s%s", (int)pid,
		 path[0] == '/' ? "root" : "cwd/", path);
	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)pid);
	return !stat(theirs, &a) && !stat(exe, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool exec_name(pid_t pid, char *file, size_t file_size, char *name, size_t name_size)
{
	char path[PATH_MAX];
	const char *by;

	if (procfs_link(pid, "exe", file, file_size) <= 0 || !read_path(pid, path, sizeof(path)))
		return false;
	by = name_of_path(path);
	if (!by[0] || !strncmp(by, name_of_path(file), strlen(by)) || !is_same_file(pid, path))
		return false;
	snprintf(name, name_size, "%s", by);
	return true;
}
