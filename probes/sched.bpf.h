/* SPDX-License-Identifier: Apache-2.0 */
/* sched.bpf.h: time off the CPU by reason, futex waits by address, and the target's threads. */
#ifndef PERFTOP_SCHED_BPF_H
#define PERFTOP_SCHED_BPF_H

/* Wait class of each syscall, set before load. */
const volatile __u8 syscall_wait[CONTRACT_SYSCALLS];
const volatile __u32 nr_futex = 202;
/* Threads seen first count from here. */
const volatile __u64 attach_ns = 0;

/* fork and exec of the target, for the session. */
__u64 target_forks = 0, target_execs = 0;
__u32 target_last_child = 0;

struct thread_state {
	u64 off_ns, wake_ns;
	u64 lock_addr;
	u32 lock_owner, lock_op;
	u32 wait;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_state);
} thread_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_hist);
} sched_hist SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONTRACT_LOCKS);
	__type(key, u64);
	__type(value, struct contract_lock);
} locks SEC(".maps");

static __always_inline u32 wait_class(struct task_struct *task, u32 state, struct pt_regs *regs)
{
	long nr = BPF_CORE_READ(regs, orig_ax);
	u32 class;

	/* An exception leaves -1 there; a fault is what blocks. */
	if (nr < 0)
		return WAIT_FAULT;
	class = nr < CONTRACT_SYSCALLS ? syscall_wait[nr & (CONTRACT_SYSCALLS - 1)] : WAIT_OTHER;
	if (class == WAIT_RW || class == WAIT_OTHER)
		return state & 2 ? WAIT_IO : WAIT_OTHER; /* TASK_UNINTERRUPTIBLE */
	return class;
}

/* `prev` is still current: its memory and registers can be read. */
static __always_inline void thread_leaves(struct task_struct *prev, bool preempt)
{
	struct thread_state *t;
	struct pt_regs *regs;
	u32 state = prev->__state;

	t = bpf_task_storage_get(&thread_states, prev, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return;
	t->wake_ns = 0;
	t->lock_addr = 0;
	if (preempt || !state) {
		t->wait = WAIT_RUNQ;
	} else {
		regs = (struct pt_regs *)bpf_task_pt_regs(prev);
		t->wait = wait_class(prev, state, regs);
		if (t->wait == WAIT_FUTEX && BPF_CORE_READ(regs, orig_ax) == nr_futex) {
			u64 addr = BPF_CORE_READ(regs, di);
			u32 owner = 0;

			/* Best effort: the page is there, the thread has just read it. */
			bpf_probe_read_user(&owner, sizeof(owner), (void *)(addr + 8));
			t->lock_addr = addr;
			t->lock_owner = owner;
			t->lock_op = (u32)BPF_CORE_READ(regs, si) & 0x7f;
		}
	}
	t->off_ns = bpf_ktime_get_ns();
}

static __always_inline void wait_record(u32 class, u64 ns)
{
	u32 i = class * ncpu + bpf_get_smp_processor_id();
	struct contract_hist *h = bpf_map_lookup_elem(&sched_hist, &i);

	if (h)
		hist_record(h, ns);
}

static __always_inline void lock_record(struct thread_state *t, u64 ns)
{
	u64 addr = t->lock_addr;
	struct contract_lock *l = bpf_map_lookup_elem(&locks, &addr);

	if (!l) {
		struct contract_lock fresh = {.waits = 1,
					      .wait_ns = ns,
					      .max_ns = ns,
					      .owner = t->lock_owner,
					      .op = t->lock_op};

		bpf_map_update_elem(&locks, &addr, &fresh, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_add(&l->waits, 1);
	__sync_fetch_and_add(&l->wait_ns, ns);
	if (ns > l->max_ns)
		l->max_ns = ns;
	if (t->lock_owner)
		l->owner = t->lock_owner;
	l->op = t->lock_op;
}

/* First sight of a thread that was off its CPU when perftop came: count from then. */
static __always_inline void thread_adopt(struct task_struct *task, struct thread_state *t)
{
	u64 start = task->start_time;

	t->off_ns = start > attach_ns ? start : attach_ns;
	t->wait = start > attach_ns ? WAIT_RUNQ
				    : wait_class(task, task->__state,
						 (struct pt_regs *)bpf_task_pt_regs(task));
}

static __always_inline void thread_comes(struct task_struct *next)
{
	struct thread_state *t;
	u64 now, woken;

	t = bpf_task_storage_get(&thread_states, next, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return;
	if (!t->off_ns && !t->wait)
		thread_adopt(next, t);
	if (!t->off_ns)
		return;
	now = bpf_ktime_get_ns();
	woken = t->wait == WAIT_RUNQ ? t->off_ns : t->wake_ns;
	if (woken < t->off_ns)
		woken = now;
	if (t->wait != WAIT_RUNQ) {
		wait_record(t->wait, woken - t->off_ns);
		if (t->lock_addr)
			lock_record(t, woken - t->off_ns);
	}
	/* A wake-up with no time in the queue is no wait. */
	if (now > woken)
		wait_record(WAIT_RUNQ, now - woken);
	t->off_ns = 0;
	t->wait = WAIT_RUNQ;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	if ((u32)prev->tgid == target_tgid)
		thread_leaves(prev, preempt);
	if ((u32)next->tgid == target_tgid)
		thread_comes(next);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_sched_wakeup, struct task_struct *task)
{
	struct thread_state *t;

	if ((u32)task->tgid != target_tgid)
		return 0;
	t = bpf_task_storage_get(&thread_states, task, 0, 0);
	if (t)
		t->wake_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	if ((u32)parent->tgid == target_tgid && child->tgid != parent->tgid) {
		target_last_child = child->tgid;
		__sync_fetch_and_add(&target_forks, 1);
	}
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	if ((u32)task->tgid == target_tgid)
		__sync_fetch_and_add(&target_execs, 1);
	return 0;
}

SEC("iter/task")
int iter_threads(struct bpf_iter__task *ctx)
{
	struct contract_thread row = {};
	struct task_struct *task = ctx->task;
	struct thread_state *t;

	if (!task || (u32)task->tgid != target_tgid)
		return 0;
	row.tid = task->pid;
	row.state = task->__state;
	row.run_ns = task->se.sum_exec_runtime;
	row.run_delay_ns = BPF_CORE_READ(task, sched_info.run_delay);
	row.nvcsw = task->nvcsw;
	row.nivcsw = task->nivcsw;
	BPF_CORE_READ_INTO(&row.comm, task, comm);
	t = bpf_task_storage_get(&thread_states, task, 0, 0);
	if (t) {
		row.off_ns = t->off_ns;
		row.wake_ns = t->wake_ns;
		row.wait = t->wait;
		row.lock_addr = t->lock_addr;
		row.lock_owner = t->lock_owner;
		row.lock_op = t->lock_op;
	} else {
		/* Off its CPU since before perftop came, or on it all the time since. */
		struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

		row.wait = task->__state ? wait_class(task, task->__state, regs) : WAIT_RUNQ;
		row.off_ns = task->__state ? attach_ns : 0;
		if (row.wait == WAIT_FUTEX) {
			row.lock_addr = BPF_CORE_READ(regs, di);
			row.lock_op = (u32)BPF_CORE_READ(regs, si) & 0x7f;
		}
	}
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

#endif
