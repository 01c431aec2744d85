/* SPDX-License-Identifier: Apache-2.0 */
/* tail.bpf.h: what a slow call of a probed function spent its time on, and where it was called. */
#ifndef PERFTOP_TAIL_BPF_H
#define PERFTOP_TAIL_BPF_H

/*
 * A call's beginning is remembered beside its thread, by stack pointer. A call that returns soon
 * leaves its frame where it is: the next one that begins at, or above, its stack pointer takes the
 * place. So a fast return costs one comparison.
 */
enum { TAIL_DEPTH = 16 };

/* A call that began. Sums of the thread as they were then. */
struct tail_frame {
	u64 sp, ns; /* ns: when, which also tells the call */
	u64 away_ns, blocked_ns, run_delay_ns;
	u64 minflt, majflt;
	struct contract_tail_wait longest; /* since then, but not in frames further in */
};

struct tail_thread {
	u64 away_ns, blocked_ns; /* off the CPU, and of that blocked, since first seen */
	u64 mended_ns;		 /* when the last wait began whose end tail_mend gave */
	u64 depth;
	struct tail_frame at[TAIL_DEPTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tail_thread);
} tail_threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_tail_slot);
} tail_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CONTRACT_TAIL_RING);
} tails SEC(".maps");

__u64 tails_lost = 0;

struct tail_record {
	struct contract_tail tail;
	struct sample_buffer stack;
};

/* The longest wait of a frame that is over belongs to the one that it was called from, too. */
static __always_inline void tail_hand_down(struct tail_thread *t, u64 d)
{
	struct tail_frame *gone = &t->at[d & (TAIL_DEPTH - 1)];
	struct tail_frame *below = &t->at[(d - 1) & (TAIL_DEPTH - 1)];

	if (d && gone->longest.ns > below->longest.ns)
		below->longest = gone->longest;
}

/* The frame of a call that begins; its ns is left to the caller. NULL: no evidence is wanted. */
static __always_inline struct tail_frame *tail_enter(u32 slot, u64 sp)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct contract_tail_slot *row;
	struct tail_thread *t;
	struct tail_frame *f;
	u64 d;

	row = bpf_map_lookup_elem(&tail_slots, &slot);
	if (!row || !row->threshold_ns)
		return 0;
	t = bpf_task_storage_get(&tail_threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return 0;
	d = t->depth;
	for (int i = 0; i < TAIL_DEPTH; i++) {
		if (!d || t->at[(d - 1) & (TAIL_DEPTH - 1)].sp > sp)
			break;
		d--;
		tail_hand_down(t, d);
	}
	if (d >= TAIL_DEPTH)
		return 0;
	f = &t->at[d & (TAIL_DEPTH - 1)];
	t->depth = d + 1;
	f->sp = sp;
	f->away_ns = t->away_ns;
	f->blocked_ns = t->blocked_ns;
	f->run_delay_ns = task->sched_info.run_delay;
	f->minflt = task->min_flt;
	f->majflt = task->maj_flt;
	f->longest.ns = 0;
	return f;
}

/* A thread gets a CPU that it left at `off`; it was runnable again at `woken`. */
static __always_inline void tail_came(struct task_struct *task, struct thread_state *s, u64 off,
				      u64 woken, u64 now)
{
	struct tail_thread *t = bpf_task_storage_get(&tail_threads, task, 0, 0);
	bool runq = s->wait == WAIT_RUNQ || now - woken > woken - off;
	u64 ns = runq ? now - woken : woken - off;
	struct contract_tail_wait *w;
	struct pt_regs *regs;

	if (!t)
		return;
	t->away_ns += now - off;
	if (s->wait != WAIT_RUNQ)
		t->blocked_ns += woken - off;
	if (!t->depth)
		return;
	w = &t->at[(t->depth - 1) & (TAIL_DEPTH - 1)].longest;
	if (ns <= w->ns)
		return;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	w->ns = ns;
	w->class = runq ? WAIT_RUNQ : s->wait;
	w->nr = (u32)regs_read_syscall(regs);
	w->arg = regs_read_arg0(regs);
	w->owner = s->lock_owner;
	w->op = s->lock_op;
	w->waker = runq ? 0 : s->waker;
	w->waker_kind = s->waker_kind;
	__builtin_memcpy(w->waker_comm, s->waker_comm, sizeof(w->waker_comm));
}

/*
 * Evidence of so many slow calls a second at most, spread over it; but the slowest so far of each
 * second leaves some in any case.
 */
