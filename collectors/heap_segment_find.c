/* SPDX-License-Identifier: Apache-2.0 */
/* heap_segment_find.c: finds the memfd of a process's heap sampler under /proc. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "collectors/heap_segment_find.h"
#include "collectors/procfs.h"
#include "probes/heap.h"

#define LINK_TEXT "/memfd:" HEAP_SEGMENT_NAME " (deleted)"

/*
 * Take the file if it is memory (not on a file system whose reads may hang, nor of huge pages) and
 * the process made it: a header with our magic and another's pid is the parent's.
 */
static int try_file(const char *path, int self, struct heap_place *place)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct heap_segment_header head;
	struct statfs fs;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) || fs.f_type != TMPFS_MAGIC || fstat(fd, &st) ||
	    !S_ISREG(st.st_mode) || pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    !head.magic || (head.magic == HEAP_SEGMENT_MAGIC && head.pid != (uint32_t)self)) {
		close(fd);
		return -ENOENT;
	}
	place->fd = fd;
	place->dev = st.st_dev;
	place->ino = st.st_ino;
	snprintf(place->path, sizeof(place->path), "%s", path);
	return 0;
}

/* Links of one folder of /proc/PID that lead to a segment. */
static int find_in(int pid, const char *folder, int self, struct heap_place *place)
{
	char dir_path[48], path[96], text[sizeof(LINK_TEXT) + 1];
	int err = -ENOENT;
	struct dirent *e;
	DIR *dir;

	snprintf(dir_path, sizeof(dir_path), "/proc/%d/%s", pid, folder);
	dir = opendir(dir_path);
	if (!dir)
		return errno == EACCES || errno == EPERM ? -EACCES : -ESRCH;
	while (err && (e = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, text, sizeof(text));

		if (n != sizeof(LINK_TEXT) - 1 || memcmp(text, LINK_TEXT, (size_t)n))
			continue;
		snprintf(path, sizeof(path), "%s/%.40s", dir_path, e->d_name);
		err = try_file(path, self, place);
	}
	closedir(dir);
	return err;
}

int heap_segment_find(int pid, struct heap_place *place)
{
	int self = procfs_own_pid(pid), err;

	memset(place, 0, sizeof(*place));
	place->fd = -1;
	if (self < 0)
		return self;
	err = find_in(pid, "fd", self, place);
	if (err == -ENOENT)
		err = find_in(pid, "map_files", self, place);
	return err == -EPERM ? -EACCES : err;
}

bool heap_segment_still_there(const struct heap_place *place)
{
	struct stat st;

	return !stat(place->path, &st) && st.st_dev == place->dev && st.st_ino == place->ino;
}
