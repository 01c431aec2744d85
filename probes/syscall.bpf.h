/* SPDX-License-Identifier: Apache-2.0 */
/* syscall.bpf.h: counts of syscalls, and the latency of those timed. */
#ifndef PERFTOP_SYSCALL_BPF_H
#define PERFTOP_SYSCALL_BPF_H

#include "probes/fd.bpf.h"

/* Calls under way that are timed: while there are none, an exit need not look for its start. */
__s64 syscall_pending = 0;
/* Raised by the reader whenever exits went unseen: starts from before are worth nothing then. */
__u32 syscall_window = 0;
__u32 syscall_slots_used = 1; /* slot 0 takes what finds no place */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CONTRACT_SYSCALLS *CONTRACT_FD_CLASSES);
	__type(key, u32); /* number * CONTRACT_FD_CLASSES + class */
	__type(value, u32);
} syscall_slot SEC(".maps");

/* The way back: that key plus 1, of each slot; 0: not given out. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CONTRACT_SYSCALL_SLOTS);
	__type(key, u32);
	__type(value, u64);
} syscall_key SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_syscall);
} syscall_hist SEC(".maps");

/* By these a probed function calls the kernel: perftop's own doing. x86-64, Linux 6.11 and 6.18. */
enum { NR_URETPROBE = 335, NR_UPROBE = 336 };

struct syscall_start {
	u64 ns;
	u16 nr, class;
	u32 window;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct syscall_start);
} syscall_starts SEC(".maps");

/* The row of a call on this CPU; a pair of number and class gets its slot when first seen. */
static __always_inline struct contract_syscall *syscall_row(u32 nr, u32 class)
{
	u32 *slot, want, i, key;
	u64 *back;

	nr = nr < CONTRACT_SYSCALLS ? nr : CONTRACT_SYSCALLS - 1;
	key = nr * CONTRACT_FD_CLASSES + class % CONTRACT_FD_CLASSES;
	slot = bpf_map_lookup_elem(&syscall_slot, &key);
	if (!slot)
		return 0;
	if (!*slot && syscall_slots_used < CONTRACT_SYSCALL_SLOTS) {
		want = __sync_fetch_and_add(&syscall_slots_used, 1);
		back = bpf_map_lookup_elem(&syscall_key, &want);
		if (back && !__sync_val_compare_and_swap(slot, 0, want))
			*back = key + 1;
	}
	i = *slot * ncpu + bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&syscall_hist, &i);
}

/* Attached all the time, or in short windows when calls are many: the reader decides. */
SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct syscall_start *start;

	if (!is_target(task->tgid) || nr == NR_URETPROBE || nr == NR_UPROBE)
		return 0;
	start = bpf_task_storage_get(&syscall_starts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!start)
		return 0;
	start->nr = (u16)nr;
	start->class = fd_class_of(task, regs, nr, true);
	if (!start->ns || start->window != syscall_window)
		__sync_fetch_and_add(&syscall_pending, 1);
	start->window = syscall_window;
	start->ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct contract_syscall *row;
	struct syscall_start *start;
	bool timed = false;
	u64 ns = 0;
	u32 nr;

	if (!is_target(task->tgid))
		return 0;
	/* -1: a return probe's own call, or a return from a signal handler. */
	if (regs_syscall(regs) < 0)
		return 0;
	nr = (u32)regs_syscall(regs);
	if (nr == NR_UPROBE)
		return 0;
	start = syscall_pending ? bpf_task_storage_get(&syscall_starts, task, 0, 0) : 0;
	if (start && start->ns) {
		ns = bpf_ktime_get_ns() - start->ns;
		start->ns = 0;
		/* Begun in an older window: it may be another call's start, whose exit nobody saw.
		 */
		timed = start->window == syscall_window;
		if (timed)
			__sync_fetch_and_add(&syscall_pending, -1);
		/* An exec or a sigreturn can end another call than it began. */
		timed &= start->nr == (u16)nr;
	}
	row = syscall_row(nr, timed ? start->class : fd_class_of(task, regs, nr, false));
	if (!row)
		return 0;
	__sync_fetch_and_add(&row->count, 1);
	heap_syscall(regs, nr, ret, task->tgid);
	if (timed)
		hist_record_atomic(&row->hist, ns);
	return 0;
}

#endif
