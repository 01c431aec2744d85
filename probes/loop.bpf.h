/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.bpf.h: how long a turn of an event loop takes: from the return of one call that waits for
 * any of many descriptors to the next, by the same thread.
 */
#ifndef PERFTOP_LOOP_BPF_H
#define PERFTOP_LOOP_BPF_H

/* Raised by the reader when exits of system calls begin to go unseen, and when they are seen again.
 */
__u32 loop_era = 0;
/* No thread of it is one: those of Go look in turn what all goroutines wait for. */
__u32 loop_off = 0;
__u64 loop_unknown = 0; /* turns whose end was not seen */
/* Raised by the reader at each tick: the longest turn is kept of each. */
__u32 loop_tick = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_loop);
} loop_turns SEC(".maps"); /* by CPU */

/*
 * A thread is a loop that comes back once a second, for a few seconds, and that has more than one
 * thing to do: it waits with a timeout, or finds several ready. Who waits for one peer alone, as a
 * server's process for its one client, holds up nobody else.
 */
enum { LOOP_TRIAL_TURNS = 5, LOOP_OTHERS_LEAST = 2, LOOP_OTHERS_SHARE = 8 };
#define LOOP_TRIAL_NS 5000000000ull

/* What a thread's calls of poll and select are worth once it uses epoll: a wait amid a turn. */
enum { LOOP_RANK_NONE, LOOP_RANK_POLL, LOOP_RANK_EPOLL };

static __always_inline u32 loop_rank(u32 turn, struct pt_regs *regs)
{
	if (turn == TURN_EPOLL || turn == TURN_EPOLL2)
		return LOOP_RANK_EPOLL;
	/* One descriptor alone: for an answer. */
	if ((turn == TURN_POLL || turn == TURN_PPOLL) && (u32)regs_arg1(regs) < 2)
		return LOOP_RANK_NONE;
	/* Standard input alone: whether a key was pressed meanwhile. */
	if (turn == TURN_SELECT && (s32)regs_arg0(regs) < 2)
		return LOOP_RANK_NONE;
	return LOOP_RANK_POLL;
}

static __always_inline bool loop_has_timeout(u32 turn, struct pt_regs *regs)
{
	switch (turn) {
	case TURN_EPOLL:
		return (s32)regs_arg3(regs) != -1;
	case TURN_EPOLL2:
		return regs_arg3(regs) != 0;
	case TURN_POLL:
		return (s32)regs_arg2(regs) != -1;
	case TURN_PPOLL:
		return regs_arg2(regs) != 0;
	default: /* select, pselect */
		return regs_arg4(regs) != 0;
	}
}

/* As syscall_places: a turn costs some 40 ns less than with task storage. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CONTRACT_LOOPS);
	__type(key, u32);
	__type(value, struct contract_loop_state);
} loop_places SEC(".maps");

static __always_inline struct contract_loop_state *loop_place(struct task_struct *task,
							      struct pt_regs *regs, bool take)
{
	struct contract_loop_state *at =
		place_find(&loop_places, CONTRACT_LOOP_BITS, (u64)regs, 14, take);

	if (!at || at->tid == (u32)task->pid)
		return at;
	if (!take)
		return 0;
	/* Another thread had this stack before. */
	at->ns = at->trial_ns = 0;
	at->rank = at->is = 0;
	at->tid = task->pid;
	return at;
}

static __always_inline void loop_hold(struct contract_loop *l, struct task_struct *task,
				      struct contract_loop_state *t, u64 ns, u64 cpu_ns, u64 end_ns)
{
	struct contract_held *h = &l->held[loop_tick & 1];
	u32 tick = loop_tick;

	if (h->tick == tick && ns <= h->ns)
		return;
	h->ns = ns;
	h->cpu_ns = cpu_ns < ns ? cpu_ns : ns;
	h->begin_ns = t->ns;
	h->end_ns = end_ns;
	h->tid = task->pid;
	__builtin_memcpy(h->comm, task->comm, sizeof(h->comm));
	h->tick = tick;
}

static __always_inline struct contract_loop *loop_here(void)
{
	u32 i = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&loop_turns, &i);
}

