/* SPDX-License-Identifier: Apache-2.0 */
/* poll.bpf.h: what a thread in poll() or select() waits for, by the first of its descriptors. */
#ifndef PERFTOP_POLL_BPF_H
#define PERFTOP_POLL_BPF_H

/* Numbers of the kernel's own interface, which never change. */
enum { S_IFMT = 0170000, S_IFSOCK = 0140000 };
enum { POLL_LOOKS = 4, SELECT_BITS = 64 };

/* What the task has open as fd, NULL when it is nothing. */
static __always_inline struct file *open_file(struct task_struct *task, u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = NULL;

	if (!table || fd >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), files + fd))
		return NULL;
	return file;
}

/* Inode of the socket that the task has open as fd, 0 when it is none. */
static __always_inline u64 socket_inode(struct task_struct *task, u32 fd)
{
	struct file *file = open_file(task, fd);
	struct inode *inode;

	if (!file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	return BPF_CORE_READ(inode, i_ino);
}

/* The socket that is polled, as far as the first few descriptors tell. */
struct poll_look {
	u64 inode; /* 0: none of them is one */
	u32 fd, seen;
};

static __always_inline bool poll_look_at(struct poll_look *p, u32 fd)
{
	p->fd = fd;
	p->inode = socket_inode(bpf_get_current_task_btf(), fd);
	p->seen++;
	return p->inode || p->seen == POLL_LOOKS;
}

/*
 * Of the current thread, in poll(at, n): enum contract_wait; the inode and the descriptor where it
 * is a single socket. Functions of their own, which the verifier goes through once.
 */
__noinline int poll_class(struct poll_look *p, u64 at, u64 n)
{
	struct {
		s32 fd;
		short events, happened;
	} one;

	if (!p || !n)
		return WAIT_SLEEP;
	for (u32 i = 0; i < POLL_LOOKS && i < n; i++)
		if (bpf_probe_read_user(&one, sizeof(one), (void *)(at + i * sizeof(one))) ||
		    poll_look_at(p, (u32)one.fd))
			break;
	if (!p->inode)
		return p->seen == n ? WAIT_OTHER : WAIT_NET;
	if (n > 1)
		p->inode = 0;
	return WAIT_NET;
}

/* Number of the lowest bit of v that is set, from 0; the ones below it are counted. */
static __always_inline u32 lowest_bit(u64 v)
{
	v = (v & -v) - 1;
	v -= v >> 1 & 0x5555555555555555ull;
	v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return v * 0x0101010101010101ull >> 56;
}

/* The same of select(n, reads, writes). */
__noinline int select_class(struct poll_look *p, u64 n, u64 reads, u64 writes)
{
	u64 r = 0, w = 0, all, left;

	if (!p || !n)
		return WAIT_SLEEP;
	if (n > SELECT_BITS || (reads && bpf_probe_read_user(&r, sizeof(r), (void *)reads)) ||
	    (writes && bpf_probe_read_user(&w, sizeof(w), (void *)writes)))
		return WAIT_NET;
	all = (r | w) & (~0ull >> (SELECT_BITS - n));
	if (!all)
		return WAIT_SLEEP;
	left = all;
	for (u32 i = 0; i < POLL_LOOKS && left; i++, left &= left - 1)
		if (poll_look_at(p, lowest_bit(left)))
			break;
	if (!p->inode)
		return p->seen < POLL_LOOKS ? WAIT_OTHER : WAIT_NET;
	if (all & (all - 1))
		p->inode = 0;
	return WAIT_NET;
}

#endif
