/* SPDX-License-Identifier: Apache-2.0 */
/* wait_stack.bpf.h: the user stack of a thread that comes back from a wait, in its own context. */
#ifndef PERFTOP_WAIT_STACK_BPF_H
#define PERFTOP_WAIT_STACK_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CONTRACT_WAIT_RING);
} wait_stacks SEC(".maps");

/* The sample is the last member of contract_wait_stack: buffer and slice follow each other. */
struct wait_buffer {
	u8 wait[sizeof(struct contract_wait_stack) - sizeof(struct contract_sample)];
	struct sample_buffer sample;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wait_buffer);
} wait_buffers SEC(".maps");

static __always_inline void wait_stack_send(struct task_struct *task, struct thread_state *t,
					    struct wait_buffer *b)
{
	struct contract_wait_stack *w = (struct contract_wait_stack *)b->wait;
	struct contract_sample *s = &b->sample.head;
	u64 len;

	w->ns = t->due_ns;
	w->weight_ns = t->due_weight_ns;
	w->lock = t->due_wait == WAIT_FUTEX ? t->lock : 0;
	w->wait = t->due_wait;
	w->waker = t->waker;
	w->waker_kind = t->waker_era == waker_era ? t->waker_kind : WAKER_UNSEEN;
	__builtin_memcpy(w->waker_comm, t->waker_comm, sizeof(w->waker_comm));
	s->time_ns = bpf_ktime_get_ns();
	s->pid = task->tgid;
	s->tid = task->pid;
	s->in_kernel = s->nkernel = 0;
	regs_read(s, (struct pt_regs *)bpf_task_pt_regs(task));
	s->slice = sample_slice(b->sample.slice, s->sp);
	sample_restore_returns(&b->sample, task);
	len = sizeof(*w) + s->slice;
	if (len > sizeof(*b))
		return;
	if (bpf_ringbuf_output(&wait_stacks, b, len,
			       bpf_ringbuf_query(&wait_stacks, BPF_RB_AVAIL_DATA) >
					       CONTRACT_WAIT_RING / 2
				       ? BPF_RB_FORCE_WAKEUP
				       : BPF_RB_NO_WAKEUP)) {
		__sync_fetch_and_add(&wait_stacks_lost, 1);
		stack_missed(t->due_wait, t->due_weight_ns);
	}
}

static __always_inline void wait_stack_take(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *t = thread_known(task);
	struct wait_buffer *b;
	u32 zero = 0;

	if (!t || !t->due_ns)
		return;
	b = bpf_map_lookup_elem(&wait_buffers, &zero);
	if (b && __sync_fetch_and_add(&wait_stacks_left, -1) > 0)
		wait_stack_send(task, t, b);
	else
		stack_missed(t->due_wait, t->due_weight_ns);
	t->due_ns = 0;
}

/* The end of schedule(), as the thread that was switched to: Linux 6.13 and later. */
SEC("tp_btf/sched_exit_tp")
int BPF_PROG(on_sched_exit)
{
	u32 zero = 0, *due = bpf_map_lookup_elem(&stack_due, &zero);

	if (!due || !*due)
		return 0;
	*due = 0;
	wait_stack_take();
	return 0;
}

/* Where there is no such tracepoint: waits in page faults are missed, and each call costs more. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_wait_exit)
{
	if (is_target(bpf_get_current_pid_tgid() >> 32))
		wait_stack_take();
	return 0;
}

#endif