static __always_inline bool tail_admit(struct contract_tail_slot *row, u64 ns, u64 now)
{
	__sync_fetch_and_add(&row->slow, 1);
	if (now - row->second_ns > 1000000000) {
		row->second_ns = now;
		row->worst_ns = 0;
		row->taken = 0;
	}
	if (row->taken >= 2 * CONTRACT_TAIL_RATE)
		return false;
	if (ns <= row->worst_ns &&
	    row->taken >= CONTRACT_TAIL_BURST + (now - row->second_ns) *
							(CONTRACT_TAIL_RATE - CONTRACT_TAIL_BURST) /
							1000000000)
		return false;
	row->taken++;
	if (ns > row->worst_ns)
		row->worst_ns = ns;
	return true;
}

static __always_inline void tail_stack(struct sample_buffer *b, struct pt_regs *regs, u64 now)
{
	struct contract_sample *s = &b->head;
	u64 id = bpf_get_current_pid_tgid();

	s->time_ns = now;
	s->pid = id >> 32;
	s->tid = (u32)id;
	s->in_kernel = s->nkernel = 0;
	regs_copy(s, regs);
	s->slice = sample_slice(b->slice, s->sp);
	sample_restore_returns(b, bpf_get_current_task_btf());
}

/* Index of the frame of the call that began then; the longest wait in it is put into its own. */
static __always_inline int tail_find(struct tail_thread *t, u64 begin)
{
	u64 d = t->depth;

	for (int i = 0; i < TAIL_DEPTH; i++) {
		if (!d)
			break;
		d--;
		if (t->at[d & (TAIL_DEPTH - 1)].ns == begin) {
			t->depth = d + 1;
			return (int)d;
		}
		tail_hand_down(t, d);
	}
	return -1;
}

/*
 * The return to a CPU is not always seen. A wait that began in this call, and whose thread runs,
 * has ended when it was woken; what it then waited for a CPU the scheduler knows.
 */
static __always_inline void tail_mend(struct task_struct *task, struct tail_thread *t, u64 begin)
{
	struct thread_state *s = thread_known(task);

	if (!s || s->wait == WAIT_RUNQ || s->off_ns <= begin || s->wake_ns <= s->off_ns ||
	    s->off_ns == t->mended_ns)
		return;
	t->mended_ns = s->off_ns;
	tail_came(task, s, s->off_ns, s->wake_ns, s->wake_ns);
}

static __noinline int tail_capture(struct pt_regs *ctx, u32 slot, u64 begin, u64 now, u32 returned)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct tail_thread *t = bpf_task_storage_get(&tail_threads, task, 0, 0);
	struct contract_tail_slot *row = bpf_map_lookup_elem(&tail_slots, &slot);
	struct tail_record *r;
	struct tail_frame *f;
	int at;

	if (!row || !tail_admit(row, now - begin, now))
		return 0;
	if (t)
		tail_mend(task, t, begin);
	at = t ? tail_find(t, begin) : -1;
	if (!t || at < 0) {
		__sync_fetch_and_add(&row->blind, 1);
		return 0;
	}
	f = &t->at[at & (TAIL_DEPTH - 1)];
	r = bpf_ringbuf_reserve(&tails, sizeof(*r), 0);
	if (!r) {
		__sync_fetch_and_add(&tails_lost, 1);
		return 0;
	}
	r->tail.slot = slot;
	r->tail.returned = returned;
	r->tail.threshold_ns = row->threshold_ns;
	r->tail.ns = now - begin;
	r->tail.end_ns = now;
	r->tail.away_ns = t->away_ns - f->away_ns;
	r->tail.blocked_ns = t->blocked_ns - f->blocked_ns;
	r->tail.run_delay_ns = task->sched_info.run_delay - f->run_delay_ns;
	r->tail.minflt = task->min_flt - f->minflt;
	r->tail.majflt = task->maj_flt - f->majflt;
	r->tail.longest = f->longest;
	tail_stack(&r->stack, ctx, now);
	bpf_ringbuf_submit(r, 0);
	__sync_fetch_and_add(&row->kept, 1);
	return 0;
}

/* A call returns. returned: the stack pointer is its caller's, by now. */
static __always_inline void tail_leave(struct pt_regs *ctx, u32 slot, u64 begin, u64 now,
				       u32 returned)
{
	struct contract_tail_slot *row = bpf_map_lookup_elem(&tail_slots, &slot);

	if (row && row->threshold_ns && now - begin > row->threshold_ns)
		tail_capture(ctx, slot, begin, now, returned);
}

#endif
