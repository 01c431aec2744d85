/* SPDX-License-Identifier: Apache-2.0 */
/* vmlinux.h: the few kernel types that the probes touch; CO-RE relocates their fields at load. */
#ifndef PERFTOP_VMLINUX_H
#define PERFTOP_VMLINUX_H

#include <linux/types.h>
#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
enum { false, true };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip,
		cs, flags, sp, ss;
};
#endif
struct rq {
	u64 clock;
};
struct cfs_rq {
	struct rq *rq;
};
struct sched_entity {
	u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};
struct sched_info {
	unsigned long long run_delay, last_queued;
};
/* A call whose return is probed: where its return address lay, and what it was. */
struct return_instance {
	unsigned long orig_ret_vaddr, stack;
	struct return_instance *next;
};
struct uprobe_task {
	struct return_instance *return_instances;
};
struct upid {
	int nr;
};
struct pid {
	unsigned int level;
	struct upid numbers[1];
};
typedef struct {
	int counter;
} atomic_t;
struct list_head {
	struct list_head *next;
};
struct task_io_accounting {
	u64 read_bytes, write_bytes;
};
struct signal_struct {
	atomic_t live; /* threads of the process that have not ended */
	struct list_head thread_head;
	/* Of threads that ended and are no longer in that list. */
	u64 utime, stime, sum_sched_runtime;
	unsigned long min_flt, maj_flt;
	struct task_io_accounting ioac;
};
struct hlist_node;
struct hlist_head {
	struct hlist_node *first;
};
struct super_block {
	unsigned long s_magic;
};
struct inode {
	unsigned short i_mode;
	unsigned int i_rdev;
	unsigned long i_ino;
	struct super_block *i_sb;
};
struct qstr {
	const unsigned char *name;
};
struct dentry {
	struct qstr d_name;
};
struct path {
	struct dentry *dentry;
};
struct file {
	struct inode *f_inode;
	struct path f_path;
	void *private_data;
};
struct in6_addr {
	u8 u6_addr8[16];
};
struct sock_common {
	unsigned short skc_family;
	u16 skc_num, skc_dport;
	u32 skc_daddr;
	struct in6_addr skc_v6_daddr;
};
struct sock {
	struct sock_common __sk_common;
	u16 sk_type, sk_protocol;
};
struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};
struct unix_address {
	int len; /* of name[0] */
	struct sockaddr_un name[0];
};
struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};
struct socket {
	struct sock *sk;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct gendisk {
	int major, first_minor;
	char disk_name[32];
};
struct request_queue {
	struct gendisk *disk;
};
struct request {
	struct request_queue *q;
	unsigned int cmd_flags, rq_flags, __data_len;
};
struct mm_struct {
	unsigned long start_stack;
};
/* The thread pointer, as it was when the thread last left a CPU: it is set once. */
#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long fsbase;
};
#else
struct thread_struct {
	struct {
		unsigned long tp_value;
	} uw;
};
#endif
struct task_struct {
	int pid, tgid;
	struct mm_struct *mm;
	struct thread_struct thread;
	struct files_struct *files;
	struct task_struct *real_parent;
	struct signal_struct *signal;
	unsigned int flags;
	int pagefault_disabled;
	unsigned int __state;
	int exit_state, on_cpu;
	unsigned in_iowait : 1;
	struct pid *thread_pid;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt;
	u64 start_time, utime, stime;
	struct list_head thread_node;
	struct task_io_accounting ioac;
	struct sched_entity se;
	struct sched_info sched_info;
	struct uprobe_task *utask;
	char comm[16];
};
enum rqf_flags { __RQF_FLUSH_SEQ = 1 };
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id, seq_num;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};
#pragma clang attribute pop

#if defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31], sp, pc, pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
	__u64 orig_x0;
	__s32 syscallno;
} __attribute__((preserve_access_index));
#endif

/*
 * Context of a perf_event program: the interrupted registers come first. A layout of its own, not
 * relocated: newer kernels shrank cs to 16 bits, but the context only gives whole words.
 */
#if defined(__TARGET_ARCH_x86)
struct perf_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip,
		cs, flags, sp, ss;
};
struct bpf_perf_event_data {
	struct perf_regs regs;
	u64 sample_period;
	u64 addr;
};
#elif defined(__TARGET_ARCH_arm64)
struct bpf_perf_event_data {
	struct perf_user_regs {
		__u64 regs[31], sp, pc, pstate;
	} regs;
	u64 sample_period;
	u64 addr;
};
#endif

#endif
