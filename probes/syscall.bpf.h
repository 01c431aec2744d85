/* SPDX-License-Identifier: Apache-2.0 */
/* syscall.bpf.h: counts of syscalls, and the latency of those timed. */
#ifndef PERFTOP_SYSCALL_BPF_H
#define PERFTOP_SYSCALL_BPF_H

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

#if defined(__TARGET_ARCH_x86)
enum { NR_CLONE = 56, NR_FORK = 57, NR_VFORK = 58, NR_CLONE3 = 435 };
#else
enum { NR_CLONE = 220, NR_FORK = 220, NR_VFORK = 220, NR_CLONE3 = 435 };
#endif

/*
 * Calls under way that are timed, each where its thread's kernel stack leads to: the registers lie
 * there at both ends of a call, and no two threads' at the same address.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CONTRACT_SYSCALL_PLACES);
	__type(key, u32);
	__type(value, struct contract_syscall_start);
} syscall_places SEC(".maps");

/* The same for threads that found their places taken. */
__u32 syscall_crowded = 0; /* there are some */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct contract_syscall_start);
} syscall_starts SEC(".maps");

/* Stacks are 2^14 bytes or more apart. */
static __always_inline struct contract_syscall_start *syscall_place(struct pt_regs *regs, bool take)
{
	return place_find(&syscall_places, CONTRACT_SYSCALL_PLACE_BITS, (u64)regs, 14, take);
}

static __always_inline struct contract_syscall_start *syscall_begin(struct task_struct *task,
								    struct pt_regs *regs)
{
	struct contract_syscall_start *start = syscall_place(regs, true);

	if (start)
		return start;
	syscall_crowded = 1;
	return bpf_task_storage_get(&syscall_starts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* Whatever began there is over; is it this call, and how long did it take? */
static __always_inline bool syscall_end(struct contract_syscall_start *start, u32 nr, u64 *now,
					u64 *ns)
{
	if (!start || !start->ns)
		return false;
	*now = bpf_ktime_get_ns();
	*ns = *now - start->ns;
	start->ns = 0;
	/*
	 * Begun in an older window: it may be another call's start, whose exit nobody saw. And an
	 * exec or a sigreturn can end another call than it began.
	 */
	return start->window == syscall_window && start->nr == (u16)nr;
}

/* Its call returns 0 in the child, where it is no call of the child's. */
static __always_inline bool makes_task(u32 nr)
{
	return nr == NR_CLONE || nr == NR_CLONE3 || nr == NR_FORK || nr == NR_VFORK;
}

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

/* Without a branch: what is known on its sides would be gone through twice. */
static __always_inline void syscall_failed(struct contract_syscall *row, long ret)
{
	u32 failed = (u64)ret >> 63, mask = -failed;

	row->failed += failed;
	row->error = (row->error & ~mask) | ((u32)-ret & mask);
}

/* Attached all the time, or in short windows when calls are many: the reader decides. */
SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct contract_syscall_start *start;

	if (!is_target(task->tgid) || nr == NR_URETPROBE || nr == NR_UPROBE)
		return 0;
	start = syscall_begin(task, regs);
	if (!start)
		return 0;
	start->nr = (u16)nr;
	start->class = fd_class_of(task, regs, nr, true);
	start->window = syscall_window;
	start->ns = bpf_ktime_get_ns();
	return 0;
}

/*
 * Its adds are plain: no two runs of it interleave on one CPU. Kernels before 7.2 run it with
 * preemption off, and those since 6.2 skip it inside a run of its own.
 */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	struct contract_syscall_start *start;
	struct contract_syscall *row;
	struct task_struct *task;
	u32 nr, class, turn;
	bool timed, moves;
	u64 now = 0, ns = 0;

	/* -1: a return probe's own call, or a return from a signal handler. */
	if (regs_syscall(regs) < 0 || regs_syscall(regs) == NR_UPROBE)
		return 0;
	nr = (u32)regs_syscall(regs);
	/* What began there was the target's. */
	start = syscall_place(regs, false);
	timed = syscall_end(start, nr, &now, &ns);
	if (!timed) {
		task = bpf_get_current_task_btf();
		if (!is_target(task->tgid) || (!ret && makes_task(nr)))
			return 0;
		start = syscall_crowded ? bpf_task_storage_get(&syscall_starts, task, 0, 0) : 0;
		timed = syscall_end(start, nr, &now, &ns);
		if (!timed)
			class = fd_class_of(task, regs, nr, false);
	}
	if (timed && start)
		class = start->class;
	/* What is known of class here multiplies the verifier's work, as long as it is needed. */
	moves = timed && class == FD_SOCKET && ret > 0;
	row = syscall_row(nr, class);
	if (!row)
		return 0;
	row->count++;
	syscall_failed(row, ret);
	if (timed)
		hist_record(&row->hist, ns);
	turn = syscall_turn[nr & (CONTRACT_SYSCALLS - 1)];
	if (turn >= TURN_EPOLL)
		loop_returned(turn, ret, timed ? now : 0, timed ? ns : 0);
	else if (turn >= TURN_ACCEPT)
		turn_made(turn == TURN_ACCEPT ? (u32)ret : (u32)regs_arg0(regs), turn, ret);
	else if (turn && moves)
		turn_seen((u32)regs_arg0(regs), turn, now - ns, now);
	/* Last: what it finds out of nr would have the verifier go through all of the above for
	 * each. */
	heap_syscall(regs, nr, ret);
	return 0;
}

#endif
