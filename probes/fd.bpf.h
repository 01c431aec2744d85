/* SPDX-License-Identifier: Apache-2.0 */
/* fd.bpf.h: what a system call works on: file, socket, pipe, …, by its descriptor. */
#ifndef PERFTOP_FD_BPF_H
#define PERFTOP_FD_BPF_H

/* How the class of each call is found: see contract.h. Set before load. */
const volatile __u8 syscall_fd[CONTRACT_SYSCALLS];

/* Of linux/stat.h, linux/magic.h and linux/major.h. */
enum {
	FILE_TYPE = 0170000,
	TYPE_SOCKET = 0140000,
	TYPE_FILE = 0100000,
	TYPE_DISK = 0060000,
	TYPE_DIR = 0040000,
	TYPE_DEVICE = 0020000,
	TYPE_PIPE = 0010000,
};
enum { ANON_INODE_MAGIC = 0x09041934 };
enum { MAJOR_TTY = 4, MAJOR_TTYAUX = 5, MAJOR_PTY_FIRST = 136, MAJOR_PTY_LAST = 143 };

/* Eventfds, timers and the like share one inode; their names tell them apart. */
static __always_inline u32 fd_anonymous(struct file *file)
{
	const unsigned char *at = BPF_CORE_READ(file, f_path.dentry, d_name.name);
	char name[8] = {};

	if (bpf_probe_read_kernel(name, sizeof(name), at))
		return FD_OTHER;
	if (name[0] == 'i' && name[2] == 'o')
		return FD_INOTIFY;
	if (name[0] != '[')
		return FD_OTHER;
	switch (name[1]) {
	case 'e': /* eventfd, eventpoll */
		return name[6] == 'f' ? FD_EVENT : FD_EPOLL;
	case 't':
		return FD_TIMER;
	case 's':
		return FD_SIGNAL;
	default:
		return FD_OTHER;
	}
}

static __always_inline u32 fd_device(struct inode *inode)
{
	u32 major = BPF_CORE_READ(inode, i_rdev) >> 20;

	if (major == MAJOR_TTY || major == MAJOR_TTYAUX ||
	    (major >= MAJOR_PTY_FIRST && major <= MAJOR_PTY_LAST))
		return FD_TTY;
	return FD_DEVICE;
}

/* enum contract_fd by what its inode says. */
static __always_inline u32 fd_class_by(u32 mode, struct file *file, struct inode *inode,
				       unsigned long magic)
{
	switch (mode & FILE_TYPE) {
	case TYPE_SOCKET:
		return FD_SOCKET;
	case TYPE_PIPE:
		return FD_PIPE;
	case TYPE_DEVICE:
		return fd_device(inode);
	case TYPE_DIR:
		return FD_DIR;
	case TYPE_DISK:
		return FD_DISK;
	default: /* files; an anonymous inode calls itself one since Linux 6.16 */
		return magic == ANON_INODE_MAGIC ? fd_anonymous(file) : FD_FILE;
	}
}

/* enum contract_fd of descriptor fd of the current task. */
static __always_inline u32 fd_class(struct task_struct *task, u32 fd)
{
	struct fdtable *fdt = kfunc_plain(task)->files->fdt;
	void *place = (void *)((u64)fdt->fd + fd * 8ull);
	struct file *file = 0;
	struct inode *inode;

	if (fd >= fdt->max_fds)
		return FD_NONE;
	if (kfunc_has_cast) {
		/* Any type that begins with a pointer. */
		struct hlist_head *first = KFUNC_CAST(place, hlist_head);

		file = KFUNC_CAST(first->first, file);
		if (!first->first)
			return FD_NONE;
		inode = file->f_inode;
		return fd_class_by(inode->i_mode, file, inode, inode->i_sb->s_magic);
	}
	if (bpf_probe_read_kernel(&file, sizeof(file), place) || !file)
		return FD_NONE;
	inode = BPF_CORE_READ(file, f_inode);
	return fd_class_by(BPF_CORE_READ(inode, i_mode), file, inode,
			   BPF_CORE_READ(inode, i_sb, s_magic));
}

/* Inode number of descriptor fd of the current task; 0 when it is none. */
static __always_inline u64 fd_inode(struct task_struct *task, u32 fd)
{
	struct fdtable *fdt = kfunc_plain(task)->files->fdt;
	void *place = (void *)((u64)fdt->fd + fd * 8ull);
	struct file *file = 0;

	if (fd >= fdt->max_fds)
		return 0;
	if (kfunc_has_cast) {
		struct hlist_head *first = KFUNC_CAST(place, hlist_head);

		file = KFUNC_CAST(first->first, file);
		return first->first ? file->f_inode->i_ino : 0;
	}
	if (bpf_probe_read_kernel(&file, sizeof(file), place) || !file)
		return 0;
	return BPF_CORE_READ(file, f_inode, i_ino);
}

static __always_inline u32 fd_class_of(struct task_struct *task, struct pt_regs *regs, long nr,
				       bool at_start)
{
	u32 how = nr < CONTRACT_SYSCALLS ? syscall_fd[nr & (CONTRACT_SYSCALLS - 1)] : FD_NONE;

	if (how < FD_OF_ARGUMENT)
		return how;
	if (how == FD_OF_ARGUMENT_CLOSED && !at_start)
		return FD_NONE;
	return fd_class(task, (u32)regs_arg0(regs));
}

#endif
