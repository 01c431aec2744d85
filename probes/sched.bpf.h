/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched.bpf.h: time off the CPU by reason, futex waits by address, and the target's threads.
 * Long because what a context switch records of a wait is one program, whose parts share its state.
 */
#ifndef PERFTOP_SCHED_BPF_H
#define PERFTOP_SCHED_BPF_H

enum { E2BIG = 7, FUTEX_PRIVATE = 128 };

/* Wait class of each syscall, set before load. */
const volatile __u8 syscall_wait[CONTRACT_SYSCALLS];
const volatile __u32 nr_futex = 202;
/* Waits count from here, CLOCK_MONOTONIC; set before the first attach. */
__u64 attach_ns = 0;

/*
 * Where switches are too many for the target's budget the reader attaches for windows only, each
 * with its own attach_ns, in which one stands for sched_weight.
 */
__u32 sched_window = 0; /* counts them */
__u32 sched_weight = 1;

/*
 * Not 0: time in a run queue is the scheduler's own account. What passes between a wake-up and the
 * queue, an interrupt to a CPU that idles, is not in it, and is no waiting for a CPU.
 */
const volatile __u32 sched_accounted = 0;
/*
 * Not 0: times are read off the run queue's clock as well, which the scheduler has just set. It
 * saves a clock. Only with the account, and where that clock is the same on all CPUs; and not with
 * tails, which compare with CLOCK_MONOTONIC.
 */
const volatile __u32 sched_clocked = 0;
__u64 sched_offset_ns = 0; /* from that clock to CLOCK_MONOTONIC */
__u32 sched_reader = 0;	   /* tgid of the reader, whose switches refresh the offset */

/* Waits on futexes that found no place in the map. */
__u64 locks_lost = 0;

/*
 * Of finished waits, those whose stack is taken: see contract_wait_stack. The reader sets the
 * period so that stacks come at a rate it can bear, 0 for none, and how many more it takes.
 */
__u64 wait_period_ns = 0;
__s64 wait_stacks_left = 0;
__u64 wait_stacks_chosen = 0, wait_stacks_lost = 0;
/* What those stand for that were chosen and not taken. */
__u64 wait_missed_ns[WAIT_CLASSES] = {};

/* Raised by the reader whenever wake-ups went unseen: see wakers.h. */
__u32 waker_era = 0;

/* fork and exec of the target, for the session. */
__u64 target_forks = 0, target_execs = 0;
__u32 target_last_child = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct contract_hist);
} sched_hist SEC(".maps");

/* Room is made as addresses come: for all of them it would take the start 8 ms. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CONTRACT_LOCKS);
	__type(key, u64);
	__type(value, struct contract_lock);
} locks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONTRACT_SOCKETS);
	__type(key, struct contract_socket_key);
	__type(value, struct contract_socket);
} sockets SEC(".maps");

/* Not 0: the thread that this CPU goes to has a stack due. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} stack_due SEC(".maps");

/* By way of a task that leaves this CPU or comes to it: not every kernel names its run queues. */
static __always_inline u64 queue_clock(struct task_struct *task)
{
	return kfunc_plain(task)->se.cfs_rq->rq->clock;
}

static __always_inline u64 sched_now(struct task_struct *task)
{
	return sched_clocked ? queue_clock(task) : bpf_ktime_get_ns();
}

/* The same moment as now, of sched_now(), by the clock of the task's queue. */
static __always_inline u64 queue_now(struct task_struct *task, u64 now)
{
	return sched_clocked ? now : queue_clock(task);
}

/* The run queue's clock was set a moment ago, as this switch began. */
static __always_inline void sched_compare(struct task_struct *task)
{
	u64 clock = sched_now(task);

	if (clock)
		sched_offset_ns = bpf_ktime_get_ns() - clock;
}

static __always_inline u64 sched_offset(void)
{
	return sched_clocked ? *(volatile u64 *)&sched_offset_ns : 0;
}

/*
 * How long a thread has been in the run queue since it left its CPU. A thread that goes from one
 * queue to another has the time in the first added to run_delay.
 */
static __always_inline u64 sched_queued(u64 run_delay, u64 last_queued, u64 left_delay, u64 now)
{
	u64 ns = run_delay - left_delay, queued = now - last_queued;

	return queued < now ? ns + queued : ns; /* last_queued: 0, it is in none */
}

