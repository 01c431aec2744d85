/* SPDX-License-Identifier: Apache-2.0 */
/* uprobe_link.c: BPF_LINK_CREATE for uprobe_multi. */
#include "collectors/uprobe_link.h"

#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of linux/bpf.h since 6.6; distributions' headers are older than their kernels. */
enum { UPROBE_LINK_F_RETURN = 1 };

int uprobe_link_open(int prog_fd, const struct uprobe_link *link)
{
	union {
		struct {
			uint32_t prog_fd, target_fd, attach_type, flags;
			uint64_t path, offsets, ref_ctr_offsets, cookies;
			uint32_t cnt, multi_flags, pid;
		} create;
		char pad[256]; /* the kernel wants what it does not know to be zero */
	} attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.create.prog_fd = (uint32_t)prog_fd;
	attr.create.attach_type = link->type;
	attr.create.path = (uint64_t)(uintptr_t)link->path;
	attr.create.offsets = (uint64_t)(uintptr_t)link->offsets;
	attr.create.ref_ctr_offsets = (uint64_t)(uintptr_t)link->ref_ctr_offsets;
	attr.create.cookies = (uint64_t)(uintptr_t)link->cookies;
	attr.create.cnt = link->n;
	attr.create.multi_flags = link->returns ? UPROBE_LINK_F_RETURN : 0;
	attr.create.pid = (uint32_t)link->pid;
	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

static void *close_fd(void *arg)
{
	close((int)(intptr_t)arg);
	return NULL;
}

void uprobe_link_close_later(int fd)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, close_fd, (void *)(intptr_t)fd))
		close(fd);
	pthread_attr_destroy(&attr);
}
