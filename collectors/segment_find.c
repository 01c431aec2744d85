/* SPDX-License-Identifier: Apache-2.0 */
/* segment_find.c: finds the memfd of a process's counters under /proc. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "collectors/segment_find.h"
#include "collectors/procfs.h"
#include "probes/perftop_segment.h"

#define LINK_TEXT "/memfd:" PERFTOP_SEGMENT_NAME " (deleted)"

ssize_t segment_peek(int pid, uint64_t address, void *buf, size_t size)
{
	/* cppcheck-suppress ctuuninitvar ; buf is what is read into */
	struct iovec local = {buf, size}, remote = {(void *)(uintptr_t)address, size};
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n;
}

/*
 * Open a link under /proc if it leads to memory: not to a file system whose reads may hang, nor to
 * huge pages, whose absence is a SIGBUS.
 */
static int open_memory(const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct statfs fs;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) || fs.f_type != TMPFS_MAGIC || fstat(fd, st) ||
	    !S_ISREG(st->st_mode) || !st->st_size) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

/*
 * A header with our magic and another's pid is the parent's; no magic yet, one in the making. A
 * header that is broken in other ways is taken: reading it will say how.
 */
static int is_own(const struct perftop_segment *head, ssize_t n, int self)
{
	if (n < (ssize_t)sizeof(*head) || !head->magic)
		return n >= 0 && n < (ssize_t)sizeof(*head);
	return head->magic != PERFTOP_SEGMENT_MAGIC || head->pid == (uint32_t)self;
}

static int try_file(const char *path, int self, struct segment_place *place)
{
	struct perftop_segment head;
	struct stat st = {0};
	int fd = open_memory(path, &st);

	if (fd < 0)
		return fd;
	if (!is_own(&head, pread(fd, &head, sizeof(head), 0), self)) {
		close(fd);
		return -ENOENT;
	}
	place->fd = fd;
	place->dev = st.st_dev;
	place->ino = st.st_ino;
	snprintf(place->path, sizeof(place->path), "%s", path);
	return 0;
}

static int find_fd(int pid, int self, struct segment_place *place)
{
	char dir_path[48], path[96], text[sizeof(LINK_TEXT) + 1];
	int err = -ENOENT;
	struct dirent *e;
	DIR *dir;

	snprintf(dir_path, sizeof(dir_path), "/proc/%d/fd", pid);
	dir = opendir(dir_path);
	if (!dir)
		return errno == EACCES || errno == EPERM ? -EACCES : -ESRCH;
	while (err && (e = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, text, sizeof(text));

		if (n != sizeof(LINK_TEXT) - 1 || memcmp(text, LINK_TEXT, (size_t)n))
			continue;
		snprintf(path, sizeof(path), "%s/%.16s", dir_path, e->d_name);
		err = try_file(path, self, place);
	}
	closedir(dir);
	return err == -ESRCH ? -ESRCH : err ? -ENOENT : 0;
}

static int try_mapping(int pid, int self, uint64_t start, uint64_t end, struct segment_place *place)
{
	struct perftop_segment head;
	char path[96];
	ssize_t n;

	/* Following these links takes a capability that reading memory does not. */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, start, end);
	if (!try_file(path, self, place))
		return 0;
	n = segment_peek(pid, start, &head, sizeof(head));
	if (n < 0)
		return n == -EPERM ? -EACCES : -ENOENT;
	if (!is_own(&head, n, self))
		return -ENOENT;
	place->fd = -1;
	place->address = start;
	place->path[0] = 0;
	return 0;
}

static int find_mapping(int pid, int self, struct segment_place *place)
{
	char path[48], *line = NULL;
	uint64_t start, end, offset;
	int at, err = -ENOENT, e;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return errno == EACCES ? -EACCES : -ESRCH;
	while (err && getline(&line, &size, f) > 0) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %n", &start, &end,
			   &offset, &at) != 3)
			continue;
		if (offset || strncmp(line + at, LINK_TEXT "\n", sizeof(LINK_TEXT)))
			continue;
		e = try_mapping(pid, self, start, end, place);
		err = e == -ENOENT ? err : e;
		if (e == -EACCES)
			break;
	}
	free(line);
	fclose(f);
	return err;
}

int segment_find(int pid, struct segment_place *place)
{
	int self = procfs_own_pid(pid), err;

	memset(place, 0, sizeof(*place));
	place->fd = -1;
	if (self < 0)
		return self;
	err = find_fd(pid, self, place);
	if (err == -ENOENT)
		err = find_mapping(pid, self, place);
	return err;
}

int segment_still_there(const struct segment_place *place)
{
	struct stat st;

	return !stat(place->path, &st) && st.st_dev == place->dev && st.st_ino == place->ino;
}