/* A turn is over. Plain adds, as in on_sys_exit: this runs with preemption off. */
static __always_inline void loop_turned(struct task_struct *task, struct contract_loop_state *t,
					u64 end_ns)
{
	u64 ns = end_ns - t->ns;
	struct contract_loop *l;

	if (!t->is || (s64)ns < 0)
		return;
	l = loop_here();
	if (!l)
		return;
	hist_record(&l->hist, ns);
	loop_hold(l, task, t, ns, task->se.sum_exec_runtime - t->run_ns, end_ns);
}

/*
 * It ended before the call that returns now, which may have slept: the turn took at least what the
 * thread had of a CPU since.
 */
static __always_inline void loop_unseen(struct task_struct *task, struct contract_loop_state *t,
					u64 now)
{
	u64 cpu_ns = task->se.sum_exec_runtime - t->run_ns;
	struct contract_loop *l;

	if (!t->is)
		return;
	loop_unknown++;
	l = loop_here();
	if (l)
		loop_hold(l, task, t, cpu_ns, cpu_ns, now);
}

static __always_inline void loop_judge(struct contract_loop_state *t, u64 now, bool others)
{
	if (now - t->trial_ns > LOOP_TRIAL_NS) {
		t->trial_ns = now;
		t->trial = t->others = 0;
	}
	t->trial++;
	t->others += others;
	if (t->trial >= LOOP_TRIAL_TURNS && t->others >= LOOP_OTHERS_LEAST &&
	    t->others * LOOP_OTHERS_SHARE >= t->trial)
		t->is = 1;
}

/*
 * A call that waits has returned: now, having taken ns; 0 and 0: it was not timed. A function of
 * its own, for the verifier's sake: see turn.bpf.h.
 */
__noinline int loop_returned(u32 turn, s64 ret, u64 now, u64 ns)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	u32 rank = loop_rank(turn, regs);
	struct contract_loop_state *t;

	if (!rank || loop_off)
		return 0;
	t = loop_place(task, regs, true);
	if (!t) {
		loop_unknown++;
		return 0;
	}
	if (rank < t->rank)
		return 0;
	if (!now)
		now = bpf_ktime_get_ns();
	/* Had it slept, and sleeping is seen, the turn would have ended there: it was short. */
	if (t->ns && t->era == loop_era) {
		if (ns || (attach_ns && !sched_window))
			loop_turned(task, t, now - ns);
		else
			loop_unseen(task, t, now);
	}
	if (!t->is)
		loop_judge(t, now, ret > 1 || loop_has_timeout(turn, regs));
	t->rank = rank;
	t->era = loop_era;
	t->run_ns = task->se.sum_exec_runtime;
	t->ns = now;
	return 0;
}

/* The current thread sleeps in a call that waits: the turn before it is over. */
__noinline int loop_slept(u32 turn, u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct contract_loop_state *t = loop_place(task, regs, false);

	if (!t || !t->ns || loop_rank(turn, regs) < t->rank)
		return 0;
	if (t->era == loop_era)
		loop_turned(task, t, now);
	t->ns = 0;
	return 0;
}

/* The current thread goes to sleep in a call of these registers. */
static __always_inline void loop_sleeps(struct pt_regs *regs, u64 now)
{
	long nr = regs_syscall(regs);
	u32 turn;

	if (nr < 0 || nr >= CONTRACT_SYSCALLS)
		return;
	turn = syscall_turn[nr & (CONTRACT_SYSCALLS - 1)];
	if (turn >= TURN_EPOLL)
		loop_slept(turn, now);
}

/* The turn under way. Where its thread's sleep may go unseen: what it had of a CPU since. */
static __always_inline void loop_row(struct task_struct *task, struct contract_thread *row)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct contract_loop_state *t = loop_place(task, regs, false);
	u64 begin, run;

	if (!t)
		return;
	begin = *(volatile u64 *)&t->ns;
	run = *(volatile u64 *)&t->run_ns;
	if (!t->is || t->era != loop_era || !begin || begin > row->at_ns || run > row->run_ns)
		return;
	row->turn_cpu_ns = row->run_ns - run;
	row->turn_ns = attach_ns && !sched_window ? row->at_ns - begin : row->turn_cpu_ns;
}

#endif