/* Bits of __state and exit_state, from linux/sched.h. */
enum { UNINTERRUPTIBLE = 0x2, STOPPED_OR_TRACED = 0xc, DEAD = 0x80 };

/* Another thread's memory cannot be read here. */
static __always_inline u32 wait_polled(struct thread_state *t, u32 class, struct pt_regs *regs,
				       bool current)
{
	struct poll_look look = {};

	if (!current)
		return WAIT_NET;
	if (class == WAIT_POLL)
		class = poll_class(&look, regs_arg0(regs), regs_arg1(regs));
	else
		class = select_class(&look, regs_arg0(regs), regs_arg1(regs), regs_arg2(regs));
	if (look.inode) {
		t->inode = look.inode;
		t->fd = (s32)look.fd;
	}
	return class;
}

static __always_inline u32 wait_class(struct task_struct *task, struct thread_state *t, u32 state,
				      struct pt_regs *regs, bool current)
{
	long nr = regs_syscall(regs);
	u32 class;

	/* By a signal or a debugger, wherever it was. */
	if (state & STOPPED_OR_TRACED)
		return WAIT_OTHER;
	/* An exception leaves -1 there; a fault is what blocks. */
	if (nr < 0)
		return WAIT_FAULT;
	class = nr < CONTRACT_SYSCALLS ? syscall_wait[nr & (CONTRACT_SYSCALLS - 1)] : WAIT_OTHER;
	if (class == WAIT_FUTEX || class == WAIT_SLEEP)
		return class;
	if (class == WAIT_EPOLL)
		t->fd = (s32)regs_arg0(regs);
	if (class == WAIT_EPOLL)
		return WAIT_NET;
	if (class == WAIT_POLL || class == WAIT_SELECT)
		return wait_polled(t, class, regs, current);
	if (class == WAIT_NET || (class == WAIT_RW && !(state & UNINTERRUPTIBLE))) {
		t->inode = socket_inode(task, (u32)regs_arg0(regs));
		t->fd = (s32)regs_arg0(regs);
		return class == WAIT_NET || t->inode ? WAIT_NET : WAIT_OTHER;
	}
	if (class == WAIT_RW)
		return WAIT_IO;
	/* vfork and the lock of the address space are uninterruptible as well: ask the kernel. */
	if (class == WAIT_OTHER && BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait))
		return WAIT_IO;
	return class;
}

static __always_inline u64 switches_of(struct task_struct *task)
{
	return task->nvcsw + task->nivcsw;
}

/* Switches went unseen since: what is known of the thread is still true if it made none of them. */
static __always_inline void thread_renew(struct task_struct *task, struct thread_state *t)
{
	if (t->window == sched_window)
		return;
	t->window = sched_window;
	if (t->off_ns && t->switches == switches_of(task))
		return;
	t->off_ns = t->wake_ns = t->due_ns = 0;
	t->wait = 0;
}

/* What a blocked thread waits for. Its memory can be read when it is the current one. */
static __always_inline void wait_begin(struct task_struct *task, struct thread_state *t, u32 state,
				       bool current)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	t->lock = 0;
	t->inode = 0;
	t->fd = -1;
	t->wait = wait_class(task, t, state, regs, current);
	if (t->wait == WAIT_FUTEX && regs_syscall(regs) == nr_futex) {
		u64 addr = regs_arg0(regs);
		u32 w[5] = {};

		/* Best effort: the page is there, the thread has just read it. Some are enough. */
		if (current && (tail_on || !(t->looks++ & 7)))
			bpf_probe_read_user(w, sizeof(w), (void *)addr);
		t->lock = contract_lock_key(
			addr, target_many && regs_arg1(regs) & FUTEX_PRIVATE ? task->tgid : 0);
		t->lock_owner = contract_mutex_owner(w);
		t->lock_op = (u32)regs_arg1(regs) & 0x7f;
	}
}

/*
 * Interrupts wake from whatever thread they find, mostly from the idle one or from user space,
 * which shows in the entry's number. One that came in a system call is taken for that thread's.
 */
static __always_inline u32 woken_by(struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	if (!task->pid || regs_syscall(regs) < 0)
		return WAKER_INTERRUPT;
	return WAKER_THREAD;
}

/* loop.bpf.h */
static __always_inline void loop_sleeps(struct pt_regs *regs, u64 now);
static __always_inline void loop_row(struct task_struct *task, struct contract_thread *row);

