/* SPDX-License-Identifier: Apache-2.0 */
/* symbols_files.c: opening the files that a process has mapped, wherever they are. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "collectors/symbols_priv.h"

/* Never waits: the path may lead to a FIFO or a device by now. */
enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

enum { VDSO_MAX_BYTES = 1 << 20 };

int files_open_in_root(int pid, const char *path)
{
	struct open_how how = {
		.flags = OPEN_FLAGS,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	char root[32];
	int dir, fd;

	snprintf(root, sizeof(root), "/proc/%d/root", pid);
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	if (fd < 0)
		fd = -errno;
	close(dir);
	return fd;
}

/*
 * Is it the file that is mapped? Btrfs and overlays show devices in maps that differ from stat's;
 * both then are anonymous devices, of major 0, and the inode alone decides.
 */
static bool is_mapped_file(int fd, const struct maps_line *l)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_ino != l->inode)
		return false;
	return st.st_dev == makedev(l->major, l->minor) || (!major(st.st_dev) && !l->major);
}

static int open_mapped(int pid, const struct maps_line *l)
{
	char path[96];
	int fd;

	/* Always the right file, deleted or not, but only for the privileged. */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid,
		 (unsigned long long)l->start, (unsigned long long)l->end);
	fd = open(path, OPEN_FLAGS);
	if (fd >= 0)
		return fd;
	fd = l->deleted ? -ENOENT : files_open_in_root(pid, l->path);
	if (fd >= 0 && is_mapped_file(fd, l))
		return fd;
	if (fd >= 0)
		close(fd);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, OPEN_FLAGS);
	if (fd >= 0 && is_mapped_file(fd, l))
		return fd;
	if (fd >= 0)
		close(fd);
	return -ENOENT;
}

static struct elf_image *open_vdso(int pid, const struct maps_line *l)
{
	size_t n = (size_t)(l->end - l->start);
	struct iovec local, remote = {.iov_base = (void *)(uintptr_t)l->start, .iov_len = n};
	struct elf_image *e = NULL;
	void *buf;
	int err;

	if (n > VDSO_MAX_BYTES)
		return NULL;
	buf = malloc(n);
	if (!buf)
		return NULL;
	local.iov_base = buf;
	local.iov_len = n;
	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)n)
		e = elf_image_open_memory(buf, n, l->path, &err);
	free(buf);
	return e;
}

/* Names belong to the file's contents: an inode can be used again for another file. */
static uint64_t space_of(int fd, const struct file_entry *f)
{
	uint64_t h = f->dev * 0x9e3779b97f4a7c15ull + f->inode;
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st)) {
		h = (h ^ (uint64_t)st.st_size) * 0xff51afd7ed558ccdull;
		h = (h ^ (uint64_t)st.st_mtim.tv_sec) * 0xc4ceb9fe1a85ec53ull;
		h = (h ^ (uint64_t)st.st_mtim.tv_nsec) * 0x9e3779b97f4a7c15ull;
	}
	return h | 1ull << 63; /* apart from the spaces that are small numbers */
}

static void file_open(struct file_entry *f, int pid, const struct maps_line *l)
{
	int fd, err;

	if (!strcmp(l->path, "[vdso]")) {
		f->image = open_vdso(pid, l);
		f->space = space_of(-1, f);
		return;
	}
	fd = l->inode ? open_mapped(pid, l) : -ENOENT;
	f->space = space_of(fd, f);
	if (fd >= 0)
		f->image = elf_image_open_fd(fd, l->path, &err);
}

/* A free slot, or a new one; UINT32_MAX without memory. */
static uint32_t files_slot(struct files *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		if (!f->v[i].users)
			return i;
	if (f->n == f->cap) {
		uint32_t cap = f->cap ? f->cap * 2 : 32;
		struct file_entry *v = realloc(f->v, cap * sizeof(*v));

		if (!v)
			return UINT32_MAX;
		f->v = v;
		f->cap = cap;
	}
	return f->n++;
}

uint32_t files_get(struct files *f, int pid, const struct maps_line *l)
{
	uint64_t dev = makedev(l->major, l->minor);
	uint32_t slot;

	if (!l->inode)
		dev = strcmp(l->path, "[vdso]") ? 0 : l->start;
	for (uint32_t i = 0; i < f->n; i++) {
		if (f->v[i].users && f->v[i].dev == dev && f->v[i].inode == l->inode) {
			f->v[i].users++;
			return i;
		}
	}
	slot = files_slot(f);
	if (slot == UINT32_MAX)
		return slot;
	f->v[slot] = (struct file_entry){.dev = dev, .inode = l->inode, .users = 1};
	file_open(&f->v[slot], pid, l);
	return slot;
}

void files_put(struct files *f, uint32_t i)
{
	if (i >= f->n || --f->v[i].users)
		return;
	elf_image_free(f->v[i].image);
	f->v[i] = (struct file_entry){0};
}

void files_fini(struct files *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		elf_image_free(f->v[i].image);
	free(f->v);
}