/* `prev` is still current: its memory and registers can be read. */
static __always_inline void thread_leaves(struct task_struct *prev, bool preempt, u64 now)
{
	struct thread_state *t;
	u32 state = prev->__state;

	t = thread_of(prev);
	if (!t)
		return;
	if (state & DEAD) {
		/* For good; a first thread may lie here as long as the others live. */
		t->off_ns = 0;
		t->wait = WAIT_RUNQ;
		return;
	}
	if (preempt || !state) {
		t->lock = 0;
		t->wait = WAIT_RUNQ;
	} else {
		wait_begin(prev, t, state, true);
		loop_sleeps((struct pt_regs *)bpf_task_pt_regs(prev), now + sched_offset());
	}
	if (sched_accounted)
		t->run_delay_ns = prev->sched_info.run_delay;
	t->window = sched_window;
	t->switches = switches_of(prev);
	t->off_ns = now;
}

/*
 * By way of memory: the verifier then forgets how ns came to be. Otherwise it goes through all that
 * follows once for each way, and perftop's start takes 10 ms longer.
 */
static __always_inline u32 bin_of(struct thread_state *t, u64 ns)
{
	*(volatile u32 *)&t->bin = bucket_index(ns);
	return *(volatile u32 *)&t->bin;
}

/*
 * How much of a wait of ns that ended at end_ns lies after attach_ns: in windows, one can have
 * begun before. By way of memory as well.
 */
static __always_inline u64 wait_counted(struct thread_state *t, u64 ns, u64 end_ns)
{
	s64 since = (s64)(end_ns + sched_offset() - attach_ns);

	if (sched_window && (s64)ns > since)
		ns = since > 0 ? (u64)since : 0;
	*(volatile u64 *)&t->counted_ns = ns;
	return *(volatile u64 *)&t->counted_ns;
}

/* Of a wait that lasted ns, counted_ns of them since attach_ns. */
static __always_inline void wait_record(u32 class, u64 ns, u64 counted_ns, u32 bin)
{
	u32 i = class * ncpu + bpf_get_smp_processor_id();
	struct contract_hist *h = bpf_map_lookup_elem(&sched_hist, &i);

	if (h)
		hist_add_many(h, bin, ns, counted_ns * sched_weight, sched_weight);
}

/* Locks a new address starts from: too large for the stack. */
static const struct contract_lock no_waits;

/*
 * A lock is let go of by one who waited for it before, all the time that others wait there; what
 * idle workers wait on is let go of by others in the end. Not the last to get through alone: who
 * was woken finds some locks taken again by one who did not have to wait. From one that got a CPU
 * to the wake-up of the next: who waits for a CPU hands nothing on. What is lost to another CPU is
 * little. A function of its own, which the verifier goes through once.
 */
__noinline int lock_handed(struct contract_lock *l, struct thread_state *t, u32 tid, u64 end_ns,
			   u64 now)
{
	u64 since;

	if (!l || !t)
		return 0;
	if (t->waited_for[t->waited % WAITED_FOR] != t->lock)
		t->waited_for[++t->waited % WAITED_FOR] = t->lock;
	since = l->last_ns;
	l->last_ns = now;
	l->last[l->through++ % CONTRACT_LOCK_LAST] = tid;
	/* The offset may be below zero. */
	if (t->waker_kind != WAKER_THREAD || t->waker_era != waker_era || end_ns <= since ||
	    (s64)(since + sched_offset() - attach_ns) < 0)
		return 0;
	l->handed += t->waker_waited;
	if (t->waker_waited)
		l->handed_ns += end_ns - since;
	else
		l->other_ns += end_ns - since;
	return 0;
}

static __always_inline void lock_record(struct task_struct *task, struct thread_state *t, u64 ns,
					u64 counted_ns, u32 bin, u64 end_ns, u64 now)
{
	u64 key = t->lock;
	struct contract_lock *l = bpf_map_lookup_elem(&locks, &key);

	bin >>= CONTRACT_LOCK_BITS;
	if (!l) {
		bpf_map_update_elem(&locks, &key, &no_waits, BPF_NOEXIST);
		l = bpf_map_lookup_elem(&locks, &key);
		if (!l) {
			__sync_fetch_and_add(&locks_lost, 1);
			return;
		}
	}
	__sync_fetch_and_add(&l->waits, sched_weight);
	__sync_fetch_and_add(&l->wait_ns, counted_ns * sched_weight);
	if (bin < CONTRACT_LOCK_BINS)
		__sync_fetch_and_add(&l->bins[bin], sched_weight);
	if (ns > l->max_ns)
		l->max_ns = ns;
	if (t->lock_owner)
		l->owner = t->lock_owner;
	l->op = t->lock_op;
	lock_handed(l, t, task->pid, end_ns, now);
}

/* Those that find no place are counted together, under a key of zeroes. */
static __always_inline void socket_record(struct task_struct *task, struct thread_state *t, u64 ns,
					  u64 counted_ns)
{
	struct contract_socket_key key = {.inode = t->inode, .tgid = (u32)task->tgid, .fd = t->fd};
	struct contract_socket *v = bpf_map_lookup_elem(&sockets, &key), fresh = {};

	if (!v) {
		if (bpf_map_update_elem(&sockets, &key, &fresh, BPF_NOEXIST) == -E2BIG)
			__builtin_memset(&key, 0, sizeof(key));
		v = bpf_map_lookup_elem(&sockets, &key);
		if (!v)
			return;
	}
	__sync_fetch_and_add(&v->waits, sched_weight);
	__sync_fetch_and_add(&v->wait_ns, counted_ns * sched_weight);
	if (ns > v->max_ns)
		v->max_ns = ns;
}

static __always_inline void stack_missed(u32 wait, u64 weight_ns)
{
	if (wait < WAIT_CLASSES)
		__sync_fetch_and_add(&wait_missed_ns[wait], weight_ns);
}

/* Where something happens next in a stratum, from `at` on: its moment comes, or it ends. */
static __always_inline u64 stratum_quiet(const struct thread_state *t, u64 at)
{
	return t->stratum_point >= at ? t->stratum_point : t->stratum_ns - 1;
}

static __always_inline void stratum_begin(struct thread_state *t, u64 period)
{
	t->stratum_ns = period;
	t->stratum_point = (u64)bpf_get_prandom_u32() * period >> 32;
}

/*
 * What a wait of ns stands for, 0 when its stack is not taken. Of each period of a thread's
 * waiting one moment is drawn, and the wait that it falls into is taken: every nanosecond has the
 * same chance, no wait is too short to be seen, and each thread's sum is right. A wait as long as
 * a period stands for itself.
 */
static __always_inline u64 stack_weight(struct thread_state *t, u64 ns, u64 period)
{
	u64 weight = 0, from, to;

	if (ns >= period)
		return ns;
	from = stratum_quiet(t, t->stratum_at) - t->quiet_ns;
	if (t->stratum_ns != period) {
		stratum_begin(t, period);
		from = 0;
	}
	to = from + ns;
	if (t->stratum_point >= from && t->stratum_point < to)
		weight = period;
	if (to >= period) {
		to -= period;
		stratum_begin(t, period);
		if (t->stratum_point < to)
			weight += period;
	}
	t->stratum_at = to;
	t->quiet_ns = stratum_quiet(t, to) - to;
	return weight;
}

/* A function of its own, which the verifier goes through once: few waits come here. */
__noinline int stack_choose(struct thread_state *t, u64 ns)
{
	u64 period = wait_period_ns, weight;
	u32 zero = 0, *due;

	weight = t && period ? stack_weight(t, ns, period) : 0;
	if (!t || !weight)
		return 0;
	weight *= sched_weight;
	__sync_fetch_and_add(&wait_stacks_chosen, 1);
	due = bpf_map_lookup_elem(&stack_due, &zero);
	if (wait_stacks_left <= 0 || !due) {
		stack_missed(t->wait, weight);
		return 0;
	}
	*due = 1;
	t->due_ns = ns;
	t->due_weight_ns = weight;
	t->due_wait = t->wait;
	return 0;
}

static __always_inline void wait_finished(struct task_struct *task, struct thread_state *t, u64 ns,
					  u64 end_ns, u64 now)
{
	u64 counted_ns = wait_counted(t, ns, end_ns);
	u32 bin = bin_of(t, ns);

	t->blocked_ns += ns;
	wait_record(t->wait, ns, counted_ns, bin);
	t->due_ns = 0;
	if (wait_period_ns && wait_period_ns == t->stratum_ns && counted_ns <= t->quiet_ns)
		t->quiet_ns -= counted_ns;
	else if (wait_period_ns)
		stack_choose(t, counted_ns);
	if (t->lock)
		lock_record(task, t, ns, counted_ns, bin, end_ns, now);
	else if (t->wait == WAIT_NET)
		socket_record(task, t, ns, counted_ns);
}

/*
 * First sight of a thread, as it gets a CPU: it began after the attach, or was blocked then and
 * woken since, or waited in the queue all the time.
 */
static __always_inline void thread_adopt(struct task_struct *task, struct thread_state *t, u64 now)
{
	u64 start = task->start_time, offset = sched_offset(), woken = t->wake_ns;

	if (sched_accounted)
		woken = now + offset - (queue_now(task, now) - task->sched_info.last_queued);
	t->off_ns = (start > attach_ns ? start : attach_ns) - offset;
	if (sched_accounted)
		t->run_delay_ns = task->sched_info.run_delay;
	if (start <= attach_ns && woken > attach_ns)
		wait_begin(task, t, 0, false);
	else
		t->wait = WAIT_RUNQ;
}

/* tail.bpf.h */
static __always_inline void tail_came(struct task_struct *task, struct thread_state *s, u64 off,
				      u64 woken, u64 now);

static __always_inline void thread_comes(struct task_struct *next, u64 now)
{
	struct thread_state *t;
	u64 away, queued;

	t = thread_of(next);
	if (!t)
		return;
	thread_renew(next, t);
	if (!t->off_ns && !t->wait)
		thread_adopt(next, t, now);
	if (!t->off_ns)
		return;
	/* Another CPU's clock, read while this one was already choosing whom to run. */
	away = now > t->off_ns ? now - t->off_ns : 0;
	if (t->wait == WAIT_RUNQ)
		queued = away;
	else if (sched_accounted)
		queued = sched_queued(next->sched_info.run_delay, next->sched_info.last_queued,
				      t->run_delay_ns, queue_now(next, now));
	else
		queued = now - t->wake_ns;
	/* Two clocks, or an older wait's wake-up. */
	if (queued > away)
		queued = sched_accounted ? away : 0;
	/* Before it is added up: the iterator reads the sum first, and so counts nothing twice. */
	t->off_ns = 0;
	if (tail_on)
		tail_came(next, t, now - away, now - queued, now);
	if (t->wait != WAIT_RUNQ)
		wait_finished(next, t, away - queued, now - queued, now);
	/* A wake-up with no time in the queue is no wait. */
	if (queued)
		wait_record(WAIT_RUNQ, queued, wait_counted(t, queued, now), bin_of(t, queued));
	t->wait = WAIT_RUNQ;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	bool from = is_target(prev->tgid), to = is_target(next->tgid);
	u64 now;

	if (sched_clocked && (!sched_offset_ns || (u32)next->tgid == sched_reader))
		sched_compare(next);
	if (!from && !to)
		return 0;
	now = sched_now(from ? prev : next);
	if (from)
		thread_leaves(prev, preempt, now);
	if (to)
		thread_comes(next, now);
	return 0;
}

/*
 * Not sched_wakeup, which may run in an interrupt of the CPU that the thread goes to: here the
 * waker is current. It can come a moment before the thread has left its CPU, so thread_leaves
 * keeps what is written here; a wake_ns before off_ns is an older wait's, or too early to count.
 */
SEC("tp_btf/sched_waking")
int BPF_PROG(on_sched_waking, struct task_struct *task)
{
	struct task_struct *current = bpf_get_current_task_btf();
	struct thread_state *t, *waker;

	if (!is_target(task->tgid))
		return 0;
	t = thread_of(task);
	if (!t)
		return 0;
	t->waker = current->pid;
	t->waker_kind = woken_by(current);
	t->waker_era = waker_era;
	waker = thread_known(current);
	t->waker_waited = 0;
	for (u32 i = 0; waker && t->lock && i < WAITED_FOR; i++)
		t->waker_waited |= waker->waited_for[i] == t->lock;
	__builtin_memcpy(t->waker_comm, current->comm, sizeof(t->waker_comm));
	if (!sched_clocked)
		t->wake_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 tgid = child->tgid, of = parent->tgid;

	if (tgid == of || !is_target(of))
		return 0;
	target_last_child = tgid;
	__sync_fetch_and_add(&target_forks, 1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	if ((u32)task->tgid == target_tgid && !target_gone)
		__sync_fetch_and_add(&target_execs, 1);
	return 0;
}

static __always_inline u32 namespace_tid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level), nr = 0;
	u64 at = bpf_core_field_offset(struct pid, numbers) +
		 (u64)level * bpf_core_type_size(struct upid) +
		 bpf_core_field_offset(struct upid, nr);

	if (!pid || bpf_probe_read_kernel(&nr, sizeof(nr), (char *)pid + at))
		return 0;
	return nr;
}

/*
 * Every process of the reader's pid namespace: who of several that are watched has which number in
 * the kernel. Numbers of a pid go from the first namespace's inwards.
 */
SEC("iter/task")
int iter_whois(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *reader = bpf_get_current_task_btf();
	u32 level = BPF_CORE_READ(reader, thread_pid, level);
	struct contract_whois row = {};
	struct pid *pid;
	u64 at;

	if (!task || task->pid != task->tgid)
		return 0;
	pid = BPF_CORE_READ(task, thread_pid);
	at = bpf_core_field_offset(struct pid, numbers) +
	     (u64)level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr);
	if (!pid || BPF_CORE_READ(pid, level) < level ||
	    bpf_probe_read_kernel(&row.ns_tgid, sizeof(row.ns_tgid), (char *)pid + at))
		return 0;
	row.tgid = task->tgid;
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

/* Blocked since before perftop came, and not known yet: its wait is counted from the attach. */
static __always_inline void thread_find(struct task_struct *task, struct thread_state *t)
{
	u32 state = task->__state;

	if (!state || state & DEAD || task->on_cpu)
		return;
	wait_begin(task, t, state, false);
	if (sched_accounted)
		t->run_delay_ns = task->sched_info.run_delay;
	t->switches = switches_of(task);
	__sync_val_compare_and_swap(&t->off_ns, 0, attach_ns - sched_offset());
	/* It may have been woken, and have run, meanwhile. */
	if (!task->__state || task->on_cpu)
		t->off_ns = 0;
}

/* When the thread became runnable again, 0 while it has not. */
static __always_inline u64 thread_woken(struct task_struct *task, struct thread_state *t, u64 now)
{
	u64 last;

	if (!sched_accounted)
		return t->wake_ns > t->off_ns ? t->wake_ns : 0; /* or an older wait's */
	last = task->sched_info.last_queued;
	if (!last || task->__state)
		return 0;
	return now - sched_queued(task->sched_info.run_delay, last, t->run_delay_ns,
				  queue_now(task, now));
}

/* What is known of the thread's present wait, and the sum of those that are over. */
static __always_inline void thread_row(struct task_struct *task, struct thread_state *t,
				       struct contract_thread *row)
{
	u64 offset = sched_offset(), off, woken;

	thread_renew(task, t);
	if (!t->off_ns && !t->wait && !t->wake_ns)
		thread_find(task, t);
	row->blocked_ns = *(volatile u64 *)&t->blocked_ns;
	off = *(volatile u64 *)&t->off_ns;
	woken = thread_woken(task, t, row->at_ns - offset);
	row->wait_id = off;
	row->off_ns = off ? off + offset : 0;
	row->wake_ns = woken ? woken + offset : 0;
	row->wait = t->wait;
	row->lock = t->lock;
	row->lock_owner = t->lock_owner;
	row->lock_op = t->lock_op;
	row->inode = t->inode;
	row->fd = t->fd;
	loop_row(task, row);
	if (off && row->wait != WAIT_RUNQ)
		regs_row(row, (struct pt_regs *)bpf_task_pt_regs(task));
}

/* No target_tgid: any process; by its one row the reader learns a pid outside its namespace. */
SEC("iter/task")
int iter_threads(struct bpf_iter__task *ctx)
{
	struct contract_thread row = {};
	struct task_struct *task = ctx->task;
	struct thread_state *t;

	if (sched_clocked)
		sched_reader = bpf_get_current_pid_tgid() >> 32;
	if (!task || (target_tgid && !is_target(task->tgid)))
		return 0;
	row.at_ns = bpf_ktime_get_ns();
	row.tid = task->pid;
	row.tgid = task->tgid;
	row.ns_tid = namespace_tid(task);
	row.state = task->__state | task->exit_state;
	row.run_ns = task->se.sum_exec_runtime;
	row.run_delay_ns = BPF_CORE_READ(task, sched_info.run_delay);
	row.nvcsw = task->nvcsw;
	row.nivcsw = task->nivcsw;
	BPF_CORE_READ_INTO(&row.comm, task, comm);
	t = thread_of(task);
	if (t)
		thread_row(task, t, &row);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

#endif
